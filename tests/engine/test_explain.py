"""What explain says, against counts made by hand and lines looked up in this file."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import elman
from elman.cell import Cell
from elman.cells import GRU, LSTM, RNN, GRUResetBefore
from elman.engine import prepare as programs
from elman.engine.explain import Explanation, Explanations
from elman.engine.scan import watch
from elman.errors import UserError
from elman.models.language_model import LanguageNet

T, B, I, H = 6, 4, 3, 8  # noqa: E741
OUTSIDE = torch.ones(H)


class Step(nn.Module):
    """A step given as a function of (module, x, h)."""

    def __init__(self, fn: Callable[..., Tensor]) -> None:
        super().__init__()
        self.fn = fn
        self.linear = nn.Linear(H, H)
        self.register_buffer("seen", torch.zeros(H))
        self.calls = []  # a list, so that counting sets no attribute

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        self.calls.append(None)
        return self.fn(self, x, h)


def one(cell: Any, x: Any = None, state: Any = None, **options: Any) -> Explanation:
    explanation = elman.explain(cell, torch.zeros(T, B, I) if x is None else x, state, **options)
    assert isinstance(explanation, Explanation)
    return explanation


def test_the_numbers_of_an_lstm() -> None:
    told = one(LSTM(I, H))
    assert (told.backend, told.reason, told.name, told.dtype) == ("cpu", "", "LSTM", torch.float32)
    assert (told.inputs, told.states) == (((T, B, I),), ((B, H), (B, H)))
    forward, backward = told.forward, told.backward
    assert forward is not None and backward is not None
    assert forward.flops == 8 * B * H * H
    assert forward.all_flops == T * 8 * B * H * H + 2 * T * B * I * 4 * H
    (product,) = forward.products
    assert (product.left, product.right) == ("h", "weight_hh.T")
    assert (product.rows, product.terms, product.columns, product.flops) == (B, H, 4 * H, forward.flops)
    # The gradient: dz U in the loop; dz' h and dz' x after it.
    assert backward.flops == 8 * B * H * H
    assert backward.all_flops == 2 * T * 8 * B * H * H + 2 * T * B * I * 4 * H
    (back,) = backward.products
    assert any(back.left in each for each in backward.after)
    # h, c, W x; U and both b; h, c and four gates.
    assert forward.bytes == 4 * (B * (2 * H + 4 * H) + 4 * H * H + 2 * 4 * H + B * (2 * H + 4 * H))
    assert forward.before == ("mm(x, weight_ih.T)",) and forward.once == forward.after == ()
    assert [each.columns for each in forward.stages] == [H]
    assert sorted(forward.stages[0].computes) == sorted(["add"] * 4 + ["sigmoid"] * 3 + ["mul"] * 3 + ["tanh"] * 2)
    assert forward.stages[0].writes[:2] == ("the new h", "the new c")


def test_the_gradient_of_the_input_is_counted_where_it_is_wanted() -> None:
    cell = GRU(I, H)
    without, wanted = (one(cell, torch.zeros(T, B, I, requires_grad=flag)).backward for flag in (False, True))
    assert without is not None and wanted is not None
    assert wanted.all_flops - without.all_flops == 2 * T * B * I * 3 * H


def test_what_is_saved_and_what_is_redone() -> None:
    told = one(LSTM(I, H))
    assert [each.name for each in told.saved] == ["sigmoid", "sigmoid_1", "sigmoid_2", "tanh"]
    assert {each.shape for each in told.saved} == {(B, H)}
    assert told.saved_bytes == T * B * H * 4 * (4 + 2), "four gates and the states h and c"
    assert told.redone == ("tanh",)
    lines = Path(inspect.getfile(LSTM)).read_text().splitlines()
    for each in told.saved:
        file, _, number = each.source.rpartition(":")
        assert file == inspect.getfile(LSTM)
        assert ("sigmoid(" if each.name.startswith("sigmoid") else "self._activation(") in lines[int(number) - 1]
    assert one(RNN(I, H)).saved == ()


def test_what_follows_from_doubles() -> None:
    single, double = (
        one(LSTM(I, H, dtype=dtype), torch.zeros(T, B, I, dtype=dtype)) for dtype in (None, torch.float64)
    )
    assert double.saved_bytes == 2 * single.saved_bytes
    assert single.forward is not None and double.forward is not None
    assert (double.forward.bytes, double.forward.flops) == (2 * single.forward.bytes, single.forward.flops)


def test_a_product_of_a_computed_value_is_a_stage_later() -> None:
    forward = one(GRUResetBefore(I, H)).forward
    assert forward is not None
    first, *_, last = forward.stages
    assert "mul for a later stage" in first.writes
    assert [each.left for each in last.products][-1] == "mul"
    assert last.writes[0] == "the new h"


def test_nothing_is_saved_where_no_gradient_is_wanted() -> None:
    with torch.no_grad():
        quiet = one(LSTM(I, H))
    frozen = one(LSTM(I, H).requires_grad_(False))
    for told in (quiet, frozen):
        assert (told.backend, told.backward, told.saved, told.saved_bytes) == ("cpu", None, (), 0)
        assert told.forward is not None and told.forward.stages[0].writes == ("the new h", "the new c")
        assert "nothing is saved" in str(told)


REFUSED: dict[str, tuple[Callable[..., Tensor], str]] = {
    "operator": (lambda m, x, h: torch.tanh(m.linear(h.cumsum(-1)) + x), "cumsum"),
    "branch": (lambda m, x, h: h if x.sum() > 0 else x, "depends on the value of a tensor"),
    "random": (lambda m, x, h: torch.tanh(h + torch.rand(H)), "random numbers"),
    "batch size": (lambda m, x, h: h / len(x) + x, "batch size"),
    "mixing": (lambda m, x, h: x + h.mean(0), "rows"),
    "another tensor": (lambda m, x, h: x + h * OUTSIDE, "not a parameter"),
    "buffer": (lambda m, x, h: x + h + m.seen.add_(1), "changes a tensor"),
    "several": (lambda m, x, h: x + h.sort(-1)[0], "several tensors"),
    "whole numbers": (lambda m, x, h: x + h.long().float(), "int64"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_step_is_named_with_its_line(name: str) -> None:
    fn, reason = REFUSED[name]
    told = one(Step(fn), torch.zeros(T, B, H), torch.zeros(B, H))
    assert told.backend == "eager" and reason in told.reason
    assert f"{__file__}:{fn.__code__.co_firstlineno}" in told.reason
    # The reason is wrapped; the line itself is quoted below it.
    text = " ".join(str(told).split())
    assert "step by step in PyTorch" in text and f'"{name}": (lambda m, x, h:' in text
    with pytest.raises(UserError, match="backend 'cpu' cannot run this scan"):
        elman.explain(Step(fn), torch.zeros(T, B, H), torch.zeros(B, H), backend="cpu")


class Cumulative(Cell):
    gates = ("n",)

    def step(self, x: Any, h: Tensor) -> Tensor:
        h = torch.tanh(x.n + self.recur.n(h))
        return torch.cumsum(h, -1)


def test_a_cells_own_line_is_named_behind_what_the_base_class_does() -> None:
    lines, first = inspect.getsourcelines(Cumulative.step)
    told = one(Cumulative(I, H))
    assert told.reason.endswith(f"({__file__}:{first + len(lines) - 1})")
    assert str(told).endswith("return torch.cumsum(h, -1)")


def test_other_reasons() -> None:
    assert one(LSTM(I, H), backend="eager").reason == "asked for"

    def step(x: Tensor, h: Tensor) -> Tensor:
        return x + h

    told = one(step, torch.zeros(T, B, H), torch.zeros(B, H))
    assert told.name == "step" and f"a plain function ({__file__}:{step.__code__.co_firstlineno})" in told.reason
    cell = LSTM(I, H)
    cell.register_forward_hook(lambda *_: None)
    assert "LSTM has hooks" in one(cell).reason


def test_the_text_has_what_the_fields_have() -> None:
    told = one(LSTM(64, 256), torch.zeros(100, 64, 64))
    text = " ".join(str(told).split())
    for words in (
        "LSTM: backend cpu; x (100, 64, 64), state (64, 256), (64, 256), float32",
        "before mm(x, weight_ih.T)",
        "product h (64, 256) times weight_hh.T (256, 1024), 33.6 MFLOP",
        "saved 39.3 MB: sigmoid (64, 256) of lstm.py:",
        "redone tanh",
        "products 4.19 GFLOP in all",
        "create_graph=True",
        "vmap, jvp",
        "machine code",
    ):
        assert words in text
    assert repr(told) == str(told)
    assert max(map(len, str(told).splitlines())) <= 120


def test_no_loop_is_run() -> None:
    counts = []
    for time in (3, 50):
        cell = Step(lambda m, x, h: x + h.cumsum(-1))
        one(cell, torch.zeros(time, B, H), torch.zeros(B, H))
        counts.append(len(cell.calls))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("grad", "time", "options"),
    [
        (False, T, {}),
        (True, T, {}),
        (True, 1, {}),
        (True, T, {"reverse": True, "lengths": [6, 2, 0, 4], "return_states": True}),
        (True, T, {"resets": torch.ones(T, B, dtype=torch.bool)}),
        (False, T, {"resets": torch.zeros(T, B, dtype=torch.bool)}),
        (False, 1, {"lengths": [1, 0, 1, 1]}),
    ],
)
def test_the_code_explained_is_the_code_that_runs(grad: bool, time: int, options: dict[str, Any]) -> None:
    cell, x = RNN(I, H), torch.randn(time, B, I)
    with torch.set_grad_enabled(grad):
        program = one(cell, x, **options).program
        assert program is not None
        plans = (program.training, program.backward) if grad else (program.inference,)
        before = [set(plan.compiled) for plan in plans]
        assert all(before)
        y, *_ = elman.scan(cell, x, backend="cpu", **options)
    if grad:
        y.sum().backward()
    assert [set(plan.compiled) for plan in plans] == before


def test_code_comes_from_the_cache_the_second_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    loops = []
    for _ in range(2):
        monkeypatch.setattr(programs, "_programs", type(programs._programs)())
        loops.append(one(GRU(I, H)).forward)
    assert [loop is not None and loop.cached for loop in loops] == [False, True]
    assert all(loop is not None and loop.seconds > 0 for loop in loops)


def test_a_stack_is_explained_layer_by_layer() -> None:
    layers = elman.explain(elman.Recurrent("gru", I, H, num_layers=2, bidirectional=True), torch.zeros(T, B, I))
    assert isinstance(layers, Explanations)
    assert [each.name for each in layers] == [
        "layers.0.0 (GRU)",
        "layers.0.1 (GRU) in reverse",
        "layers.1.0 (GRU)",
        "layers.1.1 (GRU) in reverse",
    ]
    assert [each.inputs[0][-1] for each in layers] == [I, I, 2 * H, 2 * H]
    assert [each.backend for each in layers] == ["cpu"] * 4
    # The second layer's input needs a gradient, as the first layer has parameters.
    assert layers[2].backward is not None
    assert layers[2].backward.all_flops == 2 * T * 6 * B * H * H + 2 * 2 * T * B * 2 * H * 3 * H
    assert str(layers).startswith("1. layers.0.0 (GRU): backend cpu") and "\n\n4. " in repr(layers)


def test_drop_ins_and_models() -> None:
    before = torch.get_rng_state()
    (dropped,) = elman.explain(elman.LSTM(I, H, batch_first=True), torch.zeros(B, T, I))
    assert (dropped.name, dropped.inputs) == ("LSTM", ((T, B, I),))
    net = LanguageNet(11, "rnn", hidden_size=H, num_layers=2, embedding_size=5, dropout=0.5)
    ids = torch.randint(11, (T, B))
    state = torch.get_rng_state()
    told = elman.explain(net, ids, net.initial_state(B))
    assert [each.name for each in told] == ["recurrent.layers.0.0 (RNN)", "recurrent.layers.1.0 (RNN)"]
    assert torch.equal(torch.get_rng_state(), state) and not torch.equal(state, before)


def test_a_model_that_scans_by_itself() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = GRU(I, H), nn.Linear(H, 2)

        def forward(self, x: Tensor) -> Tensor:
            y, _, states = elman.scan(self.cell, x, return_states=True)
            assert y.shape == states.shape == (T, B, H)
            return self.head(y)

    (told,) = elman.explain(Model(), torch.zeros(T, B, I))
    assert told.name == "cell (GRU)"


def test_mistakes() -> None:
    with pytest.raises(UserError, match="Linear ran no scan"):
        elman.explain(nn.Linear(I, H), torch.zeros(T, B, I))
    with pytest.raises(UserError, match="has no start state"):
        elman.explain(Step(lambda m, x, h: x + h), torch.zeros(T, B, H))
    with pytest.raises(UserError, match=r"expected \(T, B, ...\)"):
        elman.explain(LSTM(I, H), torch.zeros(I))
    assert watch.report is None
    assert elman.scan(RNN(I, H), torch.ones(T, B, I))[0].abs().sum() > 0


def test_scans_of_other_threads_go_on_meanwhile() -> None:
    cell, x, found = RNN(I, H), torch.ones(T, B, I), []
    watch.report = lambda planned: pytest.fail("a scan of another thread was stopped")
    try:
        thread = threading.Thread(target=lambda: found.append(elman.scan(cell, x)[0]))
        thread.start()
        thread.join()
    finally:
        watch.report = None
    torch.testing.assert_close(found[0], elman.scan(cell, x)[0])
