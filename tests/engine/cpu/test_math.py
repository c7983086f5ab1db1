from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from elman.engine.cpu.math import POINTWISE
from elman.engine.cpu.simd import Simd, Value

aten = torch.ops.aten
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 2.5, 0.5, -0.5, 1.5, -1.5, 1e-30, 30.0]

# The arguments of each operator: "x" a tensor of numbers, "m" one of bools, else the value itself.
CASES: list[tuple[Any, list[Any], dict[str, Any]]] = [
    *[(operator, ["x"], {}) for operator in POINTWISE if str(operator._schema).count("Tensor") == 2
      and len(operator._schema.arguments) == 1 and "bitwise" not in str(operator)],
    *[(getattr(aten, name).default, ["m"], {}) for name in ("logical_not", "bitwise_not", "clone", "isnan")],
    *[(operator, ["x", "y"], {}) for operator in (
        aten.add.Tensor, aten.sub.Tensor, aten.rsub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.minimum.default,
        aten.maximum.default, aten.atan2.default, aten.pow.Tensor_Tensor, aten.fmod.Tensor, aten.remainder.Tensor,
        aten.logical_and.default, aten.logical_or.default, aten.logical_xor.default,
    )],
    *[(operator, ["x", 1.5], {}) for operator in (
        aten.add.Scalar, aten.sub.Scalar, aten.rsub.Scalar, aten.mul.Scalar, aten.div.Scalar, aten.fmod.Scalar,
        aten.remainder.Scalar, aten.pow.Tensor_Scalar, aten.leaky_relu.default,
    )],
    *[(getattr(getattr(aten, name), kind), ["x", other], {})
      for name in ("eq", "ne", "lt", "le", "gt", "ge") for kind, other in (("Tensor", "y"), ("Scalar", 0.5))],
    *[(operator, ["m", "n"], {}) for operator in (
        aten.add.Tensor, aten.mul.Tensor, aten.minimum.default, aten.maximum.default, aten.eq.Tensor, aten.ne.Tensor,
        aten.bitwise_and.Tensor, aten.bitwise_or.Tensor, aten.bitwise_xor.Tensor, aten.logical_and.default,
    )],
    *[(getattr(aten, name).Scalar, ["m", True], {}) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")],
    *[(aten.pow.Tensor_Scalar, ["x", exponent], {}) for exponent in (0, 1, 2, 3, 0.5, -0.5, -1, -2, -3, 4, 2.7)],
    (aten.pow.Scalar, [1.7, "x"], {}),
    (aten.add.Tensor, ["x", "y"], {"alpha": -2.5}),
    (aten.sub.Tensor, ["x", "y"], {"alpha": 3}),
    (aten.mul.Tensor, ["x", "m"], {}),
    (aten.rsub.Scalar, ["x", 1], {"alpha": 2}),
    *[(aten.div.Tensor_mode, ["x", "y"], {"rounding_mode": mode}) for mode in (None, "trunc", "floor")],
    *[(aten.div.Scalar_mode, ["x", -0.7], {"rounding_mode": mode}) for mode in ("trunc", "floor")],
    (aten.clamp.default, ["x", -0.5, 1.0], {}),
    (aten.clamp.default, ["x"], {"max": 0.3}),
    (aten.clamp.default, ["x", 2.0, 1.0], {}),
    (aten.clamp.Tensor, ["x", "y"], {}),
    (aten.where.self, ["m", "x", "y"], {}),
    (aten.where.self, ["n", "m", "n"], {}),
    (aten._to_copy.default, ["x"], {"dtype": torch.bool}),
    (aten._to_copy.default, ["x"], {}),
    (aten.full_like.default, ["x", 2.5], {}),
    (aten.full_like.default, ["m", True], {}),
    (aten.full_like.default, ["x", 1], {"dtype": torch.bool}),
    *[(getattr(aten, name).default, [kind], {}) for name in ("zeros_like", "ones_like") for kind in ("x", "m")],
    (aten.fill.Scalar, ["x", -math.inf], {}),
    *[(aten.hardtanh.default, ["x", *bounds], {}) for bounds in ([], [0.0, 6.0])],
    *[(aten.elu.default, ["x", *factors], {}) for factors in ([], [0.7, 1.3, 0.9])],
    *[(aten.softplus.default, ["x", *options], {}) for options in ([], [2.0, 5.0])],
    (aten.gelu.default, ["x"], {"approximate": "tanh"}),
    (aten.sigmoid_backward.default, ["x", "y"], {}),
    (aten.tanh_backward.default, ["x", "y"], {}),
    (aten.threshold_backward.default, ["x", "y", 0.5], {}),
]  # fmt: skip


def operands(dtype: torch.dtype) -> dict[str, Tensor]:
    """Random numbers, followed by every pair of special ones."""
    pairs = torch.cartesian_prod(torch.tensor(SPECIAL, dtype=dtype), torch.tensor(SPECIAL, dtype=dtype))
    x, y = torch.cat([torch.randn(500, 2, dtype=dtype) * 3, pairs]).unbind(1)
    return {"x": x.contiguous(), "y": y.contiguous(), "m": torch.rand(len(x)) < 0.5, "n": torch.rand(len(x)) < 0.5}


def name_of(value: Any) -> str | None:
    return str(value).removeprefix("aten.") if isinstance(value, torch._ops.OpOverload) else None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("operator", "arguments", "options"), CASES, ids=name_of)
def test_equals_pytorch(
    operator: Any, arguments: list[Any], options: dict[str, Any], dtype: torch.dtype, over_arrays: Callable[..., Tensor]
) -> None:
    tensors = operands(dtype)
    named = [name for name in arguments if isinstance(name, str)]

    def emit(simd: Simd, *vectors: Value) -> Value:
        known = dict(zip([*named, "size"], vectors, strict=True))
        return POINTWISE[operator](simd, *(known[a] if isinstance(a, str) else a for a in arguments), **options)

    # The last one tells the type of element where all others are masks.
    actual = over_arrays(emit, *(tensors[name] for name in named), tensors["x"])
    expected = operator(*(tensors[a] if isinstance(a, str) else a for a in arguments), **options)
    if expected.dtype == torch.bool:
        assert actual.dtype == torch.bool
        assert torch.equal(actual, expected)
    else:
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(actual, expected.to(dtype), rtol=8 * eps, atol=4 * eps, equal_nan=True)


def test_every_operator_is_tested() -> None:
    assert set(POINTWISE) - {operator for operator, _, _ in CASES} == set()


def test_every_pointwise_operator_of_core_aten_is_there() -> None:
    core = {
        overload
        for packet in (getattr(aten, name) for name in dir(aten))
        if isinstance(packet, torch._ops.OpOverloadPacket)
        for overload in (getattr(packet, name) for name in packet.overloads())
        if {torch.Tag.core, torch.Tag.pointwise} <= set(overload.tags) and not overload._schema.is_mutable
        if "out" not in overload._overloadname
    }
    assert len(core) > 80
    assert core - set(POINTWISE) == set()


def test_another_type_of_number_is_refused(over_arrays: Callable[..., Tensor]) -> None:
    with pytest.raises(NotImplementedError, match=r"torch\.float64 in a program of torch\.float32"):
        over_arrays(lambda simd, x: POINTWISE[aten._to_copy.default](simd, x, dtype=torch.float64), torch.randn(3))
