"""One guard for every file that a command writes: refused before any work, never silently another run's.

A file that holds results says what made it, its *origin*: the digests of what was read and the options that
the content depends on, flat, by names that people read. The same may write it again, another may not.
"""

from __future__ import annotations

import base64
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import OutputError
from sast_deploy.base.files import atomic_path, check_folder, has_changed, output_target, state_of, watch
from sast_deploy.base.reading.documents import parse_json, read_json
from sast_deploy.base.reading.files import BROKEN_ZIP, Expected, read_bytes

Origin = Mapping[str, Any]
Found = Origin | bool | None  # in a file, see Kind.read
ORIGIN_KEY = "made_from"  # of a JSON file
ORIGIN_MEMBER = "run"  # of an .npz
OURS_NPZ = ({"logits.npy", "run.npy"}, {"logits.npy", "spikes.npy", "membranes.npy", "latency.npy"})
STDOUT = Path("-")  # for --json
HEAD_BYTES = 256  # of a file that say what it is
LONGEST = 64 * 2**20  # bytes of a file that is read for its origin
_EXPECTED = Expected("a file of results", OutputError)
LATER = ("frames", "figures", "recordings")  # of an origin, that files of earlier versions do not name
SHOWN = 3  # names of a mapping that a message shows
PHRASES = {"samples": "{} samples", "engine": "on {}", "checked": "{} of them checked"}
_IN_PICTURE = re.compile(rb"sast-deploy-run:([A-Za-z0-9+/=]+);")
_PICTURES = {  # by suffix: what such a file begins and ends with, and the key of its metadata
    ".png": (rb"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82", "Description"),
    ".pdf": (rb"%PDF-", b"%%EOF", "Subject"),
    ".svg": (rb"<\?xml.*<!DOCTYPE svg", b"</svg>", "Description"),
}


@dataclass(frozen=True)
class Kind:
    """A kind of file that we write.

    Fields:
        name: for messages, as "report".
        mark: regular expression that the first HEAD_BYTES bytes match, from their beginning.
        read: what made a file that begins so; True where it is ours and does not say, False where it is none
            of ours, None where it is too damaged to tell.
        todo: what to do where something is in the way; default: choose another name, or --overwrite.
    """

    name: str
    mark: bytes
    read: Callable[[Path], Found]
    todo: str = ""


@dataclass(frozen=True)
class _Output:
    """What a command is about to write; fields as the arguments of `check_output`."""

    path: Path
    kind: Kind
    origin: Origin | None
    inputs: tuple[Path, ...]
    option: str

    def check(self, target: Path, overwrite: bool, changed: bool) -> None:
        """Raise OutputError; changed: something else is there than when this command began."""
        check_folder(target.parent, self.path)
        if not target.exists():
            return
        if any(each.exists() and target.samefile(each) for each in self.inputs):
            todo = f"name another file with {self.option}"
            raise OutputError("is what this command reads", where=self.path, todo=todo)
        if not (head := _head(target, self.path)):
            return
        found = self.kind.read(target) if re.match(self.kind.mark, head, re.DOTALL) else False
        if found is False:
            todo = self.kind.todo or f"choose another name for the {self.kind.name}"
            raise OutputError("is a file of another kind", where=self.path, todo=todo)
        if not overwrite and (loss := self._loss(found, changed)):
            todo = self.kind.todo or f"--overwrite replaces it, or name another file with {self.option}"
            since = "has changed since this command began: it " if changed else ""
            raise OutputError(f"{since}holds a {loss}", where=self.path, todo=todo)

    def check_again(self) -> None:
        """Raise OutputError where what has come to lie there would be lost. --overwrite did not mean that."""
        self.check(output_target(self.path), overwrite=False, changed=True)

    def _loss(self, found: Found, changed: bool) -> str:
        if found is None:
            return f"damaged {self.kind.name} that does not say which run made it"
        if self.origin is None:
            return f"new {self.kind.name}" if changed else ""
        loss = _loss(found, self.origin)
        return f"{self.kind.name} {loss}" if loss else ""


def check_output(
    path: Path,
    kind: Kind,
    origin: Origin | None = None,
    *,
    inputs: Iterable[Path] = (),
    overwrite: bool = False,
    option: str = "-o",
) -> None:
    """Refuse, before anything is computed, an output that cannot be written or would be a loss.

    What is there is remembered: where it has changed when the file is written, this is asked once more.

    Args:
        origin: what makes what is about to be written; None for files that hold no results.
        inputs: files that the command reads; none of them is an output.
        overwrite: another run's file of the kind may be replaced, or a damaged one.
        option: what names the file, for the message.

    Raises OutputError: as `output_target`; nothing can be written there; an input; a file of another kind; a
        file of the kind that another run made, or that does not say which.
    """
    path = Path(path)
    target = output_target(path)
    seen, changed = state_of(target), has_changed(target)
    output = _Output(path, kind, origin, tuple(inputs), option)
    output.check(target, overwrite and not changed, changed)
    watch(target, seen, output.check_again)


