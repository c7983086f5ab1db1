"""Numbers printed in the textbook."""

from __future__ import annotations

import pytest
import torch
from oracles import ORACLES

import elman
from elman.cells import SCRN

X = [1.0, 2.0]
W = [[0.1, 0.2], [0.3, 0.4]]
U = [0.5, 0.6]
B = [0.1, -0.1]
V = [[1.0], [2.0]]
C = 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_two_unit_cell_traced_by_hand(dtype: torch.dtype) -> None:
    rnn = elman.RNN(1, 2, dtype=dtype)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(torch.tensor(W, dtype=dtype).T)  # the textbook multiplies from the left: h W
        rnn.weight_ih_l0.copy_(torch.tensor(U, dtype=dtype).view(2, 1))
        rnn.bias_ih_l0.copy_(torch.tensor(B, dtype=dtype))
        rnn.bias_hh_l0.zero_()
    h, last = rnn(torch.tensor(X, dtype=dtype).view(2, 1, 1))
    out = h @ torch.tensor(V, dtype=dtype) + C
    tolerance = {"atol": 5e-9 if dtype == torch.float64 else 5e-7, "rtol": 0}  # eight decimals are printed
    expected = torch.tensor([[0.53704957, 0.46211716], [0.85973818, 0.88366641]], dtype=dtype)
    torch.testing.assert_close(h[:, 0], expected, **tolerance)
    torch.testing.assert_close(last[0, 0], expected[1], **tolerance)
    torch.testing.assert_close(out.flatten(), torch.tensor([1.56128388, 2.72707101], dtype=dtype), **tolerance)


def chapter_training_graph(cell: SCRN, x: torch.Tensor, h: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """The textbook's RNN-CF inside a training window: h_t always sees the window's first h and first context."""
    outputs = []
    first_h, first_s = h, s
    for x_t in x:
        h = torch.tanh(x_t @ cell.weight_ih.T + first_h @ cell.weight_hh.T + first_s @ cell.context_out.weight.T)
        s = cell.alpha * s + (1 - cell.alpha) * x_t @ cell.context_in.weight.T
        outputs.append(torch.cat([h, s], -1))
    return torch.stack(outputs)


@pytest.mark.parametrize("time", [1, 2, 50])
def test_the_textbooks_training_graph_is_the_cell_for_one_step_only(time: int) -> None:
    cell = SCRN(5, 4, context_size=3, alpha=0.9, context="old", nonlinearity="tanh", dtype=torch.float64)
    x, h, s = (torch.randn(*shape, dtype=torch.float64) for shape in [(time, 2, 5), (2, 4), (2, 3)])
    ours, _ = elman.scan(cell, x, (h, s))
    theirs = chapter_training_graph(cell, x, h, s)
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(ours[..., 4:], theirs[..., 4:], rtol=1e-12, atol=1e-14)  # the context itself recurs
    if time > 1:
        assert ((ours - theirs)[1:, :, :4].abs().amax((1, 2)) > 1e-3).all()

    h.requires_grad_()
    grads = [
        torch.autograd.grad(run(cell, x, h, s).sum(), cell.weight_hh)[0]
        for run in (lambda cell, x, h, s: elman.scan(cell, x, (h, s))[0], chapter_training_graph)
    ]
    assert torch.allclose(*grads, rtol=1e-12) == (time == 1)


def test_the_cell_as_the_textbook_meant_it_is_our_oracle() -> None:
    options = {"alpha": 0.9, "context": "old", "nonlinearity": "tanh"}
    cell = SCRN(5, 4, dtype=torch.float64, **options)
    x = torch.randn(9, 2, 5, dtype=torch.float64)
    weights = {name: value.numpy() for name, value in cell.state_dict().items()}
    zeros = torch.zeros(2, 4, dtype=torch.float64).numpy()
    expected, _ = ORACLES["scrn"].run(weights, x.numpy(), (zeros, zeros), **options)
    torch.testing.assert_close(elman.scan(cell, x)[0].detach(), torch.from_numpy(expected), rtol=1e-12, atol=1e-14)
