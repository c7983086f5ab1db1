"""TF1's cells with weights: BasicRNNCell, GRUCell, BasicLSTMCell and LSTMCell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...cell import Cell
from ...cells import gru_reset_before, lstm, rnn
from ...errors import UserError
from ...structure import State
from .base import WeightedCell, check_size
from .full_lstm import FullLSTM

Activation = Callable[[Tensor], Tensor] | str | None
Initializer = Callable[[Tensor], Any] | None


class LSTMStateTuple(NamedTuple):
    """TF1's LSTM state, in TF1's order: c first, then h; Elman's own and PyTorch's order is (h, c).

    >>> LSTMStateTuple(c=1, h=2)
    LSTMStateTuple(c=1, h=2)
    """

    c: Any
    h: Any


class BasicRNNCell(WeightedCell):
    """h_t = tanh([x_t, h_{t-1}] K + b): TF1's plain cell; ``kernel`` K (I+H, H), ``bias`` b (H,).

    Args:
        num_units: units H.
        activation: in place of tanh: a name of ``elman.activations`` or PyTorch's function; default tanh.

    >>> cell = BasicRNNCell(4, activation="relu")
    >>> h, state = cell(torch.ones(2, 3), cell.zero_state(2, torch.float32))
    >>> torch.equal(h, state), cell.kernel.shape
    (True, torch.Size([7, 4]))
    """

    kernel: Tensor
    bias: Tensor

    def __init__(self, num_units: int, activation: Activation = None) -> None:
        super().__init__(num_units, activation)
        self.declare()

    @property
    def state_size(self) -> int:
        return self.num_units

    @property
    def output_size(self) -> int:
        return self.num_units

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        return {"kernel": (input_size + self.num_units, self.num_units), "bias": (self.num_units,)}

    def cell_of_ours(self, input_size: int) -> Cell:
        return rnn.RNN(input_size, self.num_units, nonlinearity=self.activation, device="meta")

    def weights_of_ours(self, input_size: int) -> dict[str, Tensor | None]:
        return {**_of_input_and_state(self.kernel, input_size), "bias_ih": self.bias, "bias_hh": None}


class GRUCell(WeightedCell):
    """TF1's GRU, which resets before the product: Cho et al. 2014, arXiv:1406.1078v3.

    r, u = sigmoid([x_t, h_{t-1}] K_g + b_g); c = tanh([x_t, r h_{t-1}] K_c + b_c); h_t = u h_{t-1} + (1 - u) c.
    ``gates_kernel`` K_g (I+H, 2H) with columns r, u; ``gates_bias`` (2H,), which starts at 1; ``candidate_kernel`` K_c
    (I+H, H); ``candidate_bias`` (H,). It is ``elman.cells.GRUResetBefore``; PyTorch's GRU is another.

    Args:
        num_units: units H.
        activation: of the candidate c; default tanh.
        kernel_initializer: fills both kernels in place, e.g. ``torch.nn.init.orthogonal_``; default Glorot-uniform.
        bias_initializer: fills both biases; default 1 for the gates, 0 for the candidate.

    >>> cell = GRUCell(4)
    >>> h, state = cell(torch.ones(2, 3), cell.zero_state(2, torch.float32))
    >>> cell.gates_bias
    Parameter containing:
    tensor([1., 1., 1., 1., 1., 1., 1., 1.], requires_grad=True)
    """

    gates_kernel: Tensor
    gates_bias: Tensor
    candidate_kernel: Tensor
    candidate_bias: Tensor

    def __init__(
        self,
        num_units: int,
        activation: Activation = None,
        *,
        kernel_initializer: Initializer = None,
        bias_initializer: Initializer = None,
    ) -> None:
        super().__init__(num_units, activation)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.declare()

    @property
    def state_size(self) -> int:
        return self.num_units

    @property
    def output_size(self) -> int:
        return self.num_units

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        rows, units = input_size + self.num_units, self.num_units
        return {
            "gates_kernel": (rows, 2 * units),
            "gates_bias": (2 * units,),
            "candidate_kernel": (rows, units),
            "candidate_bias": (units,),
        }

    def start(self, name: str, parameter: Tensor) -> None:
        initializer = self.bias_initializer if name.endswith("bias") else self.kernel_initializer
        if initializer is not None:
            initializer(parameter)
        elif name == "gates_bias":
            nn.init.ones_(parameter)
        else:
            super().start(name, parameter)

    def cell_of_ours(self, input_size: int) -> Cell:
        return gru_reset_before.GRUResetBefore(input_size, self.num_units, activation=self.activation, device="meta")

    def weights_of_ours(self, input_size: int) -> dict[str, Tensor | None]:
        kernel = torch.cat([self.gates_kernel, self.candidate_kernel], 1)  # our rows r, z, n are its r, u, c
        bias = torch.cat([self.gates_bias, self.candidate_bias])
        return {**_of_input_and_state(kernel, input_size), "bias_ih": bias, "bias_hh": None}


class _LSTMLike(WeightedCell):
    """What the two LSTMs share: gates i, j, f, o in TF1's order, and a state of c and h."""

    kernel: Tensor
    bias: Tensor
    forget_bias: float
    state_is_tuple: bool

    @property
    def state_size(self) -> LSTMStateTuple | int:
        size = LSTMStateTuple(self.num_units, self.output_size)
        return size if self.state_is_tuple else sum(size)

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        return {"kernel": (input_size + self.output_size, 4 * self.num_units), "bias": (4 * self.num_units,)}

    def weights_of_ours(self, input_size: int) -> dict[str, Tensor | None]:
        i, j, f, o = self.kernel.chunk(4, 1)
        kernel = torch.cat([i, f, j, o], 1)
        i, j, f, o = self.bias.chunk(4)
        bias = torch.cat([i, f + self.forget_bias, j, o])
        return {**_of_input_and_state(kernel, input_size), "bias_ih": bias, "bias_hh": None}

    def to_ours(self, state: Any) -> tuple[Any, ...]:
        c, h = state if self.state_is_tuple else state.split([self.num_units, self.output_size], -1)
        return h, c

    def from_ours(self, states: tuple[Tensor, ...]) -> State:
        h, c = states
        return LSTMStateTuple(c, h) if self.state_is_tuple else torch.cat([c, h], -1)