def _head(target: Path, path: Path) -> bytes:
    try:
        with open(target, "rb") as file:
            head = file.read(HEAD_BYTES)
        with open(target, "ab"):
            pass
    except OSError as error:
        raise OutputError(f"cannot be replaced: {error.strerror}", where=path) from error
    return head


def check_output_folder(path: Path) -> None:
    """Refuse a folder of outputs that cannot be made or written to. Raises OutputError."""
    if os.path.isdir(path):
        check_folder(path, path)
        return
    if os.path.lexists(path):
        raise OutputError("is no folder", where=path, expected="a folder, or a name that nothing has yet")
    check_folder(output_target(path).parent, path)


def _loss(old: Origin | bool, new: Origin) -> str:
    """What is lost where a file of origin `old` becomes one of `new`; '' for the same.

    What `new` does not name is not known yet, nor what of LATER an older file does not; one that names
    nothing takes any place. A mapping inside an origin holds parts: more are no loss.
    """
    if isinstance(old, bool):
        return "that does not say which run made it" if new else ""
    new = json.loads(json.dumps(new))
    known = [key for key in new if key in old or key not in LATER]
    keys = [key for key in known if _is_lost(old.get(key), new[key])]
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


def json_kind(
    name: str,
    is_ours: Callable[[dict[str, Any]], bool],
    origin: Callable[[dict[str, Any]], Any] = lambda _: None,
    *,
    mark: str = "",
    todo: str = "",
) -> Kind:
    """Objects in JSON that `is_ours` knows, with the text `mark` near their beginning.

    origin: what made one, from all that it holds; it may be without its ORIGIN_KEY, damaged, or cut off.
    """

    def read(path: Path) -> Found:
        try:
            found = read_json(path, _EXPECTED, LONGEST)
        except OutputError:
            return None
        if not isinstance(found, dict) or not is_ours(found):
            return False
        try:
            return _said(origin(found))
        except (TypeError, LookupError, AttributeError):
            return True

    return Kind(name, rb"\s*\{.*" + re.escape(mark).encode(), read, todo)


def _said(made: Any) -> Found:
    return made if isinstance(made, dict) else True


def with_origin(text: str, origin: Origin) -> str:
    """A JSON object's text with what made it."""
    return json.dumps({**json.loads(text), ORIGIN_KEY: origin}, indent=2) + "\n"


def json_array(origin: Origin) -> Any:
    """What made an .npz, as its ORIGIN_MEMBER."""
    import numpy as np

    return np.array(json.dumps(origin))


def _read_npz(path: Path) -> Found:
    import numpy as np

    from sast_deploy.base.reading.arrays import BROKEN

    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {each.filename: each.file_size for each in archive.infolist()}
    except BROKEN_ZIP:
        return None
    if not any(sizes.keys() >= each for each in OURS_NPZ):
        return False
    if sizes.get(f"{ORIGIN_MEMBER}.npy", 0) > LONGEST:
        return True
    try:
        with np.load(path, allow_pickle=False) as content:
            return _said(parse_json(str(content[ORIGIN_MEMBER]), path, _EXPECTED))
    except (OutputError, *BROKEN, *BROKEN_ZIP):
        return True


NPZ = Kind("file of spikes", rb"PK\x03\x04.{26}logits\.npy", _read_npz)


def picture_kind(path: Path) -> Kind:
    """The kind of picture that a name's suffix asks for. Raises OutputError for one that we cannot draw."""
    mark, end, _ = _PICTURES[_suffix(path)]
    return Kind("picture", mark, partial(_read_picture, end=end))


def _read_picture(path: Path, end: bytes) -> Found:
    try:
        content = read_bytes(path, _EXPECTED, LONGEST)
    except OutputError:
        return False  # ours are small
    found = _IN_PICTURE.search(content)
    if found is None:
        return False if content.rstrip().endswith(end) else None
    try:
        return _said(parse_json(base64.b64decode(found[1]), path, _EXPECTED))
    except (OutputError, ValueError):
        return True


PAGE = Kind("page", rb"<!doctype html>\s<!-- sast-deploy report ", partial(_read_picture, end=b"</html>"))


def origin_note(origin: Origin | None) -> str:
    """What made a picture or a page, as one word that no format would escape."""
    return f"sast-deploy-run:{base64.b64encode(json.dumps(origin).encode()).decode()};"


def save_figure(figure: Any, path: Path, dpi: int, origin: Origin | None = None) -> None:
    """Write a matplotlib figure as its name's suffix says, with what made it. Raises OutputError."""
    suffix = _suffix(path)
    # Always, also where no origin is known: it says that the picture is ours.
    metadata = {_PICTURES[suffix][-1]: origin_note(origin)}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=metadata)


def _suffix(path: Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in _PICTURES:
        raise OutputError(f"no picture is called {suffix or 'so'}", where=path, expected=", ".join(_PICTURES))
    return suffix
