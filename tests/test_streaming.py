"""``Stream``: step by step the same as the layer on the whole sequence, whatever happens between the steps."""

from __future__ import annotations

import copy
import gc
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from some_cells import BUILT_IN, some_quick
from torch import Tensor, nn

import elman
from elman import Recurrent, Stream, UserError, scan
from elman.cell import Cell, find_cell
from elman.cells import GRU, LSTM
from elman.models import LanguageNet
from elman.streaming import in_evaluation, listener
from elman.structure import State, leaves, map_leaves

T, N, H, V = 5, 4, 5, 7
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def close(ours: State, theirs: State) -> None:
    for a, each in zip(leaves(ours), leaves(theirs), strict=True):
        b = each.detach()
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        scale = max(float(b.abs().max()), 1e-3)
        assert float((a - b).abs().max()) <= TOLERANCE[a.dtype] * scale


def check_cell(cell: nn.Module, x: Any, *, compiled: bool = True) -> Stream:
    """A stream against the eager scan, on x (T, B, ...)."""
    steps = list(zip(*x, strict=True)) if isinstance(x, tuple) else list(x)
    stream = Stream(cell, leaves(steps[0])[0].shape[0])
    with torch.no_grad():
        y, after = scan(in_evaluation(cell), x, backend="eager")
    close(torch.stack([stream(each) for each in steps]), y)
    close(stream.state, after)
    assert type(stream.state) is type(after)
    assert bool(stream.reason) != compiled
    return stream


def check_layer(layer: nn.Module, x: Tensor, *, compiled: bool = True, batch_first: bool = False) -> Stream:
    """A stream against the module itself, called with all of x (T, B, ...)."""
    stream = Stream(layer, x.shape[1])
    with torch.no_grad():
        y, after = copy.deepcopy(layer).eval()(x.transpose(0, 1) if batch_first else x)
    close(torch.stack([stream(each) for each in x]), y.transpose(0, 1) if batch_first else y)
    close(stream.state, after)
    assert bool(stream.reason) != compiled
    return stream


class Refused(nn.Module):
    """A step that no trace can follow: it does one thing or another, by a value."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(H, N))

    def initial_state(self, batch_size: int) -> dict[str, Tensor]:
        return {"h": torch.full((batch_size, H), 0.5, dtype=self.weight.dtype)}

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        h = torch.tanh(x @ self.weight.t() + state["h"])
        if float(h.sum()) > 0:
            h = h * 0.5
        return h, {"h": h}


class OddOutputs(Cell, register=False):
    """An output made of the old state, the input and the new state, of another width; ids beside x."""

    states, output, inputs = ("h",), "y", ("x", "ids", "mask")

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.table = nn.Embedding(V, hidden_size)
        self.read = nn.Linear(2 * hidden_size, 3)

    def step(self, x: Any, ids: Tensor, mask: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.where(mask, torch.tanh(self.table(ids) + x.raw.mean(-1, keepdim=True) + 0.5 * h), h)
        return torch.cat([self.read(torch.cat([h, new], -1)), x.raw], -1).softmax(-1), new


class Echo(nn.Module):
    """A step whose output is its input, or the old state, or always the same, as asked."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what
        self.scale = nn.Parameter(torch.tensor([0.5]))

    def initial_state(self, batch_size: int) -> Tensor:
        return torch.ones(batch_size, N)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        new = torch.tanh(h * self.scale + x)
        return {"input": x, "old": h, "new": new, "constant": torch.full_like(x, 2.0), "scaled": x * self.scale}[
            self.what
        ], new


class Tagger(nn.Module):
    """What a user writes: a layer between two others, without ``initial_state``."""

    def __init__(self, layer: nn.Module, size: int) -> None:
        super().__init__()
        self.before = nn.Linear(N, N)
        self.drop = nn.Dropout(0.5)
        self.layer = layer
        self.head = nn.Linear(size, 3)

    def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        y, after = self.layer(self.drop(self.before(x)), state)
        return self.head(y), after


