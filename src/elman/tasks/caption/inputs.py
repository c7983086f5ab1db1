"""What captions are written from: classes, vectors or pictures, from wherever they come, and their texts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...data import Labels, Scaling, Table, read_table
from ...data.pictures import PICTURE_ENDINGS, as_pictures, read_picture
from ...data.table import read_file
from ...errors import UserError, nearest
from .settings import CaptionFileSettings

Kind = Literal["classes", "vectors", "pictures"]
INPUT_NAMES = ("label", "class", "image", "index", "name")
TEXT_NAMES = ("text", "caption")
ARRAY_NAMES = ("features", "images", "x")


@dataclass(frozen=True)
class Inputs:
    """What texts are written from: n class names, vectors (n, F) or pictures (n, height, width, C).

    ``place(i)`` says in words where input i came from.
    """

    kind: Kind
    items: Any
    place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, rows: NDArray[np.int64]) -> Inputs:
        items = [self.items[row] for row in rows] if isinstance(self.items, list) else self.items[rows]
        return Inputs(self.kind, items, lambda i: self.place(int(rows[i])))


@dataclass(frozen=True)
class Captions:
    """Inputs, and for each the texts that are right; ``text_place(i)`` is where the first text of input i stands."""

    inputs: Inputs
    texts: list[list[str]]
    text_place: Callable[[int], str]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: NDArray[np.int64]) -> Captions:
        return Captions(self.inputs[rows], [self.texts[row] for row in rows], lambda i: self.text_place(int(rows[i])))


@dataclass(frozen=True)
class InputReader:
    """Inputs as arrays that a net reads: class numbers (n,), or scaled numbers in float32.

    >>> reader = InputReader.learned(as_inputs(["b", "a", "b"]))
    >>> reader(as_inputs(["a", "b"])).tolist(), reader.sizes
    ([0, 1], {'classes': 2})
    """

    kind: Kind
    labels: Labels | None = None
    scaling: Scaling | None = None
    size: int = 0

    @classmethod
    def learned(cls, inputs: Inputs, standardise: bool = True) -> InputReader:
        """From the training part: the classes there are, or mean and deviation of every feature or channel."""
        if inputs.kind == "classes":
            return cls("classes", Labels.learned(inputs.items, inputs.place))
        size = int(inputs.items.shape[-1])
        scaling = Scaling.learned([item.reshape(-1, size) for item in inputs.items]) if standardise else None
        return cls(inputs.kind, None, scaling, size)

    @property
    def sizes(self) -> dict[str, int]:
        """What ``CaptionNet`` wants to know of what it is told."""
        if self.labels is not None:
            return {"classes": len(self.labels)}
        return {"features" if self.kind == "vectors" else "channels": self.size}

    def __call__(self, inputs: Inputs) -> NDArray[Any]:
        """`UserError` for a class that training did not have, and for numbers of another kind or size."""
        if inputs.kind != self.kind:
            raise UserError(f"{inputs.place(0)}: the model writes from {self.kind}, these are {inputs.kind}")
        if self.labels is not None:
            return self.labels.encode(inputs.items, inputs.place)
        if inputs.items.shape[-1] != self.size:
            what = "features" if self.kind == "vectors" else "channels"
            raise UserError(
                f"{inputs.place(0)} has {inputs.items.shape[-1]} {what}; the model was trained on {self.size}"
            )
        return self.scaling(inputs.items) if self.scaling else np.asarray(inputs.items, np.float32)

    def document(self) -> dict[str, Any]:
        """Itself as JSON values."""
        return {
            "kind": self.kind,
            "labels": self.labels and list(self.labels.names),
            "scaling": self.scaling and {"mean": list(self.scaling.mean), "deviation": list(self.scaling.deviation)},
            "size": self.size,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any], origin: str) -> InputReader:
        """What `document` gave; `UserError` naming the ``origin`` where it is none."""
        try:
            labels, scaling = document["labels"], document["scaling"]
            return cls(
                document["kind"],
                labels and Labels(labels),
                scaling and Scaling(tuple(scaling["mean"]), tuple(scaling["deviation"])),
                document["size"],
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"{origin} does not say what it writes from; restore the file or train again") from error


def as_inputs(X: Any, place: Callable[[int], str] | None = None) -> Inputs:
    """The inputs of X: n class names (texts, whole numbers), vectors (n, F), or pictures of one size, (n, height,
    width) or (n, height, width, C); lists, arrays, columns of pandas.

    `UserError`, with the place, for anything else.

    >>> as_inputs(["French", "Dutch"]).kind, as_inputs(np.zeros((2, 5))).kind, as_inputs(np.zeros((2, 5, 4))).kind
    ('classes', 'vectors', 'pictures')
    """
    where = place or (lambda i: f"X[{i}]")
    if isinstance(X, str):
        raise UserError(f"X is the one text {X!r}; give a list, [{X!r}]")
    if hasattr(X, "detach"):
        X = X.detach().cpu()
    items = X.to_numpy() if hasattr(X, "to_numpy") else X
    if isinstance(items, list | tuple) and len({np.shape(each) for each in items}) > 1:
        shapes = [np.shape(each) for each in items]
        other = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
        raise UserError(f"{where(other)} is {shapes[other]}, {where(0)} is {shapes[0]}; expected one size for all")
    array = np.asarray(items)
    if not array.ndim or not len(array):
        raise UserError("X holds nothing to write from; give class names, vectors or pictures")
    if array.ndim == 1:
        return Inputs("classes", array.tolist(), where)
    if array.ndim > 2:
        return Inputs("pictures", np.stack(as_pictures(array, None, where).images), where)
    if array.dtype.kind not in "buif":
        raise UserError(f"X is {array.shape} of {array.dtype}; expected class names (n,), or numbers (n, F)")
    for row, feature in np.argwhere(~np.isfinite(array))[:1]:
        raise UserError(f"{where(row)} is {array[row, feature]} at feature {feature}; expected numbers")
    return Inputs("vectors", array, where)


def as_captions(X: Any, texts: Any) -> Captions:
    """Inputs with their texts: one text each, or a list of texts each."""
    inputs = as_inputs(X)
    if texts is None:
        raise UserError("texts are missing; give one, or a list of them, for everything in X")
    given = list(texts.to_numpy() if hasattr(texts, "to_numpy") else texts)
    if len(given) != len(inputs):
        raise UserError(f"X has {len(inputs)} inputs, there are {len(given)} texts; expected one, or a list, for each")
    lists = [[each] if isinstance(each, str) else each for each in given]
    for i, each in enumerate(lists):
        if not isinstance(each, list | tuple) or not each or not all(isinstance(t, str) and t.strip() for t in each):
            raise UserError(f"texts[{i}] is {given[i]!r}; expected a text, or a list of texts, none of them empty")
    return Captions(inputs, [list(each) for each in lists], lambda i: f"texts[{i}]")


def read_captions(path: str, options: CaptionFileSettings) -> Captions:
    """The texts of a file with what they are written from; of one picture or vector all texts together.

    `UserError`, with row and column, for what cannot be read.
    """
    table = read_table(path, options.encoding)
    column = _column(table, "input", options.input, INPUT_NAMES)
    text = _column(table, "text", options.text, TEXT_NAMES)
    texts = table.column(text)
    for record, each in enumerate(texts):
        if not isinstance(each, str) or not each.strip():
            raise UserError(
                f"{table.place(record, text)} is {each!r}; expected a text, so fill it in or take the row out"
            )
    keys = [each.strip() if isinstance(each, str) else each for each in table.column(column)]
    if options.features is None and not _are_pictures(keys):
        inputs = as_inputs(keys, lambda i: table.place(i, column))
        return Captions(inputs, [[each] for each in texts], lambda i: table.place(i, text))
    records: dict[Any, list[int]] = {}
    for record, key in enumerate(keys):
        records.setdefault(key, []).append(record)
    firsts = [each[0] for each in records.values()]
    inputs = _looked_up(list(records), options, Path(path).parent, lambda i: table.place(firsts[i], column))
    grouped = [[texts[record] for record in each] for each in records.values()]
    return Captions(inputs, grouped, lambda i: table.place(firsts[i], text))


def read_inputs(source: str, options: CaptionFileSettings) -> Inputs:
    """The inputs in a file: a picture, an array of vectors or pictures, or the column of a table."""
    if source.lower().endswith(PICTURE_ENDINGS):
        return as_inputs([read_picture(Path(source))], lambda i: source)
    if source.lower().endswith((".npy", ".npz")):
        array, _ = _array(source)
        return as_inputs(array, lambda i: f"{Path(source).name} row {i}")
    table = read_table(source, options.encoding)
    alone = list(table.columns) if len(table.columns) == 1 else []
    column = alone[0] if alone else _column(table, "input", options.input, INPUT_NAMES)
    keys = [each.strip() if isinstance(each, str) else each for each in table.column(column)]
    place = lambda i: table.place(i, column)  # noqa: E731
    if options.features is None and not _are_pictures(keys):
        return as_inputs(keys, place)
    return _looked_up(keys, options, Path(source).parent, place)


def _looked_up(keys: list[Any], options: CaptionFileSettings, folder: Path, place: Callable[[int], str]) -> Inputs:
    """The pictures at paths, or the rows of the file of features."""
    if options.features is None:
        pictures = []
        for i, key in enumerate(keys):
            try:
                pictures.append(read_picture(folder / key))
            except UserError as mistake:
                raise UserError(f"{place(i)}: {mistake}") from mistake
        return as_inputs(pictures, place)
    array, names = _array(options.features)
    known = None if names is None else {str(name): i for i, name in enumerate(names.tolist())}
    rows = []
    for i, key in enumerate(map(str, keys)):
        row = (int(key) if key.isdecimal() else -1) if known is None else known.get(key, -1)
        if not 0 <= row < len(array):
            hint = _expected(key, known, len(array))
            raise UserError(f"{place(i)} is {key!r}, which is no row of {options.features}; {hint}")
        rows.append(row)
    return as_inputs(array[rows], place)


def _expected(key: str, known: dict[str, int] | None, count: int) -> str:
    if known is None:
        return f"expected a number from 0 to {count - 1}"
    hint = nearest(key, known)
    # Of thousands of names the nearest says all; to name them all would say nothing.
    return hint if hint.startswith("did you mean") else f"expected a name such as {next(iter(known))!r}"


def _array(path: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The array of a .npy or .npz file, and the names of its rows where it has any."""
    _, data = read_file(path, (".npy", ".npz"))
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        arrays = {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no plain array ({error}); write it with numpy.save or numpy.savez") from error
    name = next((name for name in ARRAY_NAMES if name in arrays), None)
    if name is None:
        have = ", ".join(map(repr, arrays))
        raise UserError(f"{path} has no array 'features', but {have}; name the array of vectors or pictures features")
    names = arrays.get("names")
    if names is not None and names.shape != (len(arrays[name]),):
        raise UserError(f"{path} has {names.shape} names for {len(arrays[name])} rows; expected one for each")
    return arrays[name], names


def _column(table: Table, option: str, named: str | None, usual: Sequence[str]) -> str:
    # Lines of label and text have names of their own, whatever those of the file trained on.
    if named is None or list(table.columns) == ["label", "text"]:
        found = next((name for name in usual if name in table.columns), None)
        if found is None:
            raise UserError(f"{table.name} has {table.described()}; name one with {option}= (--{option})")
        return found
    table.column(named)
    return named


def _are_pictures(keys: Sequence[Any]) -> bool:
    return all(isinstance(key, str) and key.lower().endswith(PICTURE_ENDINGS) for key in keys)
