"""The report of a run: what is known of the network, its data, its answers and its operations."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy import __version__
from sast_deploy.base.files import file_digest
from sast_deploy.base.outputs import ORIGIN_KEY, Origin, json_kind
from sast_deploy.base.versions import LAVA_VERSIONS, installed_version
from sast_deploy.engines.frames import Frames
from sast_deploy.netx.export import FRAMES
from sast_deploy.netx.file import NetFile, profile_of
from sast_deploy.program.program import Program, layer_label
from sast_deploy.program.record import SpikeRecord
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.synops import LayerOps, count_operations

REPORT_VERSION = 1
WHOLE = "all"  # samples of a test split


@dataclass(frozen=True)
class Execution:
    """How a simulation was done.

    backend: the engine's name. seconds: wall time of the simulation, start of Lava included.
    checked: samples replayed by a specification, the vectorised one or the reference. difference: first
    difference found, None for none. by_reference: samples of the checked ones that the reference replayed.
    """

    backend: str
    seconds: float
    checked: int = 0
    difference: str | None = None
    by_reference: int = 0


@dataclass(frozen=True, eq=False)
class Report:
    """Everything a person must know of one run of one network on labelled or unlabelled frames.

    accuracy, confusion: None without labels; the latter int64 (classes, classes), rows are the true labels.
    operations: per weighted layer and sample. firing_rates: mean spikes per neuron and step, by spiking
    layer. facts: file, digests, data set and versions, JSON-able.

    >>> sast.simulate(net, frames).report.firing_rates
    {'layer 0 (dense)': 0.25}
    """

    accuracy: Accuracy | None
    samples: int
    operations: tuple[LayerOps, ...]
    firing_rates: dict[str, float]
    confusion: npt.NDArray[np.int64] | None
    classes: tuple[str, ...]
    run: Execution
    facts: Mapping[str, Any]

    @property
    def synops(self) -> float:
        """Synaptic operations per sample, all layers and steps."""
        return sum(layer.synops for layer in self.operations)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, in the order a person would read them."""
        confusion = None if self.confusion is None else self.confusion.tolist()
        return {
            "report_version": REPORT_VERSION,
            **{key: self.facts[key] for key in ("net", "profile", "data")},
            "accuracy": None if self.accuracy is None else interval_of(self.accuracy),
            "training": self.facts["checkpoint"],
            "synops_per_sample": {
                "total": self.synops,
                "layers": [asdict(layer) for layer in self.operations],
            },
            "firing_rates": self.firing_rates,
            "confusion": {"classes": list(self.classes), "rows_are_true_labels": confusion},
            "run": asdict(self.run),
            "versions": self.facts["versions"],
        }

    def to_json(self) -> str:
        """The dictionary as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"


def interval_of(accuracy: Accuracy) -> dict[str, Any]:
    """An accuracy with its share and interval, as plain values."""
    return {**asdict(accuracy), "value": accuracy.value, "interval_95": list(accuracy.interval)}


def make_report(
    program: Program,
    frames: Frames,
    labels: npt.NDArray[np.int64] | None,
    record: SpikeRecord,
    run: Execution,
    facts: Mapping[str, Any],
) -> Report:
    """Put together the report of `record`, the run of `program` on `frames` with true `labels` (samples,)."""
    confusion = None
    if labels is not None:
        confusion = np.zeros((len(program.classes),) * 2, dtype=np.int64)
        np.add.at(confusion, (labels, record.predictions), 1)
    rates = {
        layer_label(index, layer): float(count.mean()) / program.steps
        for (index, layer), count in zip(program.spiking(), record.counts, strict=True)
    }
    return Report(
        accuracy=None if confusion is None else Accuracy(int(np.trace(confusion)), len(record.logits)),
        samples=len(record.logits),
        operations=count_operations(program, frames, record.counts),
        firing_rates=rates,
        confusion=confusion,
        classes=program.classes,
        run=run,
        facts=facts,
    )


def facts_of(net: NetFile, path: Path | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says besides figures. path: the network's file, if it has one. data: of the frames."""
    profile = profile_of(net, path or net.program.name)
    return _facts(path, net.program, "none" if profile is None else profile.name, data, net.checkpoint)


def facts_of_stock(path: Path, program: Program, samples: int) -> dict[str, Any]:
    """The same of somebody else's network on frames."""
    return _facts(path, program, "stock NetX", given_frames("frames", samples), {})


def given_frames(name: str, samples: int) -> dict[str, Any]:
    """What a report says of frames that are of no data set."""
    return {
        "provenance": name, "dataset": None, "frame_digest": None, "holdout": None, "holdout_seed": None,
        "test_samples": samples, "unlike_training": None,
    }  # fmt: skip


def _facts(
    path: Path | None, program: Program, profile: str, data: Mapping[str, Any], checkpoint: Mapping[str, Any]
) -> dict[str, Any]:
    versions = {"sast-deploy": __version__, "python": platform.python_version(), "numpy": np.__version__}
    versions |= {name: installed_version(name) or "missing" for name in LAVA_VERSIONS}
    name, digest = (None, None) if path is None else (str(path), file_digest(path))
    return {
        "net": {"path": name, "digest": digest, "program_digest": program.digest()},
        "profile": profile,
        "data": dict(data),
        "checkpoint": dict(checkpoint),
        "versions": versions,
    }


def simulate_run(
    net: NetFile, test: Mapping[str, Any], samples: int | None, check: int | None, engine: str
) -> dict[str, Any]:
    """What a report depends on. test: the identity of its data; check: samples replayed, None for all."""
    own = test["data"] == net.data.get("dataset") and test["folder"] is None
    recorded = net.data.get("n_test") if own and test["holdout"] == net.data.get("holdout") else None
    taken = _some(samples, recorded)
    checked = 0 if engine == "reference" else _some(check, recorded if taken == WHOLE else samples)
    return {
        "program": net.program.digest(), "checkpoint": net.checkpoint.get("digest"),
        **test, "samples": taken, "engine": engine, "checked": checked,
    }  # fmt: skip


def _some(number: int | None, total: Any) -> int | str:
    """WHOLE for all of `total` samples, where that is known."""
    return WHOLE if number is None or (total is not None and number >= total) else number


def _report_origin(report: dict[str, Any]) -> Origin:
    made = report[ORIGIN_KEY] if ORIGIN_KEY in report else _older_origin(report)
    return {FRAMES: report["data"]["frame_digest"], **made}


def _older_origin(report: dict[str, Any]) -> Origin:
    data, run, samples = report["data"], report["run"], report["accuracy"]["samples"]
    return {
        "program": report["net"]["program_digest"], "checkpoint": report["training"].get("digest"),
        "data": data["dataset"], "folder": data["root"] if data["unlike_training"] else None,
        "holdout": data["holdout"], "holdout seed": data["holdout_seed"],
        "samples": _some(samples, data["test_samples"]), "engine": run["backend"],
        "checked": 0 if run["backend"] == "reference" else _some(run["checked"], samples),
    }  # fmt: skip


REPORT = json_kind(
    "report", lambda found: type(found.get("report_version")) is int, _report_origin, mark='"report_version"'
)
