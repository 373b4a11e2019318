"""Runs as they lie on the disk, finished or not, and the small JSON that keeps them in the repository."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sast_deploy.errors import DataError
from sast_deploy.fileio import write_text
from sast_deploy.reading import Expected
from sast_deploy.reading.documents import read_json
from sast_deploy.reading.settings import refuse, shown
from sast_deploy.sweep.folder import FORMAT, PLAN_FILE
from sast_deploy.sweep.schema import PLAN, RECORD, RUNS

RAW_FORMAT = "sast-deploy-runs"
VERSION = 1
EXPECTED = Expected(
    "a sweep's folder, or a JSON file that `sast-deploy tables --json` wrote", DataError,
    "where a sweep wrote it, the same sweep mends it",
)  # fmt: skip
SIGNIFICANT = 7  # digits of a number in the small JSON
_LONG = ("histogram", "surrogate_correct", "hard_correct", "root", "classes")  # left out of it


@dataclass(frozen=True)
class Record:
    """One run. What is not measured yet is None or absent.

    Fields:
        name: the run's.
        config: what made the checkpoint (see `sast_deploy.sweep.Run.config`).
        data: `DataInfo` as plain values; {} for a run that has not begun.
        train, float, profiles, analysis, ablations: the stages' results, as in results.json.
        manifest: code, packages and digests.
    """

    name: str
    config: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] | None = None
    float: Mapping[str, Any] | None = None
    profiles: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    ablations: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])


def load_records(paths: Iterable[Path]) -> tuple[Record, ...]:
    """All runs below the folders, those that their studies plan included, and all in the JSON files.

    Raises DataError: a path that is not there, a file of another kind, no runs at all.
    """
    found: dict[str, Record] = {}
    for path in map(Path, paths):
        for record in _from_folder(path) if path.is_dir() else _from_raw(path):
            known = found.get(record.name)
            if known is not None and known.float is not None and record.float is not None:
                raise DataError(f"two runs are called {record.name}", where=path, todo="name one folder")
            if known is None or record.float is not None:
                found[record.name] = record
    if not found:
        raise DataError(
            "no runs of a sweep", where=", ".join(map(str, paths)), expected="folders with results.json",
            todo="make some with `sast-deploy sweep`",
        )  # fmt: skip
    return tuple(found.values())


def write_raw(path: Path, records: Iterable[Record]) -> None:
    """The finished runs' figures without long arrays and folders, one line each. Raises OutputError."""
    write_text(path, raw_text(records))


def raw_text(records: Iterable[Record]) -> str:
    """What `write_raw` writes."""
    rows = [json.dumps(_shortened(_to_dict(record))) for record in records if record.float is not None]
    head = f'{{"format": "{RAW_FORMAT}", "version": {VERSION}, "runs": [\n'
    return head + ",\n".join(rows) + "\n]}\n"


def _from_folder(folder: Path) -> Iterable[Record]:
    for plan in sorted(folder.rglob(PLAN_FILE)):
        values = _read(plan)
        refuse(PLAN.problems(values, ""), plan, DataError)
        yield from (Record(name, config) for name, config in values.get("runs", {}).items())
    for path in sorted(folder.rglob("results.json")):
        values = _read(path)
        if values.get("format") == FORMAT and values.get("float") is not None:
            refuse(RECORD.problems(values, ""), path, DataError)
            yield _record(values)


def _from_raw(path: Path) -> Iterable[Record]:
    values = _read(path)
    if values.get("format") != RAW_FORMAT:
        raise DataError("is no file of runs", where=path, expected="what `sast-deploy tables --json` writes")
    refuse(RUNS.problems(values, ""), path, DataError)
    yield from (_record(each) for each in values["runs"])


def _record(values: Mapping[str, Any]) -> Record:
    manifest = dict(values["manifest"])
    parts = {key: values[key] for key in ("train", "float", "profiles", "analysis", "ablations")}
    return Record(values["name"], values["config"], manifest.pop("data") or {}, manifest=manifest, **parts)


def _to_dict(record: Record) -> dict[str, Any]:
    parts = {key: getattr(record, key) for key in ("train", "float", "profiles", "analysis", "ablations")}
    root = str(record.data.get("root", ""))
    text = str(record.data.get("provenance", ""))
    data = {**record.data, "provenance": text.replace(root, Path(root).name) if root else text}
    return {
        "name": record.name, "config": record.config, "manifest": {**record.manifest, "data": data}, **parts,
    }  # fmt: skip


def _shortened(value: Any) -> Any:
    """Without long arrays, and numbers of a few digits: enough for every table."""
    if isinstance(value, Mapping):
        return {key: _shortened(each) for key, each in value.items() if key not in _LONG}
    if isinstance(value, list):
        return [_shortened(each) for each in value]
    return float(f"{value:.{SIGNIFICANT}g}") if isinstance(value, float) else value


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path, EXPECTED)
    if not isinstance(found, dict):
        EXPECTED.refuse("is no JSON object", path)
    version = found.get("version", VERSION)
    if type(version) is not int or not 1 <= version <= VERSION:
        raise DataError(
            f"version {shown(version)}", where=path, expected=f"{VERSION}", todo="update sast-deploy"
        )
    return found
