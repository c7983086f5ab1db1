from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from elman import Cell
from elman.errors import UserError
from elman.models import DecoderNet, Seq2SeqNet
from elman.structure import leaves, map_leaves

pytestmark = pytest.mark.usefixtures("eager")
T, B, S, V = 6, 3, 4, 7
LENGTHS = torch.tensor([4, 2, 1])


def made(**options: Any) -> DecoderNet:
    """Two layers over a memory of 6 features, in float64."""
    sizes = {"memory_size": 6, "vector_size": 5, "embedding_size": 3, "dtype": torch.float64, **options}
    return DecoderNet(V, "gru", **{"hidden_size": 4, "num_layers": 2, **sizes})


def told() -> dict[str, Tensor]:
    real = torch.float64
    return {"memory": torch.randn(S, B, 6, dtype=real), "lengths": LENGTHS, "vector": torch.randn(B, 5, dtype=real)}


def tokens() -> Tensor:
    return torch.randint(V, (T, B))


@pytest.mark.parametrize("options", [{}, {"input_feeding": True, "vector_fed": True, "tied": True}], ids=str)
def test_as_the_formulas_one_step_after_the_other(options: dict[str, Any]) -> None:
    """A loop of the cells' own steps, with what is looked at and fed written out."""
    net, given, x = made(**options), told(), tokens()
    found, _ = net(x, net.begin(**given))

    cells = [net.lowest.layers[0][0], net.upper.layers[0][0]]  # type: ignore[index, union-attr]
    h = list(torch.tanh(net.starts(given["vector"])).split(4, 1))  # type: ignore[misc]
    fed = torch.zeros(B, net.head.in_features, dtype=torch.float64)
    memory = net.attention.remember(given["memory"], LENGTHS)  # type: ignore[union-attr]
    for t in range(T):
        read = [net.embedding(x[t])]
        read += [given["vector"]] if options.get("vector_fed") else []
        read += [fed] if options.get("input_feeding") else []
        _, h[0] = cells[0](torch.cat(read, 1), h[0])
        context, _ = net.attention(h[0][None], memory)  # type: ignore[misc]
        _, h[1] = cells[1](torch.cat([h[0], context[0]], 1), h[1])
        fed = torch.tanh(net.mix(torch.cat([h[1], context[0]], 1)))  # type: ignore[misc]
        assert (found[t] - F.linear(fed, net.head.weight, net.head.bias)).abs().max() < 1e-12


@pytest.mark.parametrize("feeding", [False, True])
def test_token_by_token_and_reordered_rows(feeding: bool) -> None:
    net, given, x = made(input_feeding=feeding), told(), tokens()
    whole, end = net(x, net.begin(**given))
    state, steps = net.begin(**given), []
    for ids in x:
        logits, state = net.step(ids, state)
        steps.append(logits)
    assert (whole - torch.stack(steps)).abs().max() < 1e-12
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(leaves(end.layers), leaves(state.layers), strict=True))

    _, state = net(x[:3], net.begin(**given))
    rows, memories = torch.tensor([4, 5, 1, 0]), torch.tensor([2, 0])
    beams = state.select(torch.arange(B).repeat_interleave(2)).select(rows, memories)
    logits, _ = net.step(x[3, [2, 2, 0, 0]], beams)
    assert (logits - whole[3, [2, 2, 0, 0]]).abs().max() < 1e-12


def test_a_vector_alone_and_nothing_at_all() -> None:
    net = DecoderNet(V, "lstm", 4, vector_size=5, embedding_size=3, dtype=torch.float64)
    vector = torch.randn(2, 5, dtype=torch.float64)
    state = net.begin(vector=vector)
    assert torch.equal(torch.cat(leaves(state.layers), 1), torch.tanh(net.starts(vector)))  # type: ignore[misc]
    logits, _ = net(torch.tensor([[1, 1]]), state)
    assert (logits[0, 0] - logits[0, 1]).abs().max() > 1e-4
    alone = DecoderNet(V, "lstm", 4, embedding_size=3, dtype=torch.float64)
    logits, _ = alone(torch.tensor([[1, 1]]), alone.begin(rows=2))
    assert torch.equal(logits[0, 0], logits[0, 1])


