from __future__ import annotations

import numpy as np
import pytest
import torch

from elman.errors import UserError
from elman.tasks.writing.estimator import Exercises, short_enough

TEXTS = [np.array([5, 0]), np.array([7, 8, 0]), np.array([0])]


def test_a_batch_is_what_is_told_and_the_texts_side_by_side() -> None:
    told = torch.tensor([[10.0], [20.0], [30.0]])
    x, ids, valid = Exercises(TEXTS, lambda rows: (told[rows],)).batch(np.array([1, 2]))
    assert x.tolist() == [[20.0], [30.0]]
    assert ids.T.tolist() == [[7, 8, 0], [0, 0, 0]] and valid.T.tolist() == [[True] * 3, [True, False, False]]


def test_the_end_mark_does_not_count_for_the_length() -> None:
    assert short_enough(TEXTS, None, "text") == [0, 1, 2]
    assert short_enough(TEXTS, 1, "text") == [0, 2]
    with pytest.raises(UserError, match="every text has more than max_length=0 tokens; raise it"):
        short_enough(TEXTS[:2], 0, "text")
