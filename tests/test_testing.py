"""check_cell: sound cells of any origin pass, each kind of broken one fails by the check that is made for it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn, tanh

from elman.cell import Cell, Gated
from elman.errors import UserError
from elman.testing import check_cell, names

COMPILING = ("second-derivatives", "compiled", "compiled-inference", "compiled-float32", "bfloat16")
QUICK = [name for name in names() if name not in (*COMPILING, "pieces", "no-steps", "layout")]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Plain(Cell, register=False):
    gates = ("n",)

    def step(self, x: Gated, h: Tensor) -> Any:
        return tanh(x.n + self.recur.n(h))


class Third(nn.Module):
    """Somebody else's step: its own start, its own nesting, several inputs."""

    def __init__(self, features: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.read = nn.Linear(features, units)
        self.recall = nn.Linear(units, units)

    def initial_state(self, batch_size: int) -> dict[str, Any]:
        zeros = self.read.weight.new_zeros(batch_size, self.units)
        return {"fast": zeros, "slow": [zeros]}

    def forward(self, x: tuple[Tensor, Tensor], state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        value, pace = x
        fast = tanh(self.read(value) + self.recall(state["slow"][0]))
        slow = state["slow"][0] + pace.sigmoid() * (fast - state["slow"][0])
        return fast + slow, {"fast": fast, "slow": [slow]}


# Sound cells


def test_a_cell_of_elman_passes_all_and_tells_so() -> None:
    report = check_cell(Plain, compiled=True)
    assert [check.name for check in report.checks] == list(names())
    assert report.failures == () and all(0 <= check.seconds < 60 for check in report.checks)
    report.raise_if_failed()
    lines = str(report).splitlines()
    assert lines[0] == f"Plain: {len(names())} of {len(names())} checks passed"
    assert re.fullmatch(r"ok +rows +Rows of a batch do not see each other, .*", lines[1 + names().index("rows")])


@pytest.mark.parametrize("cell", [torch.nn.LSTMCell, torch.nn.GRUCell(3, 5), lambda i, h: torch.nn.RNNCell(i, h)])
def test_pytorchs_cells_pass(cell: Any) -> None:
    report = check_cell(cell, only=[*QUICK, "pieces", "no-steps", "layout"])
    waived = {check.name: check.message for check in report.checks if check.message}
    assert waived == {
        "places": "does not apply: only the class of an elman.Cell has these options",
        "ids": "does not apply: only an elman.Cell that takes x (T, B, I) takes ids",
        "options": "does not apply: only an elman.Cell tells its options",
    }


def test_somebody_elses_step_with_several_inputs_passes() -> None:
    def inputs(time: int, batch: int) -> tuple[Tensor, Tensor]:
        return torch.randn(time, batch, 3), torch.randn(time, batch, 1)

    module = Third(3, 4)
    weights = [each.clone() for each in module.parameters()]
    check_cell(module, inputs=inputs, only=[*QUICK, "compiled-inference"], compiled=True)
    assert all(map(torch.equal, module.parameters(), weights)) and module.read.weight.dtype == torch.float32


def test_a_state_of_ones_own_and_options_are_handed_over() -> None:
    class Summing(nn.Module):
        def __init__(self, features: int, units: int, *, share: float) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((features,), share))

        def forward(self, x: Tensor, total: Tensor) -> Tensor:
            return 0.5 * total + self.weight * x

    asked = []

    def state(batch: int) -> Tensor:
        asked.append(batch)
        return torch.ones(batch, 3)

    report = check_cell(Summing, state=state, options={"share": 0.3}, only=("gradients", "padding", "resets", "copies"))
    assert set(asked) >= {2, 3, 4}
    assert report.checks[-1].message.startswith("pickling was left out: no module has the class by its name")
    with pytest.raises(AssertionError, match=r"build: UserError: Summing has no start state; pass state="):
        check_cell(Summing, options={"share": 0.3})


def test_a_cell_makes_up_its_own_inputs() -> None:
    class Timed(Cell, register=False):
        gates, inputs = ("n",), ("x", "t")
        seen: list[tuple[int, ...]] = []

        def example_inputs(self, time: int, batch_size: int) -> tuple[Tensor, Tensor]:
            return torch.randn(time, batch_size, self.input_size), torch.rand(time, batch_size, 2).cumsum(0)

        def step(self, x: Gated, t: Tensor, h: Tensor) -> Tensor:
            assert t.shape[-1] == 2
            return tanh(x.n + self.recur.n(h)) * t.sum(-1, keepdim=True).sin()

    check_cell(Timed, only=QUICK)

    class Untold(Timed, register=False):
        example_inputs = Cell.example_inputs  # type: ignore[assignment]

        def step(self, x: Gated, t: Tensor, h: Tensor) -> Tensor:
            return tanh(x.n + self.recur.n(h)) * t.view(-1, 2)

    with pytest.raises(
        AssertionError, match=r"build: RuntimeError: .*; the inputs beside x were normal numbers \(B, 1\)"
    ):
        check_cell(Untold)


# Broken ones


class Noisy(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h)) + 0.01 * torch.randn_like(h)


