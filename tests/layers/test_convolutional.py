"""ConvLSTM against NumPy loops over every place of an image, and what its layer adds."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from oracles.common import sigmoid
from torch import Tensor

import elman
from elman import UserError
from elman.layers import ConvLSTM1d, ConvLSTM2d, ConvLSTM3d
from elman.layers.convolutional import ConvLSTM

Array = np.ndarray
SIZES = {ConvLSTM1d: (5,), ConvLSTM2d: (4, 3), ConvLSTM3d: (3, 2, 4)}
CASES = [
    (ConvLSTM1d, {"kernel_size": 5, "peephole": SIZES[ConvLSTM1d]}),
    (ConvLSTM2d, {"kernel_size": (3, 1)}),
    (ConvLSTM2d, {"peephole": SIZES[ConvLSTM2d], "bias": False}),
    (ConvLSTM3d, {"kernel_size": (1, 3, 3), "peephole": SIZES[ConvLSTM3d]}),
]
every_case = pytest.mark.parametrize(("cls", "options"), CASES, ids=str)
INPUT, HIDDEN, TIME, BATCH = 2, 3, 4, 3


def a_layer(cls: type[ConvLSTM], **options: Any) -> ConvLSTM:
    layer = cls(INPUT, HIDDEN, dtype=torch.float64, **options)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    return layer


def images(cls: type[ConvLSTM], time: int = TIME, batch: int = BATCH) -> Tensor:
    return torch.randn(time, batch, INPUT, *SIZES[cls], dtype=torch.float64)


def a_state(cls: type[ConvLSTM], batch: int = BATCH) -> tuple[Tensor, Tensor]:
    shape = (batch, HIDDEN, *SIZES[cls])
    return torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)


def convolved(image: Array, kernel: Array) -> Array:
    """Kernel (O, I, *k) over the image (I, *size), whose outside is 0; place by place."""
    size, window = image.shape[1:], kernel.shape[2:]
    result = np.zeros((len(kernel), *size))
    for place in itertools.product(*map(range, size)):
        for offset in itertools.product(*map(range, window)):
            seen = tuple(p + k - w // 2 for p, k, w in zip(place, offset, window, strict=True))
            if all(0 <= s < end for s, end in zip(seen, size, strict=True)):
                result[(slice(None), *place)] += (
                    kernel[(slice(None), slice(None), *offset)] @ image[(slice(None), *seen)]
                )
    return result


def oracle(layer: ConvLSTM, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Array, Array, Array]:
    weights = {name: value.numpy() for name, value in layer.cell.state_dict().items()}
    bias = weights.get("bias", np.zeros(4 * HIDDEN)).reshape(4 * HIDDEN, *[1] * layer.axes)
    outputs = np.zeros((len(x), x.shape[1], HIDDEN, *x.shape[3:]))
    h, c = (each.numpy().copy() for each in state)
    for t, b in itertools.product(range(len(x)), range(x.shape[1])):
        z = convolved(x[t, b].numpy(), weights["weight_ih"]) + convolved(h[b], weights["weight_hh"]) + bias
        i, f, g, o = z.reshape(4, HIDDEN, *x.shape[3:])
        i, f = sigmoid(i + weights.get("weight_ci", 0) * c[b]), sigmoid(f + weights.get("weight_cf", 0) * c[b])
        c[b] = f * c[b] + i * np.tanh(g)
        h[b] = sigmoid(o + weights.get("weight_co", 0) * c[b]) * np.tanh(c[b])
        outputs[t, b] = h[b]
    return outputs, h, c


@every_case
def test_it_is_the_paper(cls: type[ConvLSTM], options: dict[str, Any], close: Any) -> None:
    layer, x, state = a_layer(cls, **options), images(cls), a_state(cls)
    expected, h, c = oracle(layer, x, state)
    y, final = layer(x, state)
    close(y, expected)
    close(final, (h, c))
    blank = tuple(torch.zeros_like(each) for each in state)
    close(layer(x)[0], oracle(layer, x, blank)[0])


@every_case
def test_gradients(cls: type[ConvLSTM], options: dict[str, Any]) -> None:
    layer = a_layer(cls, **options)
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        y, final = torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x, (h, c)))
        return y, *final

    arguments = [images(cls, 2, 1), *a_state(cls, 1), *layer.parameters()]
    inputs = [each.detach().clone().requires_grad_() for each in arguments]
    assert torch.autograd.gradcheck(run, inputs, fast_mode=True)


def test_lengths_resets_and_reverse(close: Any, close_gradients: Any) -> None:
    layer, x, state = a_layer(ConvLSTM2d), images(ConvLSTM2d), a_state(ConvLSTM2d)
    for b, length in enumerate([TIME, 0, 2]):
        x[length:, b] = torch.nan
    y, (h, _), states = layer(x, state, lengths=[TIME, 0, 2], return_states=True)
    y.square().sum().backward()
    together = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    long, short = (layer(x[:n, b : b + 1], [each[b : b + 1] for each in state]) for n, b in ((TIME, 0), (2, 2)))
    close(y[:, :1], long[0])
    close(y[:2, 2:], short[0])
    assert not y[2:, 2].any()
    assert not y[:, 1].any()
    close(h, torch.cat([long[1].h, state[0][1:2], short[1].h]))
    close(states.h, y)
    (long[0].square().sum() + short[0].square().sum()).backward()
    close_gradients(together, [parameter.grad for parameter in layer.parameters()])

    x = images(ConvLSTM2d)
    resets = torch.zeros(TIME, BATCH, dtype=torch.bool)
    resets[2, 1] = True
    y, _ = layer(x, state, resets=resets)
    close(y[2:, 1:2], layer(x[2:, 1:2])[0])
    close(y[:, 0], layer(x, state)[0][:, 0])
    close(layer(x, state, reverse=True)[0], layer(x.flip(0), state)[0].flip(0))


def test_pieces_and_batch_first(close: Any) -> None:
    layer, x, state = a_layer(ConvLSTM1d), images(ConvLSTM1d), a_state(ConvLSTM1d)
    whole, final = layer(x, state)
    first, middle = layer(x[:3], state)
    second, ended = layer(x[3:], middle)
    close(torch.cat([first, second]), whole)
    close(ended, final)
    nothing, same = layer(x[:0], state)
    assert nothing.shape == (0, BATCH, HIDDEN, 5)
    assert all(torch.equal(a, b) for a, b in zip(same, state, strict=True))

    rows = ConvLSTM1d(INPUT, HIDDEN, batch_first=True, dtype=torch.float64)
    rows.load_state_dict(layer.state_dict())
    resets = torch.rand(TIME, BATCH) < 0.5
    y, ended = rows(x.transpose(0, 1), state, resets=resets.T)
    again, final = layer(x, state, resets=resets)
    close(y.transpose(0, 1), again)
    close(ended, final)


def test_starts() -> None:
    layer = ConvLSTM2d(3, 4, 5, peephole=(6, 7), forget_bias=1.5)
    i, f, g, o = layer.cell.bias.chunk(4)
    assert (f == 1.5).all()
    assert not torch.cat([i, g, o]).any()
    assert not layer.cell.weight_cf.any()
    assert 0.95 / 75**0.5 < layer.cell.weight_ih.abs().max() <= 1 / 75**0.5
    assert 0.95 / 100**0.5 < layer.cell.weight_hh.abs().max() <= 1 / 100**0.5
    assert all(parameter.is_meta for parameter in ConvLSTM3d(1, 2, device="meta").parameters())
    x = torch.randn(2, 1, 3, 6, 7)
    assert torch.equal(copy.deepcopy(layer)(x)[0], layer(x)[0])


def test_explain_says_why_it_is_eager() -> None:
    (explanation,) = elman.explain(ConvLSTM2d(2, 3), torch.zeros(5, 1, 2, 4, 4))
    assert explanation.backend == "eager"
    assert "convolution" in explanation.reason
    assert "convolutional.py" in explanation.reason


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 3), {}, "input_channels=0"),
        ((2, 0.5), {}, "hidden_channels=0.5"),
        ((2, 3, 4), {}, "kernel_size=4; give an odd number"),
        ((2, 3, (3, 3, 3)), {}, "or 2 of them"),
        ((2, 3), {"peephole": (4,)}, "2 numbers"),
        ((2, 3), {"bias": False, "forget_bias": 1.0}, "nothing to set"),
    ],
)
def test_wrong_options(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ConvLSTM2d(*arguments, **options)


def test_wrong_arguments() -> None:
    layer = ConvLSTM2d(2, 3, peephole=(4, 5))
    with pytest.raises(UserError, match=r"got x \(5, 1, 2, 4\); expected \(T, B, 2, size, size\)"):
        layer(torch.zeros(5, 1, 2, 4))
    with pytest.raises(UserError, match="2 input channels"):
        layer(torch.zeros(5, 1, 3, 4, 5))
    with pytest.raises(UserError, match=r"images of size \(4, 4\); its peepholes are for \(4, 5\)"):
        layer(torch.zeros(5, 1, 2, 4, 4))
    with pytest.raises(UserError, match=r"state \(1, 3, 4, 5\); expected h and c"):
        layer(torch.zeros(5, 1, 2, 4, 5), (torch.zeros(1, 3, 4, 5),))
