"""Events in files of numbers: .npy, text (CSV and the like) and HDF5; NumPy and h5py read them.

A column is known by its name. Where columns have no names, `RecordingOptions.columns` must say what they are.
"""

from __future__ import annotations

import codecs
import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from sast_deploy.base.errors import DataError
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.reading.arrays import read_npy
from sast_deploy.base.reading.hdf5 import open_hdf5, read_dataset
from sast_deploy.base.rules import shown
from sast_deploy.base.text import first_line
from sast_deploy.data.events import FIELDS
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.readers.columns import MAX_EVENTS, PER_SECOND, Columns

TEXT_BYTES = 1 << 29
RECORDING = Expected("a recording of events", DataError)
NAMES = {
    "x": ("x", "xs", "col", "column", "x_pos"),
    "y": ("y", "ys", "row", "y_pos"),
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
GROUPS = ("events", "raw_events", "CD")  # in which HDF5 files have events, beside the root
WORDS = {b"true": b"1", b"on": b"1", b"false": b"0", b"off": b"0"}
TODO = "say what the columns are: --columns x,y,t,p in their order, - for one to ignore"


def read_npy_events(path: Path, options: RecordingOptions) -> Columns:
    """An array of records with names, or of numbers (n, columns)."""
    array = read_npy(path, RECORDING, records=True)
    if array.dtype.names:
        return told(named({name: array[name].ravel() for name in array.dtype.names}, path), options)
    if array.ndim != 2 or not 4 <= array.shape[1] <= 64:
        raise DataError(f"shape {array.shape}", where=path, expected="events (n, 4), or records x, y, t, p")
    return ordered([array[:, index] for index in range(array.shape[1])], options, path)


def read_text_events(path: Path, options: RecordingOptions) -> Columns:
    """Lines of numbers between commas, semicolons, tabs or spaces, perhaps under names; # begins a remark."""
    content = read_bytes(path, RECORDING, TEXT_BYTES).removeprefix(codecs.BOM_UTF8)
    first, end = _first_line(content, path)
    mark = next((each for each in (",", ";", "\t") if each in first), None)
    words = [word.strip().strip('"') for word in (first.split(mark) if mark else first.split())]
    header = not all(_is_number(word) for word in words)
    table = _table(content[end:] if header else content, mark, path)
    if not len(table):
        raise DataError("has no events", where=path, expected="at least one")
    if table.shape[1] != len(words):
        found = f"{table.shape[1]} columns under {len(words)} names"
        raise DataError(found, where=path, expected="as many columns")
    columns = [table[:, index] for index in range(len(words))]
    if not header:
        return ordered(columns, options, path)
    return told(named(dict(zip(words, columns, strict=True)), path), options)


def _first_line(content: bytes, path: Path) -> tuple[str, int]:
    """The first line that says anything, and where it ends. Raises DataError."""
    end = 0
    for number, line in enumerate(io.BytesIO(content)):
        end += len(line)
        remark = line.lstrip().startswith(b"#")
        text = line.strip().lstrip(b"#").strip() if number == 0 else line.partition(b"#")[0].strip()
        if text and not (remark and not _names_all(text)):
            return text[:4096].decode("utf-8", "replace"), end
    raise DataError("has no events", where=path, expected="at least one")


def _names_all(text: bytes) -> bool:
    """Whether a remark in the first line names the four columns."""
    words = {_plain(word)[0] for word in re.split(r"[,;\s]+", text[:4096].decode("utf-8", "replace"))}
    return all(words & {*NAMES[name]} for name in FIELDS)


def _table(content: bytes, mark: str | None, path: Path) -> np.ndarray[Any, Any]:
    """All numbers (n, columns), int64 where all are whole; True and On are 1. Raises DataError."""
    for word, digit in WORDS.items():
        if any(form in content for form in (word, word.capitalize(), word.upper())):
            content = re.sub(rb"(?i)\b" + word + rb"\b", digit, content)
    # Counted here: NumPy makes room for as many rows as its max_rows says.
    if content.count(b"\n") > MAX_EVENTS:
        raise DataError("has too many lines", where=path, expected=f"at most {MAX_EVENTS:,}")
    for dtype in (np.int64, np.float64):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of no lines
                # Without this NumPy reads 1e3 as an integer through a float, in some versions only.
                warnings.simplefilter("error", DeprecationWarning)
                return np.loadtxt(io.BytesIO(content), dtype, delimiter=mark, ndmin=2, encoding="utf-8")
        except (ValueError, OverflowError, DeprecationWarning, IndexError) as error:
            reason = first_line(error)
    raise DataError(f"is no table of numbers ({reason})", where=path, expected="x, y, t and p in every line")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_hdf5_events(path: Path, options: RecordingOptions) -> Columns:
    """Datasets x, y, t, p in the root or a group of it, or one of records, as Prophesee's /CD/events."""
    return told(_read_hdf5(path), options)


def _read_hdf5(path: Path) -> Columns:
    names = [name for known in NAMES.values() for name in known]
    with open_hdf5(path, RECORDING, (*GROUPS, *names), records=True) as file:
        for where in ("/", *GROUPS):
            found = file.get(where)
            if isinstance(found, h5py.Dataset) and found.dtype.names:
                return _of_records(file, found, where == "CD", path)
            if isinstance(found, h5py.Group) and isinstance(found.get("events"), h5py.Dataset):
                return _of_records(file, found["events"], where == "CD", path)
            if isinstance(found, h5py.Group) and all({*NAMES[name]} & {*found} for name in FIELDS):
                return _of_datasets(file, found, path)
        there = ", ".join(sorted(file)[:4]) or "nothing"
    groups = " or ".join(("the root", *GROUPS))
    raise DataError(f"has {there}", where=path, expected=f"datasets x, y, t and p in {groups}, or CD/events")


def _of_records(file: h5py.File, dataset: h5py.Dataset, prophesee: bool, path: Path) -> Columns:
    if not dataset.dtype.names:
        what = f"{dataset.name} holds {dataset.dtype}"
        raise DataError(what, where=path, expected="records of x, y, t and p")
    _few(dataset, path)
    values = np.ravel(dataset[()])
    columns = {name: values[name] for name in dataset.dtype.names}
    return named(columns, path, _sensor_of(file, dataset.parent), "us" if prophesee else None)


def _of_datasets(file: h5py.File, group: h5py.Group, path: Path) -> Columns:
    columns = {}
    for name in [each for each in group if any(each.lower() in known for known in NAMES.values())]:
        _few(group[name], path)
        columns[name] = np.ravel(read_dataset(group, name))
    return named(columns, path, _sensor_of(file, group))


def _few(dataset: Any, path: Path) -> None:
    if getattr(dataset, "size", None) is not None and dataset.size > MAX_EVENTS:
        what = f"{dataset.name} has {dataset.size:,} values"
        raise DataError(what, where=path, expected=f"at most {MAX_EVENTS:,}")


def _sensor_of(file: h5py.File, group: h5py.Group) -> tuple[int, int] | None:
    """(H, W) where attributes say which is which: height and width, or Prophesee's geometry, "WxH"."""
    for holder in (group, file):
        known = [name for name in ("height", "width", "geometry") if name in holder.attrs]
        attributes = {name: holder.attrs[name] for name in known}
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(attributes.get("geometry", "")))
        if match:
            return int(match[2]), int(match[1])
        if {"height", "width"} <= {*attributes}:
            sizes = [np.ravel(attributes[name]) for name in ("height", "width")]
            if all(each.size == 1 and each.dtype.kind in "iu" and 0 < each[0] <= 1 << 16 for each in sizes):
                return int(sizes[0][0]), int(sizes[1][0])
    return None


