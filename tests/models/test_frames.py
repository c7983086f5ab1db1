from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from elman import UserError
from elman.models import ClassifierNet
from elman.models.frames import FrameEncoder


@pytest.mark.parametrize("shape", [(8, 6), (7, 5, 3)])
def test_every_frame_goes_through_the_same_layers_by_itself(shape: tuple[int, ...]) -> None:
    encoder = FrameEncoder(shape, size=4, channels=(2, 3), dtype=torch.float64)
    x = torch.randn(5, 2, torch.Size(shape).numel(), dtype=torch.float64)
    y = encoder(x)
    assert y.shape == (5, 2, 4) and encoder.output_size == 4
    channels = shape[2] if len(shape) == 3 else 1
    for t in range(5):
        for b in range(2):
            frame = torch.empty(1, channels, *shape[:2], dtype=torch.float64)
            for place, value in enumerate(x[t, b]):
                row, rest = divmod(place, shape[1] * channels)
                frame[0, rest % channels, row, rest // channels] = value
            for layer, pad in ((encoder.first, 2), (encoder.second, 1)):
                frame = conv2d(frame, layer.weight, layer.bias, stride=2, padding=pad).relu()
            expected = (encoder.project.weight @ frame.flatten() + encoder.project.bias).relu()
            torch.testing.assert_close(y[t, b], expected)


def test_the_classifier_reads_frames_through_it() -> None:
    net = ClassifierNet(3, "gru", 6, features=64, frames="cnn", frame_shape=(8, 8), frame_size=5)
    x, lengths = torch.randn(4, 2, 64), torch.tensor([4, 2])
    scores = net(x, lengths)
    other = x.clone()
    other[2:, 1] = 99.0
    torch.testing.assert_close(net(other, lengths), scores)
    scores.sum().backward()
    assert net.reader.frames is not None and net.reader.frames.first.weight.grad.abs().sum() > 0
    assert net.reader.recurrent.layers[0][0].input_size == 5


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"a step has the axes \(64,\); the convolutional net reads frames"):
        FrameEncoder((64,))
    with pytest.raises(UserError, match="at least 4 x 4"):
        FrameEncoder((3, 8))
    with pytest.raises(UserError, match="frames is 'cmm'; expected 'cnn'"):
        ClassifierNet(3, "gru", 6, features=64, frames="cmm", frame_shape=(8, 8))
