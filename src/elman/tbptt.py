"""Truncated backpropagation through time, as an object that owns the carried state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError, nearest
from .initialisation import truncated_normal_
from .structure import State, describe, leaves, map_leaves, rebuild, where_rows

Inputs = Tensor | tuple[Tensor, ...]

PRECISIONS = ("full", "bf16")


@dataclass(frozen=True)
class _Chunk:
    """k1 steps of input, and what happens to the state before them."""

    x: Inputs
    resets: Tensor | None
    # Rows (B,) whose state is replaced before the chunk, and by which state.
    replaced: tuple[Tensor, State] | None


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class TBPTT:
    """Truncated BPTT(k2; k1) of Williams and Peng 1990: update every k1 steps, backpropagate through k2.

    Each call of ``backward`` takes the newest k1 steps. It starts from the detached state k2 steps back (or the start),
    runs the steps since with the current weights, takes the loss of the newest k1 only and does one backward pass; the
    state carried on is detached. Gradients are left in ``.grad``; the caller steps the optimiser.

    Args:
        model: ``model(x, state) -> (output, state)``, time first; ``model(x, state, resets=...)`` where resets are
            used; ``None`` is the start state. State tensors are (B, ...).
        k1: steps between updates; a window may be shorter (the last of an epoch).
        k2: steps to backpropagate through, a multiple of k1; default k1.
        precision: "full", or "bf16" to run model and loss of ``backward`` under ``torch.autocast`` to bfloat16:
            products round their factors, weights and gradients stay as they are.

    Raises ``UserError`` for a k2 that is no multiple of k1 and for an unknown precision.

    >>> from elman import Recurrent
    >>> layer = Recurrent("gru", 3, 4)
    >>> tb = TBPTT(layer, k1=5, k2=10)
    >>> x = torch.randn(20, 2, 3)
    >>> for window in x.split(5):
    ...     loss = tb.backward(nn.functional.mse_loss, window, torch.zeros(5, 2, 4))
    >>> layer.layers[0][0].weight_hh.grad.shape
    torch.Size([12, 4])
    """

    def __init__(self, model: nn.Module, k1: int = 50, k2: int | None = None, *, precision: str = "full") -> None:
        k2 = k1 if k2 is None else k2
        if precision not in PRECISIONS:
            raise UserError(f"precision is {precision!r}; {nearest(precision, PRECISIONS)}")
        if k1 < 1 or k2 < k1 or k2 % k1:
            raise UserError(f"k1={k1}, k2={k2}; k2 (steps to backpropagate through) is a multiple of k1, both above 0")
        self.model = model
        self.k1 = k1
        self.k2 = k2
        self.precision = precision
        self._state: State = None
        self._history: list[_Chunk] = []
        self._pending: list[tuple[Tensor | None, float]] = []
        self._restored: dict[str, Tensor] | None = None
        self._evaluating = False

    def backward(
        self, loss_fn: Callable[[Any, Any], Tensor], x: Inputs, y: Any, resets: Tensor | None = None
    ) -> Tensor:
        """The mean loss of the newest steps, detached, its gradients added to ``.grad``.

        Args:
            loss_fn: ``loss_fn(output, y)``, a scalar.
            x: the newest k1 steps (k1, B, ...); fewer are allowed.
            y: their targets, as ``loss_fn`` takes them.
            resets: (k1, B) bool, as in ``elman.scan``.
        """
        if self._evaluating:
            raise UserError("TBPTT.backward trains; call it outside 'with tb.evaluating():'")
        self._restore(x)
        chunks = [*self._history, _Chunk(x, resets, self._take_pending(x))]
        full = len(chunks) == self.k2 // self.k1
        state, next_start = self._state, self._state
        with torch.autocast(leaves(x)[0].device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            for k, chunk in enumerate(chunks):
                output, state = self._run(chunk, state)
                if k == 0 and full:
                    next_start = map_leaves(Tensor.detach, state)
            loss = loss_fn(output, y)
        loss.backward()
        self._state = next_start
        self._history = chunks[1:] if full else chunks
        return loss.detach()

    def forward(self, x: Inputs, resets: Tensor | None = None) -> Any:
        """The model's output on the next steps, carrying the state; only inside ``with tb.evaluating():``."""
        if not self._evaluating:
            raise UserError("TBPTT.forward carries the evaluation state; call it inside 'with tb.evaluating():'")
        output, self._state = self._run(_Chunk(x, resets, self._take_pending(x)), self._state)
        return output

    @contextmanager
    def evaluating(self) -> Iterator[TBPTT]:
        """Evaluation mode, no gradients, and a state of its own from the start; then training goes on as it was."""
        kept = self._state, self._history, self._pending, self._restored, self._evaluating
        self._state, self._history, self._pending, self._restored, self._evaluating = None, [], [], None, True
        try:
            with _evaluation_mode(self.model):
                yield self
        finally:
            self._state, self._history, self._pending, self._restored, self._evaluating = kept

    def reset(self, rows: Sequence[int] | Tensor | None = None, std: float = 0.0) -> None:
        """Before the next step, all rows (or those given) begin anew: at the start state, or at noise of sigma ``std``.

        The noise is a truncated normal (the textbook draws its test state so, with sigma 0.01). No gradient flows
        through a reset, and single rows forget their past also where k2 > k1.

        >>> from elman import Recurrent
        >>> tb = TBPTT(Recurrent("rnn", 2, 3), k1=4)
        >>> tb.reset(rows=[0], std=0.01)
        """
        if not std >= 0:
            raise UserError(f"std={std}; give the sigma of the noise, 0 or more")
        if rows is None:
            self._state, self._history, self._restored = None, [], None
            self._pending = [(None, std)] if std else []
        else:
            chosen = torch.as_tensor(rows)
            self._pending.append((chosen if chosen.dtype == torch.bool else chosen.long(), std))

    def state_dict(self) -> dict[str, Tensor]:
        """What is carried, as tensors by flat names: the batch is axis 0 of ``state.*`` and axis 1 of ``history.*``.

        ``pending.*`` are the resets asked for since the last step.
        """
        pending: dict[str, Tensor] = {}
        for n, (rows, std) in enumerate(self._pending):
            pending[f"pending.{n}.std"] = torch.tensor(std, dtype=torch.float64)
            if rows is not None:
                pending[f"pending.{n}.rows"] = rows
        if self._restored is not None:
            return self._restored | pending
        carried = {f"state.{i}": leaf for i, leaf in enumerate(leaves(self._state))}
        for n, chunk in enumerate(self._history):
            parts: dict[str, list[Tensor]] = {"x": list(leaves(chunk.x))}
            if chunk.resets is not None:
                parts["resets"] = [chunk.resets]
            if chunk.replaced is not None:
                parts["rows"] = [chunk.replaced[0].unsqueeze(0)]
                parts["by"] = [leaf.unsqueeze(0) for leaf in leaves(chunk.replaced[1])]
            carried |= {f"history.{n}.{part}.{i}": leaf for part in parts for i, leaf in enumerate(parts[part])}
        return carried | pending

    def load_state_dict(self, carried: dict[str, Tensor]) -> None:
        """Takes back what ``state_dict`` gave; nested states find their structure at the next step.

        That step raises ``UserError`` when the carried state does not fit the model's.
        """
        self.reset()
        count = sum(name.startswith("pending.") and name.endswith(".std") for name in carried)
        self._pending = [(carried.get(f"pending.{n}.rows"), float(carried[f"pending.{n}.std"])) for n in range(count)]
        self._restored = {name: tensor for name, tensor in carried.items() if not name.startswith("pending.")}

    def _run(self, chunk: _Chunk, state: State) -> tuple[Any, State]:
        if chunk.replaced is not None:
            rows, by = chunk.replaced
            state = where_rows(rows, by, self._start_state(chunk.x) if state is None else state)
        if chunk.resets is None:
            return self.model(chunk.x, state)
        return self.model(chunk.x, state, resets=chunk.resets)

    def _take_pending(self, x: Inputs) -> tuple[Tensor, State] | None:
        if not self._pending:
            return None
        pending, self._pending = self._pending, []
        first = leaves(x)[0]
        chosen = torch.zeros(first.shape[1], dtype=torch.bool, device=first.device)
        start = by = self._start_state(x)
        if any(leaf.shape[:1] != chosen.shape for leaf in leaves(start)):
            raise UserError(
                f"single rows cannot be reset in the state {describe(start)}: for a batch of {len(chosen)} its tensors "
                "are to be (B, ...), as those of elman.Recurrent are"
            )
        for rows, std in pending:
            now = torch.zeros_like(chosen)
            now[slice(None) if rows is None else rows] = True
            anew = start
            if std:
                anew = map_leaves(lambda leaf, std=std: truncated_normal_(torch.empty_like(leaf), std), start)  # type: ignore[misc]
            by = where_rows(now, anew, by)
            chosen = chosen | now
        return chosen, by

    def _start_state(self, x: Inputs) -> State:
        """The model's start state, or zeros of the shapes a throw-away step tells."""
        batch = leaves(x)[0].shape[1]
        # DistributedDataParallel hides the model it wraps.
        initial_state: Any = getattr(getattr(self.model, "module", self.model), "initial_state", None)
        if initial_state is not None:
            return map_leaves(Tensor.detach, initial_state(batch))
        return map_leaves(torch.zeros_like, self._example_state(x))

    def _example_state(self, x: Inputs) -> State:
        """The state after one throw-away step, which leaves the random generators as they were."""
        devices = {leaf.device for leaf in leaves(x) if leaf.device.type == "cuda"}
        with _evaluation_mode(self.model), torch.random.fork_rng(devices):
            _, state = self.model(rebuild(x, (leaf[:1] for leaf in leaves(x))), None)
        return state

    def _restore(self, x: Inputs) -> None:
        if self._restored is None:
            return
        carried, self._restored = self._restored, None
        if not carried:
            return
        device = leaves(x)[0].device
        groups: dict[str, list[Tensor]] = {}
        # By number, for files hand names back in an order of their own, "state.10" before "state.2".
        for name in sorted(carried, key=lambda name: int(name.rpartition(".")[2])):
            groups.setdefault(name.rpartition(".")[0], []).append(carried[name].to(device))
        structure = self._example_state(x)
        if "state" in groups:
            if [leaf.shape for leaf in groups["state"]] != [leaf.shape for leaf in leaves(structure)]:
                raise UserError(
                    f"the carried state is {describe(tuple(groups['state']))}, the model's {describe(structure)}; "
                    "load what a TBPTT over the same model and batch size has saved"
                )
            self._state = rebuild(structure, groups["state"])
        for n in range(sum(name.endswith(".x") for name in groups)):
            part = {name: groups.get(f"history.{n}.{name}", []) for name in ("x", "resets", "rows", "by")}
            replaced = None
            if part["rows"]:
                replaced = part["rows"][0][0], rebuild(structure, (leaf[0] for leaf in part["by"]))
            inputs = rebuild(x, part["x"])
            self._history.append(_Chunk(inputs, part["resets"][0] if part["resets"] else None, replaced))
