from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from elman.data.series import Series
from elman.tasks.forecast.figure import draw_forecasts
from elman.tasks.forecast.result import Forecast


@pytest.mark.parametrize(
    ("label", "lines", "count"),
    [
        ("2024-04-07T21:00:00+02:00", ["2024-04-07", "21:00:00+02:00"], 4),
        ("3/5/2024 3:00", ["3/5/2024", "3:00"], 6),
        ("03/05/2024, 03:00:00 AM", ["03/05/2024", "03:00:00 AM"], 5),
        ("2024-04-07", ["2024-04-07"], 6),
        ("a row of thirteen", ["a row of thirteen"], 4),
        ("the hour of noon on a day of summer", ["the hour of noon on a day of summer"], 2),
    ],
)
def test_labels_stand_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str, lines: list[str], count: int
) -> None:
    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **how: drawn.append(self) or save(self, *a, **how))
    series = Series(np.arange(100.0)[:, None], ("sold",), 1, dates=(label,) * 100)
    forecast = Forecast(np.ones((6, 1, 1)), (0.5,), ("sold",), (label,) * 6, 100)
    assert draw_forecasts(series, [forecast], tmp_path / "x.png") == 1
    labels = drawn[0].axes[-1].get_xticklabels()
    assert [each.get_text().split("\n") for each in labels] == [lines] * count
    boxes = [each.get_window_extent() for each in labels]
    assert all(a.x1 + 5 < b.x0 for a, b in pairwise(boxes))
