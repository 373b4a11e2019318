"""How commands take options: under titles, several of them as one value, none that would be ignored."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from sast_deploy.base.errors import UsageError
from sast_deploy.commands.flags import Asked

if TYPE_CHECKING:
    from sast_deploy.show.blocks import Out

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)  # an input, or where inputs and caches lie
OUTPUT = click.Path(path_type=Path)  # what a command writes: it calls `outputs.check_output` before any work
SEED = click.IntRange(0, 2**63 - 1)
COUNT = click.IntRange(1, 2**31 - 1)
INDEX = click.IntRange(0, 2**31 - 1)


class Finite(click.FloatRange):
    """A number within a range; NaN, which click's own range lets pass, and infinity are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Click's, and finite."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


SECONDS = Finite(min=0, min_open=True)
SHARE = Finite(0, 1, min_open=True, max_open=True)


class Titled(click.Option):
    """An option that stands under a title of its own in its command's help."""

    title = ""


def titled(title: str, *options: Callable[[Any], Any]) -> Callable[[Function], Function]:
    """These options, made by `option`, under this title in the help, but those that have one already."""

    def decorate(function: Function) -> Function:
        for each in reversed(options):
            each(function)
            made = parameters_of(function)[-1]
            assert isinstance(made, Titled)
            made.title = made.title or title
        return function

    return decorate


def option(*names: str, **settings: Any) -> Callable[[Function], Function]:
    """As `click.option`."""
    return click.option(*names, cls=Titled, **settings)


def gathered(
    name: str, build: Callable[..., Any], title: str, *options: Callable[[Any], Any]
) -> Callable[[Function], Function]:
    """These options as one argument `name` of the command's function: build(**their values)."""

    def empty() -> None: ...

    keys = [each.name for each in parameters_of(titled(title, *options)(empty))]

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(*arguments: Any, **values: Any) -> Any:
            own = {str(key): values.pop(key) for key in keys}
            return function(*arguments, **{name: build(**own)}, **values)

        return titled(title, *options)(call)  # type: ignore[return-value]

    return decorate


def parameters_of(function: Callable[..., Any]) -> list[click.Parameter]:
    """What click's decorators have hung on a function, the last one written first."""
    return getattr(function, "__click_params__", [])


def refuse_ignored(names: Iterable[str], reason: str, todo: str = "leave it out") -> None:
    """Refuse the running command's options that would change nothing, even with their default's value.

    names: of parameters, as click has them. reason: completes "--option ...".

    Raises UsageError for the first that was given.
    """
    context = click.get_current_context()
    options = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    for name in names:
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"{options[name]} {reason}", todo=todo)


def console() -> Out:
    """Standard output: no name is markup, no number is cut. Silent with --json and --quiet."""
    from sast_deploy.show.blocks import Out

    out = Out()
    out.quiet = Asked.json or Asked.quiet
    return out
