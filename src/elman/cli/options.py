"""Command-line options from dataclasses: how they are written, shown and refused."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import itertools
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..errors import UserError, nearest
from ..tasks.settings import Value
from ..training import check_types

T = TypeVar("T")

NOTHING = "none"
WORDS = {int: "INT", float: "NUMBER", str: "TEXT"}


def parse(command: type[T], arguments: list[str], verb: str, default: T | None = None) -> T:
    """The command's dataclass filled from the arguments; prints help and exits where asked.

    Raises ``UserError``, one sentence, for an unknown option, with the nearest one, and for a value that cannot be.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                command,
                prog=f"elman {verb}",
                description=inspect.getdoc(command),
                args=arguments,
                default=default,
                return_unknown_args=True,
                registry=_registry(),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise _mistake(end, said.getvalue(), verb) from None
    if unknown:
        raise _unknown(unknown[0], command, verb)
    check_types(parsed)
    return typing.cast(T, parsed)


def value_of(flag: str, words: list[str]) -> str | None:
    """The value of one option before the full parse, as ``--flag value`` or ``--flag=value``.

    >>> value_of("--recipe", ["--recipe", "demo"]), value_of("--run", ["--run=x"]), value_of("--run", [])
    ('demo', 'x', None)
    """
    for word, following in itertools.zip_longest(words, words[1:]):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None


def option_names(command: type) -> list[str]:
    """The names of a command's options, those of its groups included.

    >>> from elman.cli.data import Data
    >>> option_names(Data)
    ['--fetch']
    """
    names = []
    for field in dataclasses.fields(command):
        if dataclasses.is_dataclass(field.default):
            names += option_names(type(field.default))
        else:
            names.append("--" + field.name.replace("_", "-"))
    return names


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def plain(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        members = _members(info.type)
        if not all(map(_is_plain, members)):
            return None
        tuples = [member for member in members if typing.get_origin(member) is tuple]
        lengths = [len(typing.get_args(member)) for member in tuples if Ellipsis not in typing.get_args(member)]
        return PrimitiveConstructorSpec(
            nargs=lengths[0] if lengths else "*" if tuples else 1,
            metavar=_metavar(info.type),
            instance_from_str=lambda words: _read(words, members),
            is_instance=lambda value: True,
            str_from_instance=_shown,
        )

    @registry.primitive_rule
    def named_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type != dict[str, Value]:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="NAME=VALUE ...",
            instance_from_str=lambda words: dict(map(_named_value, words)),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda values: [f"{k}={json.dumps(v)}" for k, v in values.items()] or [NOTHING],
        )

    return registry


def _members(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _is_plain(hint: Any) -> bool:
    return hint in (*WORDS, type(None)) or typing.get_origin(hint) in (Literal, tuple)


def _metavar(hint: Any) -> str:
    """What stands for the value in the help.

    >>> _metavar(int | None), _metavar(Literal["zeros", "trained"] | float), _metavar(str | tuple[str, ...])
    ('INT', '{zeros,trained}|NUMBER', 'TEXT ...')
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return "{" + ",".join(arguments) + "}"
    if origin is tuple:
        return f"{_metavar(arguments[0])} ..." if Ellipsis in arguments else " ".join(map(_metavar, arguments))
    if hint in WORDS:
        return WORDS[typing.cast(type, hint)]
    shown = [_metavar(member) for member in _members(hint) if member is not type(None)]
    return "|".join(word for word in shown if f"{word} ..." not in shown)


def _read(words: list[str], members: tuple[Any, ...]) -> Any:
    """The words as the value they can be; what cannot be read stays text, for ``check_types`` to refuse by name.

    >>> _read(["3"], (int, type(None))), _read(["none"], (int, type(None))), _read(["x"], (int,))
    (3, None, 'x')
    >>> _read(["3"], (int, tuple[int, ...])), _read(["3", "4"], (int, tuple[int, ...]))
    (3, (3, 4))
    """
    for member in members:
        if typing.get_origin(member) is tuple and (len(words) != 1 or len(members) == 1):
            kinds = tuple({kind for kind in typing.get_args(member) if kind is not Ellipsis})
            return tuple(_read([word], kinds) for word in words)
    (word,) = words
    if str in members or any(word in typing.get_args(member) for member in members):
        return word
    if type(None) in members and word.lower() == NOTHING:
        return None
    for kind in (int, float):
        if kind in members:
            with contextlib.suppress(ValueError):
                return kind(word)
    return word


def _shown(value: Any) -> list[str]:
    """A default as words, the inverse of ``_read``."""
    if isinstance(value, tuple | list):
        return [str(each) for each in value] or [NOTHING]
    return [NOTHING if value is None else str(value)]


def _named_value(word: str) -> tuple[str, Value]:
    """``name=value``, the value read as JSON where it is a number or a truth value.

    >>> _named_value("alpha=0.9"), _named_value("context=old")
    (('alpha', 0.9), ('context', 'old'))
    """
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise UserError(f"{word!r} is no option of a cell; write name=value, such as context_size=64")
    try:
        value = json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except ValueError:
        value = text
    return name.replace("-", "_"), value if isinstance(value, bool | int | float) else text


def _mistake(end: SystemExit, said: str, verb: str) -> UserError:
    """Why tyro gave up: our own sentence where there is one, else what stands in its box below the title."""
    cause: BaseException | None = end
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        cause = cause.__context__
    lines = [line.strip("│ ") for line in said.splitlines()[1:]]
    ruled = "\n".join("" if not line.strip("─╰╯-") else line for line in lines).strip()
    sentences = " ".join(ruled.partition("\n\n")[0].split()).split(". ")
    told = "; ".join(sentence[:1].lower() + sentence[1:].rstrip(".") for sentence in sentences)
    return UserError(f"{told}; elman {verb} --help explains")


def _unknown(word: str, command: type, verb: str) -> UserError:
    if not word.startswith("-"):
        text = Path(word).exists() and "--data" in option_names(command)
        hint = f"did you mean --data {word}?" if text else f"options begin with --, elman {verb} --help lists them"
        return UserError(f"elman {verb} does not know what to do with {word!r}; {hint}")
    hint = nearest(word.partition("=")[0], option_names(command))
    known = hint if hint.startswith("did you mean") else f"elman {verb} --help lists those there are"
    return UserError(f"elman {verb} has no option {word!r}; {known}")