# Step by step the same


@pytest.mark.parametrize("name", some_quick())
def test_every_cell(name: str) -> None:
    cell = find_cell(name)(N, H)
    for batch in (1, 3, 17):
        check_cell(cell, torch.randn(T, batch, N))


@pytest.mark.parametrize("name", some_quick(quick=["gruresetbefore"]))
def test_every_cell_in_float64(name: str) -> None:
    check_cell(find_cell(name)(N, 65).double(), torch.randn(T, 3, N, dtype=torch.float64))


@pytest.mark.parametrize("name", ["lstm", "scrn"])
def test_ids(name: str) -> None:
    check_cell(find_cell(name)(V, H), torch.randint(V, (T, 3)))


@settings(max_examples=3)
@given(st.sampled_from(BUILT_IN), st.sampled_from([1, 7, 63, 65]), st.sampled_from([1, 2, 5, 9]), st.integers(1, 40))
def test_odd_sizes(name: str, hidden: int, batch: int, size: int) -> None:
    check_cell(find_cell(name)(size, hidden).double(), torch.randn(3, batch, size, dtype=torch.float64))


@pytest.mark.parametrize("kind", [nn.RNNCell, nn.LSTMCell, nn.GRUCell])
def test_pytorchs_cells(kind: Any) -> None:
    check_cell(kind(N, H), torch.randn(T, 3, N))


def test_what_the_loop_cannot_do_is_done_around_it() -> None:
    cell = OddOutputs(N, H)
    x = torch.randn(T, 3, N), torch.randint(V, (T, 3)), torch.rand(T, 3, 1) < 0.5
    check_cell(cell, x)


@pytest.mark.parametrize("what", ["input", "old", "new", "constant", "scaled"])
def test_any_output(what: str) -> None:
    check_cell(Echo(what), torch.randn(T, 2, N))


def test_a_refused_cell_streams_in_pytorch() -> None:
    stream = check_cell(Refused(), torch.randn(T, 3, N), compiled=False)
    assert "depends on the value of a tensor" in stream.reason
    assert stream.state.keys() == {"h"}


def test_float16_streams_in_pytorch() -> None:
    cell, x = GRU(N, H).half(), torch.randn(T, 2, N).half()
    stream = Stream(cell, 2)
    ys = torch.stack([stream(each) for each in x])
    with torch.no_grad():
        assert torch.equal(ys, scan(cell, x)[0])
    assert "float16" in stream.reason


def test_hooks_are_called() -> None:
    cell, calls = GRU(N, H), []
    cell.register_forward_hook(lambda *_: calls.append(1))
    stream = Stream(cell)
    stream(torch.randn(1, N))
    assert calls and "hooks" in stream.reason


def test_stacks() -> None:
    layer = Recurrent(["lstm", "gru", "scrn"], N, [H, 3, 6], dropout=0.5, initial_state="trained")
    with torch.no_grad():
        for each in layer.starts or ():
            each.normal_()
    stream = check_layer(layer, torch.randn(T, 3, N))
    assert isinstance(stream.state[0], LSTM.State)
    close(Stream(layer, 3).state, layer.initial_state(3))


def test_a_stack_with_one_refused_layer() -> None:
    stack = Recurrent.from_cells([GRU(N, N), nn.GRUCell(N, N), LSTM(N, H)])
    stack.layers[1][0].register_forward_hook(lambda *_: None)
    stream = check_layer(stack, torch.randn(T, 2, N), compiled=False)
    assert "hooks" in stream.reason


def test_a_stack_of_cells_with_several_inputs() -> None:
    class Gapped(Cell, register=False):
        gates, states, inputs = ("n",), ("h",), ("x", "gap")

        def step(self, x: Any, gap: Tensor, h: Tensor) -> Tensor:
            return torch.tanh(x.n + self.recur.n(h * torch.exp(-gap)))

    stack = Recurrent([Gapped, Gapped], N, H)
    x, gap = torch.randn(T, 2, N), torch.rand(T, 2, 1)
    with torch.no_grad():
        y, after = stack((x, gap))
    stream = Stream(stack, 2)
    close(torch.stack([stream(pair) for pair in zip(x, gap, strict=True)]), y)
    close(stream.state, after)
    with pytest.raises(UserError, match="got 1 inputs; Gapped takes x, gap"):
        stream(x[0])


