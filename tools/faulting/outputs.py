"""What a command has written, without the times in it: whole files, and the same ones in every run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sast_deploy.netx.file import read_net
from sast_deploy.training.checkpoint import load_checkpoint

# Keys of what a run measures of itself, or of where it ran.
OWN = re.compile(
    r"^checkpoint$|second|step_ms|memory|time|versions|packages|created|path|^net$|root|processors|source|manifest"
)
TEMPORARY = re.compile(r"^\.(?:.*\.tmp|lock|.*\.lock|building-.*)$|\.lock$")


def contents(folder: Path) -> dict[str, str]:
    """A digest of every finished file below a folder, by name. ValueError: one is not whole."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not TEMPORARY.search(path.name):
            try:
                found[str(path.relative_to(folder))] = _digest(path)
            except Exception as error:
                raise ValueError(f"{path.name} is not whole: {type(error).__name__}: {error}") from error
    return found


def leftovers(folder: Path) -> list[str]:
    """Files that only a command under way may have."""
    return sorted(path.name for path in folder.rglob(".*") if path.name.endswith(".tmp"))


def _digest(path: Path) -> str:
    return hashlib.sha256(_plain(path)).hexdigest()


def _plain(path: Path) -> bytes:
    """What must be equal in two runs."""
    kind = path.suffix
    if path.name == "resume.pt":
        return b"unfinished"
    if kind == ".net":
        return read_net(path).program.digest().encode()
    if kind == ".pt":
        state = load_checkpoint(path).state
        return b"".join(name.encode() + state[name].tobytes() for name in sorted(state))
    if kind == ".npz":
        with np.load(path) as arrays:
            return b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files))
    if kind == ".json":
        return json.dumps(_without_own(json.loads(path.read_text())), sort_keys=True).encode()
    if kind == ".jsonl":
        return json.dumps([_without_own(json.loads(line)) for line in path.read_text().splitlines()]).encode()
    if kind == ".png":
        content = path.read_bytes()
        if not content.startswith(b"\x89PNG") or b"IEND" not in content[-12:]:
            raise ValueError("no whole picture")
        return b"picture"
    return path.read_bytes()


def _without_own(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_own(each) for key, each in value.items() if not OWN.search(key)}
    return [_without_own(each) for each in value] if isinstance(value, list) else value
