from __future__ import annotations

import torch

from elman.training.randomness import random_state, set_random_state, undisturbed

CPU = torch.device("cpu")


def test_the_state_goes_out_and_in_also_as_a_row_of_several() -> None:
    states = []
    draws = []
    for seed in range(3):
        torch.manual_seed(seed)
        states.append(random_state(CPU)["cpu"])
        draws.append(torch.rand(4))
    for row, draw in zip(torch.stack(states), draws, strict=True):
        set_random_state({"cpu": row}, CPU)
        assert torch.equal(torch.rand(4), draw)


def test_what_is_drawn_inside_leaves_no_trace_even_after_an_error() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    try:
        with undisturbed(CPU):
            torch.rand(9)
            raise KeyError
    except KeyError:
        pass
    assert torch.equal(torch.rand(4), expected)
