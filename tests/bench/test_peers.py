"""Every peer computes what the eager loop in float64 does: outputs, and gradients of the input and all parameters."""

from __future__ import annotations

import pytest
import torch

from elman.bench.cases import FORWARD, RAGGED, STREAM, TRAIN, Case, Shape, make_problem, truth, worst_error
from elman.bench.cells import NAMES
from elman.bench.measure import TOLERANCE
from elman.bench.peers import Eager, Ours, OurStream, Peer
from elman.bench.roster import OURS, PEERS, chosen, of_case
from elman.errors import UserError

SHAPE = Shape(6, 3, 5)
HAS = {
    ("torch", TRAIN): {"lstm", "gru", "rnn"},
    ("torch", FORWARD): {"lstm", "gru", "rnn"},
    ("torch", RAGGED): {"lstm", "gru", "rnn"},
    ("torch", STREAM): {"lstm", "gru", "rnn"},
    ("torch-cell", STREAM): {"lstm"},
    ("eager", TRAIN): set(NAMES),
    ("eager", FORWARD): set(NAMES),
    ("eager", RAGGED): set(NAMES),
    ("jax", TRAIN): set(NAMES),
    ("torchrecurrent", TRAIN): {"peepholelstm", "mgu"},
    ("torchrecurrent", FORWARD): {"peepholelstm", "mgu"},
    ("onnxruntime", FORWARD): {"lstm", "gru", "rnn", "gruresetbefore"},
}
"""What each has in float32, besides ``compile`` and JAX's forward, which its training step begins with."""


def peer_of(name: str, case: Case) -> type[Peer] | None:
    for package in PEERS[name].packages:
        pytest.importorskip(package)
    roster, _ = chosen((name,), [case])
    return of_case(roster[name], case) if name in roster else None


def error_of(kind: type[Peer], case: Case) -> float:
    problem = make_problem(case)
    expected = truth(problem)
    assert ("x" in expected) == (case.kind in (TRAIN, RAGGED))
    results = kind(problem).results()
    assert results.keys() == expected.keys()
    return worst_error(results, expected)


@pytest.mark.parametrize("cell", NAMES)
@pytest.mark.parametrize(("name", "kind"), HAS)
def test_peers_agree(name: str, kind: str, cell: str) -> None:
    case = Case(cell, SHAPE, kind)
    peer = peer_of(name, case)
    assert (peer is not None) == (cell in HAS[name, kind])
    if peer is not None:  # rounding alone: layer norm over five units makes most of it
        assert error_of(peer, case) < 1e-5


def test_jax_agrees_without_gradients() -> None:
    peer = peer_of("jax", Case("scrn", SHAPE, FORWARD))
    assert peer is not None
    assert error_of(peer, Case("scrn", SHAPE, FORWARD)) < 2e-6


@pytest.mark.parametrize(("cell", "kind"), [("twopace", TRAIN), ("lstm", RAGGED), ("mgu", FORWARD)])
def test_we_agree(cell: str, kind: str) -> None:
    assert error_of(Ours, Case(cell, SHAPE, kind)) < 2e-6


@pytest.mark.parametrize("name", ["torch", "eager", "jax", "torchrecurrent"])
def test_peers_agree_in_float64(name: str) -> None:
    case = Case("mgu" if name == "torchrecurrent" else "gru", SHAPE, TRAIN, "float64")
    peer = peer_of(name, case)
    assert peer is not None
    assert error_of(peer, case) < 1e-13


@pytest.mark.parametrize("name", ["torch", "torch-float32", "eager"])
@pytest.mark.parametrize("kind", [TRAIN, FORWARD])
def test_peers_agree_in_bf16(name: str, kind: str) -> None:
    case = Case("lstm", SHAPE, kind, "bf16")
    peer = peer_of(name, case)
    assert peer is not None
    error = error_of(peer, case)
    assert error < 1e-6 if name == "torch-float32" else 1e-5 < error < TOLERANCE["bf16"]


def test_who_has_nothing_for_bf16_and_float64() -> None:
    assert peer_of("torch-float32", Case("lstm", SHAPE)) is None
    assert peer_of("jax", Case("lstm", SHAPE, TRAIN, "bf16")) is None
    assert peer_of("onnxruntime", Case("lstm", SHAPE, FORWARD, "float64")) is None


def test_peers_do_not_touch_the_problem() -> None:
    problem = make_problem(Case("lstm", SHAPE))
    before = {name: each.clone() for name, each in problem.cell.state_dict().items()}
    roster, _ = chosen(("torch", "eager"), [problem.case])
    for kind in (*OURS[:1], *(classes[0] for classes in roster.values())):
        kind(problem).seconds(2)
    assert all(torch.equal(each, before[name]) for name, each in problem.cell.state_dict().items())
    assert not problem.x.requires_grad and all(each.grad is None for each in problem.cell.parameters())


def test_a_stream_is_measured_when_there_is_one() -> None:
    case = Case("lstm", Shape(4, 2, 3), STREAM)
    refusal = OurStream.refuses(case)
    if refusal:
        assert refusal == "elman.Stream does not exist yet" and of_case(OURS, case) is None
    else:
        assert error_of(OurStream, case) < 2e-6


def test_the_eager_peer_is_the_eager_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("elman.bench.peers.scan", lambda cell, x, **options: asked.append(options["backend"]) or [x])
    problem = make_problem(Case("lstm", SHAPE, FORWARD))
    Ours(problem).forward()
    Eager(problem).forward()
    assert asked == ["auto", "eager"]


def test_an_unknown_peer() -> None:
    with pytest.raises(UserError, match="unknown peer 'torhc'; did you mean 'torch'"):
        chosen(("torhc",), [Case("lstm", SHAPE)])


def test_a_peer_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("elman.bench.roster.importlib.util.find_spec", lambda package: None)
    case = Case("lstm", SHAPE, FORWARD)
    roster, notes = chosen((), [case])
    assert list(roster) == ["torch", "eager"]
    assert (
        notes[-1] == ("onnxruntime left out: onnx and onnxruntime are not installed (pip install 'elman[bench]')")
        and len(notes) == 3
    )
    with pytest.raises(
        UserError, match=r"jax is not installed, so there is no peer 'jax'; pip install 'elman\[bench\]'"
    ):
        chosen(("torch", "jax"), [case])


@pytest.mark.slow
def test_the_compiled_loop_answers_from_its_child() -> None:
    case = Case("lstm", SHAPE)
    kind = peer_of("compile", case)
    assert kind is not None
    problem = make_problem(case)
    peer = kind(problem)
    try:
        assert worst_error(peer.results(), truth(problem)) < 2e-6
        assert 0 < peer.seconds(3) < 5
    finally:
        peer.close()


@pytest.mark.slow
def test_the_compiled_loop_is_given_up() -> None:
    case = Case("lstm", SHAPE)
    roster, _ = chosen((), [case], compile_limit=0.01)
    with pytest.raises(Exception, match="not compiled within 0 s"):
        roster["compile"][0](make_problem(case))
