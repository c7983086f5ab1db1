"""What every registered cell must do, whatever its equations."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest
import torch
from oracles import ORACLES
from torch import Tensor

import elman
from elman.cell import Cell, cells, find_cell
from elman.structure import leaves, map_leaves, rebuild

CLASSES = [cls for cls in cells().values() if cls.__module__.startswith("elman.cells.")]
VARIANTS = [(cls, options) for cls in CLASSES for options in ORACLES[cls.__name__.lower()].VARIANTS]
INPUT, HIDDEN, TIME, BATCH = 3, 4, 7, 3

every_cell = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every_variant = pytest.mark.parametrize(("cls", "options"), VARIANTS, ids=str)


def build(cls: type[Cell], hidden: int = HIDDEN, **options: Any) -> Cell:
    return cls(INPUT, hidden, dtype=torch.float64, **options)


def a_sequence(time: int = TIME, batch: int = BATCH) -> Tensor:
    return torch.randn(time, batch, INPUT, dtype=torch.float64)


def a_state(cell: Cell, batch: int = BATCH) -> Any:
    return map_leaves(torch.randn_like, cell.initial_state(batch))


def row(state: Any, b: int) -> Any:
    return map_leaves(lambda leaf: leaf[b : b + 1], state)


@every_cell
@pytest.mark.parametrize("hidden", [1, 2, 5, 16, 17])
@pytest.mark.parametrize("batch", [1, 4])
def test_shapes(cls: type[Cell], hidden: int, batch: int) -> None:
    cell = cls(INPUT, hidden)
    y, state, states = elman.scan(cell, torch.randn(TIME, batch, INPUT), return_states=True)
    assert y.shape == (TIME, batch, cell.output_size)
    assert [leaf.shape for leaf in leaves(state)] == [(batch, size) for size in cell.state_sizes]
    assert [leaf.shape for leaf in leaves(states)] == [(TIME, batch, size) for size in cell.state_sizes]
    assert all(torch.equal(every[-1], last) for every, last in zip(leaves(states), leaves(state), strict=True))
    if len(cls.states) > 1:
        assert state._fields == states._fields == cls.states
    if cls.output is None:
        assert torch.equal(y, leaves(states)[0])


@every_variant
def test_gradients_are_right_for_input_state_and_weights(cls: type[Cell], options: dict[str, Any]) -> None:
    cell = cls(2, 2, dtype=torch.float64, **options)
    names = [name for name, _ in cell.named_parameters()]
    state = a_state(cell, 2)
    count = len(leaves(state))

    def run(x: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = rebuild(state, tensors[:count])
        with torch.nn.utils.stateless._reparametrize_module(cell, dict(zip(names, tensors[count:], strict=True))):
            y, final = elman.scan(cell, x, given)
        return y, *leaves(final)

    arguments = [torch.randn(3, 2, 2, dtype=torch.float64), *leaves(state), *cell.parameters()]
    assert torch.autograd.gradcheck(run, [each.detach().clone().requires_grad_() for each in arguments])


@every_cell
def test_a_sequence_in_pieces_is_the_whole(cls: type[Cell], close: Any) -> None:
    cell, x = build(cls), a_sequence()
    state = a_state(cell)
    whole, final = elman.scan(cell, x, state)
    pieces = []
    for piece in (x[:3], x[3:4], x[4:4], x[4:]):
        y, state = elman.scan(cell, piece, state)
        pieces.append(y)
    close(torch.cat(pieces), whole)
    close(state, final)


@every_cell
def test_calling_the_cell_is_one_step_of_scan(cls: type[Cell], close: Any) -> None:
    cell, x = build(cls), a_sequence(1)
    state = a_state(cell)
    y, after = elman.scan(cell, x, state)
    close(cell(x[0], state), (y[0], after))
    close(cell(x[0]), (elman.scan(cell, x)[0][0], elman.scan(cell, x)[1]))


@every_cell
@pytest.mark.parametrize("reverse", [False, True])
def test_a_padded_batch_is_its_sequences(cls: type[Cell], reverse: bool, close: Any, close_gradients: Any) -> None:
    cell, lengths = build(cls), [4, 0, TIME, 1]
    x = a_sequence(batch=4)
    for b, length in enumerate(lengths):
        x[length:, b] = torch.nan
    state = a_state(cell, 4)

    y, final, states = elman.scan(cell, x, state, lengths=lengths, reverse=reverse, return_states=True)
    y.square().sum().backward()
    together = [parameter.grad.clone() for parameter in cell.parameters()]
    cell.zero_grad()

    for b, length in enumerate(lengths):
        alone, ended, every = elman.scan(
            cell, x[:length, b : b + 1], row(state, b), reverse=reverse, return_states=True
        )
        close(y[:length, b : b + 1], alone)
        close(row(final, b), ended)
        close(map_leaves(lambda leaf, b=b, n=length: leaf[:n, b : b + 1], states), every)
        assert not y[length:, b].any()
        assert not any(leaf[length:, b].any() for leaf in leaves(states))
        if length:
            alone.square().sum().backward()
    close_gradients(together, [parameter.grad for parameter in cell.parameters()])


@every_cell
def test_reverse_is_the_flipped_input(cls: type[Cell], close: Any) -> None:
    cell, x = build(cls), a_sequence()
    state = a_state(cell)
    y, final = elman.scan(cell, x, state, reverse=True)
    flipped, ended = elman.scan(cell, x.flip(0), state)
    close(y, flipped.flip(0))
    close(final, ended)


@every_cell
def test_resets_are_separate_runs(cls: type[Cell], close: Any) -> None:
    cell, x = build(cls), a_sequence()
    state = a_state(cell)
    resets = torch.zeros(TIME, BATCH, dtype=torch.bool)
    resets[3, 1] = resets[0, 2] = True
    y, final = elman.scan(cell, x, state, resets=resets)
    close(y[:, 0], elman.scan(cell, x[:, :1], row(state, 0))[0][:, 0])
    close(y[:3, 1], elman.scan(cell, x[:3, 1:2], row(state, 1))[0][:, 0])
    anew, ended = elman.scan(cell, x[3:, 1:2])
    close(y[3:, 1], anew[:, 0])
    close(row(final, 1), ended)
    close(y[:, 2], elman.scan(cell, x[:, 2:])[0][:, 0])


@every_cell
def test_no_steps(cls: type[Cell]) -> None:
    cell = build(cls)
    state = a_state(cell)
    y, final, states = elman.scan(cell, a_sequence(0), state, return_states=True)
    assert y.shape == (0, BATCH, cell.output_size)
    assert all(torch.equal(a, b) for a, b in zip(leaves(final), leaves(state), strict=True))
    assert [leaf.shape for leaf in leaves(states)] == [(0, BATCH, size) for size in cell.state_sizes]
    y, final = elman.scan(cell, a_sequence(), state, lengths=[0] * BATCH)
    assert not y.any()
    assert all(torch.equal(a, b) for a, b in zip(leaves(final), leaves(state), strict=True))


@every_cell
@pytest.mark.parametrize("lengths", [None, [TIME, 0, 3]])
def test_ids_stand_for_one_hot_vectors(cls: type[Cell], lengths: Any, close: Any, close_gradients: Any) -> None:
    cell = build(cls)
    ids = torch.randint(INPUT, (TIME, BATCH))
    dense = torch.nn.functional.one_hot(ids, INPUT).double()
    for b, length in enumerate(lengths or ()):
        ids[length:, b] = -100  # padding that is no id
    gradients = []
    for x in (ids, dense):
        y, state = elman.scan(cell, x, lengths=lengths)
        loss = sum(leaf.square().sum() for leaf in (y, *leaves(state)))
        gradients.append((y, state, torch.autograd.grad(loss, list(cell.parameters()))))
    close(gradients[0][:2], gradients[1][:2])
    close_gradients(gradients[0][2], gradients[1][2])
    if lengths is None:
        close(cell(ids[0]), cell(dense[0]))
    with pytest.raises(IndexError if cell.gates else RuntimeError):
        elman.scan(cell, torch.full((2, 1), INPUT))


@every_cell
def test_rows_do_not_see_each_other(cls: type[Cell], close: Any) -> None:
    cell, x = build(cls), a_sequence()
    order = torch.tensor([2, 0, 1])
    close(elman.scan(cell, x[:, order])[0], elman.scan(cell, x)[0][:, order])


@every_variant
def test_options_build_the_cell_again(cls: type[Cell], options: dict[str, Any]) -> None:
    cell = build(cls, **options)
    assert options.items() <= cell.options.items()
    again = build(cls, **cell.options)
    assert again.options == cell.options
    again.load_state_dict(cell.state_dict())
    x = a_sequence()
    assert torch.equal(elman.scan(again, x)[0], elman.scan(cell, x)[0])


@every_variant
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda cell: pickle.loads(pickle.dumps(cell))], ids=["copy", "pickle"]
)
def test_copies_compute_the_same(cls: type[Cell], options: dict[str, Any], copied: Any) -> None:
    cell, x = build(cls, **options), a_sequence()
    other = copied(cell)
    y, state = elman.scan(cell, x)
    again, after = elman.scan(other, x)
    assert torch.equal(again, y)
    assert type(after) is type(state)
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    assert torch.equal(elman.scan(cell, x)[0], y), "the copy shares its weights"


@every_cell
def test_a_state_is_pickled(cls: type[Cell]) -> None:
    _, state = elman.scan(build(cls), a_sequence())
    again = pickle.loads(pickle.dumps(state))
    assert type(again) is type(state)
    assert all(torch.equal(a, b) for a, b in zip(leaves(again), leaves(state), strict=True))


@every_cell
def test_a_seed_decides_everything_and_a_step_draws_nothing(cls: type[Cell]) -> None:
    torch.manual_seed(5)
    first = build(cls)
    torch.manual_seed(5)
    second = build(cls)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    x = a_sequence()
    before = torch.get_rng_state()
    assert torch.equal(elman.scan(first, x)[0], elman.scan(second, x)[0])
    assert torch.equal(torch.get_rng_state(), before)


@every_cell
def test_every_state_carries_gradient_through_time(cls: type[Cell]) -> None:
    cell, x = build(cls), a_sequence().requires_grad_()
    y, _ = elman.scan(cell, x)
    y[-1].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().amax((1, 2)) > 0).all()


@every_cell
def test_places_and_dtypes(cls: type[Cell]) -> None:
    assert all(parameter.is_meta for parameter in cls(INPUT, HIDDEN, device="meta").parameters())
    cell = cls(INPUT, HIDDEN, dtype=torch.bfloat16)
    y, state = elman.scan(cell, torch.randn(2, 1, INPUT, dtype=torch.bfloat16))
    assert {leaf.dtype for leaf in (y, *leaves(state))} == {torch.bfloat16}
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = elman.scan(cls(INPUT, HIDDEN), torch.randn(2, 1, INPUT))
    assert y.isfinite().all()


@every_cell
def test_second_derivatives_exist(cls: type[Cell]) -> None:
    cell, x = build(cls), a_sequence(3).requires_grad_()
    y, _ = elman.scan(cell, x)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    first.square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()


@every_cell
def test_it_is_found_and_names_its_paper(cls: type[Cell]) -> None:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__)
    assert find_cell(cls.__name__) is find_cell(spaced) is find_cell(cls.__name__.lower()) is cls
    assert getattr(elman.cells, cls.__name__) is cls
    assert re.search(r"\b(19|20)\d\d\b", cls.__doc__ or ""), "no year of a paper"
