"""Check that engines agree: every membrane potential, spike, count, logit and prediction, step by step."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from sast_deploy.base.progress import track
from sast_deploy.engines.frames import Frames
from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.registry import ENGINES, LavaOptions, prepare
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.known_answers import KnownAnswers
from sast_deploy.program.program import Program
from sast_deploy.program.record import (
    SpikeRecord,
    differing_samples,
    evenly_spread,
    first_difference,
    select,
    take,
)
from sast_deploy.reports.inputs import Inputs
from sast_deploy.verification.diagnosis import diagnose, unseen
from sast_deploy.verification.divergence import explain, first_divergence
from sast_deploy.verification.exercise import Exercise
from sast_deploy.verification.vectors import wrong_answer

Engine = Callable[[Frames], SpikeRecord]  # runs (samples, time, C, H, W) and keeps traces

REFERENCE, VECTORISED, KNOWN = "reference", "vectorised", "known answers"


@dataclass(frozen=True)
class Comparison:
    """One engine on one set of inputs.

    data: "known answers", "test split" or "frames given". values: membrane potentials, spikes and
    logits compared. problem: lines for a person, the first one a summary; empty where everything agrees.
    """

    engine: str
    data: str
    samples: int
    values: int
    seconds: float
    problem: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Verification:
    """Whether all engines agree.

    rows: one for each engine and set of inputs. unseen: names of mistakes that the known answers would not
    show, since the rules that they break never come into play; None where no known answers were replayed.

    >>> sast.verify(net, frames, engines=["fast"]).rows[-1].values
    36
    """

    rows: tuple[Comparison, ...]
    unseen: tuple[str, ...] | None

    @property
    def ok(self) -> bool:
        """Whether every value of every engine is the reference's, and the file's."""
        return not any(row.problem for row in self.rows)


def load_engines(
    names: Collection[str], program: Program, lava: LavaOptions | None = None
) -> dict[str, Engine]:
    """The named engines and the reference. Batches are half of the samples, so that states serve two each."""
    def engine(name: str) -> Engine:
        return lambda frames: prepare(name, program, lava=lava, batch=half(len(frames)))(frames, trace=True)

    return {name: engine(name) for name in ENGINES if name in (*names, REFERENCE)}


def half(samples: int) -> int:
    """The batch size of a check."""
    return max(1, (samples + 1) // 2)


def replay_known(program: Program, known: KnownAnswers, engines: Mapping[str, Engine]) -> list[Comparison]:
    """Run the vectors in every engine, the reference first; compare with it and with what the file says."""
    return compare_engines(program, known.frames, engines, KNOWN, known)


def replay(
    program: Program, inputs: Inputs, record: SpikeRecord, samples: int | None, engine: str
) -> tuple[int, str | None, int]:
    """(samples replayed, first difference, samples of these that the reference replayed).

    samples: so many evenly spread ones, None for all. engine: whose `record` it is. The vectorised
    specification replays all of them, the reference the few that exercise most, among them the first that
    differs, so that it has the last word; of a run of the vectorised one it replays all.
    """
    chosen = evenly_spread(len(inputs.frames), samples)
    if len(chosen) == 0:
        return 0, None, 0
    frames, records = take(inputs.frames, chosen), {engine: select(record, chosen)}
    few = np.arange(len(chosen))
    if engine != VECTORISED:
        exercise = Exercise(program, len(chosen))

        def progress(each: Iterable[int]) -> Iterable[int]:
            return track(each, "vectorised check", len(frames))

        records[VECTORISED] = run_vectorised(program, frames, progress=progress, watch=exercise)
        few = exercise.few(differing_samples(*records.values()))
    expected = run_reference(program, frames[few], progress=lambda each: track(each, "reference check"))
    for name, found in records.items():
        difference = first_difference(select(found, few), expected, inputs.numbers[chosen[few]])
        if difference is not None:
            return len(chosen), f"{name.capitalize()} against the reference: {difference}", len(few)
    return len(chosen), None, len(few)


def blind_spots(program: Program, known: KnownAnswers, engine: Engine) -> tuple[str, ...]:
    """Mistakes that the vectors would not show: those of rules that never come into play in them."""
    return unseen(program, known.frames, engine(known.frames), lanes=(1, half(len(known.frames))))


def compare_engines(
    program: Program,
    frames: Frames,
    engines: Mapping[str, Engine],
    data: str,
    known: KnownAnswers | None = None,
) -> list[Comparison]:
    """Run all engines on the same inputs; each is compared with the reference, which is first among them."""
    rows, reference = [], None
    for name, engine in engines.items():
        start = time.perf_counter()
        record = engine(frames)
        seconds = time.perf_counter() - start
        reference = record if reference is None else reference
        problem = _problem(program, frames, reference, record, name)
        stored = None if known is None else wrong_answer(known, record)
        if stored and not problem:
            problem = (f"{name} does not give the file's known answers: {stored}",)
        rows.append(Comparison(name, data, len(frames), _values(record), seconds, problem))
    return rows


def _problem(
    program: Program, frames: Frames, reference: SpikeRecord, record: SpikeRecord, engine: str
) -> tuple[str, ...]:
    """Where and how a record is not the reference's, and which broken rule would explain it."""
    difference = first_difference(reference, record)
    if difference is None:
        return ()
    divergence, array = first_divergence(reference, record), np.asarray(frames)
    if divergence is None:
        lines = [f"first difference: {difference} of {engine}"]
    else:
        lines = explain(program, array, reference, divergence, engine)
    names = diagnose(program, array, record, lanes=(1, half(len(array))))
    return (*lines, f"  consistent with: {', or '.join(names) if names else 'no mistake that has a name'}")


def _values(record: SpikeRecord) -> int:
    return record.logits.size + sum(2 * trace.membrane.size for trace in record.traces or ())
