from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from torch import Tensor

from elman.engine.cpu import elementary
from elman.engine.cpu.elementary import _CONSTANTS

# Units in the last place that float32 may be off, and the span where something happens.
FUNCTIONS: dict[str, tuple[float, tuple[float, float]]] = {
    "acosh": (3, (1, 20)),
    "asinh": (3, (-20, 20)),
    "atanh": (3, (-1, 1)),
    "cos": (2, (-1000, 1000)),
    "cosh": (4, (-92, 92)),
    "erf": (3, (-5, 5)),
    "exp": (2, (-110, 95)),
    "exp2": (2, (-155, 130)),
    "expm1": (3, (-20, 95)),
    "log": (2, (0, 5)),
    "log10": (3, (0, 5)),
    "log1p": (2, (-1, 5)),
    "log2": (3, (0, 5)),
    "sigmoid": (4, (-106, 20)),
    "sin": (2, (-1000, 1000)),
    "sinh": (4, (-92, 92)),
    "tan": (4, (-1000, 1000)),
    "tanh": (4, (-12, 12)),
}
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 1e-45, -1e-45, 5e-324, 1e38, -1e38, 1e300, -1e300]
ULPS_FLOAT64 = 4.0  # below 1e-15 of the value
TARGETS = pytest.mark.parametrize("target", ["", "avx2", "baseline"])


def points(name: str, dtype: torch.dtype, count: int) -> Tensor:
    """The span evenly, around 0, and every magnitude of either sign."""
    span = torch.linspace(*FUNCTIONS[name][1], count, dtype=dtype)
    near = torch.randn(count, dtype=dtype)
    low, high = (-149, 128) if dtype == torch.float32 else (-1074, 1024)
    powers = torch.linspace(low, high - 1e-3, count, dtype=torch.float64).exp2().to(dtype)
    return torch.cat([span, near, powers, -powers])


def errors(actual: Tensor, exact: Tensor) -> Tensor:
    """Distance in units in the last place of the exact value; 0 where both are NaN or the same infinity."""
    rounded = exact.to(actual.dtype)
    spacing = torch.nextafter(rounded.abs(), torch.tensor(math.inf, dtype=actual.dtype)) - rounded.abs()
    distance = (actual.double() - exact.double()).abs() / spacing.double()
    same = (actual == rounded) | (actual.isnan() & rounded.isnan())
    return torch.where(same, 0.0, distance.nan_to_num(nan=math.inf))


def with_many_digits(name: str, x: Tensor) -> Tensor:
    """The function by mpmath with 40 digits and more, rounded to float64."""

    def logistic(v: Any) -> Any:
        return 1 / (1 + mpmath.exp(-v))

    functions: dict[str, Callable[[Any], Any]] = {
        "exp2": lambda v: mpmath.power(2, v),
        "log2": lambda v: mpmath.log(v, 2),
        "sigmoid": logistic,
    }
    function = functions.get(name) or getattr(mpmath, name)

    def value(v: float) -> float:
        try:
            result = function(mpmath.mpf(v))
        except (ValueError, ZeroDivisionError):
            return math.nan
        return math.nan if isinstance(result, mpmath.mpc) else float(result)

    with mpmath.workdps(60):
        return torch.tensor([value(v) for v in x.tolist()], dtype=torch.float64)


