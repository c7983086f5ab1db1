"""What every task's estimator shares: options from one settings dataclass, in the manner of scikit-learn."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, TypeVar

from ..errors import UserError, nearest

T = TypeVar("T")


def groups(settings: type) -> dict[str, type]:
    """The option groups of a settings class: its fields' names and the dataclasses they hold.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Net:
    ...     units: int = 3
    >>> @dataclasses.dataclass(frozen=True)
    ... class Task:
    ...     net: Net = Net()
    >>> groups(Task)
    {'net': <class 'elman.tasks.estimator.Net'>}
    """
    return {field.name: type(field.default) for field in dataclasses.fields(settings)}


def defaults(settings: type) -> dict[str, Any]:
    """Every option of all groups with its default, by its own name; names are unique across groups."""
    made = [group() for group in groups(settings).values()]
    return {option.name: getattr(group, option.name) for group in made for option in dataclasses.fields(group)}


def settings_from(kind: type[T], options: Mapping[str, Any], origin: str = "") -> T:
    """Checked settings from options by name; errors begin with ``origin``, what the options come from.

    Raises ``UserError`` for an unknown name, with the nearest valid one, and for a value out of range.
    """
    known = defaults(kind)
    try:
        for name in options:
            if name not in known:
                raise UserError(f"unknown option {name!r}; {nearest(name, known)}")
        made = {
            field: group(**{o.name: options[o.name] for o in dataclasses.fields(group) if o.name in options})
            for field, group in groups(kind).items()
        }
        return kind(**made)
    except UserError as mistake:
        if not origin:
            raise
        raise UserError(f"{origin}: {mistake}") from mistake


def options_of(settings: Any) -> dict[str, Any]:
    """The options of a settings object by name, as plain values: what recipes and checkpoints hold."""
    return {name: value for group in dataclasses.asdict(settings).values() for name, value in group.items()}


class Estimator:
    """Base of the estimators: the constructor takes every option of ``settings_class`` by name and stores it untouched.

    ``help`` is what ``elman train JOB --help`` opens with.
    ``get_params`` and ``set_params`` follow scikit-learn, so that ``clone`` and searches work.
    """

    settings_class: ClassVar[type]
    help: ClassVar[str]
    __init__: Callable[..., None]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "settings_class"):
            return

        def start(self: Estimator, **options: Any) -> None:
            self.set_params(**{**defaults(cls.settings_class), **options})

        options = defaults(cls.settings_class).items()
        parameters = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in options]
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        start.__signature__ = inspect.Signature([this, *parameters])  # type: ignore[attr-defined]
        start.__name__, start.__qualname__ = "__init__", f"{cls.__qualname__}.__init__"
        cls.__init__ = start  # type: ignore[misc]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name."""
        return {name: getattr(self, name) for name in defaults(self.settings_class)}

    def set_params(self, **options: Any) -> Self:
        """Sets options by name; raises ``UserError`` for an unknown one."""
        known = defaults(self.settings_class)
        for name in options:
            if name not in known:
                raise UserError(f"{type(self).__name__} has no option {name!r}; {nearest(name, known)}")
        for name, value in options.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        known = defaults(self.settings_class)
        changed = [f"{name}={value!r}" for name, value in self.get_params().items() if value != known[name]]
        return f"{type(self).__name__}({', '.join(changed)})"
