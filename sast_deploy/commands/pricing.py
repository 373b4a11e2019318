"""Options of commands that say what an inference costs: on which chip, at which prices."""

from __future__ import annotations

import click

from sast_deploy.commands.options import option

chip_option = option(
    "--chip", type=click.Choice(["loihi1", "loihi2"]), default="loihi1", show_default=True,
    help="On whose cores the network is laid out.",
)  # fmt: skip
table_option = option(
    "--table", metavar="NAME",
    help="Prices of energy and time: sana-fe-loihi (the default), davies2018, horowitz-45nm, "
    "horowitz-45nm-fp32, or the path of a .toml of yours; for Loihi 2 nothing is published.",
)  # fmt: skip
