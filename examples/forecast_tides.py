"""Forecasts of a made series: two tides that beat against each other, a holiday effect known ahead, and noise.

    python examples/forecast_tides.py

In some ten seconds a small GRU is trained, compared with simple methods at rolling origins, and draws forecasts.png.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from elman import Forecaster
from elman.tasks.forecast.figure import draw_forecasts


def made(days: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    """Hourly values of ``days`` days: tides of 12.4 and 24 hours, weekends two higher, noise of deviation 0.3."""
    hour = np.arange(24 * days)
    weekend = (hour // 24 % 7 >= 5).astype(float)
    tides = 2 * np.sin(2 * np.pi * hour / 12.4) + np.sin(2 * np.pi * hour / 24)
    noise = 0.3 * np.random.default_rng(seed).standard_normal(len(hour))
    return {"hour": hour, "level": 10 + tides + 2 * weekend + noise, "weekend": weekend}


def main(steps: int = 600, picture: str | Path = "forecasts.png") -> float:
    """Trains, prints the comparison and tomorrow's first hours, draws the picture, and returns MASE."""
    table = made()
    model = Forecaster(target="level", known=("weekend",), dates="hour", horizon=24, season=24, context=72, steps=steps)
    found = model.fit(table).evaluate()
    print(found.table())
    tomorrow = model.predict(future=np.zeros((24, 1)))
    low, middle, high = (tomorrow.quantile(level)[:3].round(1).tolist() for level in (0.1, 0.5, 0.9))
    print(f"\nthe next three hours: {middle}, with four chances in five between {low} and {high}")
    draw_forecasts(found.series, found.forecasts, Path(picture), "Tides: forecasts of a day")
    print(f"picture: {picture}")
    return float(found["mase"])


if __name__ == "__main__":
    main(picture=sys.argv[1] if len(sys.argv) > 1 else "forecasts.png")
