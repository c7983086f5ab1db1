"""States as nested tuples, lists, named tuples and dicts of tensors: take apart, put together, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor

State = Any
"""A tensor, or any nesting of tuples, lists, named tuples and dicts of tensors; ``None`` stands for "no state"."""


def leaves(state: State) -> list[Tensor]:
    """The tensors of a state, in order; dicts by insertion order, ``None`` has none.

    >>> import torch
    >>> [t.shape[0] for t in leaves((torch.zeros(1), [torch.zeros(2), None]))]
    [1, 2]
    """
    if isinstance(state, Tensor):
        return [state]
    if state is None:
        return []
    members = state.values() if isinstance(state, dict) else state
    return [leaf for member in members for leaf in leaves(member)]


def rebuild(like: State, tensors: Iterable[Tensor]) -> State:
    """A state with the structure of ``like`` and the given tensors as its leaves.

    >>> rebuild((1, (2, 3)), "abc") == ("a", ("b", "c"))
    True
    """
    return _rebuild(like, iter(tensors))


def _rebuild(like: State, tensors: Iterator[Tensor]) -> State:
    if like is None:
        return None
    if isinstance(like, dict):
        return type(like)((key, _rebuild(member, tensors)) for key, member in like.items())
    if isinstance(like, tuple) and hasattr(like, "_fields"):
        return type(like)(*(_rebuild(member, tensors) for member in like))
    if isinstance(like, tuple | list):
        return type(like)(_rebuild(member, tensors) for member in like)
    return next(tensors)


def map_leaves(fn: Callable[[Tensor], Tensor], state: State) -> State:
    """``fn`` applied to every tensor of a state, keeping its structure.

    >>> import torch
    >>> map_leaves(lambda t: t + 1, {"h": torch.zeros(2)})
    {'h': tensor([1., 1.])}
    """
    return rebuild(state, [fn(leaf) for leaf in leaves(state)])


def same_structure(a: State, b: State) -> bool:
    """Whether two states nest alike; a tuple, a list and a named tuple of equal length count as the same.

    >>> import torch
    >>> t = torch.zeros(1)
    >>> same_structure((t, t), [t, t]), same_structure(t, (t,))
    (True, False)
    """
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor)
    if isinstance(a, dict) or isinstance(b, dict):
        return (
            isinstance(a, dict)
            and isinstance(b, dict)
            and list(a) == list(b)
            and all(same_structure(a[k], b[k]) for k in a)
        )
    if not isinstance(a, tuple | list) or not isinstance(b, tuple | list):
        return a is None and b is None
    return len(a) == len(b) and all(map(same_structure, a, b))


def describe(state: State) -> str:
    """A state's structure in words, tensors as their shapes.

    >>> import torch
    >>> describe((torch.zeros(2, 3), {"c": torch.zeros(4)}))
    "((2, 3), {'c': (4,)})"
    """
    if isinstance(state, Tensor):
        return str(tuple(state.shape))
    if isinstance(state, dict):
        return "{" + ", ".join(f"{key!r}: {describe(member)}" for key, member in state.items()) + "}"
    if isinstance(state, tuple | list):
        members = ", ".join(map(describe, state))
        comma = "," if len(state) == 1 else ""
        return f"[{members}]" if isinstance(state, list) else f"({members}{comma})"
    return "None" if state is None else type(state).__name__
