"""The engines by name: one way to run a program on any of them. All give the same record, value by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Annotated, Protocol

from sast_deploy.base.errors import UsageError
from sast_deploy.base.progress import track
from sast_deploy.base.rules import AMOUNT, COUNT, Maybe, Whole
from sast_deploy.base.settings import Checked
from sast_deploy.engines.frames import Frames, Progress
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord


@dataclass(frozen=True)
class LavaOptions(Checked):
    """What only Lava makes use of; none of it changes a result.

    batch: samples that advance together; None: what fits memory. stall: seconds without a finished time step
    after which Lava hangs and is killed; timeout: seconds in all, None for no limit.

    >>> sast.LavaOptions(timeout=60.0)
    LavaOptions(batch=None, stall=120.0, timeout=60.0)
    """

    batch: Annotated[int | None, Maybe(Whole(1, COUNT.high))] = None
    stall: Annotated[float, AMOUNT] = 120.0
    timeout: Annotated[float | None, Maybe(AMOUNT)] = None


class Engine(Protocol):
    """A program made ready to run many times."""

    def __call__(self, frames: Frames, *, trace: bool = False, progress: Progress = iter) -> SpikeRecord:
        """Run every sample of `frames`, integers (samples, time, C, H, W).

        trace: keep every membrane potential and spike. progress: wraps the finished samples.

        Raises:
            DataError: frames that do not fit. CompileError, LavaError: see the engine.
        """


def prepare(
    engine: str, program: Program, *, lava: LavaOptions | None = None, batch: int | None = None
) -> Engine:
    """An engine for a program; batch: samples that share its states, where it has batches.

    Raises UsageError: no such engine.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine {engine!r}", expected=f"one of {', '.join(ENGINES)}")
    return ENGINES[engine](program, lava or LavaOptions(), batch)


def run_engine(
    engine: str, program: Program, frames: Frames, *, trace: bool = False, lava: LavaOptions | None = None
) -> SpikeRecord:
    """Run every sample of `frames` through the program, a task by the engine's name. Raises as `Engine`."""
    run = prepare(engine, program, lava=lava)
    return run(frames, trace=trace, progress=lambda samples: track(samples, engine, len(frames)))


def _reference(program: Program, _: LavaOptions, __: int | None) -> Engine:
    from sast_deploy.engines.reference import run_reference

    return partial(run_reference, program)


def _vectorised(program: Program, _: LavaOptions, batch: int | None) -> Engine:
    from sast_deploy.engines.vectorised import run_vectorised

    return partial(run_vectorised, program, batch=batch)


def _fast(program: Program, _: LavaOptions, batch: int | None) -> Engine:
    from sast_deploy.engines.fast import FastEngine

    return FastEngine(program, batch=batch).run


def _lava(program: Program, lava: LavaOptions, batch: int | None) -> Engine:
    from sast_deploy.engines.lava import run_lava

    return partial(run_lava, program, **{**asdict(lava), "batch": lava.batch or batch})


def _rtl(program: Program, _: LavaOptions, batch: int | None) -> Engine:
    from sast_deploy.engines.rtl.run import run_rtl

    return partial(run_rtl, program, batch=batch)


Prepare = Callable[[Program, LavaOptions, "int | None"], Engine]
ENGINES: Mapping[str, Prepare] = {
    "reference": _reference, "vectorised": _vectorised, "fast": _fast, "lava": _lava, "rtl": _rtl,
}  # fmt: skip
