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
    from sast_deploy.api import Net as Net
    from sast_deploy.api import Simulation as Simulation
    from sast_deploy.api import compile as compile
    from sast_deploy.api import inputs as inputs
    from sast_deploy.api import inspect as inspect
    from sast_deploy.api import load as load
    from sast_deploy.api import simulate as simulate
    from sast_deploy.api import verify as verify
    from sast_deploy.base.errors import SastError as SastError
    from sast_deploy.base.progress import Observer as Observer
    from sast_deploy.base.progress import observe as observe
    from sast_deploy.compiler.floatnet import FloatConv2d as FloatConv2d
    from sast_deploy.compiler.floatnet import FloatDense as FloatDense
    from sast_deploy.compiler.floatnet import FloatNetwork as FloatNetwork
    from sast_deploy.compiler.floatnet import FloatPool as FloatPool
    from sast_deploy.compiler.floatnet import FloatReadout as FloatReadout
    from sast_deploy.compiler.floatnet import FloatUpsample as FloatUpsample
    from sast_deploy.data import DataInfo as DataInfo
    from sast_deploy.data import FrameOptions as FrameOptions
    from sast_deploy.data import FrameSet as FrameSet
    from sast_deploy.data import FrameSplit as FrameSplit
    from sast_deploy.data import load_frames as load_frames
    from sast_deploy.data.frames import frames_from_events as frames_from_events
    from sast_deploy.data.request import DataRequest as DataRequest
    from sast_deploy.engines.registry import LavaOptions as LavaOptions
    from sast_deploy.finetuning.finetune import finetune as finetune
    from sast_deploy.netx.foreign.stocknet import StockUse as StockUse
    from sast_deploy.program.profile import Profile as Profile
    from sast_deploy.program.profile import load_profile as load_profile
    from sast_deploy.program.program import Program as Program
    from sast_deploy.program.record import SpikeRecord as SpikeRecord
    from sast_deploy.program.record import Trace as Trace
    from sast_deploy.reports.run import Report as Report
    from sast_deploy.training.checkpoint import Checkpoint as Checkpoint
    from sast_deploy.training.checkpoint import load_checkpoint as load_checkpoint
    from sast_deploy.training.evaluate import evaluate as evaluate
    from sast_deploy.training.network.network import NetworkSpec as NetworkSpec
    from sast_deploy.training.network.network import network_spec as network_spec
    from sast_deploy.training.recipes import Recipe as Recipe
    from sast_deploy.training.recipes import recipe as recipe
    from sast_deploy.training.train import train as train
    from sast_deploy.verification.comparison import Verification as Verification

# Public name -> the module that has it; a test compares this with what type checkers see above.
_HOMES = {
    **dict.fromkeys(("Net", "Simulation"), "api"),
    **dict.fromkeys(("compile", "inputs", "inspect", "load", "simulate", "verify"), "api"),
    "SastError": "base.errors",
    **dict.fromkeys(("Observer", "observe"), "base.progress"),
    **dict.fromkeys(
        ("FloatConv2d", "FloatDense", "FloatNetwork", "FloatPool", "FloatReadout", "FloatUpsample"),
        "compiler.floatnet",
    ),
    **dict.fromkeys(("DataInfo", "FrameOptions", "FrameSet", "FrameSplit", "load_frames"), "data"),
    "frames_from_events": "data.frames",
    "DataRequest": "data.request",
    "LavaOptions": "engines.registry",
    "finetune": "finetuning.finetune",
    "StockUse": "netx.foreign.stocknet",
    **dict.fromkeys(("Profile", "load_profile"), "program.profile"),
    "Program": "program.program",
    **dict.fromkeys(("SpikeRecord", "Trace"), "program.record"),
    "Report": "reports.run",
    **dict.fromkeys(("Checkpoint", "load_checkpoint"), "training.checkpoint"),
    "evaluate": "training.evaluate",
    **dict.fromkeys(("NetworkSpec", "network_spec"), "training.network.network"),
    **dict.fromkeys(("Recipe", "recipe"), "training.recipes"),
    "train": "training.train",
    "Verification": "verification.comparison",
}
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
