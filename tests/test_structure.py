"""Nested states: apart, together, compared."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from elman.structure import describe, leaves, map_leaves, rebuild, same_shapes, same_structure, where_rows


class Two(NamedTuple):
    h: Any
    c: Any


def nested(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.tuples(inner, inner).map(lambda pair: Two(*pair))
            | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
        ),
        max_leaves=6,
    )


states = nested(st.builds(torch.zeros, st.integers(1, 3)))


def types(state: Any) -> Any:
    if isinstance(state, dict):
        return dict, {key: types(member) for key, member in state.items()}
    if isinstance(state, tuple | list):
        return type(state), [types(member) for member in state]
    return type(state)


@given(states)
def test_taking_apart_and_rebuilding_is_the_identity(state: Any) -> None:
    flat = leaves(state)
    again = rebuild(state, flat)
    assert types(again) == types(state)
    assert all(a is b for a, b in zip(leaves(again), flat, strict=True))
    assert same_structure(again, state)
    assert same_shapes(again, state)
    assert describe(again) == describe(state)
    numbered = rebuild(state, map(torch.tensor, range(len(flat))))
    assert [leaf.item() for leaf in leaves(numbered)] == list(range(len(flat)))


@given(states, states)
def test_alike_means_alike_in_both_directions(a: Any, b: Any) -> None:
    assert same_structure(a, b) == same_structure(b, a)
    if same_structure(a, b):
        assert len(leaves(a)) == len(leaves(b))
    assert same_shapes(a, b) == (same_structure(a, b) and [x.shape for x in leaves(a)] == [x.shape for x in leaves(b)])


def test_sequences_of_any_kind_are_alike_and_dicts_are_only_like_dicts() -> None:
    t = torch.zeros(2)
    assert same_structure(Two(t, t), [t, t])
    assert same_structure({"a": t}, OrderedDict(a=t))
    for other in ((t,), {"h": t, "c": t}, t, None, (t, None), (t, (t,))):
        assert not same_structure(Two(t, t), other)
    assert not same_structure({"a": t, "b": t}, {"b": t, "a": t})


def test_kinds_are_kept() -> None:
    t = torch.ones(1)
    state = OrderedDict(x=Two(t, [t]), y=None)
    doubled = map_leaves(lambda leaf: 2 * leaf, state)
    assert isinstance(doubled, OrderedDict)
    assert isinstance(doubled["x"], Two)
    assert isinstance(doubled["x"].c, list)
    assert doubled["x"].c[0].item() == 2
    assert doubled["y"] is None


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 2, 3)])
def test_rows_are_chosen_row_by_row(shape: tuple[int, ...]) -> None:
    rows = torch.tensor([True, False, False, True])
    a, b = torch.randn(shape), torch.randn(shape)
    chosen = where_rows(rows, (a, {"k": b}), [b, {"k": a}])
    assert isinstance(chosen, list)
    for k in range(4):
        assert torch.equal(chosen[0][k], (a if rows[k] else b)[k])
        assert torch.equal(chosen[1]["k"][k], (b if rows[k] else a)[k])


def test_no_gradient_reaches_the_rows_not_chosen_even_from_nan() -> None:
    a, b = (torch.tensor([torch.nan, 1.0], requires_grad=True) for _ in range(2))
    chosen: Tensor = where_rows(torch.tensor([False, True]), a, torch.zeros(2))
    chosen.sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [0.0, 1.0]
    assert chosen.tolist() == [0.0, 1.0]
    assert b.grad is None


def test_words_for_a_state() -> None:
    assert describe([torch.zeros(2), (torch.zeros(1, 3),), None, 5]) == "[(2,), ((1, 3),), None, int]"
