"""sast-deploy: from trained spiking networks to bit-accurate Loihi-like programs that Lava runs.

>>> import sast_deploy as sast
>>> network = sast.FloatNetwork([sast.FloatDense([[1.0, 0.5]], leak=0.5)], 2, steps=4)
>>> sast.verify(sast.compile(network, "loihi-int8"), engines=["fast"]).ok
True

Importing it loads nothing else; each name does so when it is first used. docs/api.md has them all.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sast_deploy.api import (
        Net as Net,
        Simulation as Simulation,
        classifier as classifier,
        classify as classify,
        compare as compare,
        compile as compile,
        cost as cost,
        export as export,
        inputs as inputs,
        inspect as inspect,
        latency as latency,
        load as load,
        simulate as simulate,
        trace as trace,
        verify as verify,
    )
    from sast_deploy.base.errors import SastError as SastError
    from sast_deploy.base.progress import Observer as Observer, observe as observe
    from sast_deploy.compiler.floatnet import (
        FloatConv2d as FloatConv2d,
        FloatDense as FloatDense,
        FloatNetwork as FloatNetwork,
        FloatPool as FloatPool,
        FloatReadout as FloatReadout,
        FloatUpsample as FloatUpsample,
    )
    from sast_deploy.data import (
        DataInfo as DataInfo,
        FrameOptions as FrameOptions,
        FrameSet as FrameSet,
        FrameSplit as FrameSplit,
        RecordingOptions as RecordingOptions,
        load_frames as load_frames,
    )
    from sast_deploy.data.frames import frames_from_events as frames_from_events
    from sast_deploy.data.readers.recording import (
        RecordingFacts as RecordingFacts,
        Window as Window,
        read_events as read_events,
        windows as windows,
    )
    from sast_deploy.data.request import DataRequest as DataRequest
    from sast_deploy.engines.registry import LavaOptions as LavaOptions
    from sast_deploy.exchange.modules import from_module as from_module
    from sast_deploy.exchange.network import ImportedNetwork as ImportedNetwork, load_network as load_network
    from sast_deploy.exchange.nir import (
        export_nir as export_nir,
        from_nir as from_nir,
        program_from_nir as program_from_nir,
    )
    from sast_deploy.exchange.statedict import from_state_dict as from_state_dict
    from sast_deploy.finetuning.finetune import finetune as finetune
    from sast_deploy.netx.foreign.stocknet import StockUse as StockUse
    from sast_deploy.program.fixedpoint import Arithmetic as Arithmetic, QFormat as QFormat
    from sast_deploy.program.profile import Profile as Profile, load_profile as load_profile
    from sast_deploy.program.program import (
        Conv2d as Conv2d,
        Dense as Dense,
        Program as Program,
        Readout as Readout,
        SumPool as SumPool,
        Upsample as Upsample,
    )
    from sast_deploy.program.record import SpikeRecord as SpikeRecord, Trace as Trace
    from sast_deploy.reports.classifying import (
        Answer as Answer,
        Classification as Classification,
        Classifier as Classifier,
    )
    from sast_deploy.reports.comparing import NetComparison as NetComparison
    from sast_deploy.reports.costs.circuit import CircuitLatency as CircuitLatency
    from sast_deploy.reports.costs.cost import Cost as Cost
    from sast_deploy.reports.run import Report as Report
    from sast_deploy.reports.suggestions import Suggestion as Suggestion, Suggestions as Suggestions
    from sast_deploy.reports.tracing import SampleTrace as SampleTrace
    from sast_deploy.studies.dossier.report import Page as Page, report as report
    from sast_deploy.studies.suggestions import suggest as suggest
    from sast_deploy.training.checkpoint import Checkpoint as Checkpoint, load_checkpoint as load_checkpoint
    from sast_deploy.training.evaluate import evaluate as evaluate
    from sast_deploy.training.network.network import NetworkSpec as NetworkSpec, network_spec as network_spec
    from sast_deploy.training.recipes import Recipe as Recipe, recipe as recipe
    from sast_deploy.training.train import train as train
    from sast_deploy.verification.comparison import Verification as Verification

# The public names of each module; a test compares them with what type checkers see above.
_NAMES = {
    "api": (
        "Net", "Simulation", "classifier", "classify", "compare", "compile", "cost", "export",
        "inputs", "inspect", "latency", "load", "simulate", "trace", "verify",
    ),
    "base.errors": ("SastError",),
    "base.progress": ("Observer", "observe"),
    "compiler.floatnet": (
        "FloatConv2d", "FloatDense", "FloatNetwork", "FloatPool", "FloatReadout", "FloatUpsample",
    ),
    "data": ("DataInfo", "FrameOptions", "FrameSet", "FrameSplit", "RecordingOptions", "load_frames"),
    "data.frames": ("frames_from_events",),
    "data.readers.recording": ("RecordingFacts", "Window", "read_events", "windows"),
    "data.request": ("DataRequest",),
    "engines.registry": ("LavaOptions",),
    "exchange.network": ("ImportedNetwork", "load_network"),
    "exchange.modules": ("from_module",),
    "exchange.nir": ("export_nir", "from_nir", "program_from_nir"),
    "exchange.statedict": ("from_state_dict",),
    "finetuning.finetune": ("finetune",),
    "netx.foreign.stocknet": ("StockUse",),
    "program.fixedpoint": ("Arithmetic", "QFormat"),
    "program.profile": ("Profile", "load_profile"),
    "program.program": ("Conv2d", "Dense", "Program", "Readout", "SumPool", "Upsample"),
    "program.record": ("SpikeRecord", "Trace"),
    "reports.classifying": ("Answer", "Classification", "Classifier"),
    "reports.comparing": ("NetComparison",),
    "reports.costs.circuit": ("CircuitLatency",),
    "reports.costs.cost": ("Cost",),
    "reports.run": ("Report",),
    "reports.suggestions": ("Suggestion", "Suggestions"),
    "reports.tracing": ("SampleTrace",),
    "studies.dossier.report": ("Page", "report"),
    "studies.suggestions": ("suggest",),
    "training.checkpoint": ("Checkpoint", "load_checkpoint"),
    "training.evaluate": ("evaluate",),
    "training.network.network": ("NetworkSpec", "network_spec"),
    "training.recipes": ("Recipe", "recipe"),
    "training.train": ("train",),
    "verification.comparison": ("Verification",),
}  # fmt: skip
_HOMES = {name: module for module, names in _NAMES.items() for name in names}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if getattr(sys, "argv", [""])[:1] == ["-m"]:  # `python -m sast_deploy...` puts the current folder first
    _home = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(os.getcwd()) != _home:
        del sys.path[0]  # a json.py of somebody's folder must not run in place of Python's own
