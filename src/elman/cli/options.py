"""Command-line options from dataclasses, and recipes."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from ..errors import UserError
from ..tasks.settings import Value

T = TypeVar("T")


def parse(command: type[T], arguments: list[str], verb: str, default: T | None = None) -> T:
    """The command's dataclass filled from the arguments; prints help or the mistake and exits where asked or needed."""
    return tyro.cli(
        command,
        prog=f"elman {verb}",
        description=command.__doc__,
        args=arguments,
        default=default,
        registry=_registry(),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
    )


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def named_values(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
        if info.type != dict[str, Value]:
            return None
        return PrimitiveConstructorSpec(
            nargs="*",
            metavar="[NAME=VALUE ...]",
            instance_from_str=lambda words: dict(map(_named_value, words)),
            is_instance=lambda value: isinstance(value, dict),
            str_from_instance=lambda values: [f"{name}={json.dumps(value)}" for name, value in values.items()],
        )

    return registry


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


def value_of(flag: str, words: list[str]) -> str | None:
    """The value of one option before the full parse, as ``--flag value`` or ``--flag=value``.

    >>> value_of("--recipe", ["--recipe", "demo"]), value_of("--run", ["--run=x"]), value_of("--run", [])
    ('demo', 'x', None)
    """
    for word, following in zip(words, [*words[1:], None], strict=True):
        if word == flag:
            return following
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None
