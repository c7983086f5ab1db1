"""What kinds of operators there are, as the passes see them."""

from __future__ import annotations

import torch

from .trace import ROWS, Value

aten = torch.ops.aten

# Read, not computed: columns of another value, or columns side by side.
COLUMNS = {aten.slice.Tensor, aten.cat.default, aten.slice_scatter.default}
# Alike but for how it is written.
SAME = {aten.view.default, aten._unsafe_view.default, aten.expand.default, aten.clone.default, aten.alias.default}
FILLS = {aten.full.default, aten.scalar_tensor.default, aten.full_like.default, aten.zeros_like.default}
PRODUCTS = {aten.mm.default, aten.addmm.default}


def is_pointwise(value: Value) -> bool:
    """Whether every element of the result depends on one element (after broadcasting) of each input of the same row.

    Columns, fills and renamings count, as they cost nothing where they are read.
    """
    if value.op in SAME:
        source = value.args[0]
        return value.by_row == source.by_row and width(value) == width(source)
    if value.op in COLUMNS:
        return value.by_row and len(value.shape) == 2 and _axis(value) == 1 and _unit_step(value)
    return value.op in FILLS or torch.Tag.pointwise in getattr(value.op, "tags", ())


def width(value: Value) -> int:
    """The number of columns: the last axis, 1 for a scalar; -1 for more than two axes that count."""
    sizes = [size for size in value.shape if size is not ROWS and size != 1]
    return sizes[0] if len(sizes) == 1 else 1 if not sizes else -1


def _axis(value: Value) -> int:
    place = {aten.cat.default: 1, aten.slice.Tensor: 1, aten.slice_scatter.default: 2}[value.op]
    axis: int = value.args[place] if len(value.args) > place else 0
    return axis % len(value.shape)


def _unit_step(value: Value) -> bool:
    place = {aten.cat.default: 99, aten.slice.Tensor: 4, aten.slice_scatter.default: 5}[value.op]
    return len(value.args) <= place or value.args[place] == 1


def operand(product: Value) -> Value:
    """The left factor of a product, the one with rows."""
    left: Value = product.args[1 if product.op is aten.addmm.default else 0]
    return left


def weight(product: Value) -> Value:
    """The right factor of a product, (K, N), the same at every step."""
    right: Value = product.args[2 if product.op is aten.addmm.default else 1]
    return right