def test_only_units_are_started() -> None:
    class Counting(Cell, register=False):
        gates, states, internal = ("n",), ("h", "seen"), ("seen",)
        state_sizes = property(lambda self: (self.hidden_size, 1))

        def step(self, x: Any, h: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
            return torch.tanh(x.n + self.recur.n(h)), seen + 1

    net = DecoderNet(V, Counting, 4, vector_size=5, embedding_size=3)
    h, seen = net.begin(vector=torch.ones(2, 5)).layers[0]
    assert h.abs().min() > 0 and torch.equal(seen, torch.zeros(2, 1))


def test_gradients_reach_everything() -> None:
    net = Seq2SeqNet(9, V, "gru", 4, 2, attention="additive", embedding_size=3, tied=True, dropout=0.2)
    logits, _ = net(torch.randint(9, (S, B)), LENGTHS, tokens())
    logits.square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in net.parameters())
    assert net.decoder.embedding.weight is net.decoder.head.weight


def test_a_batch_of_mixed_lengths_is_as_one_by_one() -> None:
    net = Seq2SeqNet(9, V, "gru", 4, encoder_layers=2, dtype=torch.float64)
    source, x = torch.randint(9, (S, B)), tokens()
    together, _ = net(source, LENGTHS, x)
    for b, length in enumerate(LENGTHS.tolist()):
        alone, _ = net(source[:length, b : b + 1], torch.tensor([length]), x[:, b : b + 1])
        assert (alone[:, 0] - together[:, b]).abs().max() < 1e-12


def test_without_attention_the_whole_is_read_at_every_step() -> None:
    net = Seq2SeqNet(9, V, "gru", 4, attention=None, dtype=torch.float64)
    state = net.begin(torch.randint(9, (S, B)), LENGTHS)
    assert state.memory is None and state.vector is not None
    first, _ = net.decoder(tokens(), state)
    other = state._replace(vector=map_leaves(torch.neg, state.vector))
    second, _ = net.decoder(tokens(), other)
    assert (first[-1] - second[-1]).abs().max() > 1e-3


def test_options_of_cells_go_to_the_part_that_has_such_cells() -> None:
    net = Seq2SeqNet(5, V, ["scrn", "gru", "lstm"], 4, encoder_cell="minimalrnn", forget_bias=2.0, alpha=0.5)
    encoder, lowest, upper = (part.layers for part in (net.encoder, net.decoder.lowest, net.decoder.upper))
    assert [cell.forget_bias for cell in encoder[0]] == [2.0, 2.0]
    assert (lowest[0][0].alpha, lowest[0][0].forget_bias) == (0.5, None)
    assert [layer[0].forget_bias for layer in upper] == [None, 2.0]
    with pytest.raises(UserError, match="no cell of this stack has an option 'alhpa'; did you mean 'alpha'"):
        Seq2SeqNet(5, V, "gru", 4, encoder_cell="scrn", alhpa=0.5)
    with pytest.raises(UserError, match=r"has a forget gate, so forget_bias=2\.0 has nothing to set"):
        DecoderNet(V, ["gru", "rnn"], 4, forget_bias=2.0)


def test_output_weights_start_as_asked() -> None:
    for tied in (False, True):
        assert abs(made(embedding_size=32, tied=tied, hidden_size=32).head.weight.std() - 0.2) < 0.03
    bound = (6 / (V + 32)) ** 0.5
    assert 0.9 * bound < made(embedding_size=32, tied=True, init="xavier").head.weight.abs().max() <= bound


def test_refusals() -> None:
    with pytest.raises(UserError, match="no memory; give memory_size"):
        DecoderNet(V, "gru", 4, input_feeding=True)
    with pytest.raises(UserError, match="use vector_starts or vector_fed"):
        DecoderNet(V, "gru", 4, vector_size=3, vector_starts=False)
    with pytest.raises(UserError, match="dropout=1; give the probability"):
        DecoderNet(V, "gru", 4, dropout=1)
    with pytest.raises(UserError, match="memory is missing; this decoder was made with memory_size=6"):
        made().begin(vector=torch.zeros(B, 5))
    with pytest.raises(UserError, match=r"the vector is \(3, 4\); expected \(N, 5\)"):
        made().begin(torch.zeros(S, B, 6), LENGTHS, torch.zeros(B, 4))
    with pytest.raises(UserError, match="needs one vocabulary, got 9 types of sources and 7"):
        Seq2SeqNet(9, V, "gru", 4, shared=True)
