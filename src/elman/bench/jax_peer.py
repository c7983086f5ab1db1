"""The cells of the table in JAX: ``lax.scan`` under ``jit``, the input projection of all steps done as one product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array
from jax.nn import sigmoid, softplus
from torch import Tensor

from .cases import Case, Problem
from .peers import Peer

Parameters = dict[str, Array]
"""The cell's parameters by name, matrices transposed: x @ p["weight_ih"]."""
Loop = tuple[Callable[..., Any], int, Any]
"""A step ``(state, z_t) -> (state, y_t)``, how many states it has, and z, what the loop reads at every step."""


def split(z: Array, parts: int) -> list[Array]:
    return jnp.split(z, parts, -1)


def projected(p: Parameters, x: Array) -> Array:
    """W x + b_ih + b_hh of all steps."""
    return x @ p["weight_ih"] + (p["bias_ih"] + p["bias_hh"])


def rnn(p: Parameters, x: Array) -> Loop:
    def step(state: tuple[Array], z: Array) -> Any:
        h = jnp.tanh(z + state[0] @ p["weight_hh"])
        return (h,), h

    return step, 1, projected(p, x)


def lstm(p: Parameters, x: Array) -> Loop:
    def step(state: tuple[Array, Array], z: Array) -> Any:
        h, c = state
        i, f, g, o = split(z + h @ p["weight_hh"], 4)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return step, 2, projected(p, x)


def peepholelstm(p: Parameters, x: Array) -> Loop:
    def step(state: tuple[Array, Array], z: Array) -> Any:
        h, c = state
        i, f, g, o = split(z + h @ p["weight_hh"], 4)
        c = sigmoid(f + p["weight_cf"] * c) * c + sigmoid(i + p["weight_ci"] * c) * jnp.tanh(g)
        h = sigmoid(o + p["weight_co"] * c) * jnp.tanh(c)
        return (h, c), h

    return step, 2, projected(p, x)


def coupledlstm(p: Parameters, x: Array) -> Loop:
    def step(state: tuple[Array, Array], z: Array) -> Any:
        h, c = state
        f, g, o = split(z + h @ p["weight_hh"], 3)
        f = sigmoid(f)
        c = f * c + (1 - f) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    return step, 2, projected(p, x)


def layernormlstm(p: Parameters, x: Array) -> Loop:
    def norm(z: Array, name: str) -> Array:
        z = z - z.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((z * z).mean(-1, keepdims=True) + 1e-5)
        return z * scale * p[f"norm_{name}.weight"] + p[f"norm_{name}.bias"]

    def step(state: tuple[Array, Array], z: Array) -> Any:
        h, c = state
        i, f, g, o = split(z + h @ p["weight_hh"], 4)
        c = sigmoid(norm(f, "f")) * c + sigmoid(norm(i, "i")) * jnp.tanh(norm(g, "g"))
        h = sigmoid(norm(o, "o")) * jnp.tanh(norm(c, "c"))
        return (h, c), h

    return step, 2, x @ p["weight_ih"]


def scrn(p: Parameters, x: Array) -> Loop:
    alpha = 0.95

    def step(state: tuple[Array, Array], z: tuple[Array, Array]) -> Any:
        h, s = state
        inner, context = z
        s = context + alpha * s
        h = sigmoid(inner + h @ p["weight_hh"] + s @ p["context_out.weight"])
        return (h, s), jnp.concatenate([h, s], -1)

    return step, 2, (x @ p["weight_ih"], (1 - alpha) * (x @ p["context_in.weight"]))


def gru(p: Parameters, x: Array) -> Loop:
    def step(state: tuple[Array], z: Array) -> Any:
        (h,) = state
        xr, xz, xn = split(z, 3)
        ur, uz, un = split(h @ p["weight_hh"] + p["bias_hh"], 3)
        update = sigmoid(xz + uz)
        n = jnp.tanh(xn + sigmoid(xr + ur) * un)
        h = (1 - update) * n + update * h
        return (h,), h

    return step, 1, x @ p["weight_ih"] + p["bias_ih"]


