"""Small problems for the three nets."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest

from elman.reference import gru, lstm, rnn

TIME, BATCH, INPUT, HIDDEN = 7, 3, 2, 4

Array = np.ndarray


class Problem(NamedTuple):
    """A net with parameters, an input, a first state, and the gradients that come from outside."""

    name: str
    net: ModuleType
    params: dict[str, Array]
    x: Array
    state: Any
    dys: Array
    dstate: Any


@pytest.fixture(params=[rnn, lstm, gru], ids=lambda net: net.__name__.rpartition(".")[2])
def problem(request: pytest.FixtureRequest) -> Problem:
    net = request.param
    rng = np.random.default_rng(0)

    def state() -> Any:
        return (rng.normal(size=(BATCH, HIDDEN)), rng.normal(size=(BATCH, HIDDEN)))[:: 1 if net is lstm else 2]

    first, dlast = state(), state()
    return Problem(
        net.__name__.rpartition(".")[2],
        net,
        net.start(INPUT, HIDDEN, rng),
        rng.normal(size=(TIME, BATCH, INPUT)),
        first if net is lstm else first[0],
        rng.normal(size=(TIME, BATCH, HIDDEN)),
        dlast if net is lstm else dlast[0],
    )
