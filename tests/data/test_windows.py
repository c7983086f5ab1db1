from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elman import UserError
from elman.data.windows import SeriesWindows


@given(
    length=st.integers(1, 30),
    context=st.integers(1, 6),
    steps=st.integers(1, 5),
    first=st.integers(0, 20),
    known=st.integers(0, 2),
)
def test_windows_are_slices_of_the_series(length: int, context: int, steps: int, first: int, known: int) -> None:
    values = np.arange(length * 3.0).reshape(length, 3)
    targets = values[:, :1].copy()
    targets[::3] = np.nan
    origins = [o for o in range(max(first, context), length - steps + 1) if not np.isnan(targets[o : o + steps]).all()]
    if not origins:
        with pytest.raises(UserError, match=r"the series is too short for |the series holds no value that"):
            SeriesWindows(values, targets, known, context, steps, first)
        return
    windows = SeriesWindows(values, targets, known, context, steps, first)
    assert windows.origins.tolist() == origins
    parts = list(windows.batches(4))
    for origin, window in zip(origins, (windows.at(torch.tensor([o])) for o in origins), strict=True):
        np.testing.assert_array_equal(window.history[:, 0], values[origin - context : origin])
        np.testing.assert_array_equal(window.future[:, 0], values[origin : origin + steps, 3 - known :])
        np.testing.assert_array_equal(window.target[:, 0], targets[origin : origin + steps])
    assert sum(part.history.shape[1] for part in parts) == len(origins)
