"""``Stream``: a recurrent model fed one step at a time, its state carried in between."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .cell import Cell
from .engine.dispatch import autocasts_to_bf16
from .engine.step import Step, make_step, surroundings
from .engine.steps import default_state, read_result
from .errors import UserError
from .layers import Recurrent
from .nn import GRU, LSTM, RNN
from .structure import State, describe, leaves, map_leaves, rebuild, same_shapes, where_rows

Inputs = tuple[Tensor, ...]
Place = tuple[dict[str, Any], str]
"""Where a module keeps a parameter or buffer: its dictionary, and the name there."""


class Stream:
    """A model that is fed one step at a time: ``y_t = stream(x_t)``, without gradients and in evaluation mode.

    x_t is (B, I), or ids (B,) where the model takes ids, or a tuple where a cell takes several inputs; y_t is (B, O), a
    new tensor each time. Parameters may change between two steps, by an optimiser or by loading others, and the next
    step sees it; only what is written in place through ``.data``, of which PyTorch keeps no record, it does not see.
    Everything else of the model stays as it was when the stream was made.

    The step of each layer is one compiled function, called directly, its weights laid out in advance; what a model has
    around its layers runs in PyTorch. What cannot be compiled runs there too, and ``reason`` says why. A stream belongs
    to one thread at a time.

    Args:
        model: an ``elman.Cell``; one of PyTorch's three cells; a module ``step(x_t, state)`` with
            ``initial_state(batch_size)``; an ``elman.Recurrent``, a drop-in, or PyTorch's own, of one direction; or a
            model with such layers in it, ``model(x, state) -> (output, state)`` with x (T, B, ...), or (B, T, ...) if
            its layers are ``batch_first``.
        batch_size: rows B, so many sequences side by side; default 1.

    Raises ``UserError`` for a bidirectional layer, for a step without a start state, and for an x_t, rows or a state
    that do not fit.

    >>> from elman.cells import GRU
    >>> stream = Stream(GRU(3, 5), batch_size=2)
    >>> y = stream(torch.randn(2, 3))
    >>> y.shape, torch.equal(stream.state, y)
    (torch.Size([2, 5]), True)
    >>> stream.reset(rows=[0])
    >>> stream.state.abs().sum(-1) > 0
    tensor([False,  True])
    """

    def __init__(self, model: nn.Module, batch_size: int = 1) -> None:
        if not isinstance(model, nn.Module):
            raise UserError(f"Stream got a {type(model).__name__}; give a torch.nn.Module: a cell, a layer or a model")
        if type(batch_size) is not int or batch_size < 1:
            raise UserError(f"batch_size is {batch_size!r}; expected a whole number of at least 1")
        self.batch_size = batch_size
        self._carrier = _carrier_of(model, batch_size)
        self._step = self._carrier.step

    def __call__(self, x_t: Tensor | Inputs) -> Tensor:
        """The output (B, O) of the next step, whose input is x_t (B, ...)."""
        return self._step(x_t)

    def reset(self, rows: int | Sequence[int] | Sequence[bool] | Tensor | None = None) -> None:
        """All rows, or those given by number or as a mask (B,), begin anew with the next step."""
        self._carrier.reset(None if rows is None else _mask(rows, self.batch_size))

    @property
    def state(self) -> State:
        """A copy of the state, in the model's structure; set it to go on from there.

        ``None`` before the first step of a model without ``initial_state``.
        """
        return map_leaves(Tensor.clone, self._carrier.state())

    @state.setter
    def state(self, state: State) -> None:
        now = self._carrier.state()
        if now is not None and not same_shapes(state, now):
            raise UserError(f"got the state {describe(state)}; that of this stream is {describe(now)}")
        self._carrier.set_state(map_leaves(lambda leaf: leaf.detach().clone(), state))

    @property
    def reason(self) -> str:
        """Why layers ran in PyTorch at the last step; empty where all were compiled, and before the first step."""
        return self._carrier.reason


def _carrier_of(model: nn.Module, batch: int) -> _Layers | _Model:
    for module in model.modules():
        if getattr(module, "bidirectional", False) or (isinstance(module, Recurrent) and len(module.layers[0]) > 1):  # type: ignore[arg-type]
            raise UserError(
                f"{type(module).__name__} is bidirectional: backwards it begins at the end of a sequence, which a "
                "stream does not know yet; use one direction, or give the model whole sequences"
            )
    evaluated = in_evaluation(model)
    layers = _layers_of(evaluated)
    if layers is None and _takes_sequences(model):
        return _Model(model, batch)
    return _Layers(layers or _one_cell(evaluated), batch)


def _mask(rows: Any, batch: int) -> Tensor:
    """Rows given by number or as a mask, as a mask (B,)."""
    chosen = torch.as_tensor(rows).flatten().cpu()
    if chosen.dtype == torch.bool and len(chosen) == batch:
        return chosen
    if chosen.dtype == torch.bool or (len(chosen) and chosen.is_floating_point()):
        raise UserError(
            f"rows is {chosen.dtype} {tuple(chosen.shape)}; expected row numbers, or a bool mask ({batch},)"
        )
    if len(chosen) and not -batch <= int(chosen.min()) <= int(chosen.max()) < batch:
        raise UserError(f"rows go from {int(chosen.min())} to {int(chosen.max())}; this stream has {batch} rows")
    mask = torch.zeros(batch, dtype=torch.bool)
    mask[chosen.long()] = True
    return mask


# What the layers of a module are


@dataclass
class _Chain:
    """The layers of a stack as cells, bottom up, and how its state is joined from theirs and split into these.

    ``cells`` makes them of the parameters that there are now, and ``places`` is where these are kept.
    """

    cells: Callable[[], list[nn.Module]]
    places: list[Place]
    start: Callable[[int], State]
    join: Callable[[list[State]], State]
    split: Callable[[State], Sequence[State]]


def _one_cell(cell: nn.Module) -> _Chain:
    if not hasattr(cell, "initial_state") and not isinstance(cell, nn.RNNCell | nn.GRUCell | nn.LSTMCell):
        raise UserError(f"{type(cell).__name__} has no start state; give it a method initial_state(batch_size)")
    places = [place for each in cell.modules() for place in _places(each)]
    return _Chain(lambda: [cell], places, lambda batch: default_state(cell, batch), lambda s: s[0], lambda s: [s])


def _places(module: nn.Module) -> list[Place]:
    groups = module._parameters, module._buffers
    return [(group, name) for group in groups for name, tensor in group.items() if tensor is not None]


def _layers_of(module: nn.Module) -> _Chain | None:
    """The layers of a stack of one direction; ``None`` for any other module."""
    if isinstance(module, Recurrent) and type(module).forward is Recurrent.forward:
        if len(module.layers[0]) > 1:  # type: ignore[arg-type]
            return None
        cells: list[nn.Module] = [layer[0] for layer in module.layers]  # type: ignore[index]
        places = [place for each in module.modules() for place in _places(each)]
        return _Chain(lambda: cells, places, module.initial_state, tuple, list)
    if isinstance(module, nn.RNNBase) and type(module).forward in _FORWARDS:
        if module.bidirectional or module.proj_size:
            return None
        return _Chain(
            lambda: _cells_of(module),
            _places(module),
            lambda batch: _stacked([default_state(cell, batch) for cell in _cells_of(module)]),
            _stacked,
            lambda state: [map_leaves(lambda leaf, k=k: leaf[k], state) for k in range(module.num_layers)],  # type: ignore[misc]
        )
    return None


_DROP_INS: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "RNN_TANH": RNN, "RNN_RELU": RNN}
_FORWARDS = {kind.forward for kind in (LSTM, GRU, RNN, nn.LSTM, nn.GRU, nn.RNN)}


def _cells_of(module: nn.RNNBase) -> list[nn.Module]:
    kind = _DROP_INS[module.mode]
    sizes = [module.input_size] + [module.hidden_size] * (module.num_layers - 1)
    return [
        kind._cell(module, size).with_parameters(kind._parameters_of(module, layer, ""))
        for layer, size in enumerate(sizes)
    ]


def _stacked(states: list[State]) -> State:
    """Layers' states as ``torch.nn`` has them, (L, B, H)."""
    tensors = [torch.stack(each) for each in zip(*map(leaves, states), strict=True)]
    return tensors[0] if isinstance(states[0], Tensor) else tuple(tensors)