@pytest.mark.parametrize("package", [elman, nn])
def test_drop_ins_and_pytorchs_layers(package: Any) -> None:
    x = torch.randn(T, 3, N)
    check_layer(package.LSTM(N, H), x)
    check_layer(package.LSTM(N, H, batch_first=True), x, batch_first=True)
    check_layer(package.GRU(N, H, num_layers=2, dropout=0.5, bias=False), x)
    check_layer(package.RNN(N, H, nonlinearity="relu"), x)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_layer_with_projections_streams_as_it_is() -> None:
    layer = nn.LSTM(N, H, proj_size=2)
    x = torch.randn(T, 3, N)
    stream = Stream(layer, 3)
    ys = torch.stack([stream(each) for each in x])
    with torch.no_grad():
        y, after = layer(x)
    close(ys, y)
    close(stream.state, after)


@pytest.mark.parametrize("options", [{}, {"embedding_size": 3, "num_layers": 2, "dropout": 0.5}])
def test_language_models(options: dict[str, Any]) -> None:
    net = LanguageNet(V, "lstm", H, **options).train()
    check_layer(net, torch.randint(V, (T, 3)))
    assert all(module.training for module in net.modules())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: elman.LSTM(N, H, 2),
        lambda: nn.GRU(N, H),
        lambda: Recurrent("gru", N, H, 2),
        lambda: elman.GRU(N, H, batch_first=True),
        lambda: Recurrent("lstm", N, H, batch_first=True),
    ],
)
def test_a_model_of_the_users(layer: Callable[[], Any], batch: int) -> None:
    model = Tagger(layer(), H)
    stream = check_layer(model, torch.randn(T, batch, N), batch_first=model.layer.batch_first)
    stream.reset()
    assert stream.state is None


