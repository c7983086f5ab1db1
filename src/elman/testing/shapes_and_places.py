"""Checks of shapes, dtypes and devices."""

from __future__ import annotations

import itertools

import torch

from ..cell import Cell
from ..engine import scan
from ..errors import UserError
from ..structure import leaves
from .comparing import labels_of
from .subject import DoesNotApply, Subject, Wrong


def _shapes(s: Subject) -> None:
    """The output and every state have the declared shape and the cell's dtype, at every size."""
    for hidden, batch, dtype in itertools.product(s.sizes(), (1, 4), (torch.float32, torch.float64)):
        try:
            cell = s.build(dtype, hidden)
        except UserError:
            if hidden == s.hidden_size:
                raise
            continue
        x, start = s.inputs(cell, 1, batch), s.start(cell, batch)
        y, state, states = scan(cell, x, start, return_states=True, backend="eager")
        where = f"with {hidden} units and a batch of {batch}"
        labels = labels_of("state", cell, "states", start)
        for name, old, new, every in zip(labels, *map(leaves, (start, state, states)), strict=True):
            if new.shape != old.shape:
                raise Wrong(
                    f"{name} has shape {tuple(new.shape)} after a step {where}, but starts as {tuple(old.shape)}; "
                    "state_sizes and what step returns must agree"
                )
            if new.dtype != old.dtype:
                raise Wrong(f"{name} is {new.dtype} after a step, but starts as {old.dtype}")
            if every.shape != (1, *old.shape) or not torch.equal(every[-1], new):
                raise Wrong(f"{name} of the last step and the final {name} differ")
        if y.shape[:2] != (1, batch):
            raise Wrong(f"the output is {tuple(y.shape[1:])} {where}; its first axis is the batch")
        if y.dtype != dtype:
            raise Wrong(f"the output is {y.dtype} where inputs, states and parameters are {dtype}")
        if isinstance(cell, Cell):
            if y.shape[2] != cell.output_size:
                raise Wrong(f"the output has {y.shape[2]} features {where}, but output_size says {cell.output_size}")
            sizes = tuple(leaf.shape[1] for leaf in leaves(start))
            if sizes != cell.state_sizes:
                raise Wrong(f"states start with {sizes} features, state_sizes says {cell.state_sizes}")
            if len(cell.states) > 1 and not state._fields == states._fields == cell.states:
                raise Wrong(f"the state has the fields {state._fields}, the cell's states are {cell.states}")
            if cell.output is None and not torch.equal(y, leaves(states)[0]):
                raise Wrong(f"the output is not {labels[0]}; a cell whose output is no state names it in output")


def _places(s: Subject) -> None:
    """The constructor's device= and dtype= reach every parameter and buffer."""
    if s.is_built or not s.is_cell:
        raise DoesNotApply("only the class of an elman.Cell has these options")
    missing = {"device", "dtype"} - {*s.cell.option_names()}
    if missing:
        raise Wrong(
            f"the constructor has no {' and '.join(sorted(missing))}; "
            "take **options and hand them on: super().__init__(input_size, hidden_size, **options)"
        )
    for option, value in (("device", torch.device("meta")), ("dtype", torch.bfloat16)):
        cell = s.cell(s.input_size, s.hidden_size, **s.options, **{option: value})
        for name, tensor in (*cell.named_parameters(), *cell.named_buffers()):
            if option == "dtype" and not tensor.is_floating_point():
                continue
            if getattr(tensor, option) != value:
                raise Wrong(
                    f"{name} is {getattr(tensor, option)} in a cell made with {option}={value}; "
                    f"make it with {option}=self.weight_hh.{option}, or with what the constructor was given"
                )


CHECKS = (_shapes, _places)