def gruresetbefore(p: Parameters, x: Array) -> Loop:
    hidden = p["weight_hh"].shape[0]
    gates, candidate = p["weight_hh"][:, : 2 * hidden], p["weight_hh"][:, 2 * hidden :]

    def step(state: tuple[Array], z: Array) -> Any:
        (h,) = state
        xr, xz, xn = split(z, 3)
        ur, uz = split(h @ gates, 2)
        update = sigmoid(xz + uz)
        n = jnp.tanh(xn + (sigmoid(xr + ur) * h) @ candidate)
        h = (1 - update) * n + update * h
        return (h,), h

    return step, 1, projected(p, x)


def mgu(p: Parameters, x: Array) -> Loop:
    forget, candidate = split(p["weight_hh"], 2)

    def step(state: tuple[Array], z: Array) -> Any:
        (h,) = state
        xf, xn = split(z, 2)
        f = sigmoid(xf + h @ forget)
        n = jnp.tanh(xn + (f * h) @ candidate)
        h = (1 - f) * h + f * n
        return (h,), h

    return step, 1, projected(p, x)


def twopace(p: Parameters, x: Array) -> Loop:
    update, candidate = split(p["weight_hh"], 2)
    pace = softplus(p["pace"])
    rate = pace / (1 + pace)

    def step(state: tuple[Array, Array], z: Array) -> Any:
        h, m = state
        xu, xn = split(z, 2)
        u = sigmoid(xu + h @ update)
        n = jnp.tanh(xn + (u * m) @ candidate)
        h = u * h + (1 - u) * n
        return (h, m + rate * (h - m)), h

    return step, 2, projected(p, x)


CELLS: dict[str, Callable[[Parameters, Array], Loop]] = {
    cell.__name__: cell
    for cell in (rnn, lstm, peepholelstm, coupledlstm, layernormlstm, scrn, gru, gruresetbefore, mgu, twopace)
}


class JaxScan(Peer):
    """``lax.scan`` under ``jit``; its threads are as many as ``$NPROC`` said when JAX started."""

    @classmethod
    def refuses(cls, case: Case) -> str:
        return (
            super().refuses(case)
            or ("" if case.cell in CELLS else "not written")
            or ("bf16 not written" if case.dtype == "bf16" else "")
        )

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        if problem.case.dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        cell = CELLS[problem.case.cell]
        named = {name: each.detach().numpy() for name, each in problem.cell.named_parameters()}
        self.parameters = {name: jnp.asarray(np.ascontiguousarray(each.T)) for name, each in named.items()}
        self.x = jnp.asarray(problem.x.numpy())
        self.output_gradient = jnp.asarray(problem.output_gradient.numpy())

        def run(p: Parameters, x: Array) -> Array:
            step, states, z = cell(p, x)
            zeros = jnp.zeros(x.shape[1:], x.dtype)
            y: Array = jax.lax.scan(step, (zeros,) * states, z)[1]
            return y

        def run_and_back(p: Parameters, x: Array, gradient: Array) -> tuple[Array, Any]:
            y, back = jax.vjp(run, p, x)
            return y, back(gradient)

        self._run, self._run_and_back = jax.jit(run), jax.jit(run_and_back)

    def forward(self) -> Any:
        return jax.block_until_ready((self._run(self.parameters, self.x),))

    def train(self) -> Any:
        y, (parameters, x) = self._run_and_back(self.parameters, self.x, self.output_gradient)
        return jax.block_until_ready((y, x, parameters))

    def read(self, made: Any) -> dict[str, Tensor]:
        y, *gradients = made
        if not gradients:
            return {"y": _tensor(y)}
        x, parameters = gradients
        return {"y": _tensor(y), "x": _tensor(x)} | {name: _tensor(each.T) for name, each in parameters.items()}


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(np.array(array))