@pytest.mark.parametrize("how", ["in place", "columns apart"])
def test_a_model_may_change_the_state_it_hands_on(how: str) -> None:
    class Model(Tagger):
        def forward(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
            if state is not None and how == "in place":
                leaves(state)[0].mul_(0.5)
            if state is not None and how == "columns apart":
                state = map_leaves(lambda leaf: torch.stack([leaf, -leaf], -1)[..., 0], state)
            return super().forward(x, state)

    for layer in (Recurrent("lstm", N, H), nn.GRU(N, H)):
        model, x = Model(layer, H).eval(), torch.randn(T, 2, N)
        stream, state = Stream(model, 2), None
        with torch.no_grad():
            for each in x:
                y, state = model(each[None], state)
                close(stream(each), y[0])
        assert not stream.reason


def test_a_subclass_with_a_call_of_its_own_is_a_model() -> None:
    class Doubled(Recurrent):
        def forward(self, x: Any, states: Any = None, **options: Any) -> Any:
            y, after = super().forward(x, states, **options)
            return 2 * y, after

    layer, x = Doubled("gru", N, H), torch.randn(T, 2, N)
    stream = Stream(layer, 2)
    with torch.no_grad():
        close(torch.stack([stream(each) for each in x]), layer(x)[0])


# Threads and modes


def test_any_number_of_threads_gives_the_same_bits(threads: Callable[[int], None]) -> None:
    x = torch.randn(T, 1, 250)
    for kind in (LSTM, find_cell("gruresetbefore")):  # the second has a product of a product
        cell = kind(250, 230)
        results = []
        for count in (1, 2):
            threads(count)
            stream = Stream(cell)
            results.append(torch.stack([stream(each) for each in x]))
        assert torch.equal(*results)


def test_the_number_of_threads_may_change(threads: Callable[[int], None]) -> None:
    cell, x = GRU(250, 230), torch.randn(T, 1, 250)
    with torch.no_grad():
        y = scan(cell, x)[0]
    stream = Stream(cell)
    for t, each in enumerate(x):
        threads(1 + t % 2)
        close(stream(each), y[t])


def test_gradients_are_not_kept() -> None:
    for cell in (GRU(N, H), Refused(), Recurrent("gru", N, H)):
        stream = Stream(cell)
        y = stream(torch.randn(1, N, requires_grad=True))
        assert not y.requires_grad and not any(leaf.requires_grad for leaf in leaves(stream.state))


def test_autocast_rounds_as_in_a_scan() -> None:
    x = torch.randn(T, 3, N)
    for cell in (LSTM(N, H), Refused()):
        stream, state = Stream(cell, 3), None
        for each in x:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                y, (expected, state) = stream(each), scan(cell, each[None], state)
            torch.testing.assert_close(y, expected[0], rtol=2e-2, atol=2e-2)
        plain = Stream(cell, 3)
        difference = y - torch.stack([plain(each) for each in x])[-1]
        assert 1e-6 < float(difference.abs().max()) < 2e-2
        stream.state = plain.state
        close(stream(x[0]), plain(x[0]))  # autocast is over


def test_inference_mode() -> None:
    cell, x = LSTM(N, H), torch.randn(T, 1, N)
    stream, twin = Stream(cell), Stream(cell)
    for t, each in enumerate(x):
        with torch.inference_mode(t % 2 == 0):
            y = stream(each)
            stream.state = stream.state
        close(y.clone(), twin(each))
        if t == 2:
            stream.reset(rows=[])
    with torch.inference_mode():
        odd = GRU(N, H)
    assert "inference mode" in reason_after(Stream(odd), x[0])


def reason_after(stream: Stream, x: Tensor) -> str:
    stream(x)
    return stream.reason


def test_a_forked_child_goes_on(threads: Callable[[int], None]) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    threads(2)
    stream, x = Stream(GRU(250, 230)), torch.randn(2, 1, 250)
    stream(x[0])
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, stream(x[1]).numpy().tobytes())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0
    made = torch.frombuffer(bytearray(os.read(read, 4 * 230)), dtype=torch.float32)
    os.close(read), os.close(write)
    assert torch.equal(made, stream(x[1])[0])


# What may happen between two steps


def changes() -> dict[str, Callable[[nn.Module], Any]]:
    def step(cell: nn.Module) -> None:
        for each in cell.parameters():
            each.grad = torch.ones_like(each)
        torch.optim.SGD(cell.parameters(), lr=0.1).step()

    def load(cell: nn.Module) -> None:
        cell.load_state_dict({name: torch.randn_like(each) for name, each in cell.state_dict().items()})

    def swap(cell: nn.Module) -> None:
        weight = next(each for each in cell.parameters() if each.dim() == 2)
        for _ in range(2):  # by the second time the memory of the first weight is free again
            weight.data = weight.data * 0.7

    def replace(cell: nn.Module) -> None:
        owner = next(module for module in cell.modules() if module._parameters)
        name = next(iter(owner._parameters))
        setattr(owner, name, nn.Parameter(torch.randn_like(getattr(owner, name))))

    return {"an optimiser's step": step, "load_state_dict": load, ".data": swap, "another parameter": replace}


@pytest.mark.parametrize("change", changes())
@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTM(N, H),
        Refused,
        lambda: Recurrent("gru", N, H, 2),
        lambda: elman.LSTM(N, H, 2),
        lambda: Tagger(nn.GRU(N, H), H),
    ],
)
def test_changed_parameters_show_at_the_next_step(make: Callable[[], nn.Module], change: str) -> None:
    model, x = make(), torch.randn(3, 2, N)
    stream = Stream(model, 2)
    stream(x[0])
    before = stream.state
    unchanged = copy.deepcopy(model)
    for _ in range(2):
        changes()[change](model)
        fresh, old = Stream(copy.deepcopy(model), 2), Stream(unchanged, 2)
        stream.state = fresh.state = old.state = before
        y = stream(x[1])
        close(y, fresh(x[1]))
        assert not torch.allclose(y, old(x[1]))


