"""`sast-deploy doctor`: what is installed, what is missing, the command that mends it."""

from __future__ import annotations

import click

from sast_deploy.commands.options import Command, example


@click.command("doctor", cls=Command, epilog=example("sast-deploy doctor"))
def doctor_command() -> int:
    """Check the installation; every failing line ends with the command that mends it. Exit code 3 if any fails."""
    raise NotImplementedError
