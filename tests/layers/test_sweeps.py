"""Sweeps over images: against two plain loops, and how far an output sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from elman import UserError
from elman.cells import GRU, RNN
from elman.layers import Sweeps

HEIGHT, WIDTH = 3, 4


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    """Half of what would be compiled."""
    with torch.no_grad():
        yield


def by_hand(layer: Sweeps, x: Tensor) -> Tensor:
    """Pixel after pixel, image after image, with nothing but the cells' steps."""
    images = []
    for image in x:
        for depth, pair in enumerate(layer.recurrent.layers):
            along_rows = depth % 2 == 0
            lines = image if along_rows else image.transpose(0, 1)
            done = torch.stack(
                [torch.cat([walked(pair[0], line), walked(pair[1], line.flip(0)).flip(0)], -1) for line in lines]
            )
            image = done if along_rows else done.transpose(0, 1)
        images.append(image)
    return torch.stack(images)


def walked(cell: nn.Module, line: Tensor) -> Tensor:
    state = cell.initial_state(1)
    outputs = []
    for pixel in line:
        output, state = cell(pixel[None], state)
        outputs.append(output[0])
    return torch.stack(outputs)


def test_it_is_two_plain_loops() -> None:
    layer = Sweeps("gru", 2, 3, num_layers=2, dtype=torch.float64)
    x = torch.randn(2, HEIGHT, WIDTH, 2, dtype=torch.float64)
    y = layer(x)
    assert y.shape == (2, HEIGHT, WIDTH, 6) and layer.output_size == 6
    torch.testing.assert_close(y, by_hand(layer, x), rtol=1e-12, atol=1e-14)


def test_every_pixel_changes_every_output_of_its_image_and_of_no_other() -> None:
    layer = Sweeps("gru", 2, 3, dtype=torch.float64)
    x = torch.randn(2, HEIGHT, WIDTH, 2, dtype=torch.float64)
    y = layer(x)
    for row in range(HEIGHT):
        for column in range(WIDTH):
            changed = x.clone()
            changed[1, row, column] += 1.0
            difference = (layer(changed) - y).abs().amax(-1)
            assert (difference[1] > 0).all() and (difference[0] == 0).all()


def test_layers_of_several_cells_and_sizes() -> None:
    layer = Sweeps(["gru", "rnn"], 2, [3, 5])
    cells = [type(cell) for pair in layer.recurrent.layers for cell in pair]
    assert cells == [GRU] * 4 + [RNN] * 4
    assert [pair[0].hidden_size for pair in layer.recurrent.layers] == [3, 3, 5, 5]
    assert len(Sweeps("gru", 2, 3).recurrent.layers) == 2
    assert len(Sweeps("gru", 2, [3, 4], 2).recurrent.layers) == 4


def test_dropout_acts_between_layers_in_training() -> None:
    torch.manual_seed(0)
    layer = Sweeps("gru", 2, 3, num_layers=2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(2, HEIGHT, WIDTH, 2, dtype=torch.float64)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    torch.testing.assert_close(layer(x), by_hand(layer, x), rtol=1e-12, atol=1e-14)


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"x is \(3, 4, 1\); expected images, \(B, height, width, 1\)"):
        Sweeps("gru", 1, 3)(torch.zeros(3, 4, 1))
    with pytest.raises(UserError, match=r"dropout=1.0; give the probability"):
        Sweeps("gru", 1, 3, dropout=1.0)
    with pytest.raises(UserError, match="layers do not fit"):
        Sweeps(["gru", "rnn"], 1, [3, 4, 5])
