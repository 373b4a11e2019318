"""All that decides whether a network goes on the chip, as frozen facts; what `report` draws as one page.

Nothing here depends on the hour or on the machine's speed: the same networks and data give the same facts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.text import percent
from sast_deploy.proofs.limits import broken_limits
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.costs.cost import Cost
from sast_deploy.reports.inspection import Inspection
from sast_deploy.reports.run import interval_of
from sast_deploy.reports.suggestions import Suggestions
from sast_deploy.reports.tracing import SampleTrace

DOSSIER_VERSION = 1
REAL, SIMULATED, EMBEDDED, GIVEN = "real", "simulated", "embedded", "given"  # kinds of data
INTEGERS, TRAINED = "integers", "trained"  # what a curve or a histogram is of


@dataclass(frozen=True)
class Rung:
    """One step of the way from training to the chip.

    name: of the network at this step. accuracy: on the samples of the dossier, or None, why stands in `note`.
    here: measured now and not only recorded by the training. reported: whether it is the network in question.
    """

    name: str
    accuracy: Accuracy | None
    note: str = ""
    here: bool = True
    reported: bool = False


@dataclass(frozen=True)
class EngineCheck:
    """One engine against the reference on one set of inputs.

    values: membrane potentials, spikes and logits compared. problem: the first difference; "" for none.
    """

    engine: str
    data: str
    samples: int
    values: int
    problem: str = ""


@dataclass(frozen=True)
class LayerRow:
    """A layer of the table.

    shape: of its output. weights: how many, zeros included; nonzero: how many are not 0. rate: spikes per
    neuron and step; None of a layer without spikes. synops, effective: per sample; dense: of a dense product.
    packed_bits: of its parameters. cores: that it takes on the chip.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    neurons: int
    weights: int
    nonzero: int
    rate: float | None
    synops: float
    effective: float
    dense: int
    packed_bits: int
    cores: int


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts between `edges` (bins + 1,); beyond: how many lie outside."""

    of: str
    edges: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    beyond: int = 0

    def __post_init__(self) -> None:
        """One count for each bin."""
        if len(self.edges) != len(self.counts) + 1:
            raise ValueError(f"{len(self.counts)} counts between {len(self.edges)} edges")


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """A layer's weights before and after quantization, in units of one integer step.

    unit: the trained weight that one step stands for, the least squares fit; of neurons with steps of their
    own the median; None without the trained ones. error: root mean square of what rounding altered over that
    of the weights. low, high: what the bits hold.
    """

    layer: str
    unit: float | None
    error: float | None
    low: int
    high: int
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True, eq=False)
class LayerMargins:
    """How far a layer's membranes stay from their thresholds: (u - theta) / theta over samples and steps.

    share: of the states within +-0.2 of the threshold, of what was trained and of the integers.
    """

    layer: str
    shares: Mapping[str, float]
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True)
class LayerSaturation:
    """States at an end of their range, of all; None where they wrap. proved: neurons that may ever do so."""

    layer: str
    ends: int | None
    states: int
    proved: int
    neurons: int


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording as event frames, its label and what was made of it.

    image: (C, H, W), of the step that has most events. margin: of the largest logit over the true class's.
    """

    what: str
    label: str
    prediction: str
    margin: int
    image: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Point:
    """Accuracy at one strength: the mean over draws, the lowest and the highest draw."""

    amount: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """Accuracy under a disturbance. kind: "drop" or "noise". of: INTEGERS or TRAINED."""

    kind: str
    of: str
    samples: int
    draws: int
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Manifest:
    """What it takes to get the same again.

    files: (what, path, SHA-256 or what stands for it). versions: of what shaped the numbers. data: facts of
    the samples. commands: lines of a shell.
    """

    files: tuple[tuple[str, str, str], ...]
    versions: Mapping[str, str]
    data: Mapping[str, str]
    commands: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NetworkFacts:
    """One network.

    name: for people. source: as it was named. profile: that it was compiled for. kind: of the data, REAL and
    so on; data: one sentence on it. confusion: (classes, classes), rows are the true labels; None without
    labels, as right, (samples,). missing: section -> why there is nothing to show. notes: what one should
    know.
    """

    name: str
    source: str
    profile: str
    weight_bits: int
    steps: int
    kind: str
    data: str
    samples: int
    accuracy: Accuracy | None
    classes: tuple[str, ...]
    ladder: tuple[Rung, ...]
    checks: tuple[EngineCheck, ...]
    unseen: tuple[str, ...] | None
    layers: tuple[LayerRow, ...]
    inspection: Inspection
    cost: Cost
    manifest: Manifest
    suggestions: Suggestions | None = None
    confusion: npt.NDArray[np.int64] | None = None
    right: npt.NDArray[np.bool_] | None = None
    mistakes: tuple[Recording, ...] = ()
    traces: tuple[SampleTrace, ...] = ()
    weights: tuple[LayerWeights, ...] = ()
    margins: tuple[LayerMargins, ...] = ()
    saturation: tuple[LayerSaturation, ...] = ()
    looked_at: int = 0  # samples that margins and saturation are of
    curves: tuple[Curve, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def bit_accurate(self) -> bool:
        """Whether every engine gives every value of the reference."""
        return bool(self.checks) and not any(check.problem for check in self.checks)

    @property
    def float_accuracy(self) -> Accuracy | None:
        """With hard spikes before quantization, on the same samples, where that is known."""
        found = [rung.accuracy for rung in self.ladder if rung.name == HARD]
        return found[0] if found else None

    @property
    def gap(self) -> float | None:
        """Accuracy before quantization minus accuracy of the integers."""
        if self.accuracy is None or self.float_accuracy is None:
            return None
        return self.float_accuracy.value - self.accuracy.value

    @property
    def chip(self) -> str:
        """The chip that it is laid out on, for people."""
        return self.inspection.mapping.chip.title

    @property
    def fits(self) -> bool:
        """Whether that chip holds it in every row that the file decides."""
        return self.inspection.fits

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it does not, one line for each limit that is broken."""
        return tuple(dict.fromkeys(check.why for check in broken_limits(self.inspection.limits)))

    @property
    def cores(self) -> int:
        """That it takes there."""
        return self.inspection.mapping.cores

    @property
    def synops(self) -> float:
        """Synaptic operations per sample."""
        return sum(layer.synops for layer in self.layers)

    @property
    def packed_bytes(self) -> int:
        """Of all parameters at their true widths."""
        return sum(-(-layer.packed_bits // 8) for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, without pixels, membranes and histograms."""
        return {
            "name": self.name, "source": self.source, "profile": self.profile,
            "weight_bits": self.weight_bits, "steps": self.steps, "kind": self.kind, "data": self.data,
            "samples": self.samples,
            "accuracy": _accuracy(self.accuracy), "gap": self.gap, "bit_accurate": self.bit_accurate,
            "chip": self.inspection.mapping.chip.name, "fits": self.fits, "reasons": self.reasons,
            "cores": self.cores, "synops": self.synops, "packed_bytes": self.packed_bytes,
            "ladder": [{**vars(rung), "accuracy": _accuracy(rung.accuracy)} for rung in self.ladder],
            "checks": self.checks, "unseen": self.unseen, "layers": self.layers,
            "confusion": {"classes": self.classes, "rows_are_true_labels": self.confusion},
            "mistakes": [
                {"recording": each.what, "label": each.label, "prediction": each.prediction,
                 "margin": each.margin} for each in self.mistakes
            ],
            "traced": [trace.what for trace in self.traces],
            "margins": [{"layer": each.layer, "shares": each.shares} for each in self.margins],
            "saturation": self.saturation, "curves": self.curves, "missing": self.missing,
            "cost": self.cost.to_dict(), "suggestions": self.suggestions, "notes": self.notes,
            "manifest": self.manifest,
        }  # fmt: skip


HARD = "float, hard spikes"
SMOOTH = "float, smooth spikes"


def _accuracy(accuracy: Accuracy | None) -> dict[str, Any] | None:
    return None if accuracy is None else interval_of(accuracy)


@dataclass(frozen=True)
class Take:
    """Which network to take for a budget from `low` up to `high`, None for any; and how often it is right."""

    network: str
    low: float
    high: float | None
    accuracy: float


@dataclass(frozen=True)
class Axis:
    """What accuracy is paid with: SynOps, energy, memory. values: of each network, in `unit`.

    front: networks that no other beats, which is as accurate for less, or more accurate for as much; the
    cheapest first, each with the budget for which it is the best.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    front: tuple[Take, ...]

    def sentence(self, take: Take) -> str:
        """As in "12 to 15.5 µJ of energy: a, 97.33 %"."""
        budget = f"from {take.low:,.4g}" if take.high is None else f"{take.low:,.4g} to {take.high:,.4g}"
        return f"{budget} {self.unit}: {take.network}, {percent(take.accuracy)}"


@dataclass(frozen=True)
class Choice:
    """Several networks held against each other on the same samples.

    best: the most accurate. p: of each network, how surprising its difference from the best would be if both
    were equally good (McNemar's exact test); None where samples or labels differ. advice: sentences. caution:
    where they were not measured on the same samples.
    """

    axes: tuple[Axis, ...]
    best: str | None
    p: tuple[float | None, ...]
    advice: tuple[str, ...]
    caution: str = ""


@dataclass(frozen=True, eq=False)
class Dossier:
    """One or several networks, ready to be judged. choice: None of one."""

    networks: tuple[NetworkFacts, ...]
    choice: Choice | None = None

    def __post_init__(self) -> None:
        """A choice is between several."""
        if not self.networks or (len(self.networks) > 1) != (self.choice is not None):
            raise ValueError("a dossier has one network, or several and a choice")

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        networks = [each.to_dict() for each in self.networks]
        return {"dossier_version": DOSSIER_VERSION, "networks": networks, "choice": self.choice}
