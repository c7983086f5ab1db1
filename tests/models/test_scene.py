from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from elman import UserError
from elman.models import SceneNet
from elman.models.scene import patches, pixels


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    """Half of what would be compiled."""
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("height", "width", "side"), [(4, 6, 2), (5, 7, 3), (3, 2, 1)])
def test_patches_hold_their_pixels_and_pixels_come_back(height: int, width: int, side: int) -> None:
    x = torch.randn(2, height, width, 3)
    cut = patches(x, side)
    assert cut.shape == (2, -(-height // side), -(-width // side), side * side * 3)
    for row in range(cut.shape[1]):
        for column in range(cut.shape[2]):
            block = cut[1, row, column].view(side, side, 3)
            for i in range(side):
                for j in range(side):
                    # What lies beyond the edge is the edge's pixel.
                    there = x[1, min(row * side + i, height - 1), min(column * side + j, width - 1)]
                    assert torch.equal(block[i, j], there)
    assert torch.equal(pixels(cut, side)[:, :height, :width], x)


def test_the_net_is_embedding_sweeps_and_head() -> None:
    net = SceneNet(4, "gru", 5, channels=2, patch=2, embedding_size=3, dtype=torch.float64).eval()
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    y = torch.relu(net.embedding(patches(x, 2)))
    expected = pixels(net.head(net.sweeps(y)), 2)[:, :3]
    scores = net(x)
    assert scores.shape == (2, 3, 4, 4)
    torch.testing.assert_close(scores, expected)
    # The pixel in one corner speaks on the one in the other.
    changed = x.clone()
    changed[0, 0, 0] += 3.0
    assert not torch.equal(net(changed)[0, -1, -1], scores[0, -1, -1])
    assert torch.equal(net(changed)[1], scores[1])


def test_dropout_is_of_training_only() -> None:
    net = SceneNet(4, "gru", 5, channels=2, embedding_size=3, dropout=0.5, dtype=torch.float64)
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="patch is 0; expected pixels"):
        SceneNet(2, patch=0)
    with pytest.raises(UserError, match=r"x is \(1, 4, 4, 1\); expected images, \(B, height, width, 3\)"):
        SceneNet(2)(torch.zeros(1, 4, 4, 1))
