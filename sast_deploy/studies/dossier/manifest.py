"""What it takes to get the same page again: files, versions, data, commands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sast_deploy import api
from sast_deploy.base.files import file_digest
from sast_deploy.base.text import percent_given
from sast_deploy.base.versions import LAVA_VERSIONS, installed_version, package_versions
from sast_deploy.data.readers.sources import EMBEDDED
from sast_deploy.data.request import DataRequest
from sast_deploy.reports import dossier
from sast_deploy.reports.dossier import Manifest
from sast_deploy.reports.inputs import Inputs
from sast_deploy.studies.dossier.sources import Source


def kind_of(told: Mapping[str, Any]) -> str:
    """What kind of data the facts of a run are of."""
    if told["dataset"] is None:
        return dossier.GIVEN
    if told["dataset"] == EMBEDDED:
        return dossier.EMBEDDED
    return dossier.SIMULATED if told.get("simulated") else dossier.REAL


def manifest_of(source: Source, net: api.Net, inputs: Inputs, options: Sequence[str]) -> Manifest:
    """Of one network and its samples. options: words behind `report` that change what is measured."""
    recorded = net.file.checkpoint
    files = []
    if net.path is not None:
        files.append(("network", str(net.path), file_digest(net.path)))
    files.append(("integer program", net.program.name, net.program.digest()))
    if recorded.get("digest"):
        there = "" if source.trained is not None else ", not looked at"
        files.append((f"trained network{there}", str(recorded.get("path", "")), str(recorded["digest"])))
    if inputs.facts["frame_digest"]:
        files.append(("frames", str(inputs.facts["dataset"] or "given"), str(inputs.facts["frame_digest"])))
    lava = {name: installed_version(name) or "missing" for name in LAVA_VERSIONS}
    versions = {**package_versions(), **lava}
    return Manifest(tuple(files), versions, _data(inputs), _commands(source, net, options))


def _data(inputs: Inputs) -> dict[str, str]:
    told, number = inputs.facts, len(inputs.frames)
    found = {"samples": f"{number:,} of {told['test_samples']:,}"}
    if told["dataset"] is None:
        return {"frames": str(told["provenance"]), **found}
    split = "the data set's own test split" if told["holdout"] is None else (
        f"{percent_given(told['holdout'])} of each class held out, seed {told['holdout_seed']}"
    )
    return {"data set": str(told["dataset"]), "folder": str(told["root"]), "test split": split, **found}


def _commands(source: Source, net: api.Net, options: Sequence[str]) -> tuple[str, ...]:
    """As typed in the folder where this was made."""
    lines, path = [], net.path
    checkpoint = source.checkpoint
    if checkpoint is not None and net.file.profile_text and not net.file.calibration.get("steps"):
        target = str(path) if path is not None else f"{net.program.name}.net"
        lines.append(_line("compile", str(checkpoint), "--profile", net.profile.name, "-o", target))
    if path is not None:
        lines += [_line("simulate", str(path), "--check", "all"), _line("verify", str(path))]
    named = source.path or path
    if named is not None:
        lines.append(_line("report", str(named), *options, *_asked(source.data), "-o", "report.html"))
    return tuple(lines)


def _asked(data: DataRequest) -> list[str]:
    """The options of a data set that is not the network's own."""
    named = {
        "--dataset": data.dataset, "--data-root": data.data_root, "--holdout": data.holdout,
        "--holdout-seed": data.holdout_seed,
    }  # fmt: skip
    return [word for name, value in named.items() if value is not None for word in (name, str(value))]


def _line(*words: str) -> str:
    return shlex.join(["sast-deploy", *words])