class Crowd(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h)) + h.mean(0)


class Counted(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h)) / len(h)


class Cut(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h.detach()))


class Straight(torch.autograd.Function):
    """The identity, with a derivative of 2."""

    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        return h.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * gradient


class Misled(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(Straight.apply(h)))


class InPlace(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h.mul_(0.5)))


class Remembering(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        self.last = tanh(x.n + self.recur.n(h))
        return self.last


class Ageing(Plain, register=False):
    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.steps: list[int] = []

    def step(self, x: Gated, h: Tensor) -> Tensor:
        self.steps.append(0)
        return tanh(x.n + self.recur.n(h)) / len(self.steps)


class Unstored(Plain, register=False):
    def __init__(self, input_size: int, hidden_size: int, *, rate: float = 0.5, **options: Any) -> None:
        super().__init__(input_size, hidden_size, **options)
        self.keep = 1 - rate


class Restored(Unstored, register=False):
    """Built again with the rate it tells, it would have another one."""

    @property
    def rate(self) -> float:
        return 0.5 * self.keep


class Stray(Plain, register=False):
    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.enter = nn.Linear(sizes[0], sizes[1])

    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(self.enter(x.raw) + self.recur.n(h))


class Unpicklable(Plain, register=False):
    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.function = lambda v: v.tanh()


class OneTooFew(Plain, register=False):
    states = ("h", "c")

    def step(self, x: Gated, h: Tensor, c: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h) + c)


