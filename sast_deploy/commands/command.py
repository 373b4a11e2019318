"""Commands as click runs them here: help under titles, the same flags everywhere, "did you mean"."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.flags import FLAGS, Asked, flags
from sast_deploy.commands.options import Titled
from sast_deploy.commands.several import spread

ONCE_FILES = ("inspect", "tables")  # whose --json took the name of a file
HELP = {"help_option_names": ["-h", "--help"]}  # click keeps the option of the first context it sees


class Command(click.Command):
    """A command that takes all FLAGS; its options stand under their titles, its example below."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **{"context_settings": HELP, **settings})
        self.params += flags(*FLAGS)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's, with options of several values; refuses the --json FILE of before. Raises UsageError."""
        Asked.command = "-".join(ctx.command_path.split()[1:])
        for word, value in itertools.pairwise(args):
            if word == "--json" and value.endswith(".json") and self.name in ONCE_FILES:
                todo = f"-o {value} writes that file"
                raise UsageError(f"--json {value}", expected="--json alone, for standard output", todo=todo)
        if self.name in ONCE_FILES and ["--json", "-"] in [args[k : k + 2] for k in range(len(args))]:
            args = [each for each in args if each != "-"]  # which was standard output
        return super().parse_args(ctx, spread(self.get_params(ctx), args))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each title in the order in which it first comes; what has none last."""
        titles: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            title = parameter.title if isinstance(parameter, Titled) else ""
            record = parameter.get_help_record(ctx)
            if record is not None and not isinstance(parameter, click.Argument):
                titles.setdefault(title, []).append(record)
        plain = titles.pop("", [])
        for title, records in [*titles.items(), ("Options" if not titles else "General", plain)]:
            with formatter.section(title):
                formatter.write_dl(records)


class Group(click.Group):
    """A group of commands: takes all FLAGS before the command's name, too; alone it shows its help.

    sections: title -> names of its commands, for the help; None: as click lists them.
    """

    def __init__(
        self, *arguments: Any, sections: Mapping[str, tuple[str, ...]] | None = None, **settings: Any
    ) -> None:
        super().__init__(*arguments, **{"context_settings": HELP, **settings})
        self.params += flags(*FLAGS)
        self.sections = sections

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Click's, but without a command the whole help goes to stderr, in every version of click."""
        if not args and not ctx.resilient_parsing:  # as it is for completion
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.BAD_INPUT)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's; for a name that is none, the one that was meant."""
        if self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are {', '.join(self.commands)}."
            if not args[0].startswith("-"):
                ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """By purpose."""
        if self.sections is None:
            super().format_commands(ctx, formatter)
            return
        for title, names in self.sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, self.commands[name].get_short_help_str()) for name in names])


def command(
    name: str, short_help: str, *examples: str, of: Any = click, help: str | None = None
) -> Callable[[Callable[..., Any]], Command]:
    """Makes a function a command, of the group `of` if any; its help ends with runnable lines."""
    epilog = "Example:\n\n\b\n" + "\n".join(f"  {line}" for line in examples)
    settings = {"short_help": short_help, "epilog": epilog, "help": help}
    made: Callable[..., Command] = of.command(name, cls=Command, **settings)
    return made
