"""The study that crosses surrogates with neurons on one data set and one network, as the text of its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from sast_deploy.base.errors import OutputError, UsageError
from sast_deploy.base.files import write_text
from sast_deploy.base.outputs import Found, Kind, Origin, check_output
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.reading.documents import parse_toml
from sast_deploy.studies.sweep.study import EXPECTED, Study, parse_study
from sast_deploy.training.kernels.membranes import SurrogateName
from sast_deploy.training.network.surrogates import SURROGATES

MARK = "# Written by sast-deploy characterize"
LONGEST = 1 << 20
STEEPNESS = 2.0  # of every surrogate at the threshold, whatever it calls its k
RECIPES = {"fc": "best", "conv": "best-conv"}


@dataclass(frozen=True)
class Cross:
    """What is crossed: every surrogate with every neuron, over the seeds.

    Fields:
        dataset: as `train --dataset`. network: "fc" or "conv". widths: of its layers; None: as published.
        epochs: None: the recommended recipe's. profile: how the integers come about, "loihi-int4 calibrated".
        train, test: samples of each split, None: all. size: (H, W) that frames are summed down to.
    """

    dataset: str
    network: str
    widths: tuple[int, ...] | None
    surrogates: tuple[SurrogateName, ...]
    neurons: tuple[str, ...]
    seeds: tuple[int, ...]
    profile: str
    epochs: int | None = None
    train: int | None = None
    test: int | None = None
    size: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The study's: "characterize-nmnist"."""
        return f"characterize-{re.sub('[^A-Za-z0-9]+', '-', self.dataset).strip('-')[:60]}"

    def text(self) -> str:
        """The file."""
        data = {"dataset": self.dataset, "train": self.train, "test": self.test, "size": self.size}
        # Spikes are hard in the forward pass, and k stays: steepness means the same for all. lsuv, because a
        # triangular surrogate is flat for neurons far from their threshold.
        recipe = {
            "base": RECIPES[self.network], "epochs": self.epochs, "rho": 0.0, "k_start": 0.0,
            "forward": "hard", "init": "lsuv",
        }  # fmt: skip
        parts = [_table("[study]", {"name": self.name}), _table("[data.crossed]", data)]
        parts += [_table(f"[network.{self.network}]", {"kind": self.network, "hidden": self.widths})]
        parts += [_table("[recipe.crossed]", recipe)]
        for name in self.surrogates:
            grid = {
                "data": "crossed", "network": self.network, "recipe": "crossed", "surrogate": name,
                "k": STEEPNESS * SURROGATES[name].area, "neuron": self.neurons, "seed": self.seeds,
                "profiles": [self.profile], "circuits": [self.profile],
            }  # fmt: skip
            parts.append(_table("[[grid]]", grid))
        head = f"{MARK}; every surrogate has the steepness {STEEPNESS:g} at the threshold.\n"
        return head + "\n".join(["", *parts])

    def study(self, data_root: Path | None) -> Study:
        """The study of that text. Raises UsageError and ProfileError as `load_study`."""
        where = Path(f"{self.name}.toml")
        return parse_study(parse_toml(self.text(), where, EXPECTED), where, data_root=data_root)

    def path(self, folder: Path, overwrite: bool) -> Path:
        """Where that text is written, beside the runs. Raises OutputError: another study is there."""
        path = folder / f"{self.name}.toml"
        check_output(path, WRITTEN, study_origin(self.text()), overwrite=overwrite)
        return path

    def write(self, folder: Path, overwrite: bool) -> Path:
        """Write it there. Raises OutputError."""
        path = self.path(folder, overwrite)
        write_text(path, self.text())
        return path


def _table(head: str, values: Mapping[str, object]) -> str:
    given = {key: value for key, value in values.items() if value is not None}
    return "\n".join([head, *(f"{key} = {json.dumps(value)}" for key, value in given.items())]) + "\n"


def check_measured(study: Study, where: Path) -> None:
    """Refuse a study without a run whose accuracy and cycles are of the same integers. Raises UsageError."""
    measured = [{(each.kind, each.subject) for each in run.stages} for run in study.runs]
    if not any(("circuit", name) in each for each in measured for kind, name in each if kind == "profile"):
        raise UsageError(
            "no circuits of a profile", where=where,
            expected='circuits = ["loihi-int4"] beside profiles = ["loihi-int4"] in a [[grid]]',
        )  # fmt: skip


def study_origin(text: str) -> Origin:
    """Of a study that was written: its text."""
    return {"study": sha256(text.encode()).hexdigest()}


def _read(path: Path) -> Found:
    found = read_bytes(path, Expected("a study", OutputError), LONGEST)
    return study_origin(found.decode(errors="replace"))


WRITTEN = Kind("study", MARK.encode(), _read)