class Growing(Plain, register=False):
    states = ("h", "c")

    def step(self, x: Gated, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        h = tanh(x.n + self.recur.n(h))
        return h, torch.cat([h, h], -1)


class Narrow(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + self.recur.n(h)).float()


class Memoryless(Plain, register=False):
    def step(self, x: Gated, h: Tensor) -> Tensor:
        return tanh(x.n + 0 * h)


class Unfolded(Plain, register=False):
    """Ids go another way than the vectors they stand for."""

    def project(self, x: Tensor, one_hot: bool) -> Tensor:
        return super().project(x, one_hot) + (0.1 if one_hot else 0)


class Hurried(Plain, register=False):
    """Called on its own it does something else than in a scan."""

    def advance(self, x: Gated, extras: Any, state: Any) -> Any:
        y, h = super().advance(x, extras, state)
        return (y, h) if "recur" in vars(self) else (2 * y, h)


SCANS = "gradients ids padding resets reverse rows step"
# The cell, the check made for its fault, all others that the fault is bound to fail too, and what is said.
BROKEN = [
    (
        Noisy,
        "randomness",
        f"copies options {SCANS}",
        "a step draws random numbers; draw masks and noise before the loop",
    ),
    (
        Crowd,
        "rows",
        "padding resets",
        r"row 0 changes by 0\.\d+ when the other rows change; a step must not mix the rows",
    ),
    (
        Counted,
        "rows",
        "padding resets",
        "row 0 alone and in a batch of 3 give other outputs: it depends on the batch size",
    ),
    (Cut, "gradients", "memory", r"the gradient with respect to \w+ \w+ is \S+ along a random direction, finite diff"),
    (
        Cut,
        "memory",
        "gradients",
        "no gradient goes from the output of step 6 to the input of steps 0, 1, 2, 3, 4, 5; is ",
    ),
    (
        Misled,
        "gradients",
        "",
        "the gradient with respect to input x is .*, finite differences give .*; is something det",
    ),
    (InPlace, "purity", f"memory {SCANS}", "a step changes state h in place; make a new tensor: h = 0.5"),
    (
        Remembering,
        "purity",
        "",
        "a step sets the attribute last of its module; what one step tells the next belongs in a",
    ),
    (Ageing, "randomness", f"copies {SCANS}", "two scans of the same input give other results: they differ by"),
    (
        Unstored,
        "options",
        "",
        "the option 'rate' is not stored; write self.rate = rate in __init__, or checkpoints cannot",
    ),
    (Restored, "options", "", r"built again with \{'rate': 0\.25.*\}, the cell tells \{'rate': 0\.375"),
    (Stray, "places", "", r"enter\.weight is cpu in a cell made with device=meta; make it with device=self\.weight_hh"),
    (Unpicklable, "copies", "", "(AttributeError|PicklingError): Can't .*pickle.*lambda"),
    (OneTooFew, "build", "", r"UserError: OneTooFew\.step returned 1 tensors; expected h, c"),
    (
        Growing,
        "shapes",
        f"purity {SCANS}",
        r"state c has shape \(1, 8\) after a step with 4 units and a batch of 1, but st",
    ),
    (Narrow, "shapes", None, r"state h is torch\.float32 after a step, but starts as torch\.float64"),
    (
        Memoryless,
        "memory",
        "",
        "no gradient goes from the output of step 6 to the input of steps 0, 1, 2, 3, 4, 5; is ",
    ),
    (Unfolded, "ids", "", r"ids and their one-hot vectors give other results: they differ by 0\.\d+"),
    (Hurried, "step", "", "calling the cell and a scan of one step give other outputs: they differ by"),
]


@pytest.mark.parametrize(
    ("cls", "check", "others", "message"), BROKEN, ids=[f"{c.__name__}-{n}" for c, n, *_ in BROKEN]
)
def test_a_broken_cell_fails_by_the_check_made_for_it(
    cls: type[Cell], check: str, others: str | None, message: str
) -> None:
    with pytest.raises(AssertionError, match=rf"^{cls.__name__} fails \d+ of \d+ checks\n") as error:
        check_cell(cls, only=QUICK)
    told = dict(line.strip().split(": ", 1) for line in str(error.value).splitlines()[1:])
    assert re.match(message, told.pop(check))
    assert others is None or sorted(told) == sorted(others.split())


@pytest.mark.parametrize(
    ("is_reckless", "message"),
    [
        (lambda h: h.stride(-1) == 2, "numbers that lie apart in memory give other results: they differ by"),
        (lambda h: h.stride(0) == 0, "a state expanded from one row gives other results: they differ by"),
    ],
)
def test_a_step_that_reckons_with_the_memory_fails_by_its_layout(is_reckless: Any, message: str) -> None:
    class Reckoning(Plain, register=False):
        def step(self, x: Gated, h: Tensor) -> Tensor:
            h = h.as_strided(h.shape, (1, 1)) if is_reckless(h) else h
            return tanh(x.n + self.recur.n(h))

    (failure,) = check_cell(Reckoning, only=("layout", "rows"), raises=False).failures
    assert failure.name == "layout" and failure.message.startswith(message)


def test_hidden_time_fails_by_pieces() -> None:
    class Ageing(nn.Module):
        def __init__(self, *sizes: int) -> None:
            super().__init__()
            self.cell, self.ages = nn.RNNCell(*sizes), {"now": 0}

        def forward(self, x: Tensor, h: Tensor) -> Tensor:
            self.ages["now"] += 1
            return self.cell(x, h) * (self.ages["now"] % 5)

    def zeros(batch: int) -> Tensor:
        return torch.zeros(batch, 4)

    (failure,) = check_cell(Ageing, state=zeros, only=("pieces", "no-steps"), raises=False).failures
    assert failure.message.startswith("a sequence in pieces and the whole one give other outputs: they differ by")


# Compiled against eager


def run_with(monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., None]) -> None:
    """Lets ``spoil(stacks, outputs, backward)`` at the buffers once the kernel has run."""
    module: Any = sys.modules["elman.engine.scan"]
    kernel = module.run_on_cpu

    def spoiled(plan: Any, time: int, whole: Any, stepped: Any, stacks: Any, outputs: Any, **options: Any) -> None:
        kernel(plan, time, whole, stepped, stacks, outputs, **options)
        spoil(stacks, outputs, options.get("backward", False))

    monkeypatch.setattr(module, "run_on_cpu", spoiled)