@TARGETS
@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_within_a_few_units_in_the_last_place(
    name: str, target: str, over_arrays: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELMAN_CPU", target)
    x = points(name, torch.float32, 5000)
    error = errors(over_arrays(getattr(elementary, name), x), getattr(torch, name)(x.double()))
    worst = int(error.argmax())
    assert error[worst] <= FUNCTIONS[name][0], f"{error[worst]:.2f} ulp at {x[worst].item()!r}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_within_1e_15(name: str, over_arrays: Callable[..., Tensor]) -> None:
    x = points(name, torch.float64, 250)
    x = x[x.abs() < 1e6]  # mpmath is slow beyond
    expected = with_many_digits(name, x)
    x, expected = x[~expected.isnan()], expected[~expected.isnan()]
    error = errors(over_arrays(getattr(elementary, name), x), expected)
    worst = int(error.argmax())
    assert error[worst] <= ULPS_FLOAT64, f"{error[worst]:.2f} ulp at {x[worst].item()!r}"


@TARGETS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values_are_those_of_pytorch(
    name: str, dtype: torch.dtype, target: str, over_arrays: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELMAN_CPU", target)
    x = torch.tensor(SPECIAL, dtype=dtype)
    torch.testing.assert_close(
        over_arrays(getattr(elementary, name), x),
        getattr(torch, name)(x),
        rtol=4 * torch.finfo(dtype).eps,
        atol=2e-45,  # PyTorch takes the smallest denormals for 0 in places
        equal_nan=True,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_of_the_hot_functions(dtype: torch.dtype, over_arrays: Callable[..., Tensor]) -> None:
    x = torch.tensor([-math.inf, -2000.0, -200.0, 200.0, 2000.0, math.inf], dtype=dtype)
    assert over_arrays(elementary.tanh, x).tolist() == [-1, -1, -1, 1, 1, 1]
    sigmoid = over_arrays(elementary.sigmoid, x)
    assert sigmoid[[0, 1, 3, 4, 5]].tolist() == [0, 0, 1, 1, 1]
    exp = over_arrays(elementary.exp, x)
    assert exp[[0, 1, 4, 5]].tolist() == [0, 0, math.inf, math.inf]
    if dtype == torch.float32:
        assert sigmoid[2] == 0 and exp[2] == 0


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_huge_angles(name: str, over_arrays: Callable[..., Tensor]) -> None:
    x = torch.tensor([1e7, -1e15, 1e22, 3.0], dtype=torch.float64)
    torch.testing.assert_close(over_arrays(getattr(elementary, name), x), getattr(torch, name)(x), rtol=2e-15, atol=0)


@pytest.mark.parametrize("lanes", [1, 2, 4, 32])
def test_any_number_of_lanes(lanes: int, over_arrays: Callable[..., Tensor]) -> None:
    x = torch.randn(67)
    torch.testing.assert_close(over_arrays(elementary.tanh, x, lanes=lanes), torch.tanh(x), rtol=1e-6, atol=0)


FITTED: dict[str, tuple[Callable[[Any], Any], Callable[[], list[Any]]]] = {
    "exp": (lambda r: (mpmath.exp(r) - 1 - r) / r**2, lambda: [-mpmath.ln2 / 2, mpmath.ln2 / 2]),
    "log": (
        lambda z: (2 * mpmath.atanh(mpmath.sqrt(z)) / mpmath.sqrt(z) - 2) / z,
        lambda: [mpmath.mpf("1e-30"), (3 - mpmath.sqrt(8)) ** 2],
    ),
    "sin": (
        lambda z: (mpmath.sin(mpmath.sqrt(z)) / mpmath.sqrt(z) - 1) / z,
        lambda: [mpmath.mpf("1e-30"), (mpmath.pi / 4) ** 2],
    ),
    "cos": (
        lambda z: (mpmath.cos(mpmath.sqrt(z)) - 1 + z / 2) / z**2,
        lambda: [mpmath.mpf("1e-20"), (mpmath.pi / 4) ** 2],
    ),
    "erf": (lambda z: mpmath.erf(mpmath.sqrt(z)) / mpmath.sqrt(z), lambda: [mpmath.mpf("1e-30"), 1]),
    "erfc": (lambda t: mpmath.erfc(1 / t - 2) * mpmath.exp((1 / t - 2) ** 2), list),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", FITTED)
def test_the_coefficients_come_from_the_function_named(name: str, dtype: torch.dtype) -> None:
    own = _CONSTANTS[dtype]
    coefficients = getattr(own, name)
    function, span = FITTED[name]
    with mpmath.workdps(60):
        low, high = span() or [1 / (mpmath.mpf(own.erf_is_one) + 2), mpmath.mpf(1) / 3]
        for k in range(20):
            # Off the ends, where rounding of the fit's own span plays in.
            x = low + (high - low) * (k + mpmath.mpf("0.37")) / 20
            exact = function(x)
            assert abs(mpmath.polyval(coefficients, x) - exact) <= 6 * torch.finfo(dtype).eps * abs(exact)
