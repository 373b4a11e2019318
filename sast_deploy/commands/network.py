"""Options of the network that `train` makes, as one value."""

from __future__ import annotations

from typing import Any, get_args

import click

from sast_deploy.commands.options import Finite, gathered, option, refuse_ignored
from sast_deploy.commands.several import several
from sast_deploy.training.network.neurons import FIXED, Learned

KINDS = {"fc": "hidden", "conv": "channels"}  # and the option of its layers
WIDTH = click.IntRange(1, 1 << 24)
SURROGATES = ["arctan", "fast-sigmoid", "sigmoid", "spike-rate-escape", "triangular"]
LEARNED = list(get_args(Learned))


def _network(kind: str, **values: Any) -> dict[str, Any]:
    """Arguments of `network_spec`, but for frames and classes."""
    widths = {each: values.pop(name) for each, name in KINDS.items()}
    for each, name in KINDS.items():
        if each != kind:
            refuse_ignored([name], f"with --network {kind}", f"give --{KINDS[kind]}")
    if values["reset"] == "zero":
        refuse_ignored(["reset_order"], "with --reset zero, of which there is one kind only")
    for name, why in FIXED[values["neuron"]].items():
        refuse_ignored([name], f"with --neuron {values['neuron']}, which {why}")
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
    option("--learn-alpha", type=click.Choice(LEARNED), default="none", show_default=True,
           help="Leaks are learned from --alpha on, one a layer or one a neuron (conv: channel)."),
    option("--learn-theta", type=click.Choice(LEARNED), default="none", show_default=True,
           help="Thresholds are learned from --theta on, likewise."),
    option("--surrogate", type=click.Choice(SURROGATES), default="arctan", show_default=True,
           help="Smooth spike of training, in the forward pass too; its k is none of another's, see "
           "docs/surrogates.md."),
    option("--k", type=Finite(0, min_open=True), default=25.0, show_default=True,
           help="Slope of the surrogate."),
    option("--neuron", type=click.Choice(list(FIXED)), default="lif", show_default=True,
           help="lif; lapicque: of R, C and dt; if: without leak; cuba: a current with a leak of its own."),
    several("--current-leak", type=Finite(0, 1, min_open=True, max_open=True), default=(0.5,),
            show_default=True,
            help="cuba: the share of its current that a step keeps. One number, or one a layer."),
    several("--resistance", type=Finite(0, min_open=True), default=(1.0,), show_default=True,
            help="lapicque: R, whose input gain is dt / C. One number, or one a layer."),
    several("--capacitance", type=Finite(0, min_open=True), default=(2.0,), show_default=True,
            help="lapicque: C, whose leak is 1 - dt / (R C). One number, or one a layer."),
    option("--time-step", type=Finite(0, min_open=True), default=1.0, show_default=True,
           help="lapicque: dt, at most R C."),
    option("--reset", type=click.Choice(["subtract", "zero"]), default="subtract", show_default=True,
           help="What a spike does to its membrane a step later."),
    option("--reset-order", type=click.Choice(["after-leak", "before-leak"]), default="after-leak",
           show_default=True,
           help="Of --reset subtract: the threshold comes off after the leak, as in snnTorch, or before it, "
           "as in Norse, SpikingJelly, sinabs and rockpool. compile keeps it."),
)  # fmt: skip
