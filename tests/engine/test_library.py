"""The operators, and scans under ``torch.compile``, checkpointing, DDP and copies, against the eager loop."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import elman
from elman import Cell
from elman.cells import GRU, LSTM, RNN, SCRN, CoupledLSTM, GRUResetBefore, PeepholeLSTM
from elman.engine import library
from elman.engine.prepare import prepare
from elman.engine.steps import default_state
from elman.errors import UserError
from elman.structure import leaves

if not torch.__version__ >= "2.13":
    pytest.skip("scans are left out of the graphs of older versions", allow_module_level=True)

F64 = torch.float64
LENGTHS = torch.tensor([5, 0, 3])
RESETS = torch.zeros(5, 3, dtype=torch.bool).index_put((torch.tensor([2, 4]), torch.tensor([0, 2])), torch.tensor(True))


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_behind() -> Iterator[None]:
    yield
    for _ in range(3):  # graphs are cycles, and some of what they hold is let go only when they are gone
        gc.collect()


class Scan(nn.Module):
    """A cell run by ``scan`` with fixed options."""

    def __init__(self, cell: nn.Module, **options: Any) -> None:
        super().__init__()
        self.cell = cell
        self.options = options

    def forward(self, x: Any, state: Any = None) -> Any:
        return elman.scan(self.cell, x, state, **self.options)


class Leaky(Cell, register=False):
    """A cell with attributes of several kinds."""

    gates, states = ("n",), ("h",)

    def __init__(self, *sizes: int, **options: Any) -> None:
        super().__init__(*sizes, **options)
        self.rate = 0.5
        self.shape: Callable[[Tensor], Tensor] = torch.tanh
        self.scales = [1.0, (2, "unused")]

    def step(self, x: Any, h: Tensor) -> Tensor:
        return self.rate * h + self.scales[0] * self.shape(x.n + self.recur.n(h))


class Foreign(nn.Module):
    """A step with submodules, a tied weight, a buffer and a state in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4, dtype=F64), nn.Linear(4, 4, dtype=F64)
        self.second.weight = self.first.weight
        self.norm = nn.Sequential(nn.LayerNorm(4, dtype=F64), nn.Tanh())
        self.register_buffer("turned", torch.tensor([1, 0, 0, 1]))
        self.register_parameter("none", None)

    def forward(self, x: Tensor, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        h = self.norm(self.first(x) + self.second(torch.where(self.turned > 0, -state["h"][0], state["h"][0])))
        return 2 * h, {"h": [h], "nothing": None}


def outcome(run: Callable[..., Any], module: nn.Module, *tensors: Tensor) -> list[Tensor]:
    """Every tensor that a run returns, and the gradients of a fixed loss by the tensors and parameters."""
    copies = [each.detach().clone().requires_grad_(each.is_floating_point()) for each in tensors]
    made = leaves(run(*copies))
    generator = torch.Generator().manual_seed(1)
    loss = sum((each.double() * torch.randn(each.shape, generator=generator, dtype=F64)).sum() for each in made)
    wanted = [each for each in (*copies, *module.parameters()) if each.requires_grad]
    found = torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True)
    return [*(each.detach() for each in made), *found]


def check(module: nn.Module, *tensors: Tensor, backend: Any = "aot_eager", eager: nn.Module | None = None) -> None:
    """Compiled, a module gives what it gives with the loop in PyTorch: results and gradients."""
    torch._dynamo.reset()
    compiled = torch.compile(module, backend=backend, fullgraph=True)
    torch.testing.assert_close(outcome(compiled, module, *tensors), outcome(eager or module, eager or module, *tensors))


def check_cell(cell: nn.Module, *tensors: Tensor, backend: Any = "aot_eager", **options: Any) -> None:
    check(Scan(cell, backend="cpu", **options), *tensors, backend=backend, eager=Scan(cell, backend="eager", **options))


