"""What kinds of operators there are, as the passes see them."""

from __future__ import annotations

import torch

from .trace import ROWS, Value

aten = torch.ops.aten

# Read, not computed: columns of another value, or columns side by side.
COLUMNS = {aten.slice.Tensor, aten.cat.default, aten.slice_scatter.default}
# Alike but for how it is written.
SAME = {
    aten.view.default,
    aten._unsafe_view.default,
    aten.expand.default,
    aten.clone.default,
    aten.alias.default,
    aten.detach.default,
    aten.unsqueeze.default,
    aten.squeeze.dims,
}
FILLS = {aten.full.default, aten.scalar_tensor.default, aten.full_like.default, aten.zeros_like.default}
PRODUCTS = {aten.mm.default}
# One number out of a row.
REDUCTIONS = {aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default}

# With rows first in arguments and result these do each row by itself, ...
_BY_ROW = {*SAME, *REDUCTIONS, *PRODUCTS, aten.bmm.default, aten.convolution.default, aten.embedding.default}
_BY_ROW |= {aten.cat.default, aten.constant_pad_nd.default, aten.select.int, aten.squeeze.dim, aten.prod.dim_int}
# ... and these do where their second argument, an axis or several, is not that of the rows.
_ALONG_AXIS = {
    aten.slice.Tensor,
    aten.cumsum.default,
    aten.index_select.default,
    aten.gather.default,
    aten.flip.default,
}


def is_pointwise(value: Value) -> bool:
    """Whether every element of the result depends on one element (after broadcasting) of each input of the same row.

    Columns, fills and renamings count, as they cost nothing where they are read.
    """
    if value.op in SAME:
        source = value.args[0]
        return value.by_row == source.by_row and width(source) in (1, width(value))
    if value.op in COLUMNS:
        return value.by_row and len(value.shape) == 2 and _axis(value) == 1 and _unit_step(value)
    if value.op is aten._to_copy.default:
        return True
    return value.op in FILLS or torch.Tag.pointwise in getattr(value.op, "tags", ())


def is_reduction(value: Value) -> bool:
    """Whether each row of the result is one number made of all columns of a row of the only input."""
    if value.op not in REDUCTIONS or len(value.args) < 2:
        return False
    source = value.args[0]
    return value.by_row and len(source.shape) == 2 and [axis % 2 for axis in value.args[1]] == [1]


def keeps_rows(value: Value) -> bool:
    """Whether a row of the result depends on the same row of the inputs only, so that any rows may be done together."""
    sources = [source for source in value.inputs if ROWS in source.shape]
    if not sources and ROWS not in value.shape:
        return True
    if not all(each.by_row and each.shape.count(ROWS) == 1 for each in (value, *sources)):
        return False
    if not sources:
        return value.op in FILLS or value.op is aten.expand.default
    if torch.Tag.pointwise in value.op.tags or value.op in FILLS:
        return all(len(source.shape) == len(value.shape) for source in sources)
    if value.op is aten.permute.default:
        return value.args[1][0] % len(value.shape) == 0
    if value.op in PRODUCTS:
        return operand(value).by_row and not weight(value).by_row
    if value.op in _ALONG_AXIS:
        axes = value.args[1] if len(value.args) > 1 else 0
        axes = axes if isinstance(axes, tuple) else (axes,)
        return all(axis % len(value.args[0].shape) for axis in axes)
    return value.op in _BY_ROW or is_pointwise(value)


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
    """The left factor of a product, the one with rows, or what a reduction reduces."""
    left: Value = product.args[0]
    return left


def weight(product: Value) -> Value:
    """The right factor of a product, (K, N), the same at every step."""
    right: Value = product.args[1]
    return right
