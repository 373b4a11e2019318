"""Frozen dataclasses whose fields state their rules, in their annotations, and from them everything else.

    @dataclass(frozen=True)
    class Window(Settings, called="window", error=DataError):
        steps: Annotated[int, Whole(1, 99)]
        rule: Literal["sum", "mean"] = "sum"

is checked when it is made (`Window(0)` raises a DataError), read by `Window.from_dict` and written by
`to_dict`. A dataclass that is `Checked` alone raises ValueError when it is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.base.rules import (
    Array,
    Choice,
    Flag,
    Instance,
    Maybe,
    Problem,
    Rule,
    Sizes,
    Table,
    bounded,
    refuse,
    shown,
    told,
)

S = TypeVar("S", bound="Settings")


def ruled(kind: Any) -> Mapping[str, Rule]:
    """The rules of a dataclass's fields, by name, in their order; fields without one are left out.

    A rule stands in the annotation; that of a Literal, a bool or a dataclass is the annotation itself.
    """
    return _ruled(kind)


@cache
def _ruled(kind: Any) -> Mapping[str, Rule]:
    rules = {name: _rule(hint) for name, hint in get_type_hints(kind, include_extras=True).items()}
    return {name: rule for name, rule in rules.items() if rule is not None}


def _rule(hint: Any) -> Rule | None:
    if get_origin(hint) is Annotated:
        return next((each for each in hint.__metadata__ if isinstance(each, Rule)), None)
    if get_origin(hint) is Literal:
        return Choice(get_args(hint))
    if isinstance(hint, type) and is_dataclass(hint):
        return Nested(hint) if issubclass(hint, Settings) else Instance((hint,))
    return Flag() if hint is bool else None


def _problems(value: Any, prefix: str) -> Iterator[Problem]:
    """What is wrong with an object's fields; sequences are tuples, and arrays nobody's to change any more."""
    sizes: Sizes = {}
    for name, rule in ruled(type(value)).items():
        found, path = getattr(value, name), f"{prefix}{name}"
        if isinstance(rule, Array):
            try:
                object.__setattr__(value, name, rule.kept(found, sizes))
            except ValueError as error:
                yield Problem(path, str(error), rule.text(sizes))
        elif isinstance(found, list):
            yield Problem(path, f"a list, {shown(found)}", f"a tuple; {rule}")
        else:
            yield from rule.problems(found, path)


def check_fields(value: Any) -> None:
    """Refuse an object with fields that break their rules; to be called from __post_init__.

    Raises ValueError: names the kind of object, the field, what was found and what is expected.
    """
    if found := told(_problems(value, f"{type(value).__name__}.")):
        raise ValueError("; expected ".join(filter(None, found)))


class Checked:
    """Base of a frozen dataclass that refuses fields which break their rules, as `check_fields`.

    added_later: fields with a default that files, and digests, from before them do not have.
    """

    added_later: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        """Refuse what `check_fields` refuses."""
        check_fields(self)

    def said(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of every field, without those added later that say no more than their absence."""
        for each in fields(self):  # type: ignore[arg-type]  # of whoever derives from this
            value = getattr(self, each.name)
            if each.name not in self.added_later or not np.array_equal(value, _default(each)):
                yield each.name, value


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@dataclass(frozen=True)
class Settings:
    """Base of a frozen dataclass that is checked when it is made, and read from and written to plain values.

    called: names it in errors. error: what is raised. later: values of the fields that older documents do not
    have. partial: a document need not have a field that has a default.
    """

    called: ClassVar[str]
    error: ClassVar[type[SastError]]
    later: ClassVar[Mapping[str, Any]]
    partial: ClassVar[bool]

    def __init_subclass__(
        cls, *, called: str, error: type[SastError], later: Mapping[str, Any] | None = None,
        partial: bool = False,
    ) -> None:  # fmt: skip
        super().__init_subclass__()
        cls.called, cls.error, cls.later, cls.partial = called, error, later or {}, partial

    def __post_init__(self) -> None:
        """Refuse fields that break their rules; lists become tuples, tables the settings that they hold."""
        for name, rule in ruled(type(self)).items():
            found, rule = getattr(self, name), rule.rule if isinstance(rule, Maybe) else rule
            if isinstance(found, list):
                object.__setattr__(self, name, tuple(found))
            elif isinstance(rule, Nested) and isinstance(found, Mapping):
                object.__setattr__(self, name, rule.kind.from_dict(found))
        refuse(_problems(self, ""), self.called, self.error)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and checkpoints; tuples become lists."""
        return {each.name: _plain(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def rule(cls) -> Table:
        """What a document of it may hold."""
        return Table(ruled(cls), ruled(cls) if cls.partial else cls.later)

    @classmethod
    def from_dict(cls: type[S], values: Any) -> S:
        """The inverse of `to_dict`. Raises `error`, which names all that is wrong."""
        refuse(bounded(cls.rule(), values), cls.called, cls.error)
        return cls(**{**cls.later, **values})


@dataclass(frozen=True)
class Nested(Rule):
    """Settings within others, or what a document holds of them: all, even of what is partial elsewhere."""

    kind: type[Settings]

    def __str__(self) -> str:
        return str(self.kind.rule())

    def _find(self, value: Any, path: str) -> Iterator[Problem]:
        if not isinstance(value, self.kind):
            yield from Table(ruled(self.kind), self.kind.later).problems(value, path)


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.to_dict()
    return list(value) if isinstance(value, tuple) else value
