from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from elman import UserError
from elman.models import CaptionNet
from elman.models.captioner import PictureMap


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    """Half of what would be compiled."""
    with torch.no_grad():
        yield


@pytest.mark.parametrize("halvings", [1, 2, 3])
def test_the_map_halves_and_knows_where_its_places_are(halvings: int) -> None:
    net = PictureMap(1, 6, halvings)
    y = net(torch.zeros(2, 16, 24, 1))
    assert y.shape == (2, 6, 16 // 2**halvings, 24 // 2**halvings)
    inner = y[0, :, 1:-1, 1:-1].flatten(1)  # the edges differ by their padding in any case
    assert len(torch.unique(inner.T, dim=0)) == inner.shape[1], "an empty picture looks everywhere different"


def test_a_class_a_vector_and_a_picture_tell_the_decoder() -> None:
    options = {"embedding_size": 4, "input_size": 6, "dtype": torch.float64}
    text = torch.randint(7, (5, 2))
    for told, x in (
        ({"classes": 3}, torch.tensor([0, 2])),
        ({"features": 5}, torch.randn(2, 5, dtype=torch.float64)),
        ({"channels": 2}, torch.randn(2, 8, 8, 2, dtype=torch.float64)),
    ):
        net = CaptionNet(7, "gru", 4, **told, **options).eval()
        logits, _ = net(x, text)
        assert logits.shape == (5, 2, 7)
        # Row by row and token by token it is the same; the other row's input changes nothing.
        for row in range(2):
            state = net.begin(x[row : row + 1])
            for step in range(5):
                one, state = net.decoder.step(text[step, row : row + 1], state)
                torch.testing.assert_close(one[0], logits[step, row])
        assert not torch.allclose(net(x.flip(0), text)[0][0], logits[0])


def test_what_tells_is_as_written() -> None:
    net = CaptionNet(7, "gru", 4, features=5, input_size=6, dtype=torch.float64).eval()
    x = torch.randn(2, 5, dtype=torch.float64)
    expected = torch.relu(x @ net.told.weight.T + net.told.bias)
    torch.testing.assert_close(net.begin(x).vector, expected)
    pictures = CaptionNet(7, "gru", 4, channels=1, input_size=6, dtype=torch.float64).eval()
    x = torch.randn(2, 8, 12, 1, dtype=torch.float64)
    state, places = pictures.begin(x), pictures.told(x)
    assert state.memory is not None
    torch.testing.assert_close(state.memory.values, places.flatten(2).transpose(1, 2))
    torch.testing.assert_close(state.vector, places.mean((2, 3)))


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="classes=None, features=None, channels=None; give one"):
        CaptionNet(7)
    with pytest.raises(UserError, match="classes=2, features=3, channels=None; give one"):
        CaptionNet(7, classes=2, features=3)
    with pytest.raises(UserError, match="halvings is 0; expected a whole number"):
        CaptionNet(7, channels=2, halvings=0)