def _takes_sequences(module: nn.Module) -> bool:
    declared = getattr(module, "takes_sequences", None)
    if declared is not None or isinstance(module, Cell):
        return bool(declared)
    return any(getattr(each, "takes_sequences", False) or isinstance(each, nn.RNNBase) for each in module.modules())


# Their steps, compiled


class _Steps:
    """The steps of a chain of layers for inputs of one kind: ``y, new = run(inputs, old)``, states as leaves by layer.

    Leaves are contiguous. ``reason`` says why the steps are not compiled.
    """

    def __init__(self, chain: _Chain) -> None:
        self.chain = chain
        self.reason = ""
        self.compiled: list[Step] | None = None
        self._likes: Sequence[State] = ()
        self._is_tuple = False
        self._kinds: list[tuple[torch.Size, torch.dtype, bool]] = []
        self._surroundings: tuple[Any, ...] = ()
        self._seen: list[tuple[dict[str, Any], str, Tensor, int, int]] = []
        self._held: list[Tensor] = []

    def fit(self, inputs: Inputs) -> bool:
        """Whether they are made for such inputs, and nothing has changed since."""
        if len(inputs) != len(self._kinds):
            return False
        for x, (shape, dtype, on_cpu) in zip(inputs, self._kinds, strict=True):
            if type(x) is not Tensor or x.dtype is not dtype or x.shape != shape or x.is_cpu is not on_cpu:
                return False
            if not x.is_contiguous() or x.is_neg():
                return False
        if surroundings() != self._surroundings:
            return False
        for group, name, tensor, version, address in self._seen:
            if group.get(name) is not tensor or tensor._version != version or tensor.data_ptr() != address:
                return False
        return True

    def make(self, inputs: Inputs, states: Sequence[State], *, is_tuple: bool) -> None:
        """Makes them for inputs (B, ...) and states like these."""
        tensors = [(group, name, group[name]) for group, name in self.chain.places if group.get(name) is not None]
        self._kinds = [(x.shape, x.dtype, x.is_cpu) for x in inputs]
        self._surroundings = surroundings()
        self._likes, self._is_tuple = states, is_tuple
        self._seen, self._held, self.compiled, self.reason = [], [], None, ""
        if any(tensor.is_inference() for _, _, tensor in tensors):
            self.reason = "parameters made in inference mode do not tell when they change"
            return
        compiled: list[Step] = []
        for cell, state in zip(self.chain.cells(), states, strict=True):
            step, self.reason = make_step(cell, inputs, state, is_tuple=is_tuple)
            if step is None:
                return
            compiled.append(step)
            old = [leaf.contiguous() for leaf in leaves(state)]
            inputs = (step(inputs, old, [torch.empty_like(leaf) for leaf in old]), *inputs[1:])
        self.compiled = compiled
        # A tensor that shares its memory keeps it, so that no other can come to lie at the same address unnoticed.
        self._held = [tensor.detach() for _, _, tensor in tensors]
        self._seen = [(*each, each[2]._version, each[2].data_ptr()) for each in tensors]

    def take(self, states: list[list[Tensor]]) -> bool:
        """Whether they take such states, once these are contiguous."""
        kinds = [[(leaf.shape, leaf.dtype, leaf.is_neg()) for leaf in layer] for layer in states]
        return kinds == [[(leaf.shape, leaf.dtype, False) for leaf in leaves(like)] for like in self._likes]

    def run(
        self, inputs: Inputs, old: list[list[Tensor]], spare: list[list[Tensor]] | None = None
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """One step of all layers; compiled ones write the new state to ``spare``, or to new tensors."""
        if self.compiled is None:
            return self._run_in_pytorch(inputs, old)
        new = spare or [[torch.empty_like(leaf) for leaf in layer] for layer in old]
        for step, before, after in zip(self.compiled, old, new, strict=True):
            y = step(inputs, before, after)
            inputs = (y, *inputs[1:])
        return y, new

    def _run_in_pytorch(self, inputs: Inputs, old: list[list[Tensor]]) -> tuple[Tensor, list[list[Tensor]]]:
        y, *extras = inputs
        new = []
        with torch.no_grad():
            for cell, like, before in zip(self.chain.cells(), self._likes, old, strict=True):
                state = rebuild(like, map(_widened, before))
                y, after = read_result(cell, cell((y, *extras) if self._is_tuple else y, state), state)
                new.append(leaves(after))
            return y.clone(), new  # apart from the state


# Who carries the state


class _Layers:
    """Carries the state of a chain of layers."""

    def __init__(self, chain: _Chain, batch: int) -> None:
        self._chain, self._batch = chain, batch
        self._steps = _Steps(chain)
        self._likes = chain.split(self._start())
        self._state = [_owned(leaves(like)) for like in self._likes]
        # Nobody reads the state before the last step any more: the next one is written there.
        self._spare: list[list[Tensor]] | None = None
        self._kind = _kind_of(chain.places)
        self._input_size = getattr(chain.cells()[0], "input_size", None)

    @property
    def reason(self) -> str:
        return self._steps.reason

    def step(self, x: Tensor | Inputs) -> Tensor:
        inputs = x if isinstance(x, tuple) else (x,)
        if not self._steps.fit(inputs):
            inputs = self._made_fit(inputs, is_tuple=isinstance(x, tuple))
        y, new = self._steps.run(inputs, self._state, self._spare)
        self._state, self._spare = new, self._state
        return y

    def state(self) -> State:
        return self._chain.join(self._by_layer())

    def set_state(self, state: State) -> None:
        self._take([leaves(layer) for layer in self._chain.split(state)])

    def reset(self, rows: Tensor | None) -> None:
        start = [leaves(layer) for layer in self._chain.split(self._start())]
        self._take(start if rows is None else where_rows(rows.to(_device(start)), start, self._state))

    def _start(self) -> State:
        with torch.no_grad():
            start = self._chain.start(self._batch)
        if any(leaf.dim() == 0 for leaf in leaves(start)):
            raise UserError(f"the start state is {describe(start)}; expected tensors (B, ...)")
        return start

    def _by_layer(self) -> list[State]:
        return [rebuild(like, layer) for like, layer in zip(self._likes, self._state, strict=True)]

    def _take(self, state: list[list[Tensor]]) -> None:
        pairs = zip(state, self._state, strict=True)
        self._state = [_owned(leaf.to(old) for leaf, old in zip(*pair, strict=True)) for pair in pairs]

    def _made_fit(self, inputs: Inputs, *, is_tuple: bool) -> Inputs:
        inputs = tuple(_checked(x, self._batch) for x in inputs)
        size, x = self._input_size, inputs[0] if inputs else None
        if isinstance(size, int) and x is not None and x.is_floating_point() and x.shape != (self._batch, size):
            raise UserError(f"x_t is {tuple(x.shape)}; expected (B, I) = {(self._batch, size)}")
        cell = self._chain.cells()[0]
        if isinstance(cell, Cell) and len(inputs) != len(cell.inputs):
            raise UserError(f"got {len(inputs)} inputs; {type(cell).__name__} takes {', '.join(cell.inputs)}")
        if not self._steps.fit(inputs):
            kind = _kind_of(self._chain.places)
            move = kind is not None and kind != self._kind
            self._state = [_owned(_moved(leaf, kind) if move else leaf for leaf in layer) for layer in self._state]
            self._spare, self._kind = None, kind
            self._steps.make(inputs, self._by_layer(), is_tuple=is_tuple)
        return inputs


class _Model:
    """Carries the state of a model of sequences, which is called with sequences of one step."""

    def __init__(self, model: nn.Module, batch: int) -> None:
        self._net, self._steps = listener(model)
        self._batch = batch
        self._axis = int(any(getattr(each, "batch_first", False) for each in model.modules()))
        self._places = [place for each in self._net.modules() for place in _places(each)]
        self._kind = _kind_of(self._places)
        self._state = self._start()

    @property
    def reason(self) -> str:
        return "; ".join(dict.fromkeys(steps.reason for steps in self._steps if steps.reason))

    def step(self, x: Tensor | Inputs) -> Tensor:
        inputs = tuple(_checked(each, self._batch) for each in (x if isinstance(x, tuple) else (x,)))
        sequences = tuple(each.unsqueeze(self._axis) for each in inputs)
        self._move()
        with torch.no_grad():
            result = self._net(sequences if isinstance(x, tuple) else sequences[0], self._state)
            if not isinstance(result, tuple | list) or len(result) != 2 or not isinstance(result[0], Tensor):
                raise UserError(f"{type(self._net).__name__} returned {describe(result)}; expected (output, state)")
            y, state = result
            if y.dim() < 2 or y.shape[self._axis] != 1 or y.shape[1 - self._axis] != self._batch:
                expected = f"({self._batch}, 1, ...)" if self._axis else f"(1, {self._batch}, ...)"
                raise UserError(f"{type(self._net).__name__} gave {tuple(y.shape)} for one step; expected {expected}")
            self._state = state
            return y.select(self._axis, 0).clone()  # apart from the state

    def state(self) -> State:
        return self._state

    def set_state(self, state: State) -> None:
        self._state = map_leaves(Tensor.clone, state)

    def reset(self, rows: Tensor | None) -> None:
        start = self._start()
        if rows is not None and self._state is not None:
            start = map_leaves(torch.zeros_like, self._state) if start is None else start
            if any(leaf.shape[:1] != (self._batch,) for leaf in leaves(self._state)):
                raise UserError(
                    f"single rows cannot be reset in the state {describe(self._state)}: for a batch of {self._batch} "
                    "its tensors are to be (B, ...), as those of elman.Recurrent are"
                )
            start = where_rows(rows.to(_device(start)), start, self._state)
        self._state = start

    def _start(self) -> State:
        initial_state: Any = getattr(self._net, "initial_state", None)
        with torch.no_grad():
            return None if initial_state is None else initial_state(self._batch)

    def _move(self) -> None:
        """The state goes with the parameters to another dtype or device."""
        kind = _kind_of(self._places)
        if kind != self._kind and kind is not None:
            self._state = map_leaves(lambda leaf: _moved(leaf, kind), self._state)
        self._kind = kind


def _owned(tensors: Any) -> list[Tensor]:
    return [each.detach().clone(memory_format=torch.contiguous_format) for each in tensors]


def _device(state: State) -> torch.device:
    return next((leaf.device for leaf in leaves(state)), torch.device("cpu"))


def _kind_of(places: list[Place]) -> tuple[torch.device, torch.dtype] | None:
    """The device and dtype of parameters, as told by the first of them."""
    for group, name in places:
        tensor = group.get(name)
        if tensor is not None and tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return None


def _moved(tensor: Tensor, kind: Any) -> Tensor:
    """A tensor on a device and, if it holds numbers with a point, in a dtype."""
    device, dtype = kind
    return tensor.to(device, dtype) if tensor.is_floating_point() else tensor.to(device)


def _checked(x: Any, batch: int) -> Tensor:
    """An input of one step, contiguous and without a history."""
    if not isinstance(x, Tensor):
        raise UserError(f"x_t is a {type(x).__name__}; expected a tensor (B, ...) with B = {batch}")
    if x.dim() == 0 or x.shape[0] != batch:
        raise UserError(f"x_t is {tuple(x.shape)}; expected (B, ...) with B = {batch}: one step, without a time axis")
    return _widened(x).detach().resolve_neg().contiguous()


def _widened(tensor: Tensor) -> Tensor:
    """Under autocast what a layer before has rounded goes on as float32, as in a scan."""
    return tensor.float() if tensor.dtype == torch.bfloat16 and autocasts_to_bf16() else tensor


# Models with layers in them


def in_evaluation(
    module: nn.Module,
    around: Callable[[nn.Module], None] = lambda module: None,
    known: dict[int, nn.Module] | None = None,
) -> nn.Module:
    """A copy of a module in evaluation mode whose parameters and buffers are the module's own, now and later.

    ``around`` is shown each module of the copy, and may change it.

    >>> layer = nn.Dropout()
    >>> in_evaluation(layer).training, layer.training
    (False, True)
    """
    known = {} if known is None else known
    if id(module) not in known:
        known[id(module)] = copy = object.__new__(type(module))
        vars(copy).update(vars(module))
        vars(copy)["training"] = False
        vars(copy)["_modules"] = {
            name: None if child is None else in_evaluation(child, around, known)
            for name, child in module._modules.items()
        }
        around(copy)
    return known[id(module)]


def listener(model: nn.Module) -> tuple[nn.Module, list[_Steps]]:
    """A copy of a model as `in_evaluation` makes it, whose recurrent layers take single steps compiled, and these.

    It is to be called without gradients.
    """
    all_steps: list[_Steps] = []

    def around(module: nn.Module) -> None:
        layers = _layers_of(module)
        if layers is not None:
            steps = _Steps(layers)
            all_steps.append(steps)
            vars(module)["forward"] = _forward_of(module, steps)

    return in_evaluation(model, around), all_steps


def _forward_of(module: Any, steps: _Steps) -> Callable[..., Any]:
    """A layer's call that takes a sequence of one step by the compiled steps, and any other as before."""
    layered, axis, plain = steps.chain, int(module.batch_first), type(module).forward
    handed_out: list[list[Tensor]] = []  # the last state, which is contiguous and of the right kind

    def forward(x: Any, states: State = None, **options: Any) -> Any:
        nonlocal handed_out
        is_tuple = isinstance(x, tuple)
        sequences = x if is_tuple else (x,)
        asked = any(option is not None and option is not False for option in options.values())
        if asked or isinstance(x, PackedSequence) or not all(_is_one_step(each, axis) for each in sequences):
            return plain(module, x, states, **options)
        inputs = tuple(each.select(axis, 0) for each in sequences)
        layers = layered.split(layered.start(len(inputs[0])) if states is None else states)
        fitting = steps.fit(inputs)
        if not fitting:
            inputs = tuple(_checked(each, len(each)) for each in inputs)
            if not steps.fit(inputs):
                steps.make(inputs, layers, is_tuple=is_tuple)
        old = [leaves(layer) for layer in layers]
        known = fitting and _are(old, handed_out)
        if steps.compiled is None or not (known or steps.take(old)):
            return plain(module, x, states, **options)
        y, handed_out = steps.run(inputs, old if known else [[leaf.contiguous() for leaf in layer] for layer in old])
        after = [rebuild(layer, each) for layer, each in zip(layers, handed_out, strict=True)]
        return y.unsqueeze(axis), layered.join(after)

    return forward


def _are(ours: list[list[Tensor]], theirs: list[list[Tensor]]) -> bool:
    """Whether these are the same tensors."""
    pairs = itertools.zip_longest(itertools.chain(*ours), itertools.chain(*theirs))
    return all(a is b for a, b in pairs)


def _is_one_step(x: Any, axis: int) -> bool:
    return isinstance(x, Tensor) and x.dim() > 1 and x.shape[axis] == 1
