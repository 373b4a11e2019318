"""The engines by name: one way to run a program on any of them. All give the same record, value by value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import track
from sast_deploy.engines.frames import Frames
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord

EngineName = Literal["reference", "fast", "lava"]
Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True)
class LavaOptions:
    """What only Lava makes use of; none of it changes a result.

    batch: samples that advance together; None: what fits memory. stall: seconds without a finished time step
    after which Lava hangs and is killed; timeout: seconds in all, None for no limit.
    """

    batch: int | None = None
    stall: float = 120.0
    timeout: float | None = None


def run_engine(
    engine: str,
    program: Program,
    frames: Frames,
    *,
    trace: bool = False,
    lava: LavaOptions | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> SpikeRecord:
    """Run every sample of `frames`, integers (samples, time, C, H, W), through the program.

    trace: keep every membrane potential and spike. batch: samples that share an engine's states, where the
    engine has batches; it changes no result. progress: wraps the finished samples; None: a task by the
    engine's name.

    Raises:
        UsageError: no such engine. DataError: frames that do not fit. CompileError, LavaError: see there.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r}", expected=f"one of {', '.join(ENGINES)}")
    shown = progress or (lambda samples: track(samples, engine, len(frames)))
    return ENGINES[engine](program, frames, trace, lava or LavaOptions(), batch, shown)


def _reference(program: Program, frames: Frames, trace: bool, *rest: Any) -> SpikeRecord:
    from sast_deploy.engines.reference import run_reference

    return run_reference(program, frames, trace=trace, progress=rest[-1])


def _fast(
    program: Program, frames: Frames, trace: bool, _: LavaOptions, batch: int | None, progress: Progress
) -> SpikeRecord:
    from sast_deploy.engines.fast import run_fast

    return run_fast(program, frames, trace=trace, batch=batch, progress=progress)


def _lava(
    program: Program, frames: Frames, trace: bool, lava: LavaOptions, batch: int | None, progress: Progress
) -> SpikeRecord:
    from sast_deploy.engines.lava import run_lava

    options = {**asdict(lava), "batch": lava.batch or batch}
    return run_lava(program, frames, trace=trace, progress=progress, **options)


ENGINES: Mapping[str, Callable[..., SpikeRecord]] = {"reference": _reference, "fast": _fast, "lava": _lava}
