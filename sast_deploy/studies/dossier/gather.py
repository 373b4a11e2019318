"""One network's facts, from its file to its robustness, each measured on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy import api
from sast_deploy.base.errors import DataError
from sast_deploy.base.progress import Task, task
from sast_deploy.base.versions import LAVA_VERSIONS, installed_version
from sast_deploy.data import FrameSet, FrameSplit
from sast_deploy.data.request import load_own_test_split
from sast_deploy.engines import INSTALLED
from sast_deploy.engines.registry import run_engine
from sast_deploy.program.record import evenly_spread
from sast_deploy.program.sums import weighted_layers
from sast_deploy.reports.dossier import EngineCheck, NetworkFacts
from sast_deploy.reports.inputs import Inputs
from sast_deploy.reports.inspection import Inspection
from sast_deploy.reports.tracing import SampleTrace, trace_of
from sast_deploy.studies.dossier.ladder import climb
from sast_deploy.studies.dossier.manifest import kind_of, manifest_of
from sast_deploy.studies.dossier.network import (
    chosen_traces,
    layer_rows,
    layer_weights,
    mistakes,
    name_of,
)
from sast_deploy.studies.dossier.robustness import (
    curves,
    few,
    layer_margins,
    layer_saturation,
    unclipped_of,
)
from sast_deploy.studies.dossier.sources import Source
from sast_deploy.studies.suggestions import suggest
from sast_deploy.studies.trained import Trained, float_network

SUGGESTED = 500  # samples that changes are tried on, evenly spread
COSTED = 100  # samples whose spikes are priced, evenly spread
CURVES_WORK = 1e10  # multiplications of a pass over the samples, beyond which curves are of a few
CHECKED = 20  # samples that every engine runs, at most, beside the known answers
REFERENCE_WORK = 2e8  # multiplications that the reference, in Python integers, is asked for beside those
_NO_LABELS = "the samples have no labels"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a dossier is to be of. Fields as the arguments of `sast.report`."""

    frames: npt.ArrayLike | None = None
    labels: npt.ArrayLike | None = None
    name: str = "frames"
    samples: int | None = None
    traced: Sequence[int] = ()
    profile: str = "loihi-int4"
    seed: int = 0
    chip: str = "loihi1"
    table: str | None = None
    whole: bool = True  # all sections; of several networks side by side only what decides between them

    @property
    def options(self) -> list[str]:
        """Words of the command line behind what is not its default."""
        usual, named = Wanted(), {"samples": "--samples", "profile": "--profile", "seed": "--seed",
                                  "chip": "--chip", "table": "--table"}  # fmt: skip
        found = [(name, getattr(self, key)) for key, name in named.items()
                 if getattr(self, key) != getattr(usual, key)]  # fmt: skip
        found += [("--sample", at) for at in self.traced]
        found += [] if self.frames is None else [("--input", self.name)]
        return [word for name, value in found for word in (name, str(value))]


@dataclass(eq=False)
class _Subject:
    """What the sections are made of."""

    source: Source
    net: api.Net
    inputs: Inputs
    data: FrameSet | None
    split: FrameSplit | None
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def trained(self) -> Trained | None:
        return self.source.trained


def gather(source: Source, wanted: Wanted) -> NetworkFacts:
    """Measure everything of one network. Raises as `sast.simulate`, `sast.compile`, `sast.verify`."""
    with task(f"report on {source.name}", 9 if wanted.whole else 5) as under_way:
        subject = _subject(source, wanted, under_way)
        _step(under_way, "running")
        run = api.simulate(subject.net, subject.inputs)
        inspection = api.inspect(subject.net, chip=wanted.chip)
        _step(under_way, "costs")
        cost = api.cost(subject.net, subject.inputs, samples=COSTED, chip=wanted.chip, table=wanted.table)
        facts = _facts(subject, run, inspection, wanted, under_way)
        if wanted.whole:
            facts |= _looked_into(subject, run, inspection, wanted, under_way)
        return NetworkFacts(**facts, cost=cost, missing=subject.missing)


def _step(under_way: Task, what: str) -> None:
    under_way.advance()
    under_way.tell(what)


def _subject(source: Source, wanted: Wanted, under_way: Task) -> _Subject:
    under_way.tell("compiling" if source.net is None else "reading")
    net = source.net
    if net is None:
        assert source.trained is not None
        net = api.compile(source.trained, wanted.profile, source=source.checkpoint)
    given, missing = wanted.frames is not None, {}
    inputs = api.inputs(
        net, wanted.frames, wanted.labels, data=None if given else source.data, samples=wanted.samples,
        name=wanted.name,
    )  # fmt: skip
    data = None if given else load_own_test_split(net.file, net.name, source.data)[0]
    if inputs.labels is None:
        missing["confusion"] = _NO_LABELS
    return _Subject(source, net, inputs, data, _split_of(inputs), missing)


def _split_of(inputs: Inputs) -> FrameSplit | None:
    """The samples as analyses take them; None without labels, or where counts are no bytes."""
    frames = inputs.frames
    if inputs.labels is None or (np.asarray(frames[:1]).dtype != np.uint8 and frames.max(initial=0) > 255):
        return None
    held: Any = frames
    if isinstance(frames, np.ndarray) and frames.dtype != np.uint8:
        held = frames.astype(np.uint8)
    ids = inputs.ids or tuple(f"{number}" for number in inputs.numbers)
    return FrameSplit(held, inputs.labels, ids, 0)