@pytest.mark.parametrize(
    "make", [lambda: LSTM(N, H), Refused, lambda: elman.GRU(N, H, 2), lambda: Tagger(nn.GRU(N, H), H)]
)
def test_the_state_goes_with_the_parameters_to_another_dtype(make: Callable[[], nn.Module]) -> None:
    model, x = make(), torch.randn(3, 2, N)
    stream = Stream(model, 2)
    stream(x[0])
    before = stream.state
    model.double()
    y = stream(x[1].double())
    assert y.dtype == torch.float64 and all(leaf.dtype == torch.float64 for leaf in leaves(stream.state))
    twin = Stream(model, 2)
    twin.state = map_leaves(Tensor.double, before)
    close(y, twin(x[1].double()))


def test_outputs_are_the_callers_to_keep_and_to_change() -> None:
    for model in (
        LSTM(N, H),
        Refused(),
        Recurrent("gru", N, H, 2),
        elman.GRU(N, H),
        Echo("old"),
        Echo("new"),
        Tagger(Recurrent("gru", N, H), H),
    ):
        x = torch.randn(T, 2, N)
        stream, twin = Stream(model, 2), Stream(model, 2)
        kept, copies = [], []
        for each in x:
            kept.append(stream(each))
            copies.append(kept[-1].clone())
        assert all(map(torch.equal, kept, copies))
        twin_kept = []
        for each in x:
            y = twin(each)
            twin_kept.append(y.clone())
            y.fill_(float("nan"))
        assert all(map(torch.equal, kept, twin_kept))


def test_x_may_lie_anyhow() -> None:
    cell, x = LSTM(N, H), torch.randn(T, 3, N)
    views: list[Callable[[Tensor], Tensor]] = [
        lambda each: each.t().contiguous().t(),
        lambda each: torch.stack([each, each], -1)[..., 0],
        lambda each: torch.cat([each, each])[1:4].roll(1, 0),
        lambda each: torch.view_as_complex(torch.stack([each, -each], -1)).conj().imag,  # lazily negated
        nn.Parameter,
        lambda each: each.clone(),
    ]
    stream, twin = Stream(cell, 3), Stream(cell, 3)
    for each, view in zip(x, itertools.cycle(views), strict=False):
        close(stream(view(each)), twin(each))
    row = torch.randn(1, N)
    close(Stream(cell, 3)(row.expand(3, N)), Stream(cell, 3)(row.repeat(3, 1)))


# State and rows


@pytest.mark.parametrize(
    "make",
    [
        lambda: LSTM(N, H),
        Refused,
        lambda: Recurrent("lstm", N, H, 2, initial_state="trained"),
        lambda: elman.LSTM(N, H, 2),
        lambda: LanguageNet(V, "gru", H),
    ],
)
def test_reset(make: Callable[[], nn.Module]) -> None:
    model = make()
    batch = 3
    x = torch.randint(V, (4, batch)) if isinstance(model, LanguageNet) else torch.randn(4, batch, N)
    fresh, going, stream = Stream(model, batch), Stream(model, batch), Stream(model, batch)
    close(stream.state, fresh.state)
    for each in x[:2]:
        stream(each), going(each)
    for rows, chosen in ((1, [1]), ([0, -1], [0, 2]), ([True, False, True], [0, 2]), (torch.tensor([2]), [2])):
        twin = Stream(model, batch)
        twin.state = going.state
        twin.reset(rows)
        y, new, old = twin(x[2]), Stream(model, batch)(x[2]), continued(model, going, x[2])
        for row in range(batch):
            close(y[row], (new if row in chosen else old)[row])
    stream.reset(rows=[])
    close(stream.state, going.state)
    stream.reset()
    close(stream(x[2]), fresh(x[2]))


