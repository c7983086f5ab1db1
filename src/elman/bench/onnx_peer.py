"""ONNX Runtime's recurrent operators, for inference."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from .cases import FORWARD, Case, Problem
from .peers import Peer

OPERATORS = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN", "gruresetbefore": "GRU"}
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
"""Where each of the operator's gates is among ours: iofc among ifgo, zrh among rzn."""


class OnnxRuntime(Peer):
    """A graph of one operator (ONNX opset 14), in float32."""

    kinds = (FORWARD,)

    @classmethod
    def refuses(cls, case: Case) -> str:
        return (
            super().refuses(case)
            or ("" if case.cell in OPERATORS else "no such operator")
            or ("" if case.dtype == "float32" else "float32 only")
        )

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = problem.case.threads
        options.inter_op_num_threads = 1
        # Its threads would spin on into the next peer's turn.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = onnxruntime.InferenceSession(
            _graph(problem).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = {"x": problem.x.numpy()}

    def forward(self) -> Any:
        return self._session.run(None, self._inputs)

    def read(self, made: Any) -> dict[str, Tensor]:
        return {"y": torch.from_numpy(made[0]).squeeze(1)}  # (T, directions, B, H)


def _graph(problem: Problem) -> onnx.ModelProto:
    time, batch, hidden = problem.case.shape
    operator = OPERATORS[problem.case.cell]
    parameters = {name: each.detach().numpy() for name, each in problem.cell.named_parameters()}

    def reordered(name: str) -> np.ndarray:
        blocks = np.split(parameters[name], len(GATES[operator]))
        return np.concatenate([blocks[gate] for gate in GATES[operator]])

    weights = {
        "W": reordered("weight_ih"),
        "R": reordered("weight_hh"),
        "B": np.concatenate([reordered("bias_ih"), reordered("bias_hh")]),
    }
    options: dict[str, Any] = {"linear_before_reset": int(problem.case.cell == "gru")} if operator == "GRU" else {}
    node = helper.make_node(operator, ["x", *weights], ["y"], hidden_size=hidden, **options)
    graph = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [time, batch, hidden])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [time, 1, batch, hidden])],
        [numpy_helper.from_array(each[np.newaxis], name) for name, each in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