class Recorder:
    """A backend that keeps the operators of the graphs AOTAutograd makes, forward and backward."""

    def __init__(self) -> None:
        self.graphs: list[list[str]] = []
        self.backend = aot_autograd(fw_compiler=self._record)

    def _record(self, graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        self.graphs.append([str(node.target) for node in graph.graph.nodes])
        return torch._dynamo.backends.debugging.boxed_nop(graph, [])


# torch.compile


@pytest.mark.parametrize("maker", [LSTM, GRU, Leaky])
def test_cells(maker: type[Cell]) -> None:
    check_cell(maker(3, 4, dtype=F64), torch.randn(5, 3, 3, dtype=F64))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("maker", [LSTM, GRU, RNN, SCRN, CoupledLSTM, GRUResetBefore, PeepholeLSTM])
def test_every_cell(maker: type[Cell], backend: str) -> None:
    check_cell(maker(3, 4, dtype=F64), torch.randn(5, 3, 3, dtype=F64), backend=backend)


@pytest.mark.parametrize(
    ("backend", "reverse"), [pytest.param("eager", False, marks=pytest.mark.slow), ("aot_eager", True)]
)
def test_lengths_resets_and_all_states(backend: str, reverse: bool) -> None:
    options = {"lengths": LENGTHS, "resets": RESETS, "reverse": reverse, "return_states": True}
    x, h, c = (torch.randn(*shape, dtype=F64) for shape in ((5, 3, 3), (3, 4), (3, 4)))
    scan = Scan(LSTM(3, 4, dtype=F64), backend="cpu", **options)
    eager = Scan(scan.cell, backend="eager", **options)
    compiled = torch.compile(lambda x, h, c: scan(x, (h, c)), backend=backend, fullgraph=True)
    torch.testing.assert_close(
        outcome(compiled, scan, x, h, c), outcome(lambda x, h, c: eager(x, (h, c)), scan, x, h, c)
    )


def test_a_layer_is_operators_in_one_graph() -> None:
    layer, recorder = elman.Recurrent("rnn", 3, 4, bidirectional=True), Recorder()
    compiled = torch.compile(layer, backend=recorder.backend, fullgraph=True)
    x = torch.randn(50, 3, 3)
    y, _ = compiled(x, lengths=LENGTHS)
    y.sum().backward()
    forward, backward = recorder.graphs
    assert forward.count("elman.loop.default") == 2
    assert backward.count("elman.loop_backward.default") == 2
    assert max(map(len, recorder.graphs)) < 150  # were the loop unrolled, 50 steps would have 20 operators each


@pytest.mark.slow
def test_a_layer_as_users_have_it(close: Any) -> None:
    layer = elman.Recurrent("rnn", 3, 4, bidirectional=True, batch_first=True, initial_state="trained")
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(3, 5, 3)
    for lengths in (LENGTHS, [5, 0, 3]):
        close(compiled(x, lengths=lengths), layer(x, lengths=lengths))


@pytest.mark.slow
def test_stacks() -> None:
    layer = elman.Recurrent("gru", 3, 4, num_layers=2, bidirectional=True, batch_first=True, initial_state="trained")
    check(layer, torch.randn(3, 5, 3))


@pytest.mark.parametrize("kind", ["LSTM", pytest.param("RNN", marks=pytest.mark.slow)])
def test_drop_ins(kind: str) -> None:
    ours = getattr(elman.nn, kind)(3, 4, bidirectional=True, dtype=F64)
    theirs = getattr(nn, kind)(3, 4, bidirectional=True, dtype=F64)
    theirs.load_state_dict(ours.state_dict())
    with torch._dynamo.config.patch(allow_rnn=True):  # dynamo asks for it of every subclass of torch.nn's
        check(ours, torch.randn(5, 2, 3, dtype=F64), eager=theirs)


def test_any_module_is_taken_apart_and_put_together() -> None:
    step, x, h = Foreign(), torch.randn(5, 2, 4, dtype=F64), torch.randn(2, 4, dtype=F64)

    def run(x: Tensor, h: Tensor, backend: str) -> Any:
        y, state = elman.scan(step, x, {"h": [h], "nothing": None}, backend=backend)
        assert list(state) == ["h", "nothing"]
        return y, state["h"][0]

    compiled = torch.compile(functools.partial(run, backend="cpu"), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        outcome(compiled, step, x, h), outcome(functools.partial(run, backend="eager"), step, x, h)
    )


@pytest.mark.slow
def test_a_parametrized_cell() -> None:
    cell = nn.utils.parametrizations.weight_norm(nn.GRUCell(3, 4, dtype=F64), "weight_hh")
    check_cell(cell, torch.randn(5, 3, 3, dtype=F64))


def test_whole_numbers_and_other_layouts() -> None:
    check_cell(RNN(7, 4, dtype=F64), torch.randint(0, 7, (5, 3)))
    cell, x = RNN(3, 4, dtype=F64), torch.randn(3, 5, 3, dtype=F64)
    scan = Scan(cell, backend="cpu")
    compiled = torch.compile(lambda x: scan(x.transpose(0, 1)[..., :1].expand(5, 3, 3)), backend="aot_eager")
    expected = outcome(lambda x: scan(x.transpose(0, 1)[..., :1].expand(5, 3, 3)), cell, x)
    torch.testing.assert_close(outcome(compiled, cell, x), expected)


def test_what_changes_between_calls_is_seen() -> None:
    scan, x = Scan(Leaky(3, 4, dtype=F64), backend="cpu"), torch.randn(5, 2, 3, dtype=F64)
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(scan, backend=counter, fullgraph=True)

    def check_now() -> None:
        torch.testing.assert_close(compiled(x), elman.scan(scan.cell, x, backend="eager"))

    check_now()
    for name, value in (("rate", 0.7), ("rate", 0.9), ("shape", lambda z: 2 * z)):
        setattr(scan.cell, name, value)
        check_now()
    scan.cell.scales[0] = 3.0
    check_now()
    frames = counter.frame_count
    scan.cell.weight_hh = nn.Parameter(torch.randn(4, 4, dtype=F64))
    with torch.no_grad():
        scan.cell.weight_ih.mul_(2)
    check_now()
    assert counter.frame_count == frames


def test_what_the_traced_function_itself_changes_is_seen() -> None:
    cell, x = Leaky(3, 4), torch.randn(5, 2, 3)

    def run(x: Tensor, rate: float, weight: Tensor, backend: str) -> Tensor:
        cell.rate = rate
        return elman.scan(cell.with_parameters({"weight_hh": weight}), x, backend=backend)[0]

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    for rate in (0.3, 0.9):
        weight = torch.randn(4, 4)
        torch.testing.assert_close(compiled(x, rate, weight, "cpu"), run(x, rate, weight, "eager"))


def test_one_graph_for_any_time_and_batch() -> None:
    scan, counter = Scan(RNN(3, 4, dtype=F64), backend="cpu"), CompileCounterWithBackend("aot_eager")

    def run(x: Tensor, lengths: Tensor, backend: str) -> Any:
        return elman.scan(scan.cell, x, lengths=lengths, backend=backend)

    compiled = torch.compile(run, backend=counter, fullgraph=True, dynamic=True)
    for time, batch in ((5, 2), (7, 4), (33, 3)):
        x, lengths = torch.randn(time, batch, 3, dtype=F64), torch.randint(0, time + 1, (batch,))
        torch.testing.assert_close(
            outcome(functools.partial(compiled, backend="cpu"), scan, x, lengths),
            outcome(functools.partial(run, backend="eager"), scan, x, lengths),
        )
    assert counter.frame_count == 1


def test_nothing_to_do() -> None:
    scan = Scan(RNN(3, 4), backend="cpu")
    compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
    for shape in ((0, 2, 3), (3, 0, 3)):
        x = torch.randn(shape)
        torch.testing.assert_close(compiled(x), scan(x))


def test_lengths_beyond_the_end_are_an_error() -> None:
    compiled = torch.compile(lambda x, lengths: elman.scan(cell, x, lengths=lengths)[0], backend="aot_eager")
    cell, x = GRU(3, 4), torch.randn(5, 2, 3)
    compiled(x, torch.tensor([5, 0]))
    with pytest.raises(RuntimeError, match="between 0 and T"):
        compiled(x, torch.tensor([6, 0]))


def _hooked(cell: nn.Module) -> nn.Module:
    cell.register_forward_hook(lambda *_: None)
    return cell


def _with_an_object(cell: nn.Module) -> nn.Module:
    cell.settings = {"rate": 0.5}  # type: ignore[assignment]
    return cell


class Noisy(nn.Module):
    """Draws random numbers in every step."""

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return torch.tanh(h + x + torch.rand_like(x))


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: lambda x, h: torch.tanh(x + h), "a plain function"),
    "hooks": (lambda: _hooked(nn.RNNCell(4, 4)), "RNNCell has hooks"),
    "object": (lambda: _with_an_object(nn.RNNCell(4, 4)), "RNNCell.settings is an object"),
    "random": (Noisy, "draws random numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_says_why_and_is_unrolled(name: str) -> None:
    make, reason = REFUSED[name]
    step, x, h = make(), torch.randn(3, 2, 4), torch.zeros(2, 4)

    def run(x: Tensor, h: Tensor, backend: str) -> Any:
        return elman.scan(step, x, h, backend=backend)

    compiled = torch.compile(run, fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=reason):
        compiled(x, h, "cpu")
    with pytest.raises(Exception, match="unknown backend"):
        compiled(x, h, "gpu")
    torch._dynamo.reset()
    torch.manual_seed(0)
    found = compiled(x, h, "auto")
    torch.manual_seed(0)
    torch.testing.assert_close(found, elman.scan(step, x, h, backend="eager"))


@pytest.mark.parametrize("strict", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_exported_program_stands_alone(strict: bool) -> None:
    scan, x = Scan(GRU(3, 4)), torch.randn(3, 2, 3)
    program = torch.export.export(scan, (x,), strict=strict)
    assert not any("elman" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), scan(x))


def test_no_grad_saves_nothing() -> None:
    cell, x, saved = RNN(3, 4), torch.randn(5, 2, 3), list[Tensor]()
    scan = Scan(cell, backend="cpu")
    compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                y, ours = scan(x)[0], compiled(x)[0]
            torch.testing.assert_close(ours, y)
            assert not y.requires_grad and not ours.requires_grad
        assert not saved
        assert compiled(x)[0].requires_grad
    assert saved


@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp"])
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_transforms_go_through_eager(transform: str) -> None:
    cell, x = RNN(3, 4, dtype=F64).requires_grad_(False), torch.randn(3, 2, 3, dtype=F64)

    def loss(x: Tensor) -> Tensor:
        return elman.scan(cell, x)[0].square().sum()

    def run(x: Tensor) -> Any:
        if transform == "jvp":
            return torch.func.jvp(loss, (x,), (2 * x,))
        return torch.func.grad(loss)(x) if transform == "grad" else torch.func.vmap(loss)(torch.stack([x, 2 * x]))

    found = torch.compile(run, backend="aot_eager", fullgraph=True)(x)
    wanted = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(wanted), wanted)
    if transform == "jvp":
        torch.testing.assert_close(found, (loss(x), (2 * x * gradient).sum()))
    else:
        torch.testing.assert_close(found, gradient if transform == "grad" else torch.stack([loss(x), loss(2 * x)]))


