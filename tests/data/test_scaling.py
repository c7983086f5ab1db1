from __future__ import annotations

import numpy as np
import pytest

from elman.data import Scaling


def test_it_equals_numpy_over_all_steps() -> None:
    draw = np.random.default_rng(0)
    sequences = [draw.normal([3.0, -200.0], [2.0, 0.5], (n, 2)) for n in (5, 1, 9)]
    scaling = Scaling.learned(sequences)
    together = np.concatenate(sequences)
    assert scaling.mean == pytest.approx(together.mean(0))
    assert scaling.deviation == pytest.approx(together.std(0))
    scaled = np.concatenate([scaling(each) for each in sequences])
    assert scaled.dtype == np.float32
    assert scaled.mean(0) == pytest.approx([0, 0], abs=1e-5) and scaled.std(0) == pytest.approx([1, 1], abs=1e-5)
    np.testing.assert_allclose(scaling.back(scaling(sequences[0])), sequences[0], rtol=1e-6)


def test_a_feature_that_never_changes_is_only_shifted() -> None:
    scaling = Scaling.learned([np.full((4, 1), 0.1, np.float32), np.full((90, 1), 0.1, np.float32)])
    assert scaling.deviation == (1.0,)
    assert abs(scaling(np.array([[0.1]]))[0, 0]) < 1e-6
