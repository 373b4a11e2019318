"""A folder of exported files: written whole or not at all, and never in place of what is a person's own.

A manifest in it says what made it and what was written. The same export may be written again; that of another
program, or one whose files were altered, only with `overwrite`; a folder that holds anything else, never.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sast_deploy.base.errors import OutputError
from sast_deploy.base.files import NAME_LETTERS, file_digest, new_folder, sweep_leftovers, turn
from sast_deploy.base.outputs import ORIGIN_KEY, Origin, check_output_folder
from sast_deploy.base.reading.documents import read_json
from sast_deploy.base.reading.files import Expected

MANIFEST = "sast-export.json"
_EXPECTED = Expected("the manifest of an export", OutputError)
_BYTES = 1 << 20
_MADE_OF_IT = {"sast_main", "sast_main.o", "sast_net.o", "build"}  # what `make` adds


def check_export(folder: Path, origin: Origin, overwrite: bool) -> None:
    """Refuse a folder that cannot be written, or whose content would be a loss. Raises OutputError."""
    check_output_folder(folder)
    there = set(_entries(folder)) if folder.is_dir() else set()
    if not there:
        return
    if MANIFEST not in there:
        _refuse(folder, f"holds {sorted(there)[0]} and is no export of ours", "name a new folder with -o")
    files, made = _manifest(folder)
    if others := sorted(there - set(files) - {MANIFEST}):
        _refuse(folder, f"holds {others[0]}, which no export wrote", "name a new folder with -o, or move it")
    todo = "--overwrite replaces it, or name another folder with -o"
    if made != json.loads(json.dumps(origin)) and not overwrite:
        _refuse(folder, f"holds the export of {_said(made)}; this one: {_said(origin)}", todo)
    changed = [name for name in sorted(there & set(files)) if not _is_as_written(folder / name, files[name])]
    if changed and not overwrite:
        _refuse(folder, f"{changed[0]} was altered since the export", todo)


def write_export(folder: Path, files: Mapping[str, bytes], origin: Origin, overwrite: bool) -> None:
    """Write the files and their manifest as `folder`. Raises as `check_export`, which is asked once more."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = json.dumps({ORIGIN_KEY: origin, "files": digests}, indent=2) + "\n"
    target = folder.resolve()  # a link to a folder stays
    with _telling(folder):
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(target)
        new = new_folder(target.parent, f".{target.name[:NAME_LETTERS]}.", ".tmp")
        try:
            for name, content in {**files, MANIFEST: manifest.encode()}.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                with open(new / name, "xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            with turn(target.parent):
                check_export(folder, origin, overwrite)
                _replace(target, new)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def _entries(folder: Path, inside: str = "") -> Iterator[str]:
    """What is in a folder: files, links and empty folders, by their names below it; not what `make` adds."""
    for entry in os.scandir(folder):
        name = inside + entry.name
        if name in _MADE_OF_IT:
            continue
        below = list(_entries(Path(entry.path), f"{name}/")) if entry.is_dir(follow_symlinks=False) else []
        yield from below or [name]


def _replace(target: Path, new: Path) -> None:
    """Rename to `target`; what is there goes when that is done, and comes back where it fails."""
    if not target.exists():
        os.rename(new, target)
        return
    old = new_folder(target.parent, f".{target.name[:NAME_LETTERS]}.", ".tmp")
    os.rename(target, old)
    try:
        os.rename(new, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        expected = "a writable folder with free space"
        what = f"cannot be written: {error.strerror or error}"
        raise OutputError(what, where=folder, expected=expected) from error


def _manifest(folder: Path) -> tuple[dict[str, object], object]:
    """(digests by name, what made it); a manifest that is damaged is none of ours."""
    found = read_json(folder / MANIFEST, _EXPECTED, _BYTES)
    files = found.get("files") if isinstance(found, dict) else None
    if not isinstance(files, dict) or not isinstance(found.get(ORIGIN_KEY), dict):
        _refuse(folder / MANIFEST, "is no manifest of an export", "name another folder with -o")
    return files, found[ORIGIN_KEY]


def _is_as_written(path: Path, digest: object) -> bool:
    return path.is_file() and not path.is_symlink() and file_digest(path) == digest


def _said(made: object) -> str:
    """What made an export, in a message."""
    parts = made.items() if isinstance(made, Mapping) else ()
    return ", ".join(f"{key} {str(value)[:12]}" for key, value in parts)


def _refuse(folder: Path, what: str, todo: str) -> NoReturn:
    raise OutputError(what, where=folder, todo=todo)
