"""The files of an analysis: one JSON file, and pictures beside it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from sast_deploy import __version__
from sast_deploy.base.files import input_digest, write_text
from sast_deploy.base.outputs import ORIGIN_KEY, Kind, Origin, json_kind, picture_kind
from sast_deploy.data.request import DataRequest
from sast_deploy.netx.export import FRAMES
from sast_deploy.reports.run import WHOLE
from sast_deploy.studies.analysis.duel import Duel
from sast_deploy.studies.analysis.plots import draw_corruption, draw_margins
from sast_deploy.studies.analysis.results import plain

FORMAT = "sast-deploy-analysis"
# name -> the parts that it shows, and what draws it
PICTURES: dict[str, tuple[tuple[str, ...], Any]] = {
    "margins": (("margins",), draw_margins), "robustness": (("drop", "noise"), draw_corruption),
}  # fmt: skip


def _origin(found: dict[str, Any]) -> Origin:
    return {FRAMES: [each["frames"] for each in found["checkpoints"].values()], **found[ORIGIN_KEY]}


ANALYSIS = json_kind(
    "JSON file of an analysis", lambda found: found.get("format") == FORMAT, _origin, mark=f'"{FORMAT}"'
)


def analysis_origin(
    checkpoints: Iterable[Path], parts: Iterable[str], data: DataRequest, samples: int | None, seed: int
) -> dict[str, Any]:
    """What an analysis depends on, but for the digest of its frames."""
    return {
        "checkpoints": [input_digest(each) for each in checkpoints], "parts": sorted(set(parts)),
        **data.identity(None), "samples": samples or WHOLE, "seed": seed,
    }  # fmt: skip


def planned(path: Path, parts: Collection[str]) -> dict[Path, Kind]:
    """What an analysis of these parts writes: the file `path`, and the pictures that there are of them."""
    return {path: ANALYSIS, **{each: picture_kind(each) for each in _pictures(path, parts)}}


def _pictures(path: Path, parts: Collection[str]) -> dict[Path, Any]:
    named = {name: path.with_name(f"{path.stem}-{name}.png") for name in PICTURES}
    return {named[name]: draw for name, (shown, draw) in PICTURES.items() if set(shown) & set(parts)}


def analysis_facts(results: dict[str, dict[str, Any]], comparisons: Iterable[Duel]) -> dict[str, Any]:
    """What was found, as plain values."""
    return {"checkpoints": results, "comparisons": [plain(each) for each in comparisons]}


def write_analysis(
    results: dict[str, dict[str, Any]], comparisons: Iterable[Duel], path: Path, made: Origin
) -> list[Path]:
    """Write the JSON file and the pictures of the parts that have one; their paths. Raises OutputError."""
    found = analysis_facts(results, comparisons)
    content = {"format": FORMAT, "version": 1, "package": __version__, **found, ORIGIN_KEY: made}
    write_text(path, json.dumps(content, indent=1) + "\n")
    pictures = _pictures(path, {part for found in results.values() for part in found})
    for picture, draw in pictures.items():
        draw(results, picture, made)
    return [path, *pictures]
