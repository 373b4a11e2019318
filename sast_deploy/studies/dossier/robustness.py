"""How near membranes come to their thresholds, and what lost events and disturbed weights cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.program.program import Program, layer_label
from sast_deploy.program.record import evenly_spread
from sast_deploy.reports.dossier import (
    INTEGERS,
    TRAINED,
    Curve,
    Histogram,
    LayerMargins,
    LayerSaturation,
    Point,
)
from sast_deploy.reports.inspection import Inspection, count_saturated
from sast_deploy.studies.analysis.corruption import Corruption
from sast_deploy.studies.analysis.drop import event_drop, unclipped
from sast_deploy.studies.analysis.margins import MarginCounts, margins
from sast_deploy.studies.analysis.noise import weight_noise
from sast_deploy.studies.analysis.predictions import show
from sast_deploy.studies.analysis.subject import Subject
from sast_deploy.studies.dossier.integers import IntegerSubject
from sast_deploy.studies.trained import Trained

LOOKED_AT = 100  # samples whose every membrane is looked at
COARSER = 4  # bins of the analysis in one of the page's: integers lie further apart


def layer_margins(program: Program, trained: Trained | None, split: FrameSplit) -> tuple[LayerMargins, ...]:
    """Of every spiking layer, of the integers and of what was trained; `split`: the samples to look at."""
    subjects: dict[str, Subject] = {INTEGERS: IntegerSubject(program, split)}
    if trained is not None:
        subjects = {TRAINED: show(trained, split), **subjects}
    found = {name: margins(subject) for name, subject in subjects.items()}
    rows = []
    for number, (index, layer) in enumerate(program.spiking()):
        counts = {name: every.hard[number] for name, every in found.items()}
        shares = {name: each.share for name, each in counts.items()}
        drawn = tuple(_histogram(name, each, found[name].bins) for name, each in counts.items())
        rows.append(LayerMargins(layer_label(index, layer), shares, drawn))
    return tuple(rows)


def _histogram(name: str, counts: MarginCounts, bins: tuple[float, float, int]) -> Histogram:
    coarse = counts.histogram.reshape(-1, COARSER).sum(axis=1)
    edges = np.linspace(*bins[:2], len(coarse) + 1)
    return Histogram(name, edges, coarse, counts.below + counts.above)


def layer_saturation(
    program: Program, split: FrameSplit, inspection: Inspection
) -> tuple[LayerSaturation, ...]:
    """States at the ends of their range on these samples, beside what is proved for every input."""
    found = count_saturated(program, split.frames)
    proofs = [layer for layer in inspection.layers if layer.vth]
    return tuple(
        LayerSaturation(proof.name, ends, states, proof.saturating, proof.neurons)
        for proof, (ends, states) in zip(proofs, found.layers, strict=True)
    )


def few(split: FrameSplit) -> FrameSplit:
    """LOOKED_AT of the samples, evenly spread."""
    return split.part(evenly_spread(len(split), LOOKED_AT))


def curves(
    program: Program, trained: Trained | None, split: FrameSplit, counts: FrameSplit, seed: int
) -> tuple[Curve, ...]:
    """Event drop and weight noise, of what was trained and of the integers. counts: unclipped."""
    found = []
    for name in (TRAINED, INTEGERS):
        if name == TRAINED and trained is None:
            continue

        def subject(of: FrameSplit, name: str = name) -> Subject:
            if name == INTEGERS or trained is None:
                return IntegerSubject(program, of)
            return show(trained, of)

        found += [_curve(name, event_drop(subject(counts), seed=seed)),
                  _curve(name, weight_noise(subject(split), seed=seed))]  # fmt: skip
    return tuple(found)


def unclipped_of(data: FrameSet, numbers: np.ndarray[tuple[int], np.dtype[np.int64]],
                 cache_dir: Path | None) -> FrameSplit:  # fmt: skip
    """The samples of these numbers with all their events."""
    counts = unclipped(data, cache_dir)
    return counts if len(numbers) == len(counts) else counts.part(numbers)


def _curve(name: str, found: Corruption) -> Curve:
    points = tuple(
        Point(level.amount, level.hard, *(pick(level.hard_correct) / found.samples for pick in (min, max)))
        for level in found.levels
    )
    return Curve(found.kind, name, found.samples, max(level.draws for level in found.levels), points)