def continued(model: nn.Module, going: Stream, x: Tensor) -> Tensor:
    """The next output of a stream that itself stays where it is."""
    twin = Stream(model, going.batch_size)
    twin.state = going.state
    return twin(x)


def test_the_state_is_a_copy_both_ways() -> None:
    for model in (
        LSTM(N, H),
        Recurrent("gru", N, H, 2),
        elman.GRU(N, H, 2),
        Tagger(Recurrent("gru", N, H), H),
        Refused(),
    ):
        x = torch.randn(2, 2, N)
        stream = Stream(model, 2)
        stream(x[0])
        state = stream.state
        for leaf in leaves(stream.state):
            leaf.fill_(9.0)
        close(stream.state, state)
        given = map_leaves(torch.clone, state)
        stream.state = given
        for leaf in leaves(given):
            leaf.fill_(9.0)
        close(stream.state, state)
        y = stream(x[1])
        stream.state = state
        assert torch.equal(stream(x[1]), y)


def test_a_state_of_another_dtype_or_layout_is_taken_over() -> None:
    cell = LSTM(N, H)
    stream, twin = Stream(cell, 2), Stream(cell, 2)
    h, c = torch.randn(2, H), torch.randn(2, H)
    stream.state = [h.double(), c.t().contiguous().t()]
    twin.state = (h, c)
    x = torch.randn(2, N)
    close(stream(x), twin(x))
    assert isinstance(stream.state, LSTM.State)


def test_noise_starts_are_drawn_anew() -> None:
    stack = Recurrent("gru", N, H, initial_state=0.1)
    stream = Stream(stack, 2)
    first = stream.state
    stream.reset()
    assert not torch.equal(first[0], stream.state[0]) and float(stream.state[0].abs().max()) <= 0.2
    x, before = torch.randn(2, N), torch.get_rng_state()
    stream(x)
    assert torch.equal(before, torch.get_rng_state())  # a step draws nothing


# The model itself


def test_the_copy_in_evaluation_mode_shares_parameters_and_modules_once() -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.Dropout(0.5), shared, nn.BatchNorm1d(2))
    twin = in_evaluation(model)
    assert twin[0] is twin[2] and twin[0].weight is shared.weight
    assert twin[3].running_mean is model[3].running_mean
    assert not any(module.training for module in twin.modules())
    assert all(module.training for module in model.modules())
    shared.weight = nn.Parameter(torch.zeros(2, 2))
    assert twin[0].weight is shared.weight


def test_a_model_is_left_as_it_was() -> None:
    model = Tagger(Recurrent("gru", N, H, 2), H).train()
    before = [(name, dict(vars(module))) for name, module in model.named_modules()]
    stream = Stream(model, 2)
    stream(torch.randn(2, N))
    for (name, attributes), module in zip(before, model.modules(), strict=True):
        assert attributes.keys() == vars(module).keys(), name
        assert all(attributes[key] is value for key, value in vars(module).items())


def test_nothing_is_left_behind() -> None:
    def alive() -> int:
        gc.collect()
        return sum(type(each) in (Tensor, nn.Parameter) for each in gc.get_objects())

    cell, x = LSTM(N, H), torch.randn(1, N)
    Stream(cell)(x)
    before = alive()
    for _ in range(3):
        Stream(cell)(x)
    assert alive() <= before


def test_a_listener_leaves_sequences_and_both_directions_to_the_model() -> None:
    model, x = Tagger(Recurrent("gru", N, H, bidirectional=True), 2 * H).eval(), torch.randn(T, 2, N)
    twin, steps = listener(model)
    assert not steps
    with torch.no_grad():
        close(twin(x)[0], model(x)[0])
    layer = Recurrent("gru", N, H)
    twin, steps = listener(layer)
    with torch.no_grad():
        close(twin(x), layer(x))
        close(twin(x[:1], return_states=True), layer(x[:1], return_states=True))
        close(twin(x[:1], lengths=[1, 0]), layer(x[:1], lengths=[1, 0]))
        assert steps[0].compiled is None
        close(twin(x[:1]), layer(x[:1]))
        assert steps[0].compiled is not None
        for batch in (1, 2, 5):  # one after the other
            state = (torch.randn(batch, H),)
            close(twin(x[:1, :1].expand(1, batch, N), state), layer(x[:1, :1].expand(1, batch, N), state))
        with pytest.raises(UserError, match="GRU"):
            twin(x[:1], (torch.randn(2, H + 1),))


