"""How often membranes stand at an end of their range on given frames."""

from __future__ import annotations

from sast_deploy.engines.frames import Frames
from sast_deploy.engines.registry import run_engine
from sast_deploy.program.program import Program
from sast_deploy.proofs.bounds import states_at_the_ends
from sast_deploy.reports.inspection import Saturation


def count_saturated(program: Program, frames: Frames) -> Saturation:
    """Run frames (samples, time, C, H, W) in the fast engine and count states at the ends of their range."""
    traces = run_engine("fast", program, frames, trace=True).traces or ()
    membranes = [trace.membrane for trace in traces]
    states = [membrane.size for membrane in membranes]
    ends = states_at_the_ends(program, membranes)
    return Saturation(len(frames), tuple(zip(ends, states, strict=True)))
