"""Runs as they lie on the disk, finished or not, and the small JSON that keeps them in the repository."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import DataError
from sast_deploy.base.outputs import Origin, json_kind
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.rules import refuse, shown
from sast_deploy.studies.sweep.folder import FORMAT, PLAN_FILE
from sast_deploy.studies.sweep.schema import PLAN, RECORD, RUNS

RAW_FORMAT = "sast-deploy-runs"
VERSION = 1
EXPECTED = Expected(
    "a sweep's folder, or a JSON file that `sast-deploy tables -o` wrote", DataError,
    "where a sweep wrote it, the same sweep mends it",
)  # fmt: skip
TIMED = ("seconds", "step_ms", "peak_memory_mb", "device")
SIGNIFICANT = 7  # digits of a number in the small JSON
PARTS = ("train", "float", "profiles", "circuits", "analysis", "ablations")
LATER = ("circuits",)  # absent where there is nothing, as in files of before
_LONG = ("histogram", "surrogate_correct", "hard_correct", "root", "classes")  # left out of it


@dataclass(frozen=True)
class Record:
    """One run. What is not measured yet is None or absent.

    Fields:
        name: the run's.
        config: what made the checkpoint (see `sast_deploy.studies.sweep.study.Run.config`).
        data: `DataInfo` as plain values; {} for a run that has not begun.
        train, float, profiles, circuits, analysis, ablations: the stages' results, as in results.json.
        manifest: code, packages and digests.
    """

    name: str
    config: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] | None = None
    float: Mapping[str, Any] | None = None
    profiles: Mapping[str, Any] = field(default_factory=dict)
    circuits: Mapping[str, Any] = field(default_factory=dict)
    analysis: Mapping[str, Any] = field(default_factory=dict)
    ablations: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return int(self.config["seed"])

    @property
    def configuration(self) -> str:
        """What made the checkpoint, as one comparable text."""
        return json.dumps(self.config, sort_keys=True)

    @property
    def identity(self) -> tuple[str, str]:
        """What makes it this run and no other, whatever its name: configuration and frames."""
        return self.configuration, str(self.data.get("frame_digest"))

    def figures(self) -> Iterator[tuple[str, Any]]:
        """All that was measured of it, by name, as the small JSON keeps it."""
        for part in PARTS:
            values = getattr(self, part)
            if part in ("train", "float"):
                yield from [(part, _shortened(values))] if values else []
            else:
                yield from ((f"{part} {name}", _shortened(each)) for name, each in values.items())


def load_records(paths: Iterable[Path]) -> tuple[Record, ...]:
    """All runs below the folders, those that their studies plan included, and all in the JSON files.

    Runs of one name are told apart by configuration and frames; a run that is there several times has all
    that was measured of it anywhere.

    Raises DataError: a path that is not there, a file of another kind, no runs at all, a run with other
    figures in one place than in another.
    """
    planned: dict[tuple[str, str], Record] = {}
    found: dict[tuple[str, str], Record] = {}
    for path in map(Path, paths):
        for record in _from_folder(path) if path.is_dir() else _from_raw(path):
            if record.float is None:
                planned[record.name, record.configuration] = record
                continue
            known = found.get(record.identity)
            found[record.identity] = record if known is None else _joined(known, record, path)
    done = {(each.name, each.configuration) for each in found.values()}
    open_runs = tuple(each for key, each in planned.items() if key not in done)
    if not found and not open_runs:
        raise DataError(
            "no runs of a sweep", where=", ".join(map(str, paths)), expected="folders with results.json",
            todo="make some with `sast-deploy sweep`",
        )  # fmt: skip
    return (*found.values(), *open_runs)


def _joined(a: Record, b: Record, path: Path) -> Record:
    """A run with what was measured of it in two places. Raises DataError where they contradict each other."""
    parts: dict[str, Any] = {}
    for key in PARTS:
        one, two = getattr(a, key) or {}, getattr(b, key) or {}
        if any(_shortened(one[name]) != _shortened(two[name]) for name in set(one) & set(two)):
            raise DataError(
                f"two runs are called {b.name}, of one configuration but with other figures ({key})",
                where=path, todo="name one of the folders or files",
            )  # fmt: skip
        parts[key] = {**one, **two} or getattr(a, key)
    return replace(a, **parts)


def raw_figures(records: Iterable[Record]) -> list[dict[str, Any]]:
    """The finished runs' figures without long arrays and folders."""
    return [_shortened(_to_dict(record)) for record in records if record.float is not None]


def raw_text(records: Iterable[Record]) -> str:
    """`raw_figures` as JSON, one line each."""
    rows = map(json.dumps, raw_figures(records))
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
            yield record_of(values)


def _from_raw(path: Path) -> Iterable[Record]:
    values = _read(path)
    if values.get("format") != RAW_FORMAT:
        raise DataError("is no file of runs", where=path, expected="what `sast-deploy tables -o` writes")
    refuse(RUNS.problems(values, ""), path, DataError)
    yield from (record_of(each) for each in values["runs"])


def record_of(values: Mapping[str, Any]) -> Record:
    """A run as `raw_text` or a sweep wrote it."""
    manifest = dict(values["manifest"])
    parts = {key: values.get(key, {}) if key in LATER else values[key] for key in PARTS}
    return Record(values["name"], values["config"], manifest.pop("data") or {}, manifest=manifest, **parts)


def _to_dict(record: Record) -> dict[str, Any]:
    parts = {key: getattr(record, key) for key in PARTS if key not in LATER or getattr(record, key)}
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


def records_origin(records: Iterable[Record]) -> Origin:
    """Of tables and their pictures: every finished run's checkpoint, and all that was measured of it.

    More of both is no loss. Runs of one name are told apart by what makes each this run and no other.
    """
    finished = [each for each in records if each.float is not None]
    names = [each.name for each in finished]
    called = {
        each.name if names.count(each.name) == 1 else f"{each.name} {_short(each.identity)}": each
        for each in finished
    }
    figures = {
        f"{name}, {part}": _short(_untimed(figure))
        for name, each in called.items()
        for part, figure in each.figures()
    }
    checkpoints = {name: each.manifest.get("checkpoint") for name, each in called.items()}
    return {"runs": checkpoints, "figures": figures}


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _untimed(value: Any) -> Any:
    """Figures as files keep them, without what differs each time that the same is measured."""
    if isinstance(value, dict):
        return {key: _untimed(each) for key, each in value.items() if key not in TIMED}
    return [_untimed(each) for each in value] if isinstance(value, list) else value


RAW = json_kind(
    "JSON file of runs", lambda found: found.get("format") == RAW_FORMAT,
    lambda found: records_origin(map(record_of, found["runs"])), mark=f'"{RAW_FORMAT}"',
)  # fmt: skip