def test_a_kernel_that_leaves_a_number_unwritten_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(stacks: list[Tensor], outputs: list[Tensor], backward: bool) -> None:
        if not backward:
            stacks[0][-1, -1, -1] = torch.empty(1, dtype=stacks[0].dtype)[0]

    run_with(monkeypatch, leave)
    for check in ("compiled", "compiled-inference"):
        (failure,) = check_cell(Plain, only=(check,), raises=False).failures
        assert re.match("compiled and eager loop give other results.*: they differ by nan", failure.message)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_wrong_gradient_of_the_kernel_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(stacks: list[Tensor], outputs: list[Tensor], backward: bool) -> None:
        if backward:
            for each in outputs:
                each[0, 0] *= 1.001

    run_with(monkeypatch, spoil)
    (failure,) = check_cell(Plain, only=("compiled",), raises=False).failures
    assert re.match(
        r"compiled and eager loop give other gradients for input x: they are \S+ apart, the eager one has norm \d",
        failure.message,
    )


def test_why_a_cell_is_not_compiled_is_told_and_a_failure_where_asked_for() -> None:
    class Sorted(Plain, register=False):
        def step(self, x: Gated, h: Tensor) -> Tensor:
            return tanh(x.n + self.recur.n(h.sort(-1)[0]))

    line = Sorted.step.__code__.co_firstlineno + 1
    report = check_cell(Sorted, only=COMPILING)
    reason = rf"the step uses aten\.sort\.default, .*test_testing\.py:{line}"
    told = {check.name: check.message for check in report.checks if check.message}
    assert sorted(told) == ["compiled", "compiled-float32", "compiled-inference"]
    assert all(re.match(f"not compiled, it runs step by step in PyTorch: {reason}", each) for each in told.values())
    with pytest.raises(AssertionError, match=f"compiled: it is not compiled: {reason}"):
        check_cell(Sorted, only=("compiled",), compiled=True)


def test_a_derivative_of_a_wrong_derivative_fails() -> None:
    (failure,) = check_cell(Misled, only=("second-derivatives",), raises=False).failures
    assert re.match(r"the second derivative is \S+ along a random direction, finite differences give", failure.message)


@pytest.mark.slow
def test_what_keeps_nothing_learns_nothing() -> None:
    (failure,) = check_cell(Memoryless, only=("learning",), raises=False).failures
    assert re.match(r"after 300 steps of training the loss is 1\.\d+; guessing gives 1\.39", failure.message)
    (passed,) = check_cell(Plain, only=("learning",)).checks
    assert re.match(r"the loss falls to 0\.\d+; guessing gives 1\.39", passed.message)


# Asking


def test_checks_are_chosen_by_name() -> None:
    report = check_cell("gru", only=("rows", "shapes"), skip=("shapes",))
    assert [check.name for check in report.checks] == ["rows"]
    assert report.cell == "gru"
    assert set(names(slow=True)) - set(names()) == {"sizes", "learning"}
    with pytest.raises(UserError, match="no check 'padings'; did you mean 'padding'"):
        check_cell("gru", only=("padings",))
    with pytest.raises(UserError, match="unknown cell 'lstn'; did you mean 'lstm'"):
        check_cell("lstn")
    with pytest.raises(UserError, match="check_cell got a int; give a class"):
        check_cell(3)
    with pytest.raises(AssertionError, match=r"build: UserError: <lambda> made a int; a cell is a torch\.nn\.Module"):
        check_cell(lambda inputs, units: 3)


def test_nothing_is_left_behind() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    check_cell(Noisy, only=("randomness", "rows"), raises=False)
    check_cell(Plain, only=("compiled-inference",))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled() and torch.is_grad_enabled()


def test_sizes_that_a_cell_refuses_are_passed_over() -> None:
    class Even(Plain, register=False):
        def __init__(self, input_size: int, hidden_size: int, **options: Any) -> None:
            if hidden_size % 2:
                raise UserError(f"{hidden_size} units do not make pairs")
            super().__init__(input_size, hidden_size, **options)

    check_cell(Even, only=("shapes", "bfloat16"))
    with pytest.raises(AssertionError, match="build: UserError: 5 units do not make pairs"):
        check_cell(Even, hidden_size=5)