class BasicLSTMCell(_LSTMLike):
    """TF1's LSTM without peepholes, clips and projection; ``elman.cells.LSTM`` does the mathematics.

    i, j, f, o = [x_t, h_{t-1}] K + b, in this order; c_t = sigmoid(f + forget_bias) c_{t-1} + sigmoid(i) tanh(j);
    h_t = sigmoid(o) tanh(c_t). ``kernel`` K (I+H, 4H), ``bias`` b (4H,), which starts at 0 and does not contain the
    forget bias.

    Args:
        num_units: units H.
        forget_bias: a constant added to f whenever the cell runs; default 1.
        state_is_tuple: the state is an ``LSTMStateTuple(c, h)``, else [c, h] in one tensor (B, 2H).
        activation: in place of both tanh; default tanh.

    >>> cell = BasicLSTMCell(4)
    >>> h, state = cell(torch.ones(2, 3), cell.zero_state(2, torch.float32))
    >>> cell.kernel.shape, state._fields, torch.equal(h, state.h)
    (torch.Size([7, 16]), ('c', 'h'), True)
    """

    def __init__(
        self,
        num_units: int,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation = None,
    ) -> None:
        super().__init__(num_units, activation)
        self.forget_bias = forget_bias
        self.state_is_tuple = state_is_tuple
        self.declare()

    @property
    def output_size(self) -> int:
        return self.num_units

    def cell_of_ours(self, input_size: int) -> Cell:
        return lstm.LSTM(input_size, self.num_units, activation=self.activation, device="meta")


