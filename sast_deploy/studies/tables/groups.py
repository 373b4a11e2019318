"""Runs that differ in their seed alone: what a mean is taken over, and what it is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sast_deploy.data.readers.official import SUSPECT
from sast_deploy.data.readers.sources import EMBEDDED
from sast_deploy.studies.analysis.significance import Summary, summary
from sast_deploy.studies.sweep.choices import DEFAULTS, flat
from sast_deploy.studies.tables.records import Record
from sast_deploy.studies.tables.values import Value

_NO_SETTING = ("recipe.name", "recipe.base", "network.name", "seed")
PAPERS = " *"
PAPERS_NOTE = "*: against the paper's recipe without SAM, where a training has no baseline of its own"
NAMES_AND_LENGTH = ("recipe.name", "recipe.rho", "recipe.epochs")  # rows tell these apart
_ONLY_WITH_SAM = ("recipe.rho", "recipe.pairing", "recipe.sharpness")
DATASETS = {"nmnist": "N-MNIST", "nmnist-simulated": "N-MNIST", "dvsgesture": "DVS Gesture"}


@dataclass(frozen=True)
class Group:
    """Runs of one configuration on one set of frames.

    Fields:
        settings: the configuration without the seed, flat: {"recipe.rho": 0.3, ...}.
        runs: by seed, those not measured yet among them.
    """

    settings: Mapping[str, Any]
    runs: Mapping[int, Record]

    @property
    def data(self) -> Mapping[str, Any]:
        """`DataInfo` of the runs as plain values; {} if none has begun."""
        return next((run.data for run in self.runs.values() if run.data), {})

    @property
    def network(self) -> str:
        """The network's name."""
        return str(self.settings["network.name"])

    @property
    def rho(self) -> float:
        """SAM's radius."""
        return float(self.settings["recipe.rho"])

    @property
    def epochs(self) -> int:
        """Epochs of training."""
        return int(self.settings["recipe.epochs"])

    @property
    def passes(self) -> int:
        """Passes over the training samples: two an epoch with SAM."""
        return self.epochs * (2 if self.rho else 1)

    def values(self, value: Value) -> dict[int, float]:
        """A figure of each run that has it, by seed."""
        found = {seed: value(run) for seed, run in self.runs.items()}
        return {seed: each for seed, each in sorted(found.items()) if each is not None}

    def mean(self, value: Value) -> Summary | None:
        """Mean and spread of a figure over the seeds; None where no run has it."""
        values = list(self.values(value).values())
        return summary(values) if values else None

    def without(self, *keys: str) -> str:
        """The configuration apart from `keys` and from names, as one comparable text."""
        return json.dumps([self.without_frames(*keys), self.data.get("frame_digest")])

    def without_frames(self, *keys: str) -> str:
        """`without`, whatever the frames are that the options made."""
        kept = {k: v for k, v in self.settings.items() if k not in (*keys, *_NO_SETTING)}
        return json.dumps(kept, sort_keys=True)


def group(records: tuple[Record, ...]) -> tuple[Group, ...]:
    """Records with everything but the seed in common, in the order data, network, recipe, rho, epochs."""
    found: dict[tuple[str, Any], dict[int, Record]] = {}
    settings: dict[tuple[str, Any], dict[str, Any]] = {}
    for record in sorted(records, key=lambda each: not each.data):  # those that have not begun come last
        own = {**DEFAULTS, **flat(flat(record.config))}  # settings may be younger than the run
        del own["seed"]
        text = json.dumps(own, sort_keys=True)
        key = (text, record.data.get("frame_digest"))
        if not record.data:
            key = next((known for known in found if known[0] == text), key)
        found.setdefault(key, {})[record.seed] = record
        settings[key] = own
    groups = [Group(settings[key], runs) for key, runs in found.items()]
    return tuple(sorted(groups, key=_order))


def _order(each: Group) -> tuple[Any, ...]:
    s = each.settings
    return (s["data.name"], s["network.name"], s["recipe.name"], each.rho, each.epochs, each.without())


