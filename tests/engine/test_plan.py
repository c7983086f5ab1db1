"""Stages of small loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from elman.engine.plan import Plan, make_plan
from elman.engine.split import split
from elman.engine.trace import Refused, trace


def plan_of(step: Callable[..., Any], width: int = 4) -> Plan:
    def examples(rows: int) -> list[torch.Tensor]:
        return [torch.zeros(4, width), torch.zeros(rows, width), torch.zeros(rows, 4)]

    graph = trace(lambda w, x, h: [n := step(w, x, h), n], examples)
    return make_plan(split(graph, 1, 1).core, [graph.inputs[-1]])


def stages(plan: Plan) -> list[tuple[int, list[str], list[tuple[str, int]]]]:
    return [
        (stage.width, [store.kind for store in stage.stores], [(v.name, at) for v, at in stage.products])
        for stage in plan.stages
    ]


def test_one_product() -> None:
    assert stages(plan_of(lambda w, x, h: torch.tanh(h @ w + x))) == [(4, ["state"], [("mm", 0)])]


def test_gates_are_columns_of_one_product() -> None:
    plan = plan_of(lambda w, x, h: (lambda z: h * torch.sigmoid(z[0]) + z[1])((h @ w + x).chunk(2, -1)), 8)
    assert stages(plan) == [(4, ["state"], [("mm", 0), ("mm", 4)])]


def test_a_product_of_a_computed_value_waits() -> None:
    plan = plan_of(lambda w, x, h: torch.tanh((h * torch.sigmoid(h @ w)) @ w + x))
    assert stages(plan) == [(4, ["scratch"], [("mm", 0)]), (4, ["state"], [("mm_1", 0)])]
    assert [value.name for value in plan.scratch] == ["mul"]


def test_a_sum_over_the_row_waits_and_is_spread() -> None:
    plan = plan_of(lambda w, x, h: torch.tanh(x) * (h * h).sum(-1, keepdim=True))
    assert [(width, kinds) for width, kinds, _ in stages(plan)] == [(4, ["scratch"]), (1, ["scratch"]), (4, ["state"])]
    assert [value.name for value in plan.spread] == ["sum_1"]


def test_halves_written_apart_are_stages_of_their_width() -> None:
    plan = plan_of(lambda w, x, h: torch.cat([h[:, 1:], x[:, :1] * h[:, :1]], -1))
    assert sorted((s.offset, s.width) for stage in plan.stages for s in stage.stores) == [(0, 3), (3, 1)]


def test_refused() -> None:
    with pytest.raises(Refused, match="cumsum"):
        plan_of(lambda w, x, h: torch.cumsum(h, -1) + x)
    with pytest.raises(Refused, match="float64"):
        plan_of(lambda w, x, h: (h.double() + x).float())
