"""What is measured of a trained network: each measurement is a stage of a run, with a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sast_deploy.base.errors import UsageError
from sast_deploy.program.profile import load_profile
from sast_deploy.studies.sweep.choices import FineTuneChoice

PLAIN, CALIBRATED = "", "calibrated"
CIRCUIT_SAMPLES = 200  # evenly spread over the test split, whose cycles are counted


@dataclass(frozen=True)
class Stage:
    """One measurement.

    Fields:
        kind: "float", "profile", "circuit", "analysis" or "ablation"; "train" makes what these measure.
        subject: a profile and how its integers came about ("loihi-int4", "loihi-int4 calibrated",
            "loihi-int4 NAME" for a [finetune.NAME] table), or the name of an analysis.
        inputs: what the result depends on besides the checkpoint, as plain values.
        finetune: the fine-tuning before the compilation, for NAME.
    """

    kind: str
    subject: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    finetune: FineTuneChoice | None = None

    @property
    def key(self) -> str:
        """As people call it: "profile loihi-int4 calibrated"."""
        return f"{self.kind} {self.subject}".strip()

    @property
    def file_name(self) -> str:
        """The record's name in the run's folder stages/."""
        return self.key.replace(" ", "-").replace("/", "_") + ".json"

    @property
    def profile(self) -> str:
        """The profile's name or path."""
        return self.subject.split()[0]

    @property
    def way(self) -> str:
        """PLAIN, CALIBRATED or the name of a fine-tuning."""
        return self.subject.partition(" ")[2]


FLOAT = Stage("float")
TRAINING = Stage("train")  # what all others measure


def profile_stage(
    subject: str, finetunes: Mapping[str, FineTuneChoice], where: str, kind: str = "profile"
) -> Stage:
    """The stage of "PROFILE [calibrated|NAME]". Raises UsageError and ProfileError."""
    name, _, way = subject.partition(" ")
    inputs: dict[str, Any] = {"profile": _profile_digest(name)}
    if kind == "circuit":
        inputs["samples"] = CIRCUIT_SAMPLES
    if way in finetunes:
        inputs["finetune"] = finetunes[way].to_dict()
        return Stage(kind, subject, inputs, finetunes[way])
    if way not in (PLAIN, CALIBRATED):
        known = ", ".join(("calibrated", *finetunes))
        raise UsageError(
            f"{kind}s = {subject!r}", where=where, expected=f"a profile, alone or followed by one of {known}"
        )
    return Stage(kind, subject, inputs)


def ablation_stage(profile: str) -> Stage:
    """The stage that measures what each compiler option gains. Raises ProfileError."""
    return Stage("ablation", profile, {"profile": _profile_digest(profile)})


def _profile_digest(name: str) -> str:
    return load_profile(name).digest
