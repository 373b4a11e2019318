"""One guard for every file that a command writes: refused before any work, never silently another run's.

A file that holds results says which *run* made it: the digests of what was read and the options that the
content depends on, flat, by names that people read. The same run may write it again, another may not.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sast_deploy.errors import OutputError
from sast_deploy.fileio import atomic_path, check_folder, output_target
from sast_deploy.reading.documents import parse_json, read_json
from sast_deploy.reading.files import Expected, read_bytes

Run = Mapping[str, Any]
RUN_KEY = "made_from"  # of a JSON file
RUN_MEMBER = "run"  # of an .npz
STDOUT = Path("-")  # for --json
HEAD_BYTES = 256  # of a file that say what it is
LONGEST = 64 * 2**20  # bytes of a file that is read for its run
_EXPECTED = Expected("a file of results", OutputError)
SHOWN = 3  # names of a mapping that a message shows
PHRASES = {"samples": "{} samples", "engine": "on {}", "checked": "{} of them checked"}
_IN_PICTURE = re.compile(rb"sast-deploy-run:([A-Za-z0-9+/=]+);")
_PICTURES = {  # by suffix: what such a file begins with, and the key of its metadata
    ".png": (rb"\x89PNG\r\n\x1a\n", "Description"),
    ".pdf": (rb"%PDF-", "Subject"),
    ".svg": (rb"<\?xml.*<!DOCTYPE svg", "Description"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Fields:
        name: for messages, as "report".
        mark: regular expression that the first HEAD_BYTES bytes match, from their beginning.
        run: what made an existing file of the kind; None where it does not say.
    """

    name: str
    mark: bytes
    run: Callable[[Path], Run | None] = lambda _: None


def check_output(
    path: Path,
    kind: Kind,
    run: Run | None = None,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
    option: str = "-o",
) -> None:
    """Refuse, before anything is computed, an output that cannot be written or would be a loss.

    Args:
        run: what is about to be written; None for files that hold no results.
        inputs: files that the command reads; none of them is an output.
        overwrite: another run's file of the kind may be replaced.
        option: what names the file, for the message.

    Raises OutputError: as `output_target`; nothing can be written there; an input; a file of another kind; a
        file of the kind that another run made, or that does not say which.
    """
    path = Path(path)
    target = output_target(path)
    check_folder(target.parent, path)
    if not target.exists():
        return
    if any(each.exists() and target.samefile(each) for each in inputs):
        raise OutputError("is what this command reads", where=path, todo=f"name another file with {option}")
    try:
        with open(target, "rb") as file:
            head = file.read(HEAD_BYTES)
        with open(target, "ab"):
            pass
    except OSError as error:
        raise OutputError(f"cannot be replaced: {error.strerror}", where=path) from error
    if not head:
        return
    if not re.match(kind.mark, head, re.DOTALL):
        todo = f"choose another name for the {kind.name}"
        raise OutputError("is a file of another kind", where=path, todo=todo)
    if run is not None and not overwrite and (loss := _loss(kind.run(target), run)):
        todo = f"--overwrite replaces it, or name another file with {option}"
        raise OutputError(f"holds a {kind.name} {loss}", where=path, todo=todo)


def check_output_folder(path: Path) -> None:
    """Refuse a folder of outputs that cannot be made or written to. Raises OutputError."""
    if os.path.isdir(path):
        check_folder(path, path)
        return
    if os.path.lexists(path):
        raise OutputError("is no folder", where=path, expected="a folder, or a name that nothing has yet")
    check_folder(output_target(path).parent, path)


def _loss(old: Run | None, new: Run) -> str:
    """What is lost where a file of the run `old` becomes one of `new`; '' for the same run.

    What `new` does not name is not known yet. A mapping inside a run holds parts: more are no loss.
    """
    if old is None:
        return "that does not say which run made it"
    new = json.loads(json.dumps(new))
    keys = [key for key in new if _is_lost(old.get(key), new[key])]
    before = ", ".join(_phrase(key, _parts(old.get(key), new.get(key))) for key in keys)
    after = ", ".join(_phrase(key, new[key]) for key in keys)
    return f"of {before}; this run: {after}" if keys else ""


def _is_lost(old: Any, new: Any) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return bool(_parts(old, new))
    return bool(old != new)


def _parts(old: Any, new: Any) -> Any:
    """Of mappings those parts of `old` that `new` lacks."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: value for key, value in old.items() if new.get(key, not value) != value}
    return old


def _phrase(key: str, value: Any) -> str:
    return PHRASES.get(key, f"{key} {{}}").format(_shown(value))


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        named = [f"{name} ({_shown(each)})" for name, each in value.items()]
        more = [f"{len(named) - SHOWN} more"] if len(named) > SHOWN else []
        return ", ".join(named[:SHOWN] + more) or "none"
    if isinstance(value, list):
        return "+".join(map(_shown, value)) or "none"
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value):
        return value[:8]
    if value is None:
        return "none"
    return f"{value:,}" if type(value) is int and value > 0 else str(value)


def json_run(older: Callable[[dict[str, Any]], Run | None]) -> Callable[[Path], Run | None]:
    """A reader of what made a JSON file; `older` derives it for files that were written without it."""

    def read(path: Path) -> Run | None:
        try:
            content = read_json(path, _EXPECTED, LONGEST)
            made = content[RUN_KEY] if RUN_KEY in content else older(content)
        except (OutputError, TypeError, LookupError, AttributeError):
            return None  # damaged, or cut off
        return made if isinstance(made, dict) else None

    return read


def with_run(text: str, run: Run) -> str:
    """A JSON object's text with what made it."""
    return json.dumps({**json.loads(text), RUN_KEY: run}, indent=2) + "\n"


def npz_run(path: Path) -> Run | None:
    """What made an .npz file, from its member `run`; None without one."""
    import numpy as np

    from sast_deploy.reading.arrays import BROKEN

    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(f"{RUN_MEMBER}.npy").file_size > LONGEST:
                return None
        with np.load(path, allow_pickle=False) as content:
            made = parse_json(str(content[RUN_MEMBER]), path, _EXPECTED)
    except (OutputError, *BROKEN, LookupError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    return made if isinstance(made, dict) else None


NPZ = Kind("file of spikes", rb"PK\x03\x04.*\.npy", npz_run)


def picture_kind(path: Path) -> Kind:
    """The kind of picture that a name's suffix asks for. Raises OutputError for one that we cannot draw."""
    mark, _ = _PICTURES[_suffix(path)]
    return Kind("picture", mark, _picture_run)


def save_figure(figure: Any, path: Path, dpi: int, run: Run | None = None) -> None:
    """Write a matplotlib figure as its name's suffix says, with what made it. Raises OutputError."""
    suffix = _suffix(path)
    note = base64.b64encode(json.dumps(run).encode()).decode()  # no character that a format would escape
    metadata = {_PICTURES[suffix][1]: f"sast-deploy-run:{note};"} if run is not None else {}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=metadata)


def _suffix(path: Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _PICTURES:
        raise OutputError(f"no picture is called {suffix or 'so'}", where=path, expected=", ".join(_PICTURES))
    return suffix


def _picture_run(path: Path) -> Run | None:
    try:
        found = _IN_PICTURE.search(read_bytes(path, _EXPECTED, LONGEST))
        made = parse_json(base64.b64decode(found[1]), path, _EXPECTED) if found else None
    except (OutputError, ValueError):
        return None
    return made if isinstance(made, dict) else None
