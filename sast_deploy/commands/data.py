"""`sast-deploy data`: look at, simulate and compare recordings."""

from __future__ import annotations

import click

from sast_deploy.commands.options import Command


@click.group("data")
def data_group() -> None:
    """Look at recordings, simulate N-MNIST, compare simulated with real."""


data_group.command_class = Command
