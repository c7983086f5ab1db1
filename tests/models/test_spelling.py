from __future__ import annotations

import pytest

from elman import UserError
from elman.models.spelling import Speller


def test_it_takes_the_options_of_its_own_cell() -> None:
    speller = Speller(["gru", "lstm"], 9, 4, forget_bias=2.0, bias=False)
    assert [(cell.forget_bias, cell.bias) for cell in speller.recurrent.layers[0]] == [(None, False)] * 2  # type: ignore[union-attr]
    with pytest.raises(UserError, match="has an option 'forgetbias'; did you mean 'forget_bias'"):
        Speller(["gru", "lstm"], 9, 4, forgetbias=2.0)
