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
        compile as compile,
        export as export,
        inputs as inputs,
        inspect as inspect,
        load as load,
        simulate as simulate,
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
        load_frames as load_frames,
    )
    from sast_deploy.data.frames import frames_from_events as frames_from_events
    from sast_deploy.data.request import DataRequest as DataRequest
    from sast_deploy.engines.registry import LavaOptions as LavaOptions
    from sast_deploy.finetuning.finetune import finetune as finetune
    from sast_deploy.netx.foreign.stocknet import StockUse as StockUse
    from sast_deploy.program.profile import Profile as Profile, load_profile as load_profile
    from sast_deploy.program.program import Program as Program
    from sast_deploy.program.record import SpikeRecord as SpikeRecord, Trace as Trace
    from sast_deploy.reports.run import Report as Report
    from sast_deploy.training.checkpoint import Checkpoint as Checkpoint, load_checkpoint as load_checkpoint
    from sast_deploy.training.evaluate import evaluate as evaluate
    from sast_deploy.training.network.network import NetworkSpec as NetworkSpec, network_spec as network_spec
    from sast_deploy.training.recipes import Recipe as Recipe, recipe as recipe
    from sast_deploy.training.train import train as train
    from sast_deploy.verification.comparison import Verification as Verification

# The public names of each module; a test compares them with what type checkers see above.
_NAMES = {
    "api": ("Net", "Simulation", "compile", "export", "inputs", "inspect", "load", "simulate", "verify"),
    "base.errors": ("SastError",),
    "base.progress": ("Observer", "observe"),
    "compiler.floatnet": (
        "FloatConv2d", "FloatDense", "FloatNetwork", "FloatPool", "FloatReadout", "FloatUpsample",
    ),
    "data": ("DataInfo", "FrameOptions", "FrameSet", "FrameSplit", "load_frames"),
    "data.frames": ("frames_from_events",),
    "data.request": ("DataRequest",),
    "engines.registry": ("LavaOptions",),
    "finetuning.finetune": ("finetune",),
    "netx.foreign.stocknet": ("StockUse",),
    "program.profile": ("Profile", "load_profile"),
    "program.program": ("Program",),
    "program.record": ("SpikeRecord", "Trace"),
    "reports.run": ("Report",),
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
