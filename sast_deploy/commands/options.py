"""Options that several commands share, and `--debug`, which every command takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from sast_deploy.base.errors import Exit, UsageError

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions
    from sast_deploy.show.blocks import Out

Function = TypeVar("Function", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)  # an input, or where inputs and caches lie
OUTPUT = click.Path(path_type=Path)  # what a command writes: it calls `outputs.check_output` before any work
SEED = click.IntRange(0, 2**63 - 1)
COUNT = click.IntRange(1, 2**31 - 1)
DATA_OPTIONS = ("dataset", "data_root", "holdout", "holdout_seed", "cache_dir")


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


def refuse_ignored(names: Iterable[str], reason: str, todo: str = "leave it out") -> None:
    """Refuse the running command's options that would change nothing, even with their default's value.

    names: of parameters, as the command's function has them. reason: completes "--option ...".

    Raises UsageError for the first that was given.
    """
    context = click.get_current_context()
    options = {parameter.name: max(parameter.opts, key=len) for parameter in context.command.params}
    for name in names:
        option = options[name]
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            raise UsageError(f"{option} {reason}", todo=todo)


@dataclass
class _Debug:
    """Whether --debug was given; set while click parses, read when an error is shown."""

    on: bool = False


_debug = _Debug()


def wants_traceback() -> bool:
    """Whether the command line that ran last had --debug."""
    return _debug.on


def forget_debug() -> None:
    """Before a new command line is parsed."""
    _debug.on = False


def _set_debug(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    _debug.on |= value  # the group may have it, or the command


def _debug_option() -> click.Option:
    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the traceback behind an error.",
    )


class Command(click.Command):
    """A command that takes --debug and shows its example below the help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(_debug_option())


class Group(click.Group):
    """A group of commands: takes --debug before the command's name, too; alone it shows its help."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.append(_debug_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's, but without a command the whole help goes to stderr, in every version of click."""
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.BAD_INPUT)
        return super().parse_args(ctx, args)


def overwrite_option(what: str) -> Callable[[Function], Function]:
    """--overwrite, of a command whose output holds `what`."""
    text = f"Replace {what} of a different run, or damaged, too; never a file of another kind."
    return click.option("--overwrite", is_flag=True, help=text)


def training_overwrite_option(function: Function) -> Function:
    """--overwrite, of a command that trains."""
    text = "Replace this output's checkpoint or unfinished training; never those of another output beside it."
    return click.option("--overwrite", is_flag=True, help=text)(function)


def example(*lines: str) -> str:
    """The epilog of a command's help: runnable lines."""
    return "Example:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)


def console() -> Out:
    """Standard output, on which a name is never markup and no number is cut."""
    from sast_deploy.show.blocks import Out

    return Out()


def data_options(default_dataset: str | None) -> Callable[[Function], Function]:
    """--dataset, --data-root, --holdout, --holdout-seed, --cache-dir."""
    default = f"default {default_dataset}" if default_dataset else "default: the one it was trained on"
    dataset = click.option(
        "--dataset",
        default=default_dataset,
        metavar="NAME",
        help="nmnist, auto, digits-saccade, nmnist-simulated, dvsgesture, cifar10dvs or "
        f"tonic:<ClassName>; {default}.",
    )
    folders = folder_options("" if default_dataset else "the one it was trained from, else ")
    return lambda function: dataset(folders(function))


def folder_options(first: str) -> Callable[[Function], Function]:
    """--data-root, --holdout, --holdout-seed, --cache-dir. first: where recordings are looked for first."""

    def decorate(function: Function) -> Function:
        for option in reversed(
            (
                click.option(
                    "--data-root",
                    type=PATH,
                    help=f"Folder of the recordings; else {first}$SAST_DATA_ROOT, else ./data.",
                ),
                click.option(
                    "--holdout",
                    type=SHARE,
                    metavar="SHARE",
                    help="Share of each class held out for testing, where there is no test split.",
                ),
                click.option("--holdout-seed", type=SEED, help="Seed of that split; default 0."),
                click.option(
                    "--cache-dir",
                    type=PATH,
                    help="Cache of frames; else $SAST_CACHE_DIR or ~/.cache/sast-deploy.",
                ),
            )
        ):
            function = option(function)
        return function

    return decorate


def frame_options(function: Function) -> Function:
    """--steps, --binning, --encoding, --clip, --size, --duration-us."""
    for option in reversed(
        (
            click.option("--steps", type=int, default=10, show_default=True, help="Time steps T."),
            click.option("--binning", default="time", show_default=True, help="time: T equal spans; count."),
            click.option("--encoding", default="count", show_default=True, help="count or binary."),
            click.option("--clip", type=int, help="Count that becomes 1.0; default 4 (binary: 1)."),
            click.option("--size", type=int, nargs=2, metavar="H W", help="Sum pixels down to H x W."),
            click.option("--duration-us", type=int, help="Fixed window in microseconds; default: all."),
        )
    ):
        function = option(function)
    return function


def build_frame_options(
    steps: int,
    binning: str,
    encoding: str,
    clip: int | None,
    size: tuple[int, int] | None,
    duration_us: int | None,
) -> FrameOptions:
    """FrameOptions from the command line's values. Raises DataError."""
    from sast_deploy.data import FrameOptions

    if encoding == "binary":
        refuse_ignored(["clip"], "with --encoding binary: frames hold 0 and 1 only")
    if clip is None:
        clip = 1 if encoding == "binary" else FrameOptions.clip
    return FrameOptions(
        steps=steps, binning=binning, encoding=encoding, clip=clip, size=size, duration_us=duration_us
    )