def told(found: Columns, options: RecordingOptions) -> Columns:
    """With a note where --columns says what its names say already."""
    if options.columns is None:
        return found
    return replace(found, notes=(*found.notes, "its columns have names, which count; --columns does not"))


def ordered(columns: list[Any], options: RecordingOptions, path: Path) -> Columns:
    """Columns without names, in the order of the options. Raises DataError."""
    if options.columns is None:
        raise DataError(f"has {len(columns)} columns without names", where=path, todo=TODO)
    if len(options.columns) != len(columns):
        what = f"has {len(columns)} columns and --columns names {len(options.columns)}"
        raise DataError(what, where=path, todo=TODO)
    return Columns(**{name: columns[options.columns.index(name)] for name in FIELDS})


def named(
    columns: dict[str, Any], path: Path, sensor: tuple[int, int] | None = None, unit: str | None = None
) -> Columns:
    """Columns by name; a time's may end with its unit, as in "t_us". Raises DataError."""
    found: dict[str, Any] = {}
    for name, values in columns.items():
        word, said = _plain(name)
        meant = next((each for each, known in NAMES.items() if word in known), None)
        if meant is None:
            continue
        if meant in found:
            raise DataError(f"two columns of {meant}, one of them {shown(name)}", where=path, expected="one")
        found[meant], unit = values, said if meant == "t" and said else unit
    missing = [name for name in FIELDS if name not in found]
    if missing:
        names = ", ".join(shown(name) for name in list(columns)[:6])
        known = " or ".join(NAMES[missing[0]])
        raise DataError(f"columns {names}", where=path, expected=f"one of {missing[0]} ({known})")
    return Columns(**found, sensor=sensor, unit=unit)


def _plain(name: Iterable[str]) -> tuple[str, str | None]:
    """A column's name in small letters without a unit, and the unit: "Time [us]" -> ("time", "us")."""
    word = str(name).strip().lower()
    match = re.fullmatch(rf"(\w+?)[\s_]*[\[(]?({'|'.join(PER_SECOND)})[\])]?", word)
    if match and match[1] in NAMES["t"] and word not in NAMES["t"]:
        return match[1], match[2]
    return word, None