# Mistakes


def test_wrong_shapes() -> None:
    stream = Stream(LSTM(N, H), 2)
    good = torch.randn(2, N)
    for _ in range(2):  # before the first good step and after it
        for bad in (torch.randn(2, N + 1), torch.randn(3, N), torch.randn(1, 2, N), torch.randn(N), torch.tensor(1.0)):
            with pytest.raises(UserError, match="x_t is"):
                stream(bad)
        for bad in ([1.0], None):
            with pytest.raises(UserError, match="expected a tensor"):
                stream(bad)  # type: ignore[arg-type]
        kept = stream.state
        y = stream(good)
        stream.reset()
        close(kept, stream.state)  # no step was taken
        close(stream(good), y)
        stream.reset()
    for make in (nn.GRUCell, nn.GRU, elman.LSTM):
        with pytest.raises(UserError, match=r"x_t is \(2, 5\); expected \(B, I\) = \(2, 4\)"):
            Stream(make(N, H), 2)(torch.randn(2, N + 1))


@pytest.mark.parametrize("make", [lambda: LSTM(N, H), lambda: Tagger(nn.GRU(N, H), H), lambda: elman.LSTM(N, H, 2)])
def test_wrong_states(make: Callable[[], nn.Module]) -> None:
    stream = Stream(make(), 2)
    stream(torch.randn(2, N))
    for bad in (torch.randn(2, H + 1), (torch.randn(3, H), torch.randn(3, H)), None):
        with pytest.raises(UserError, match="got the state"):
            stream.state = bad


def test_wrong_rows() -> None:
    stream = Stream(GRU(N, H), 3)
    for bad in (3, [-4], [0.5], [True, False], torch.ones(4, dtype=torch.bool)):
        with pytest.raises(UserError, match="rows"):
            stream.reset(bad)  # type: ignore[arg-type]
    layered = Stream(Tagger(nn.GRU(N, H, 2), H), 3)
    layered.reset([0])  # nothing to forget yet
    layered(torch.randn(3, N))
    with pytest.raises(UserError, match="single rows cannot be reset"):
        layered.reset([0])


def test_wrong_models() -> None:
    for bidirectional in (
        Recurrent("gru", N, H, bidirectional=True),
        elman.LSTM(N, H, bidirectional=True),
        Tagger(nn.GRU(N, H, bidirectional=True), 2 * H),
    ):
        with pytest.raises(UserError, match="is bidirectional: backwards it begins at the end of a sequence"):
            Stream(bidirectional)
    with pytest.raises(UserError, match="got a function; give a"):
        Stream(lambda x, h: h)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="Linear has no start state; give it a method initial_state"):
        Stream(nn.Linear(2, 2))
    for bad in (0, -1, 1.0, True, None):
        with pytest.raises(UserError, match="batch_size is"):
            Stream(GRU(N, H), bad)  # type: ignore[arg-type]

    class Alone(Tagger):
        def forward(self, x: Tensor, state: State = None) -> Any:
            return super().forward(x, state)[0]

    with pytest.raises(UserError, match=r"Alone returned \(1, 1, 3\); expected \(output, state\)"):
        Stream(Alone(nn.GRU(N, H), H))(torch.randn(1, N))

    class BatchFirst(Tagger):
        def forward(self, x: Tensor, state: State = None) -> Any:
            y, after = super().forward(x, state)
            return y.transpose(0, 1), after

    with pytest.raises(UserError, match=r"BatchFirst gave \(2, 1, 3\) for one step; expected \(1, 2, ...\)"):
        Stream(BatchFirst(nn.GRU(N, H), H), 2)(torch.randn(2, N))
