"""Trees of JSON and TOML: results, studies, profiles."""

from __future__ import annotations

import json
import sys

from sast_deploy.base.errors import SastError
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.program.profile import load_profile
from sast_deploy.training.checkpoint import load_checkpoint, to_float_network
from tools.fuzzing.inputs import Input, Place
from tools.fuzzing.judge import ACCEPTED, REFUSED, command, refusal
from tools.fuzzing.trained import compiled
from tools.fuzzing.values import Rng, change_tree, pick, to_json, to_toml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def change_json(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    try:
        box = {"top": json.loads(made.path.read_bytes())}
    except (ValueError, RecursionError):
        return
    what = change_tree(rng, box)
    made.path.write_bytes(to_json(box.get("top")))
    made.did(what)


def change_toml(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    try:
        tree = tomllib.loads(made.path.read_text())
    except (ValueError, RecursionError):
        return
    what = change_tree(rng, tree)
    made.path.write_bytes(to_toml(tree))
    made.did(what)


def probe_results(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    more = pick(rng, ([], [], ["--markdown"], ["-o", str(place.out / "raw.json")]))
    ended = command(["tables", *more, "--", str(made.path)], made.path.name)
    return ACCEPTED if ended.code == 0 else REFUSED


def probe_profile(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    try:
        load_profile(str(made.path))
    except SastError as error:
        return refusal(error, made.path.name)
    return compiled(rng, _network(place), str(made.path))


_networks: dict[str, FloatNetwork] = {}


def _network(place: Place) -> FloatNetwork:
    if not _networks:
        path = place.folder / "fc.pt"
        path.write_bytes(place.seeds.files["pt"]["fc.pt"])
        _networks["fc"] = to_float_network(load_checkpoint(path))
    return _networks["fc"]


def probe_study(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    ended = command(
        ["sweep", "-o", str(place.out / "runs"), "--dry-run", "--", str(made.path)], made.path.name
    )
    return ACCEPTED if ended.code == 0 else REFUSED