def test_second_derivatives() -> None:
    cell = RNN(2, 2, dtype=F64)
    compiled = torch.compile(Scan(cell, backend="cpu"), backend="eager", fullgraph=True)
    x = torch.randn(3, 1, 2, dtype=F64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: compiled(x)[0], x)
    compiled = torch.compile(Scan(cell, backend="cpu"), backend="aot_eager", fullgraph=True)
    (found,) = torch.autograd.grad(compiled(x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        found.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_autocast(dtype: torch.dtype) -> None:
    scan, x = Scan(RNN(3, 4)), torch.randn(5, 2, 3)

    def inside(x: Tensor) -> Any:
        with torch.autocast("cpu", dtype):
            return scan(x)

    expected = outcome(inside, scan, x)
    close = functools.partial(torch.testing.assert_close, rtol=0.02, atol=0.02)
    close(outcome(torch.compile(inside, backend="aot_eager"), scan, x), expected)
    compiled = torch.compile(scan, backend="aot_eager", fullgraph=True)
    compiled(x)  # a graph without autocast must not serve one with it
    with torch.autocast("cpu", dtype):
        close(outcome(compiled, scan, x), expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's own
def test_inductor() -> None:
    layer = elman.Recurrent("lstm", 3, 5, num_layers=2, bidirectional=True)
    x = torch.randn(7, 3, 3)
    check(layer, x, backend="inductor")
    compiled = torch.compile(layer, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), layer(x))
    check_cell(RNN(3, 3), torch.randn(3, 1, 3), backend="inductor", return_states=True)
    check_cell(GRU(3, 3), torch.randn(5, 3, 3), backend="inductor", lengths=LENGTHS, resets=RESETS, reverse=True)


# What PyTorch differentiates and vectorises


MODELS: dict[str, Callable[[], nn.Module]] = {
    "lstm": lambda: Scan(LSTM(2, 3, dtype=F64)),
    "gru": lambda: Scan(GRU(2, 3, dtype=F64)),
    "own": lambda: Scan(Leaky(2, 3, dtype=F64)),
    "drop-in lstm": lambda: elman.LSTM(2, 3, dtype=F64),
    "drop-in gru": lambda: elman.GRU(2, 3, dtype=F64),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_every_derivative(name: str) -> None:
    model, x = MODELS[name](), torch.randn(3, 2, 2, dtype=F64, requires_grad=True)
    named = {key: each.detach() for key, each in model.named_parameters()}
    tangents = {key: torch.randn_like(each) for key, each in named.items()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        y, state = torch.func.functional_call(model, parameters, (x,))
        return y.square().sum() + sum(leaf.sin().sum() for leaf in leaves(state))

    def gradients(x: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss(dict(model.named_parameters()), x), list(model.parameters())))

    samples = torch.stack([x.detach(), torch.randn_like(x), 2 * x.detach()])
    expected = [gradients(each) for each in samples]  # by the compiled loop
    found = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(named, samples)
    for number, key in enumerate(named):
        torch.testing.assert_close(found[key], torch.stack([each[number] for each in expected]))
    torch.testing.assert_close(
        torch.func.vmap(loss, in_dims=(None, 0))(named, samples), torch.stack([loss(named, each) for each in samples])
    )
    value, slope = torch.func.jvp(lambda parameters: loss(parameters, x.detach()), (named,), (tangents,))
    torch.testing.assert_close(value, loss(named, x.detach()))
    torch.testing.assert_close(slope, sum((a * b).sum() for a, b in zip(expected[0], tangents.values(), strict=True)))
    assert torch.autograd.gradgradcheck(lambda x: model(x)[0], x)
    y = model(x)[0]
    rows = torch.eye(y.numel(), dtype=F64).view(-1, *y.shape)
    (all_at_once,) = torch.autograd.grad(y, x, rows, retain_graph=True, is_grads_batched=True)
    one_by_one = [torch.autograd.grad(y, x, row, retain_graph=True)[0] for row in rows]
    torch.testing.assert_close(all_at_once, torch.stack(one_by_one))


# The operators themselves


def _arguments(scan: Scan, x: Tensor, **options: Any) -> tuple[Any, ...]:
    """What the operator is called with while a scan is traced, with tensors that have data."""
    state = leaves(default_state(scan.cell, x.shape[1]))
    prepared = prepare(scan.cell, (x,), default_state(scan.cell, x.shape[1]), is_tuple=False, all_states=False)
    name, seen = library.register(prepared.program), []

    def record(call: Any, *tensors: Tensor) -> Any:
        copies = [each.detach().clone().requires_grad_() for each in tensors]
        again = call.reset_states or []
        seen.append((copies, True, name, call.time, call.reverse, call.lengths, call.resets, again, call.bf16))
        return library._by_operator(name, call, *tensors)

    library.scan_compiled(prepared.program, library.run_on_cpu, prepared.parameters, [x], state, loop=record, **options)
    return seen[0]


@pytest.mark.parametrize("reverse", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_operator_is_what_it_says(reverse: bool) -> None:
    scan, x = Scan(LSTM(3, 4)), torch.randn(5, 3, 3)
    states = [torch.randn(3, 4), torch.randn(3, 4)]
    options = {"reverse": reverse, "lengths": LENGTHS, "resets": RESETS, "reset_states": states} if reverse else {}
    arguments = _arguments(scan, x, **options)
    torch.library.opcheck(torch.ops.elman.loop.default, arguments)
    without_gradients = [each.detach() for each in arguments[0]]
    torch.library.opcheck(torch.ops.elman.loop.default, (without_gradients, False, *arguments[2:]))


def test_the_operator_has_no_second_derivative() -> None:
    tensors, *options = _arguments(Scan(RNN(3, 4)), torch.randn(5, 3, 3))
    made = torch.ops.elman.loop(tensors, *options)
    (found,) = torch.autograd.grad(made[0].square().sum(), tensors[-1], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        found.sum().backward()


def test_names_tell_programs_apart() -> None:
    def name(cell: nn.Module) -> str:
        tensors = (torch.zeros(1, 1, 3),), default_state(cell, 1)
        return library.register(prepare(cell, *tensors, is_tuple=False, all_states=False).program)

    others = name(RNN(3, 5)), name(RNN(3, 4, nonlinearity="relu")), name(RNN(3, 4, bias=False))
    assert name(RNN(3, 4)) == name(RNN(3, 4))
    assert len({name(RNN(3, 4)), *others}) == 4
    with pytest.raises(UserError, match="another process"):
        torch.ops.elman.loop([torch.zeros(1, 1)], False, "unknown", 1, False, None, None, [], False)


# Other wrappings


@pytest.mark.parametrize(
    ("place", "use_reentrant"),
    [("not", False), ("not", True), ("inside", False), ("inside", True), ("around", False), ("around", True)],
)
def test_checkpointing(place: str, use_reentrant: bool) -> None:
    scan, x = Scan(RNN(3, 4, dtype=F64), backend="cpu"), torch.randn(5, 2, 3, dtype=F64)
    inner = torch.compile(scan, backend="aot_eager", fullgraph=True) if place == "inside" else scan

    def run(x: Tensor) -> Tensor:
        return checkpoint(lambda x: inner(x)[0], x, use_reentrant=use_reentrant)

    if place == "around":
        run = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = [x.clone().requires_grad_(), *copy.deepcopy(list(scan.parameters()))]
    run(found[0]).square().sum().backward()
    ours = [found[0].grad, *(each.grad for each in scan.parameters())]
    scan.zero_grad()
    x.requires_grad_()
    expected = elman.scan(scan.cell, x, backend="eager")[0].square().sum()
    torch.testing.assert_close(ours, list(torch.autograd.grad(expected, [x, *scan.parameters()])))


def test_copies_pickles_and_state_dicts_after_a_run() -> None:
    layer, x = elman.Recurrent("rnn", 3, 4, num_layers=2), torch.randn(5, 2, 3)
    drop_in = elman.nn.RNN(3, 4, num_layers=2)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for module in (layer, drop_in):
        y = module(x)[0]
        twin, third = copy.deepcopy(module), pickle.loads(pickle.dumps(module))
        assert torch.equal(twin(x)[0], y) and torch.equal(third(x)[0], y)
        with torch.no_grad():
            next(twin.parameters()).mul_(2)
        assert not torch.equal(twin(x)[0], y)
        twin.load_state_dict(module.state_dict())
        assert torch.equal(twin(x)[0], y) and torch.equal(module(x)[0], y)
    y = compiled(x)[0]
    torch.testing.assert_close(y, layer(x)[0])
    assert torch.equal(copy.deepcopy(compiled)(x)[0], y)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x)[0], layer(x)[0])
    assert list(drop_in.state_dict()) == list(nn.RNN(3, 4, num_layers=2).state_dict())


def _gradients(module: nn.Module, x: Tensor) -> list[Tensor | None]:
    module.zero_grad()
    module(x)[0].square().mean().backward()
    return [each.grad for each in module.parameters()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_distributed(tmp_path: Path) -> None:
    layer, x = elman.Recurrent("rnn", 3, 4, num_layers=2), torch.randn(5, 2, 3)
    expected = [each.clone() for each in _gradients(layer, x)]  # type: ignore[union-attr]
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for wrap in (lambda module: module, lambda module: torch.compile(module, backend="aot_eager")):
            torch._dynamo.reset()
            _gradients(wrap(DistributedDataParallel(layer)), x)
            torch.testing.assert_close([each.grad for each in layer.parameters()], expected)
    finally:
        distributed.destroy_process_group()


def _worker(rank: int, folder: str, layer: nn.Module, x: Tensor) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = _gradients(torch.compile(DistributedDataParallel(layer), backend="aot_eager"), x[:, rank : rank + 1])
    torch.save(found, f"{folder}/{rank}")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes(tmp_path: Path) -> None:
    layer, x = elman.Recurrent("lstm", 3, 4, num_layers=2), torch.randn(5, 2, 3)
    expected = _gradients(layer, x)
    torch.multiprocessing.start_processes(
        _worker, (str(tmp_path), copy.deepcopy(layer), x), nprocs=2, start_method="spawn"
    )
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / str(rank)), expected)
