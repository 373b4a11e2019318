"""The kinds of files that commands write, and the run that each is of: what its content depends on.

A run is known before any data are read, but for the digest of what they became. Files from before runs were
written down tell the same facts.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.outputs import RUN_KEY, Kind, Run, json_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sast_deploy.data import DataInfo
    from sast_deploy.netx.file import NetFile
    from sast_deploy.program.profile import Profile
    from sast_deploy.studies.tables.records import Record

FIGURES = "figures"  # of a run of `tables`
TIMED = ("seconds", "step_ms", "peak_memory_mb", "device")
WHOLE = "all"  # samples of a test split
FRAMES = "frames"  # of a run: the digest of what its data became, known once they are framed


def digest_of(path: Path) -> str | None:
    """SHA-256 of an input; None where it is no file of a kind that is read, which its reader says better."""
    from sast_deploy.base.errors import SastError
    from sast_deploy.base.files import file_digest
    from sast_deploy.base.reading.files import HDF5_MARK, NPY_MARK, ZIP_MARK, Expected, open_regular

    if not path.is_file():
        return None
    with open_regular(path, Expected("a file", SastError)) as file:
        head = file.read(len(HDF5_MARK))
    return file_digest(path) if head.startswith((HDF5_MARK, NPY_MARK, ZIP_MARK)) else None


def test_run(
    recorded: DataInfo | None,
    dataset: str | None,
    data_root: Path | None,
    holdout: float | None,
    holdout_seed: int | None,
) -> dict[str, Any]:
    """Which test split `load_test_split` will take. recorded: the data set that it falls back on."""
    if recorded is not None and dataset in (None, recorded.dataset) and holdout is None:
        holdout = recorded.holdout
        holdout_seed = recorded.holdout_seed if holdout_seed is None else holdout_seed
    folder = None if data_root is None else os.path.realpath(data_root)
    if recorded is not None:
        dataset = dataset or recorded.dataset
        folder = None if folder == os.path.realpath(recorded.root) else folder
    seed = None if holdout is None else holdout_seed or 0
    return {"data": dataset, "folder": folder, "holdout": holdout, "holdout seed": seed}


def compile_run(
    checkpoint: str | None, profile: Profile, strict_reset: bool, calibration: Mapping[str, Any]
) -> Run:
    """Of a .net file. checkpoint: digest. calibration: `calibration_run`, or {}."""
    return {
        "checkpoint": checkpoint,
        "profile": [profile.name, hashlib.sha256(profile.text.encode()).hexdigest()],
        "strict reset": strict_reset,
        "calibration": "none",
        **calibration,
    }


def calibration_run(data: str, steps: Iterable[str], seed: int, profile: Profile) -> dict[str, Any]:
    """What `compile --calibrate` adds before FRAMES are known.

    A profile that clips anyway has no step "clipping".
    """
    taken = [step for step in steps if step != "clipping" or profile.clipping != "mse"]
    return {"calibration": data, "steps": taken, "seed": seed}


def _net_run(path: Path) -> Run | None:
    from sast_deploy.base.errors import SastError
    from sast_deploy.netx.file import read_net
    from sast_deploy.program.profile import parse_profile

    try:
        net = read_net(path)
        profile = parse_profile(net.profile_text, where=str(path))
        found, added = net.calibration, {}
        if found:
            steps = [step["name"] for step in found["steps"]]
            added = calibration_run(found["data"]["requested"], steps, found["seed"], profile)
            added[FRAMES] = found["data"]["frame_digest"]
        return compile_run(net.checkpoint["digest"], profile, net.strict_reset, added)
    except (SastError, LookupError, TypeError):
        return None  # a stranger's, damaged, or of a newer version


def simulate_run(
    net: NetFile, test: Mapping[str, Any], samples: int | None, check: int | None, engine: str
) -> dict[str, Any]:
    """Of a report. test: `test_run`; check: samples that the reference replays, None for all."""
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


def _report_run(report: dict[str, Any]) -> Run:
    made = report[RUN_KEY] if RUN_KEY in report else _older_report(report)
    return {FRAMES: report["data"]["frame_digest"], **made}


def _older_report(report: dict[str, Any]) -> Run:
    data, run, samples = report["data"], report["run"], report["accuracy"]["samples"]
    return {
        "program": report["net"]["program_digest"], "checkpoint": report["training"].get("digest"),
        "data": data["dataset"], "folder": data["root"] if data["unlike_training"] else None,
        "holdout": data["holdout"], "holdout seed": data["holdout_seed"],
        "samples": _some(samples, data["test_samples"]), "engine": run["backend"],
        "checked": 0 if run["backend"] == "reference" else _some(run["checked"], samples),
    }  # fmt: skip


def inspect_run(net: str | None, samples: int | None, data: Mapping[str, Any]) -> dict[str, Any]:
    """Of an inspection. net: digest of the file; data: what --dataset and its like say, for samples."""
    split = {key: value for key, value in data.items() if key != "cache_dir"}
    return {"network": net, "samples": samples or "no", **(test_run(None, **split) if samples else {})}


def _analysis_run(found: dict[str, Any]) -> Run:
    return {FRAMES: [each["frames"] for each in found["checkpoints"].values()], **found[RUN_KEY]}


def _inspection_run(found: dict[str, Any]) -> Run | None:
    if RUN_KEY in found:
        return dict(found[RUN_KEY])
    return None if found["calibration"] else inspect_run(found["summary"]["file digest"], None, {})


def records_run(records: Iterable[Record]) -> Run:
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
    return {"runs": checkpoints, FIGURES: figures}


def _short(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def _untimed(value: Any) -> Any:
    """Figures as files keep them, without what differs each time that the same is measured."""
    if isinstance(value, dict):
        return {key: _untimed(each) for key, each in value.items() if key not in TIMED}
    return [_untimed(each) for each in value] if isinstance(value, list) else value


def _raw_run(content: dict[str, Any]) -> Run:
    from sast_deploy.studies.tables.records import record_of

    return records_run(record_of(each) for each in content["runs"])


def _is_export(path: Path) -> bool | None:
    from sast_deploy.netx.file import is_export

    return is_export(path)


def _numbered(name: str, key: str, run: Callable[[dict[str, Any]], Run | None]) -> Kind:
    """Objects with the version of their kind at `key`."""
    return json_kind(name, lambda found: type(found.get(key)) is int, run, mark=f'"{key}"')


def _named(name: str, form: str, run: Callable[[dict[str, Any]], Run | None]) -> Kind:
    """Objects that name their format."""
    return json_kind(name, lambda found: found.get("format") == form, run, mark=f'"{form}"')


EXPORT = Kind(".net file", rb"\x89HDF\r\n\x1a\n", _is_export, _net_run)
REPORT = _numbered("report", "report_version", _report_run)
ANALYSIS = _named("JSON file of an analysis", "sast-deploy-analysis", _analysis_run)
INSPECTION = _numbered("JSON file of an inspection", "inspection_version", _inspection_run)
RAW = _named("JSON file of runs", "sast-deploy-runs", _raw_run)
