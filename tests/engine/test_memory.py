"""What a compiled scan leaves behind."""

from __future__ import annotations

import gc

import torch

import elman


def test_a_training_step_leaves_no_reference_cycles() -> None:
    """Tensors in a cycle stay until Python's collector comes by: a step's memory would pile up meanwhile."""
    cell = elman.cells.GRU(3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)

    def step() -> None:
        y, _ = elman.scan(cell, x, backend="cpu")
        y.sum().backward()

    step()
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        step()
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
