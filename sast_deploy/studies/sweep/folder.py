"""One run's folder: which stages are done, the lock that keeps two sweeps apart, and results.json."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import DataError, TrainingError
from sast_deploy.base.files import file_digest, lock_folder, write_text
from sast_deploy.base.outputs import Kind, check_output, json_kind
from sast_deploy.base.reading import Expected, documents, open_regular
from sast_deploy.base.rules import Rule, known
from sast_deploy.studies.sweep.choices import DEFAULTS, flat
from sast_deploy.studies.sweep.measures import TRAINING, Stage
from sast_deploy.studies.sweep.provenance import source_digest
from sast_deploy.studies.sweep.schema import MANIFEST, PLAN, is_stage
from sast_deploy.studies.sweep.study import Run
from sast_deploy.training.state import CHECKPOINT, METRICS, UNFINISHED, RunFiles

FORMAT, VERSION = "sast-deploy-run", 1
ANY = known({})  # an object
PLAN_FILE = "study.json"  # beside the runs' folders: the runs that there will be
LOG_HEAD = "sast-deploy sweep\n"  # of error.log and output.log
ANY_ORIGIN: Mapping[str, Any] = {}
TODO = "move it away, or choose another -o"


class RunFolder:
    """<runs>/<run>/: manifest.json, ckpt.pt, stages/*.json, results.json; error.log after a failure.

    A stage is done when its record names the checkpoint that is there and the inputs that are wanted.
    Every file is written whole or not at all, so a process killed at any moment leaves a folder that the
    next one continues.
    """

    def __init__(self, runs: Path, run: Run) -> None:
        self.run = run
        self.path = Path(runs) / run.name
        self.training = RunFiles(self.path / "ckpt.pt")
        self.results, self.manifest = self.path / "results.json", self.path / "manifest.json"
        self.errors, self.output = self.path / "error.log", self.path / "output.log"

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run against other sweeps and trainings. Raises BusyError, OutputError."""
        return lock_folder(self.path)

    def refuse_another(self) -> None:
        """Refuse what is not this run's.

        Raises TrainingError: a run of this name with another configuration is here, or files of a run's names
        and no manifest of ours. OutputError: a link to a file of another kind.
        """
        manifest = read_json(self.manifest, MANIFEST)
        if manifest is None or not manifest.get("config"):
            others = [path for path, kind in self._written().items() if _is_in_the_way(path, kind)]
            if others:
                what = f"is no run of a sweep, but {others[0].relative_to(self.path)} is in it"
                raise TrainingError(what, where=self.path, todo="choose another -o")
            return
        for path, kind in self._written().items():
            if path.is_symlink() or path.parent.is_symlink():
                check_output(path, kind, ANY_ORIGIN)
        different = config_differences(manifest["config"], self.run.config)
        if different:
            raise TrainingError(
                f"was started with {different}", where=self.path,
                todo="rename the table in the study, choose another -o, or delete the folder",
            )  # fmt: skip

    def _written(self) -> dict[Path, Kind]:
        """All that a sweep writes here, but for folders of fine-tunings: their names tell them apart."""
        stages, training = (TRAINING, *self.run.stages), self.training
        return {
            self.manifest: MANIFEST_KIND, self.results: RESULTS, training.checkpoint: CHECKPOINT,
            training.resume: UNFINISHED, training.metrics: METRICS, self.errors: LOG, self.output: LOG,
            **{self._record(stage): STAGE for stage in stages},
        }  # fmt: skip

    def checkpoint_digest(self) -> str | None:
        """SHA-256 of ckpt.pt once it is trained to the end, else None."""
        if not self.training.checkpoint.exists() or self.training.resume.exists():
            return None
        return file_digest(self.training.checkpoint)

    def _record(self, stage: Stage) -> Path:
        return self.path / "stages" / stage.file_name

    def is_done(self, stage: Stage, digest: str | None) -> bool:
        """Whether there is a sound record of the stage, made of this checkpoint with these inputs."""
        found = read_json(self._record(stage))
        if digest is None or found is None or not is_stage(found):
            return False
        wanted = {"stage": stage.key, "checkpoint": digest, "inputs": _plain(stage.inputs)}
        return all(found.get(key) == value for key, value in wanted.items())

    def missing(self) -> tuple[str, ...]:
        """Keys of the stages still to do, training first; () once results.json holds them all."""
        digest = self.checkpoint_digest()
        trained = self.is_done(TRAINING, digest)
        left = [stage for stage in self.run.stages if not (trained and self.is_done(stage, digest))]
        return tuple(stage.key for stage in (left if trained else [TRAINING, *left]))

    def is_finished(self) -> bool:
        """Whether every stage is done and is in results.json."""
        return not self.missing() and read_json(self.results) == _plain(self.assemble())

    def write_record(self, stage: Stage, result: Mapping[str, Any], seconds: float) -> None:
        """Keep a stage's result. Raises OutputError."""
        record = {
            "stage": stage.key, "checkpoint": self.checkpoint_digest(), "inputs": stage.inputs,
            "result": result, "seconds": round(seconds, 3), "source": source_digest(),
        }  # fmt: skip
        write_json(self._record(stage), record)

    def assemble(self) -> dict[str, Any]:
        """results.json: every record of this checkpoint, also of stages that are no longer asked for."""
        digest = self.checkpoint_digest()
        manifest = read_json(self.manifest, MANIFEST) or {}
        found: dict[str, Any] = {
            "format": FORMAT, "version": VERSION, "name": self.run.name, "config": manifest.get("config"),
            "manifest": {k: v for k, v in manifest.items() if k != "config"} | {"checkpoint": digest},
            "train": None, "float": None, "profiles": {}, "analysis": {}, "ablations": {},
        }  # fmt: skip
        groups = {
            "profile": "profiles", "circuit": "circuits", "analysis": "analysis", "ablation": "ablations",
        }  # fmt: skip
        for path in sorted((self.path / "stages").glob("*.json")):
            record = read_json(path)
            if record is None or not is_stage(record) or record.get("checkpoint") != digest:
                continue
            kind, _, subject = record["stage"].partition(" ")
            result = record["result"]
            if subject:
                found.setdefault(groups[kind], {})[subject] = result  # without circuits as before them
            else:
                found[kind] = result
        return found


def _is_in_the_way(path: Path, kind: Kind) -> bool:
    """Whether there is something at `path`, in a folder without a manifest; logs come before that."""
    if path.is_symlink() or not os.path.lexists(path):
        return path.is_symlink()
    if kind is LOG and path.is_file():
        with open_regular(path, Expected("a log", DataError)) as file:
            return not LOG_HEAD.encode().startswith(file.read(len(LOG_HEAD)))
    return not path.is_file() or path.stat().st_size > 0


def planned_runs(names: Iterable[str]) -> dict[str, Any]:
    """What study.json is of: more runs are no loss."""
    return {"runs": dict.fromkeys(names, True)}


_kind = partial(json_kind, todo=TODO)
PLANNED = json_kind(
    "plan of a sweep",
    lambda found: set(found) == {"runs"} and PLAN.fits(found),
    lambda found: planned_runs(found["runs"]),
    todo=TODO,
)
MANIFEST_KIND = _kind("manifest of a run", lambda found: bool(found.get("config")))
RESULTS = _kind("file of results", lambda found: found.get("format") == FORMAT)
STAGE = _kind("record of a stage", is_stage)
LOG = Kind("log of a sweep", LOG_HEAD.encode(), lambda _: True, TODO)


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """'recipe.epochs = 3 (now 4), ...'; a key that came into being later counts as its default."""
    before, now = ({**DEFAULTS, **flat(_plain(config))} for config in (old, new))
    changed = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return ", ".join(f"{key} = {before.get(key)} (now {now.get(key)})" for key in changed)


def read_json(path: Path, rule: Rule = ANY) -> dict[str, Any] | None:
    """The object in a JSON file of a sweep; None where there is none that is what it should be."""
    try:
        found = documents.read_json(path, Expected("a sweep's file", DataError))
    except DataError:
        return None
    return found if rule.fits(found) else None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as indented JSON, whole or not at all. Raises OutputError."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def _plain(value: Any) -> Any:
    """As it reads back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))
