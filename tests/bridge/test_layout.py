"""The layouts of all frameworks: written, read back, and held against each framework's equations in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from oracles.common import sigmoid
from torch import Tensor

import elman
from elman.bridge import (
    flax,
    from_flax,
    from_haste,
    from_keras,
    from_tf1,
    haste,
    keras,
    tf1,
    to_flax,
    to_haste,
    to_keras,
    to_tf1,
    torch_nn,
)
from elman.bridge.layout import Layout, Stored, read, write
from elman.cells import GRU, LSTM, RNN, GRUResetBefore, PeepholeLSTM
from elman.errors import UserError

Array = np.ndarray
Arrays = dict[str, Array]
Step = Callable[..., tuple[Array, ...]]

ALL = [layout for world in (torch_nn, keras, flax, haste, tf1) for layout in world.LAYOUTS]
every_layout = pytest.mark.parametrize("layout", ALL, ids=lambda layout: layout.name)


def outputs(cell: elman.Cell, x: Any) -> Tensor:
    with torch.no_grad():
        return elman.scan(cell, torch.as_tensor(x), backend="eager")[0]


def a_cell(layout: Layout, inputs: int = 3, units: int = 4, **options: Any) -> elman.Cell:
    """A cell for a layout, with every parameter drawn, and a bias where the layout has no place for it at zero."""
    cell = layout.cell(inputs, units, dtype=torch.float64, **layout.options, **options)
    if layout is flax._GRU:
        with torch.no_grad():
            cell.bias_hh.chunk(3)[2].zero_()
    return cell


@every_layout
@pytest.mark.parametrize(("inputs", "units"), [(1, 1), (4, 3), (2, 5)])
def test_a_cell_written_and_read_back_computes_the_same(layout: Layout, inputs: int, units: int) -> None:
    cell = a_cell(layout, inputs, units)
    arrays = write(layout, cell)
    again = read(layout, arrays, **{name: cell.options[name] for name in ("nonlinearity",) if name in cell.options})
    x = torch.randn(3, 2, inputs, dtype=torch.float64)
    assert torch.allclose(outputs(again, x), outputs(cell, x), rtol=0, atol=1e-12)
    twice = write(layout, again)
    assert all(torch.equal(twice[name], arrays[name]) for name in layout.names)
    own = {name: parameter.data_ptr() for name, parameter in cell.named_parameters()}
    assert not {array.data_ptr() for array in arrays.values()} & {*own.values()}


@pytest.mark.parametrize("layout", [each for each in ALL if "b" in each.parts], ids=lambda layout: layout.name)
def test_a_bias_kept_as_one_comes_back_as_b_and_zero(layout: Layout) -> None:
    cell = a_cell(layout)
    again = read(layout, write(layout, cell))
    summed = cell.bias_ih + (0 if cell.bias_hh is None else cell.bias_hh)
    if "b_hh" not in layout.parts:
        assert torch.equal(again.bias_ih, summed)
        assert again.bias_hh is None or not again.bias_hh.any()
    else:  # linen keeps what cannot be added
        assert torch.equal(again.bias_hh.chunk(3)[2], cell.bias_hh.chunk(3)[2])
        assert torch.equal(again.bias_ih.chunk(3)[0], summed.chunk(3)[0])


def test_no_cell_of_a_layout_has_an_option_the_bridges_do_not_know() -> None:
    """A new option of one of these cells wants a decision: what it is elsewhere, or that it is refused."""
    known = {"bias", "init", "forget_bias", "device", "dtype", "nonlinearity", "activation"}
    projected = {"projection_size", "cell_clip", "projection_clip", "peepholes"}
    for layout in ALL:
        extra = set(layout.cell.option_names()) - known
        assert extra <= (projected if layout.cell.__name__ == "ProjectedLSTM" else set()), layout.name


# The equations of each framework, as its documentation or source has them, over its own arrays.


def keras_simple(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    return (np.tanh(x @ a["kernel"] + h @ a["recurrent_kernel"] + a["bias"]),)


def keras_lstm(a: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
    i, f, g, o = np.split(x @ a["kernel"] + h @ a["recurrent_kernel"] + a["bias"], 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def keras_gru_after(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    x_z, x_r, x_h = np.split(x @ a["kernel"] + a["bias"][0], 3, 1)
    h_z, h_r, h_h = np.split(h @ a["recurrent_kernel"] + a["bias"][1], 3, 1)
    z = sigmoid(x_z + h_z)
    return (z * h + (1 - z) * np.tanh(x_h + sigmoid(x_r + h_r) * h_h),)


def keras_gru_before(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    x_z, x_r, x_h = np.split(x @ a["kernel"] + a["bias"], 3, 1)
    u_z, u_r, u_h = np.split(a["recurrent_kernel"], 3, 1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    return (z * h + (1 - z) * np.tanh(x_h + (r * h) @ u_h),)


def haste_lstm(a: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
    i, g, f, o = np.split(x @ a["kernel"] + h @ a["recurrent_kernel"] + a["bias"], 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def haste_gru(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    x_z, x_r, x_g = np.split(x @ a["kernel"] + a["bias"], 3, 1)
    h_z, h_r, h_g = np.split(h @ a["recurrent_kernel"] + a["recurrent_bias"], 3, 1)
    z = sigmoid(x_z + h_z)
    return (z * h + (1 - z) * np.tanh(x_g + sigmoid(x_r + h_r) * h_g),)


def haste_indrnn(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    return (np.tanh(x @ a["kernel"] + h * a["recurrent_scale"] + a["bias"]),)


def tf1_rnn(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    return (np.tanh(np.concatenate([x, h], 1) @ a["kernel"] + a["bias"]),)


def tf1_lstm(a: Arrays, x: Array, h: Array, c: Array, forget_bias: float = 1.0) -> tuple[Array, ...]:
    zero = np.zeros(c.shape[1])
    i, j, f, o = np.split(np.concatenate([x, h], 1) @ a["kernel"] + a["bias"], 4, 1)
    f = sigmoid(f + forget_bias + a.get("w_f_diag", zero) * c)
    c = f * c + sigmoid(i + a.get("w_i_diag", zero) * c) * np.tanh(j)
    h = sigmoid(o + a.get("w_o_diag", zero) * c) * np.tanh(c)
    return h @ a["projection/kernel"] if "projection/kernel" in a else h, c


def tf1_gru(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    r, u = np.split(sigmoid(np.concatenate([x, h], 1) @ a["gates/kernel"] + a["gates/bias"]), 2, 1)
    c = np.tanh(np.concatenate([x, r * h], 1) @ a["candidate/kernel"] + a["candidate/bias"])
    return (u * h + (1 - u) * c,)


def flax_simple(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    return (np.tanh(x @ a["dense_i.kernel"] + a["dense_i.bias"] + h @ a["dense_h.kernel"]),)


def flax_lstm(a: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
    z = {gate: x @ a[name] + h @ a[f"h{gate}.kernel"] + a[f"h{gate}.bias"] for gate, name in flax_inputs(a)}
    c = sigmoid(z["f"]) * c + sigmoid(z["i"]) * np.tanh(z["g"])
    return sigmoid(z["o"]) * np.tanh(c), c


def flax_inputs(a: Arrays) -> list[tuple[str, str]]:
    """nnx must call "if" otherwise, for it is a word of Python."""
    return [(gate, "if_.kernel" if gate == "f" and "if_.kernel" in a else f"i{gate}.kernel") for gate in "ifgo"]


def flax_optimized_lstm(a: Arrays, x: Array, h: Array, c: Array) -> tuple[Array, ...]:
    i, f, g, o = np.split(x @ a["dense_i.kernel"] + h @ a["dense_h.kernel"] + a["dense_h.bias"], 4, 1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def flax_gru(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    x_r, x_z, x_n = np.split(x @ a["dense_i.kernel"] + a["dense_i.bias"], 3, 1)
    h_r, h_z, h_n = np.split(h @ a["dense_h.kernel"], 3, 1)
    z = sigmoid(x_z + h_z)
    return ((1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * h_n) + z * h,)


def linen_simple(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    return (np.tanh(x @ a["i.kernel"] + a["i.bias"] + h @ a["h.kernel"]),)


def linen_gru(a: Arrays, x: Array, h: Array) -> tuple[Array, ...]:
    z = {gate: x @ a[f"i{gate}.kernel"] + a[f"i{gate}.bias"] for gate in "rzn"}
    u = {gate: h @ a[f"h{gate}.kernel"] for gate in "rzn"}
    update = sigmoid(z["z"] + u["z"])
    new = np.tanh(z["n"] + sigmoid(z["r"] + u["r"]) * (u["n"] + a["hn.bias"]))
    return ((1 - update) * new + update * h,)


N, H, P = 3, 2, 4  # P above H, so that no swapped axis goes unseen
LSTM_FUSED = {"kernel": (N + H, 4 * H), "bias": (4 * H,)}
DIAGONALS = {f"w_{gate}_diag": (H,) for gate in "ifo"}
PROJECTED = {"kernel": (N + P, 4 * H), "bias": (4 * H,), "projection/kernel": (H, P)}


def both_kernels(columns: int, **biases: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {"kernel": (N, columns), "recurrent_kernel": (H, columns), **biases}


def dense(gates: int, bias: str) -> dict[str, tuple[int, ...]]:
    return {"dense_i.kernel": (N, gates * H), "dense_h.kernel": (H, gates * H), bias: (gates * H,)}


def apart(gates: str, *biases: str, first: str = "i{}") -> dict[str, tuple[int, ...]]:
    kernels = {f"{first.format(gate)}.kernel": (N, H) for gate in gates} | {f"h{g}.kernel": (H, H) for g in gates}
    return kernels | {f"{bias}.bias": (H,) for bias in biases}


NNX_LSTM = {("if_.kernel" if name == "if.kernel" else name): shape for name, shape in apart("ifgo").items()}
HIDDEN_BIASES = {f"h{gate}.bias": (H,) for gate in "ifgo"}

# framework, our cell, the shapes of its arrays, its equation
CASES: list[tuple[str, str, dict[str, tuple[int, ...]], Step]] = [
    ("keras", "rnn", both_kernels(H, bias=(H,)), keras_simple),
    ("keras", "lstm", both_kernels(4 * H, bias=(4 * H,)), keras_lstm),
    ("keras", "gru", both_kernels(3 * H, bias=(2, 3 * H)), keras_gru_after),
    ("keras", "gruresetbefore", both_kernels(3 * H, bias=(3 * H,)), keras_gru_before),
    ("haste", "lstm", both_kernels(4 * H, bias=(4 * H,)), haste_lstm),
    ("haste", "gru", both_kernels(3 * H, bias=(3 * H,), recurrent_bias=(3 * H,)), haste_gru),
    ("haste", "indrnn", {"kernel": (N, H), "recurrent_scale": (H,), "bias": (H,)}, haste_indrnn),
    ("tf1", "rnn", {"kernel": (N + H, H), "bias": (H,)}, tf1_rnn),
    ("tf1", "lstm", LSTM_FUSED, tf1_lstm),
    ("tf1", "peepholelstm", LSTM_FUSED | DIAGONALS, tf1_lstm),
    ("tf1", "projectedlstm", PROJECTED, tf1_lstm),
    ("tf1", "projectedlstm", PROJECTED | DIAGONALS, tf1_lstm),
    (
        "tf1",
        "gruresetbefore",
        {
            "gates/kernel": (N + H, 2 * H),
            "gates/bias": (2 * H,),
            "candidate/kernel": (N + H, H),
            "candidate/bias": (H,),
        },
        tf1_gru,
    ),
    ("flax", "rnn", dense(1, "dense_i.bias"), flax_simple),
    ("flax", "lstm", NNX_LSTM | HIDDEN_BIASES, flax_lstm),
    ("flax", "lstm", dense(4, "dense_h.bias"), flax_optimized_lstm),
    ("flax", "gru", dense(3, "dense_i.bias"), flax_gru),
    ("flax", "rnn", {"i.kernel": (N, H), "i.bias": (H,), "h.kernel": (H, H)}, linen_simple),
    ("flax", "lstm", apart("ifgo") | HIDDEN_BIASES, flax_lstm),
    ("flax", "gru", apart("rzn", "ir", "iz", "in", "hn"), linen_gru),
]


def nested(flat: Arrays) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in flat.items():
        module, array_name = name.split(".")
        tree.setdefault(module, {})[array_name] = array
    return tree


def convert(framework: str, cell: str, arrays: Arrays) -> elman.Cell:
    if framework == "flax":
        return from_flax(nested(arrays), cell)
    if framework == "haste":
        return from_haste(arrays)
    return {"keras": from_keras, "tf1": from_tf1}[framework](arrays, cell)


def back(framework: str, cell: elman.Cell, arrays: Arrays) -> Arrays:
    if framework == "keras":
        return dict(zip(arrays, to_keras(cell), strict=True))
    if framework == "flax":
        tree = to_flax(cell, nested({name: np.zeros_like(array) for name, array in arrays.items()}))
        return {f"{module}.{name}": array for module, inner in tree.items() for name, array in inner.items()}
    return {"haste": to_haste, "tf1": to_tf1}[framework](cell)


@pytest.mark.parametrize(
    ("framework", "cell", "shapes", "step"), CASES, ids=[f"{c[0]}-{c[1]}-{len(c[2])}" for c in CASES]
)
def test_the_equation_of_the_framework_over_its_arrays(
    framework: str, cell: str, shapes: dict[str, tuple[int, ...]], step: Step
) -> None:
    draw = np.random.default_rng(0)
    arrays = {name: draw.normal(size=shape) for name, shape in shapes.items()}
    x = draw.normal(size=(4, 5, N))
    ours = convert(framework, cell, arrays)
    assert type(ours) is elman.cell.find_cell(cell)
    state = tuple(np.zeros((5, size)) for size in ours.state_sizes)
    expected = []
    for x_t in x:
        state = step(arrays, x_t, *state)
        expected.append(state[0])
    np.testing.assert_allclose(outputs(ours, x), np.stack(expected), rtol=0, atol=1e-12)
    returned = back(framework, ours, arrays)
    assert returned.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_allclose(returned[name], array, rtol=0, atol=1e-15 if framework != "tf1" else 1e-12)


def test_the_types_of_arrays() -> None:
    layout = keras.LAYOUTS[1]
    arrays = write(layout, LSTM(3, 2))
    assert read(layout, arrays).weight_ih.dtype == torch.float32
    half = {name: array.bfloat16() for name, array in arrays.items()}
    assert read(layout, half).weight_ih.dtype == torch.bfloat16
    assert to_keras(read(layout, half))[0].dtype == np.float32
    mixed = {**arrays, "bias": arrays["bias"].double()}
    assert read(layout, mixed).weight_ih.dtype == torch.float64
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="NumPy's bfloat16 comes with JAX")
    theirs = {name: array.numpy().astype(ml_dtypes.bfloat16) for name, array in arrays.items()}
    assert torch.equal(read(layout, theirs).weight_hh, read(layout, half).weight_hh)


GOOD = {"kernel": np.ones((3, 8)), "recurrent_kernel": np.ones((2, 8)), "bias": np.ones(8)}
BAD: list[tuple[Any, str]] = [
    (lambda: from_keras(GOOD), "arrays do not say their cell"),
    (lambda: from_keras(GOOD, "lstn"), "did you mean 'lstm'"),
    (lambda: from_keras(GOOD, "peepholelstm"), "Keras has no counterpart of PeepholeLSTM; .* RNN, LSTM, GRU, GRUReset"),
    (lambda: from_keras(GOOD, "lstm", nonlinearity="relu"), "LSTM has no option 'nonlinearity' to be given here"),
    (lambda: from_keras(GOOD, "lstm", bias=False), "LSTM has no option 'bias' to be given here"),
    (lambda: from_keras(GOOD, "gru"), r"Keras GRU\(reset_after=True\): kernel has shape \(3, 8\); expected \(3, 6\)"),
    (lambda: from_keras(GOOD | {"bias": np.ones(6)}, "lstm"), r"bias has shape \(6,\); expected \(8,\) for 3 inputs"),
    (lambda: from_keras(GOOD | {"bias": np.ones((2, 8))}, "lstm"), r"bias has shape \(2, 8\); expected \(8,\)"),
    (lambda: from_keras(GOOD | {"kernel": np.ones((3, 10))}, "lstm"), r"kernel has shape \(3, 10\); expected \(3, 8\)"),
    (lambda: from_keras(GOOD | {"kernel": np.ones(8)}, "lstm"), r"kernel has shape \(8,\); expected a matrix"),
    (lambda: from_keras(GOOD | {"kernel": np.ones((3, 3))}, "lstm"), r"kernel has shape \(3, 3\), which is too small"),
    (lambda: from_keras(GOOD | {"kernel": np.ones((3, 8), int)}, "lstm"), "kernel holds int64; expected floats"),
    (lambda: from_keras(GOOD | {"kernel": torch.ones(3, 8).int()}, "lstm"), "kernel holds torch.int32; expected"),
    (lambda: from_keras({"kernel": GOOD["kernel"]}, "lstm"), "Keras LSTM: no array 'recurrent_kernel'; got kernel"),
    (lambda: from_keras(GOOD | {"biass": np.ones(8)}, "lstm"), "Keras LSTM has no array 'biass'; did you mean 'bias'"),
    (lambda: from_keras([*GOOD.values()] * 2, "lstm"), "got 6 arrays; expected kernel, recurrent_kernel and"),
    (lambda: from_keras(3), r"got a builtins.int; expected a layer of Keras 3"),
    (lambda: from_keras([]), "arrays do not say their cell"),
    (lambda: from_keras([], "lstm"), "got 0 arrays"),
    (lambda: to_keras(PeepholeLSTM(3, 2)), "Keras has no counterpart of PeepholeLSTM"),
    (lambda: to_keras(torch.nn.Linear(3, 2)), "got a Linear; expected a Cell, a Recurrent"),
    (lambda: to_keras(elman.Recurrent("gru", 3, 2, initial_state="trained")), "initial_state='trained' has no counter"),
    (lambda: to_tf1(GRU(3, 2)), "TF1 has no counterpart of GRU; weights can be exchanged for RNN, LSTM"),
    (lambda: to_tf1(LSTM(3, 2, bias=False)), "TF1's cells have biases"),
    (lambda: to_tf1(GRUResetBefore(3, 2), forget_bias=1.0), "a GRUResetBefore has no forget gate"),
    (lambda: to_tf1(elman.Recurrent("rnn", 3, 2, bidirectional=True, merge="sum")), "merge='sum'"),
    (lambda: from_tf1({}), "TF1: got no variables"),
    (lambda: from_tf1({"kernel": np.ones((5, 8)), "bias": np.ones(8)}), "bias, kernel do not say their cell"),
    (lambda: from_tf1({"basic_lstm_cell/kernel": np.ones((5, 8))}), "TF1 BasicLSTMCell: no array 'bias'; got kernel"),
    (lambda: from_tf1({"basic_lstm_cell/kernel/Adam": np.ones((5, 8))}), "is no variable of a recurrent cell"),
    (lambda: from_tf1({"a/kernel": np.ones((5, 8)), "b/kernel": np.ones(8)}), "'b/kernel' is the second kernel"),
    (lambda: from_tf1({"fw/multi_rnn_cell/cell_1/lstm_cell/kernel": np.ones((5, 8))}), "runs as a whole in each"),
    (lambda: from_tf1({"cell_1/basic_rnn_cell/kernel": np.ones((5, 2))}), "no variables of cell_0"),
    (lambda: from_tf1({"kernel": np.ones((2, 8)), "bias": np.ones(8)}, "lstm"), r"kernel has shape \(2, 8\), .* small"),
    (lambda: from_tf1({"kernel": np.ones((3, 2)), "bias": np.ones(2)}, "rnn", forget_bias=1.0), "no forget gate"),
    (lambda: from_tf1({"kernel": np.ones((3, 2)), "bias": np.ones(2)}, "gru"), "TF1 has no counterpart of GRU"),
    (lambda: from_haste({"kernel": np.ones((3, 8))}), "Haste .*: no array"),
    (lambda: from_haste(LSTM(3, 2)), "expected haste_pytorch's LSTM, GRU or IndRNN"),
    (lambda: to_haste(elman.Recurrent("gru", 3, 2, bidirectional=True)), "Haste has no layer of both directions"),
    (lambda: from_flax({"kernel": np.ones((3, 8))}), "parameters do not say their cell"),
    (lambda: from_flax({"dense_h": {"kernel": np.ones((3, 8))}}, "gru"), "Flax GRUCell: no array 'dense_i.kernel'"),
    (lambda: to_flax(elman.Recurrent("gru", 3, 2, num_layers=2), {}), "a dict takes the weights of one cell"),
    (lambda: to_flax(LSTM(3, 2), 3), "expected a module of Flax nnx"),
]


@pytest.mark.parametrize(("call", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_what_does_not_fit_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        call()


def test_a_bias_without_a_place_is_refused() -> None:
    linen = {f"h{g}": {"kernel": np.ones((2, 2))} for g in "rzn"} | {
        f"i{g}": {"kernel": np.ones((3, 2))} for g in "rzn"
    }
    nnx = {"dense_i": {"kernel": np.ones((3, 6)), "bias": np.ones(6)}, "dense_h": {"kernel": np.ones((2, 6))}}
    with pytest.raises(UserError, match="Flax GRUCell has no place for bias_hh of gate 'n', which is not zero"):
        to_flax(GRU(3, 2), nnx)
    assert nnx["dense_i"]["bias"].all()
    with pytest.raises(UserError, match=r"Flax linen GRUCell: no array 'ir\.bias'"):
        to_flax(GRU(3, 2), linen)
    with pytest.raises(
        UserError, match=r"torch.nn.ProjectedLSTM is ProjectedLSTM\(peepholes=False\), got .*peepholes=True"
    ):
        write(torch_nn.LAYOUTS[2], elman.cells.ProjectedLSTM(3, 4, peepholes=True))
    with pytest.raises(UserError, match="Keras LSTM has no place for weight_ci"):
        write(replace(keras.LAYOUTS[1], cell=PeepholeLSTM), PeepholeLSTM(3, 2))
    with pytest.raises(UserError, match=r"Keras LSTM has no place for bias_ih of gate 'i'"):
        write(keras.LAYOUTS[1].without_bias(), LSTM(3, 2))
    with pytest.raises(UserError, match="Keras LSTM holds the weights of a LSTM, got a GRU"):
        write(keras.LAYOUTS[1], GRU(3, 2))


def test_a_cell_without_biases_gives_zeros() -> None:
    arrays = to_haste(GRU(3, 2, bias=False))
    assert not arrays["bias"].any() and not arrays["recurrent_bias"].any()
    assert [array.shape for array in to_keras(GRU(3, 2, bias=False))] == [(3, 6), (2, 6)]
    assert from_keras(to_keras(GRU(3, 2, bias=False)), "gru").bias is False


def test_a_new_framework_is_a_table() -> None:
    """torch-rnn's layout: one matrix, gates i, f, o, g, the bias a vector."""
    layout = Layout("torch-rnn LSTM", LSTM, (Stored("weight", ("W", "U"), "ifog"), Stored("bias", ("b",), "ifog")))
    cell = LSTM(3, 2, dtype=torch.float64)
    arrays = {name: array.numpy() for name, array in write(layout, cell).items()}
    x, h, c = np.random.randn(3), np.zeros(2), np.zeros(2)
    i, f, o, g = np.split(np.concatenate([x, h]) @ arrays["weight"] + arrays["bias"], 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    np.testing.assert_allclose(outputs(cell, x[None, None])[0, 0], sigmoid(o) * np.tanh(c), atol=1e-12)


def test_an_option_given_with_arrays_reaches_the_cell() -> None:
    assert from_keras(GOOD, "lstm", activation="relu").activation == "relu"
    tree = {"i": {"kernel": np.ones((3, 2)), "bias": np.ones(2)}, "h": {"kernel": np.ones((2, 2))}}
    assert from_flax(tree, RNN, nonlinearity="relu").nonlinearity == "relu"
