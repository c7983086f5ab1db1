"""LRU: Orvieto et al. 2023, arXiv:2303.06349, section 3, in complex numbers; rows of B: real part, imaginary part."""

from __future__ import annotations

import numpy as np

from .common import Array, States, Weights, from_input, over_rows_and_time

VARIANTS = [{}, {"r_min": 0.8, "r_max": 0.99, "max_phase": 0.3}, {"bias": True}]


def run(weights: Weights, x: Array, state: States, **_: object) -> tuple[Array, States]:
    factor = np.exp(-np.exp(weights["nu_log"]) + 1j * np.exp(weights["theta_log"]))
    gamma = np.exp(weights["gamma_log"])
    c = weights["readout_re.weight"] + 1j * weights["readout_im.weight"]

    def step(x: Array, re: Array, im: Array) -> tuple[Array, States]:
        h = factor * (re + 1j * im) + gamma * (from_input(weights, x, 0, 2) + 1j * from_input(weights, x, 1, 2))
        return (c @ h).real + weights["skip.weight"] @ x, (h.real, h.imag)

    return over_rows_and_time(step, x, state)
