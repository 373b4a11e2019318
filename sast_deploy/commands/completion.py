"""`sast-deploy completion`: the script that lets a shell complete command lines."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import PROGRAM, SHELLS, VARIABLE
from sast_deploy.commands.flags import Asked


@command(
    "completion", "The script by which a shell completes command lines.",
    "sast-deploy completion bash > ~/.local/share/bash-completion/completions/sast-deploy",
    "sast-deploy completion zsh > ~/.zfunc/_sast-deploy",
    "sast-deploy completion fish > ~/.config/fish/completions/sast-deploy.fish",
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> None:
    """Print SHELL's script, to be put where SHELL looks for such scripts; it works in the next shell.

    Commands, options, profiles, engines, data sets, recipes, and files of the right kind are completed.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source()
    if not Asked.json and not Asked.quiet:
        click.echo(script)
    answer({"shell": shell, "script": script})
