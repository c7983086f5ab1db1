from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elman.tasks.confusion import confusion_matrix, draw_confusion, macro_f1, per_class, table


def test_numbers_by_hand() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    confusion = confusion_matrix(truth, answers, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    numbers = per_class(confusion)
    assert numbers["precision"].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert numbers["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert numbers["f1"].tolist() == pytest.approx([2 / 3, 2 / 5, 0, 0])
    assert macro_f1(confusion) == pytest.approx((2 / 3 + 2 / 5 + 0) / 3), "the fourth class never occurs"


def test_scikit_learn_agrees() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(0)
    truth, answers = draw.integers(0, 5, 200), draw.integers(0, 5, 200)
    confusion = confusion_matrix(truth, answers, 5)
    np.testing.assert_array_equal(confusion, metrics.confusion_matrix(truth, answers))
    assert macro_f1(confusion) == pytest.approx(metrics.f1_score(truth, answers, average="macro"))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, answers)
    found = per_class(confusion)
    for mine, theirs in zip(found.values(), (precision, recall, f1), strict=True):
        np.testing.assert_allclose(mine, theirs)


def test_the_worst_confusions_are_named() -> None:
    lines = table(np.array([[5, 3], [0, 9]]), ["ham", "spam"]).splitlines()
    assert lines == [
        "label  examples  precision  recall     F1",
        "ham           8      1.000   0.625  0.769",
        "spam          9      0.750   1.000  0.857",
        "ham taken for spam: 3 of 8",
    ]


@pytest.mark.parametrize("classes", [2, 30])
def test_the_picture(classes: int, tmp_path: Path) -> None:
    draw_confusion(
        np.eye(classes, dtype=np.int64), [f"a rather long name {k}" for k in range(classes)], tmp_path / "c.png"
    )
    assert (tmp_path / "c.png").read_bytes()[1:4] == b"PNG"
