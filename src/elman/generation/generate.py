"""Let a language model go on from a prompt, several samples side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from .arguments import count, prompt_ids, token_ids
from .samplers import Sampler, Sampling, forbid_ids
from .stream import TokenStream, noisy_state

AS_TRAINED = Sampling()
"""Every type with the probability the model gives it."""

STOPPED = -1
"""What :func:`stream_tokens` yields for a row that has already stopped."""

Stop = int | Iterable[int | Sequence[int]]
"""One id, or several ids and sequences of ids, each of which ends a row."""


def stream_tokens(
    net: nn.Module,
    prompt: Sequence[int] | Tensor,
    *,
    length: int,
    sampling: Sampler = AS_TRAINED,
    samples: int = 1,
    stop: Stop = (),
    start: int | None = None,
    forbid: Iterable[int] = (),
    noise: float | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Tensor]:
    """Continue a prompt, yielding the ids chosen at each step, (B,) int64 on the CPU, with B = ``samples``.

    Every row reads ``start`` (where given), then the prompt; then up to ``length`` tokens are chosen by ``sampling``
    (:class:`Sampling`, or any function of logits and generator), never one of ``forbid``. A row ends with the first
    token or sequence of tokens in ``stop``, which is yielded as its last; only chosen tokens count, not the prompt's.
    From then on it shows ``STOPPED`` (-1). The stream ends when all rows have, or after ``length`` steps.
    ``noise`` is the sigma of a noise start (:func:`noisy_state`; the chapter uses 0.01), ``None`` the net's own start.

    Random numbers come from ``generator`` (on the CPU), or a new one with ``seed``, or PyTorch's global one: first the
    noise, then one uniform number a row and step, rows in order, stopped rows included, so that where one row stops
    changes no other row. The arguments are checked at the call; UserError says what is wrong with one, and, while
    generating, that a model has diverged.

    >>> class Next(nn.Module):  # after i comes i + 1
    ...     def forward(self, x, state=None):
    ...         return 9.0 * nn.functional.one_hot((x + 1) % 5, 5), state
    >>> greedy = Sampling(greedy=True)
    >>> [ids.tolist() for ids in stream_tokens(Next(), [0], length=9, sampling=greedy, samples=2, stop=3)]
    [[1, 1], [2, 2], [3, 3]]
    """
    count("length", length)
    count("samples", samples)
    stops = _stops(stop)
    forbidden = token_ids(forbid, "forbid")
    ids = prompt_ids(prompt, start)
    rng = _generator(seed, generator)
    state = None if noise is None else noisy_state(net, samples, noise, rng)
    stream = TokenStream(net, samples, state)
    return _run(stream, ids, length, lambda logits: sampling(forbid_ids(logits, forbidden), rng), stops)


def generate(
    net: nn.Module,
    prompt: Sequence[int] | Tensor,
    *,
    length: int,
    sampling: Sampler = AS_TRAINED,
    samples: int = 1,
    stop: Stop = (),
    start: int | None = None,
    forbid: Iterable[int] = (),
    noise: float | None = None,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    on_token: Callable[[int, int], object] | None = None,
) -> list[list[int]]:
    """Continue a prompt: a list of new ids for each of ``samples`` rows, the prompt left out, a stop left in.

    ``on_token(row, id)`` is called for each token as it is chosen, step by step and row by row. The other arguments,
    the order of random numbers and the errors are those of :func:`stream_tokens`.

    >>> class Next(nn.Module):  # after i comes i + 1
    ...     def forward(self, x, state=None):
    ...         return 9.0 * nn.functional.one_hot((x + 1) % 5, 5), state
    >>> generate(Next(), [0, 1], length=4, sampling=Sampling(greedy=True))
    [[2, 3, 4, 0]]
    """
    rows: list[list[int]] = [[] for _ in range(count("samples", samples))]
    steps = stream_tokens(
        net,
        prompt,
        length=length,
        sampling=sampling,
        samples=samples,
        stop=stop,
        start=start,
        forbid=forbid,
        noise=noise,
        seed=seed,
        generator=generator,
    )
    for ids in steps:
        for row, token in enumerate(ids.tolist()):
            if token == STOPPED:
                continue
            rows[row].append(token)
            if on_token is not None:
                on_token(row, token)
    return rows


def _run(
    stream: TokenStream, prompt: Tensor, length: int, choose: Callable[[Tensor], Tensor], stops: list[Tensor]
) -> Iterator[Tensor]:
    stopped = torch.zeros(stream.batch_size, dtype=torch.bool)
    recent: deque[Tensor] = deque(maxlen=max(map(len, stops), default=0))
    logits = stream.feed(prompt[:, None].expand(-1, stream.batch_size))
    for left in range(length, 0, -1):
        ids = choose(logits)
        yield ids.masked_fill(stopped, STOPPED)
        recent.append(ids)
        for sequence in stops:
            if len(recent) >= len(sequence):
                tail = torch.stack(list(recent)[-len(sequence) :])  # (len(sequence), B)
                stopped = stopped | (tail == sequence[:, None]).all(0)
        if left == 1 or stopped.all():
            return
        logits = stream.step(ids)


def _stops(stop: Stop) -> list[Tensor]:
    entries = [stop] if isinstance(stop, int | np.integer) else stop
    sequences = [token_ids([entry] if isinstance(entry, int | np.integer) else entry, "stop") for entry in entries]
    if () in sequences:
        raise UserError("a stop sequence is empty; give at least one token id, or leave it out")
    return [torch.tensor(sequence) for sequence in sequences]


def _generator(seed: int | None, generator: torch.Generator | None) -> torch.Generator:
    if seed is not None and generator is not None:
        raise UserError("both a seed and a generator were given; give one of them")
    if seed is not None:
        if isinstance(seed, bool) or not isinstance(seed, Integral) or not 0 <= seed < 2**64:
            raise UserError(f"seed is {seed!r}; expected a whole number of at least 0 and below 2^64")
        return torch.Generator().manual_seed(int(seed))
    if generator is None:
        return torch.default_generator
    if generator.device.type != "cpu":
        raise UserError(f"the generator is on {generator.device}; choices are made on the CPU: give torch.Generator()")
    return generator