class LSTMCell(_LSTMLike):
    """TF1's LSTM with all its options: Sak et al. 2014, arXiv:1402.1128.

    i, j, f, o = [x_t, h_{t-1}] K + b, in this order;
    c_t = sigmoid(f + forget_bias + w_f c_{t-1}) c_{t-1} + sigmoid(i + w_i c_{t-1}) tanh(j), clipped;
    m_t = sigmoid(o + w_o c_t) tanh(c_t); h_t = m_t P, clipped. The terms with w exist with peepholes only, P with
    ``num_proj`` only (else h_t = m_t). ``kernel`` K (I+O, 4H), O features of the output; ``bias`` (4H,);
    ``w_f_diag``, ``w_i_diag``, ``w_o_diag`` (H,); ``projection_kernel`` P (H, O).

    Args:
        num_units: units H.
        use_peepholes: whether the gates see c, one weight a unit.
        cell_clip: c is held within plus and minus this; default no bound.
        initializer: fills kernels and peepholes in place, e.g. ``torch.nn.init.normal_``; default Glorot-uniform.
        num_proj: features O of the projected output; default no projection.
        proj_clip: the projected output is held within plus and minus this; default no bound.
        forget_bias: a constant added to f whenever the cell runs; default 1.
        state_is_tuple: the state is an ``LSTMStateTuple(c, h)``, else [c, h] in one tensor (B, H+O).
        activation: in place of both tanh; default tanh.

    Raises ``UserError`` for a size below 1, a clip that is not above 0, and a ``proj_clip`` without ``num_proj``.

    >>> cell = LSTMCell(8, use_peepholes=True, num_proj=2, cell_clip=3.0)
    >>> h, state = cell(torch.ones(1, 3), cell.zero_state(1, torch.float32))
    >>> h.shape, state.c.shape, cell.kernel.shape
    (torch.Size([1, 2]), torch.Size([1, 8]), torch.Size([5, 32]))
    """

    w_f_diag: Tensor
    w_i_diag: Tensor
    w_o_diag: Tensor
    projection_kernel: Tensor

    def __init__(
        self,
        num_units: int,
        use_peepholes: bool = False,
        cell_clip: float | None = None,
        initializer: Initializer = None,
        num_proj: int | None = None,
        proj_clip: float | None = None,
        *,
        forget_bias: float = 1.0,
        state_is_tuple: bool = True,
        activation: Activation = None,
    ) -> None:
        super().__init__(num_units, activation)
        for name, clip in {"cell_clip": cell_clip, "proj_clip": proj_clip}.items():
            if clip is not None and not clip > 0:
                raise UserError(f"LSTMCell got {name}={clip}; give a number above 0, or None for no bound")
        if num_proj is not None:
            check_size("LSTMCell", "num_proj", num_proj)
        if proj_clip is not None and num_proj is None:
            raise UserError(f"LSTMCell got proj_clip={proj_clip} but no num_proj, so there is no projection to clip")
        self.use_peepholes = use_peepholes
        self.cell_clip = cell_clip
        self.initializer = initializer
        self.num_proj = num_proj
        self.proj_clip = proj_clip
        self.forget_bias = forget_bias
        self.state_is_tuple = state_is_tuple
        self.declare()

    @property
    def output_size(self) -> int:
        return self.num_proj or self.num_units

    def shapes(self, input_size: int) -> dict[str, tuple[int, ...]]:
        shapes = super().shapes(input_size)
        if self.use_peepholes:
            shapes |= dict.fromkeys(("w_f_diag", "w_i_diag", "w_o_diag"), (self.num_units,))
        if self.num_proj is not None:
            shapes["projection_kernel"] = (self.num_units, self.num_proj)
        return shapes

    def start(self, name: str, parameter: Tensor) -> None:
        if self.initializer is not None and name != "bias":
            self.initializer(parameter)
        else:
            super().start(name, parameter)

    def cell_of_ours(self, input_size: int) -> Cell:
        return FullLSTM(
            input_size,
            self.num_units,
            activation=self.activation,
            peepholes=self.use_peepholes,
            cell_clip=self.cell_clip,
            projection_size=self.num_proj,
            projection_clip=self.proj_clip,
            device="meta",
        )

    def weights_of_ours(self, input_size: int) -> dict[str, Tensor | None]:
        weights = super().weights_of_ours(input_size)
        if self.use_peepholes:
            weights |= {"weight_ci": self.w_i_diag, "weight_cf": self.w_f_diag, "weight_co": self.w_o_diag}
        if self.num_proj is not None:
            weights["weight_hr"] = self.projection_kernel.t()
        return weights


def _of_input_and_state(kernel: Tensor, input_size: int) -> dict[str, Tensor | None]:
    """A kernel of [x, h] (I+H, G*H) as our two weights."""
    return {"weight_ih": kernel[:input_size].t(), "weight_hh": kernel[input_size:].t()}
