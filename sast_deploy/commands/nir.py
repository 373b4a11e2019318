"""Options of `import` that say how a NIR graph is read, as one value, and the reading itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sast_deploy.commands.options import SECONDS, gathered, option, refuse_ignored

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions, FrameSet
    from sast_deploy.exchange.network import ImportedNetwork

NIR_OPTIONS = (
    "framework", "dt", "tau", "leak", "gain", "integrator_gain", "current_gain", "current_order", "reset",
    "reset_order", "comparison", "spikes", "lower_bound", "decoding",
)  # fmt: skip


@dataclass(frozen=True)
class GraphOptions:
    """framework: whose exporter wrote the graph, or None. facts: what was said of it beside."""

    framework: str | None
    facts: dict[str, Any]


def _gathered(framework: str | None, **facts: Any) -> GraphOptions:
    return GraphOptions(framework, {name: value for name, value in facts.items() if value is not None})


def _choice(name: str, *values: str, text: str) -> Any:
    return option(name, type=click.Choice(values), help=text)


graph_options = gathered(
    "graph", _gathered, "NIR graph",
    option("--from", "framework", metavar="FRAMEWORK",
           help="Whose exporter wrote it: snntorch, norse, spikingjelly, sinabs, rockpool."),
    option("--dt", type=SECONDS, help="Seconds of a step."),
    _choice("--leak", "euler", "exp", text="Of a time constant: 1 - dt/tau, or exp(-dt/tau)."),
    _choice("--reset", "subtract", "zero", text="What a spike does to the membrane potential."),
    _choice("--reset-order", "after-leak", "before-leak", text="When the threshold is subtracted."),
    _choice("--comparison", ">", ">=", text="Whether a threshold that is met fires."),
    _choice("--spikes", "single", "multi", text="Of a neuron in a step; several are refused."),
    _choice("--lower-bound", "none", "some", text="Of the membrane potential; one is refused."),
    _choice("--decoding", "last", "max", "mean", text="Of a last layer that does not spike."),
    _choice("--gain", "normalised", "plain", "decayed", text="Of inputs: docs/nir.md."),
    _choice("--integrator-gain", "normalised", "plain", text="The same without a leak."),
    _choice("--current-gain", "normalised", "plain", text="The same of a filtered current."),
    _choice("--current-order", "after-leak", "before-leak", text="When a filtered current adds."),
    _choice("--tau", "seconds", "times-dt", text="What time constants are in."),
)  # fmt: skip


def refuse_graph_options() -> None:
    """Of a file that is no graph. Raises UsageError."""
    refuse_ignored(NIR_OPTIONS, "is for a NIR graph")


def import_graph(
    file: Path, graph: GraphOptions, frames: FrameOptions, name: str | None, data: FrameSet | None
) -> ImportedNetwork:
    """`sast.from_nir` with a command's options: --steps and --clip hold without recordings, too."""
    from sast_deploy.exchange.nir import from_nir

    own: dict[str, Any] = {}
    if data is None:
        context = click.get_current_context()
        given = {"steps": frames.steps, "clip": frames.clip}
        told = [key for key in given if context.get_parameter_source(key) is not ParameterSource.DEFAULT]
        own = {{"clip": "input_clip"}.get(key, key): given[key] for key in told}
    return from_nir(file, graph.framework, name=name, data=data, **own, **graph.facts)