def data_label(each: Group) -> str:
    """Which data, honestly: "N-MNIST, real recordings, 1,000 + 100 samples"."""
    dataset = each.settings["data.dataset"]
    name = DATASETS.get(dataset, dataset)
    if not each.data:
        return f"{name} ({each.settings['data.name']}), no run has begun"
    kind = "simulated" if each.data["simulated"] else _recorded(str(each.data.get("provenance", "")))
    if dataset == EMBEDDED:
        kind = "simulated from scikit-learn's digits"
    held = " (test held out)" if each.data.get("holdout") is not None else ""
    return f"{name}, {kind}, {each.data['n_train']:,} + {each.data['n_test']:,} samples{held}"


def by_data(groups: tuple[Group, ...]) -> dict[str, tuple[Group, ...]]:
    """Groups by what they were trained on: data set, real or simulated, how many samples, which frames."""
    frames: dict[tuple[str, str, str], list[Group]] = {}
    for each in groups:
        digest = each.data.get("frame_digest", "")
        frames.setdefault((data_label(each), str(each.settings["data.name"]), digest), []).append(each)
    labels = [label for label, _, _ in frames]
    names = [(label, name) for label, name, _ in frames]
    found = {}
    for (label, name, digest), those in frames.items():
        full = label if labels.count(label) == 1 else f"{label} ({name})"
        full += f", frames {digest[:8]}" if names.count((label, name)) > 1 else ""
        found[full] = tuple(those)
    return found


def _recorded(provenance: str) -> str:
    """What may be said of recordings that are not known to be simulated."""
    if provenance.startswith("real "):
        return "real recordings"
    return "not verified" if SUSPECT in provenance else "recordings through tonic"


def recipe_label(each: Group, groups: tuple[Group, ...]) -> str:
    """The recipe's name, and what tells it from others of that name: "paper, k 5"."""
    names = ("data.name", "network.name", "recipe.name")
    same = [g for g in groups if all(g.settings[key] == each.settings[key] for key in names)]
    own = {k: v for k, v in each.settings.items() if k not in (*_NO_SETTING, *NAMES_AND_LENGTH)}
    extras = [
        f"{key.rpartition('.')[2]} {value}" for key, value in own.items()
        if len({json.dumps(g.settings.get(key)) for g in same}) > 1
    ]  # fmt: skip
    return ", ".join([str(each.settings["recipe.name"]), *extras])


def label(each: Group, groups: tuple[Group, ...]) -> str:
    """"fc, paper, k 5, ρ 0.3"."""
    return f"{each.network}, {recipe_label(each, groups)}, ρ {each.rho:g}"


def baseline_of(each: Group, groups: tuple[Group, ...]) -> Group | None:
    """The same training without SAM; None for a baseline itself, or where there is none."""
    if not each.rho:
        return None
    wanted = each.without(*_ONLY_WITH_SAM)
    return next((g for g in groups if not g.rho and g.without(*_ONLY_WITH_SAM) == wanted), None)


def compared_with(each: Group, groups: tuple[Group, ...]) -> tuple[Group | None, str]:
    """What a group is compared with, and the mark that says so.

    Its own baseline, ""; where there is none and it is not the paper's, the paper's baseline of the same
    network, as long if possible, PAPERS.
    """
    own = baseline_of(each, groups)
    plain = [g for g in groups if _is_papers_baseline(g) and g.network == each.network]
    if own is not None or each in plain or not plain:
        return own, ""
    return max(plain, key=lambda g: (g.epochs == each.epochs, g.epochs)), PAPERS


def _is_papers_baseline(each: Group) -> bool:
    """Whether it was trained by the paper's recipe without SAM; for how long does not matter."""
    keys = [key for key in DEFAULTS if key not in NAMES_AND_LENGTH]
    return not each.rho and all(each.settings[key] == DEFAULTS[key] for key in keys)