def _facts(
    subject: _Subject, run: api.Simulation, inspection: Inspection, wanted: Wanted, under_way: Task
) -> dict[str, Any]:
    """What every network is judged by."""
    net, source, inputs = subject.net, subject.source, subject.inputs
    _step(under_way, "every engine against the reference")
    verification = api.verify(net, _some(inputs, net), engines=_engines())
    checks = tuple(
        EngineCheck(row.engine, row.data, row.samples, row.values, row.problem[0] if row.problem else "")
        for row in verification.rows
    )
    _step(under_way, "the way from training")
    told = inputs.facts
    whole = len(inputs.frames) == told["test_samples"] and not told["unlike_training"] and told["dataset"]
    ladder = climb(net, subject.trained, subject.split, run.accuracy, bool(whole))
    notes = [*net.warnings, *inspection.notes, *source.notes]
    if told["unlike_training"]:
        notes.insert(0, f"the samples are not those of training: {told['unlike_training']}")
    return {
        "name": net.program.name, "source": str(source.path or "a network in memory"),
        "profile": run.report.facts["profile"], "weight_bits": net.program.arithmetic.weight_bits,
        "steps": net.program.steps,
        "kind": kind_of(told), "data": str(told["provenance"]), "samples": len(inputs.frames),
        "accuracy": run.accuracy, "classes": net.program.classes, "ladder": ladder, "checks": checks,
        "unseen": verification.unseen, "layers": layer_rows(net.program, run, inspection),
        "inspection": inspection, "confusion": run.report.confusion,
        "right": None if inputs.labels is None else run.predictions == inputs.labels,
        "mistakes": mistakes(inputs, run) if inputs.labels is not None else (),
        "manifest": manifest_of(source, net, inputs, wanted.options), "notes": tuple(dict.fromkeys(notes)),
    }  # fmt: skip


def _engines() -> list[Any]:
    """All that are installed; without Lava the page says so."""
    lava = all(installed_version(name) for name in LAVA_VERSIONS)
    return [name for name in INSTALLED if lava or name != "lava"]


def _some(inputs: Inputs, net: api.Net) -> Inputs:
    """As many samples as the reference runs in seconds."""
    number = int(np.clip(REFERENCE_WORK // _sums(net), 1, CHECKED))
    at = evenly_spread(len(inputs.frames), number)
    labels = None if inputs.labels is None else inputs.labels[at]
    return Inputs(np.asarray(inputs.frames[at]), labels, inputs.numbers[at], inputs.origin, inputs.facts)


def _sums(net: api.Net) -> int:
    """Multiplications of a sample, were all its inputs and spikes there."""
    shapes = net.program.shapes()
    positions = {index: prod(shapes[index + 1][1:]) for index, _ in weighted_layers(net.program)}
    each = (layer.weight.size * positions[index] for index, layer in weighted_layers(net.program))
    return sum(each) * net.program.steps


def _looked_into(
    subject: _Subject, run: api.Simulation, inspection: Inspection, wanted: Wanted, under_way: Task
) -> dict[str, Any]:
    """What one network alone is looked into for."""
    net, inputs, split = subject.net, subject.inputs, subject.split
    _step(under_way, "what would mend it")
    found: dict[str, Any] = {
        "suggestions": suggest(net, inputs, samples=SUGGESTED, chip=wanted.chip),
    }
    _step(under_way, "samples step by step")
    real = None if subject.trained is None else float_network(subject.trained)
    found |= {
        "traces": tuple(_traced(net, inputs, at) for at in chosen_traces(inputs, run, wanted.traced)),
        "weights": layer_weights(net.program, real),
    }
    _step(under_way, "margins")
    if split is None:
        subject.missing |= {"margins": _NO_LABELS, "curves": _NO_LABELS}
        return found
    if not any(net.program.spiking()):
        subject.missing["margins"] = "the network has no spiking layer"
    else:
        looked_at = few(split)
        found["margins"] = layer_margins(net.program, subject.trained, looked_at)
        found["saturation"] = layer_saturation(net.program, looked_at, inspection)
        found["looked_at"] = len(looked_at)
    _step(under_way, "event drop and weight noise")
    if subject.data is None:
        subject.missing["curves"] = "frames of one's own hold no events to drop: counts stop at their clip"
        return found
    counts = unclipped_of(subject.data, inputs.numbers, subject.source.data.cache_dir)
    if len(split) * _sums(net) > CURVES_WORK:
        split, counts = few(split), few(counts)
    found["curves"] = curves(net.program, subject.trained, split, counts, wanted.seed)
    return found


def _traced(net: api.Net, inputs: Inputs, at: int) -> SampleTrace:
    if at >= len(inputs.frames):
        raise DataError(f"no sample {at}", where=net.name, expected=f"0 to {len(inputs.frames) - 1}")
    one = np.asarray(inputs.frames[at : at + 1])
    record = run_engine("fast", net.program, one, trace=True)
    label = None if inputs.labels is None else int(inputs.labels[at])
    return trace_of(net.program, one, record.traces or (), name_of(inputs, at), "fast", label)
