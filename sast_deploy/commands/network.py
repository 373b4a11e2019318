"""Options of the network that `train` makes, as one value."""

from __future__ import annotations

from typing import Any

import click

from sast_deploy.commands.options import Finite, gathered, option, refuse_ignored
from sast_deploy.commands.several import several

KINDS = {"fc": "hidden", "conv": "channels"}  # and the option of its layers
WIDTH = click.IntRange(1, 1 << 24)


def _network(kind: str, **values: Any) -> dict[str, Any]:
    """Arguments of `network_spec`, but for frames and classes."""
    widths = {each: values.pop(name) for each, name in KINDS.items()}
    for each, name in KINDS.items():
        if each != kind:
            refuse_ignored([name], f"with --network {kind}", f"give --{KINDS[kind]}")
    if values["reset"] == "zero":
        refuse_ignored(["reset_order"], "with --reset zero, of which there is one kind only")
    return {"kind": kind, "hidden": widths[kind] or None, **values}


network_options = gathered(
    "network", _network, "Network",
    option("--network", "kind", type=click.Choice(list(KINDS)), default="fc", show_default=True,
           help="Fully connected or convolutional."),
    several("--hidden", type=WIDTH,
            help="fc: neurons of each hidden layer, as 256 128; default: as published, 168 64."),
    several("--channels", type=WIDTH,
            help="conv: channels of each block, 3x3 with stride 2; default: as published, 68 136 272."),
    several("--alpha", type=Finite(0, 1, max_open=True), default=(0.5,), show_default=True,
            help="Leak: the share of the membrane that a step keeps. One number or one a layer, as 0.9 0.8."),
    several("--theta", type=Finite(0, min_open=True), default=(1.0,), show_default=True,
            help="Threshold. One number, or one a layer."),
    option("--k", type=Finite(0, min_open=True), default=25.0, show_default=True,
           help="Slope of the surrogate."),
    option("--reset", type=click.Choice(["subtract", "zero"]), default="subtract", show_default=True,
           help="What a spike does to its membrane a step later."),
    option("--reset-order", type=click.Choice(["after-leak", "before-leak"]), default="after-leak",
           show_default=True,
           help="Of --reset subtract: the threshold comes off after the leak, as in snnTorch, or before it, "
           "as in Norse, SpikingJelly, sinabs and rockpool. compile keeps it."),
)  # fmt: skip
