"""What `import` reads: a NIR graph, with the options that say how, or the tensors of a state_dict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sast_deploy.base.errors import UsageError
from sast_deploy.base.reading.files import NIR, identify
from sast_deploy.commands.options import SECONDS, gathered, option, refuse_ignored
from sast_deploy.commands.shared import FOLDERS

if TYPE_CHECKING:
    from sast_deploy.data import FrameOptions, FrameSet
    from sast_deploy.data.request import DataRequest
    from sast_deploy.exchange.network import ImportedNetwork
    from sast_deploy.program.program import Program

FRAMES = ("steps", "binning", "encoding", "clip", "size", "duration_us")
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


def read_foreign(
    file: Path,
    describe: Path | None,
    name: str | None,
    graph: GraphOptions,
    data: DataRequest,
    frames: FrameOptions,
) -> ImportedNetwork:
    """The network of a file, by its kind; options that are for the other kind are refused."""
    if identify(file) == NIR:
        refuse_ignored(["describe"], f"is for tensors: {file} is a NIR graph, which says what network it is")
        return _graph(file, graph, frames, name, _recordings(data, frames, ("steps", "clip")))
    refuse_ignored(NIR_OPTIONS, f"is for a NIR graph, and {file} is none")
    return _tensors(file, describe, name, _recordings(data, frames, ()))


def own_integers(file: Path) -> Program | None:
    """Those of a NIR file that holds a program of ours; None for any other. Raises ExchangeError."""
    from sast_deploy.exchange.nir import has_program, program_from_nir

    return program_from_nir(file) if identify(file) == NIR and has_program(file) else None


def _graph(
    file: Path, graph: GraphOptions, frames: FrameOptions, name: str | None, data: FrameSet | None
) -> ImportedNetwork:
    """--steps and --clip hold without recordings, too."""
    from sast_deploy.exchange.nir import from_nir

    own: dict[str, Any] = {}
    if data is None:
        context = click.get_current_context()
        given = {"steps": frames.steps, "clip": frames.clip}
        told = [key for key in given if context.get_parameter_source(key) is not ParameterSource.DEFAULT]
        own = {{"clip": "input_clip"}.get(key, key): given[key] for key in told}
    return from_nir(file, graph.framework, name=name, data=data, **own, **graph.facts)


def _recordings(data: DataRequest, frames: FrameOptions, own: tuple[str, ...]) -> FrameSet | None:
    """own: options of frames that mean something without any."""
    if not data.dataset:
        alone = [name for name in (*FOLDERS, *FRAMES) if name not in own]
        refuse_ignored(alone, "without --dataset", "add --dataset NAME")
        return None
    data.refuse_idle()
    return data.load(frames)


def _tensors(file: Path, describe: Path | None, name: str | None, data: FrameSet | None) -> ImportedNetwork:
    from sast_deploy.exchange.statedict import from_state_dict

    if describe is None:
        what = "--describe is missing: tensors alone do not say what network they are"
        raise UsageError(what, where=file, expected="a description in TOML", todo="see docs/your-network.md")
    return from_state_dict(file, describe, name=name, data=data)
