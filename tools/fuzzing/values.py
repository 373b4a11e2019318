"""Values that readers stumble over; mutations of numbers, arrays, texts, bytes and trees of plain values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Rng = np.random.Generator
INTEGERS = (
    *(0, 1, -1, 2, 3, 5, -3, -5, 7, 9, 62, 63, 127, 128, 255, 256, -128, 1000, 4096, 4097, 5000, 10_001),
    *(2**15, 2**16, 2**24, 2**31 - 1, -(2**31), 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, -(2**63)),
)
FLOATS = (0.5, -0.5, 1.5, -1.0, 0.0, 1e-320, 1e38, 1e300, -1e300, float("inf"), float("-inf"), float("nan"))
# Every name that a field of any file may have, and near misses.
NAMES = (
    *("saturate", "saturate-symmetric", "wrap", "toward-zero", "floor", "half-up", "half-even", ">=", ">"),
    *("subtract", "substract", "zero", "none", "dense", "conv", "pool", "readout", "dense_rec", "input"),
    *(
        "flatten",
        "CUBA",
        "LOIHI",
        "fc",
        "nmnist",
        "digits-saccade",
        "tonic:NMNIST",
        "auto",
        "count",
        "binary",
    ),
    *("loihi-int4", "loihi-int8", "loihi-stock", "paper", "best", "drop", "margins", "cpu", "sgd"),
)
TEXTS = (
    *("", " ", "x", "0", "-1", "1e400", "nan", "None", "null", "a/b", "../../x", "/etc/passwd", "a\0b", "\n"),
    *("[bold]x[/bold]", "[/nope]", "\x1b[31mred", "\u202egnp", "é", "😀", "x" * 70_000, "%s%n", "{0}", "²"),
    *("sast_deploy.cli:main", "http://127.0.0.1:9/x"),
)
# Pieces of JSON or TOML that no value of Python writes.
RAW = (
    *("1e400", "-1e400", "9" * 5000, "9" * 400, "NaN", "-Infinity", "nan", "inf", "0x7fffffff", "1_0", "-0"),
    *("[" * 3000 + "]" * 3000, '{"a":' * 3000 + "1" + "}" * 3000, "[" * 100_000, '"\\ud800"', '"\\u0000"'),
    *("1979-05-27T07:32:00Z", "07:32:00", "'", "{", "]", "", "tru", "1.", ".5", "01", "\x00", "\ufeff1"),
)


class Raw(str):
    """Text that is written into a document as it is."""

    __slots__ = ()


def pick(rng: Rng, choices: Any) -> Any:
    """One of `choices`."""
    return choices[int(rng.integers(len(choices)))]


def number(rng: Rng, near: Any = 0) -> Any:
    """A number that is likely to be wrong where `near` is right."""
    near = near if isinstance(near, (int, float)) and abs(near) < 1e18 else 0
    way = rng.random()
    if way < 0.45:
        return pick(rng, INTEGERS)
    if way < 0.6:
        return pick(rng, FLOATS)
    return near + int(rng.integers(-3, 4)) if way < 0.85 else -near


def text(rng: Rng) -> str:
    """A text that is likely to be wrong, or right elsewhere."""
    return str(pick(rng, NAMES if rng.random() < 0.5 else TEXTS))


def leaf(rng: Rng, old: Any) -> Any:
    """Another plain value in place of `old`, often of its type."""
    if rng.random() < 0.55:
        if isinstance(old, bool):
            return not old
        if isinstance(old, (int, float)):
            return number(rng, old)
        if isinstance(old, str):
            return text(rng)
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: True,
        lambda: number(rng),
        lambda: text(rng),
        list,
        dict,
        lambda: [copy.deepcopy(old)],
        lambda: {"x": copy.deepcopy(old)},
        lambda: [1, 2, 3],
        lambda: [None],
        lambda: Raw(pick(rng, RAW)),
        lambda: [number(rng)] * int(rng.integers(1, 5)),
    )
    return pick(rng, makers)()


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value below `tree`."""
    if isinstance(tree, dict):
        keys: list[Any] = list(tree)
    elif isinstance(tree, list):
        keys = list(range(len(tree)))
    else:
        return
    for key in keys:
        yield tree, key
        yield from places(tree[key])


def change_tree(rng: Rng, tree: Any, change: Callable[[Rng, Any], Any] = leaf) -> str:
    """Change one place of a tree of dictionaries and lists, in place; says what was done."""
    every = list(places(tree))
    if not every:
        return "nothing"
    holder, key = pick(rng, every)
    way = rng.random()
    if way < 0.62:
        holder[key] = change(rng, holder[key])
        return f"{key} changed"
    if way < 0.74:
        del holder[key]
        return f"{key} deleted"
    if way < 0.86:
        other, there = pick(rng, every)
        holder[key] = copy.deepcopy(other[there])
        return f"{key} = {there}"
    if isinstance(holder, dict):
        name = text(rng) if way < 0.93 else f"{key}x"
        holder[name] = holder.pop(key) if rng.random() < 0.5 else copy.deepcopy(holder[key])
        return f"{key} renamed or doubled"
    holder.extend([holder[key]] * int(pick(rng, (1, 2, 300))))
    return f"{key} repeated"


def to_json(tree: Any) -> bytes:
    """JSON with `Raw` texts as they are."""
    raws: list[str] = []

    def plain(value: Any) -> Any:
        if isinstance(value, Raw):
            raws.append(str(value))
            return f"@raw{len(raws) - 1}@"
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in value.items()}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    document = json.dumps(plain(tree))
    for index, raw in enumerate(raws):
        document = document.replace(f'"@raw{index}@"', raw)
    return document.encode("utf-8", "surrogatepass")


def to_toml(tree: dict[str, Any]) -> bytes:
    """TOML of tables in tables, with `Raw` texts as they are."""
    lines = [f"{_key(k)} = {_toml(v)}" for k, v in tree.items() if not _is_table(v)]
    for name, value in tree.items():
        if not _is_table(value):
            continue
        for part in value if isinstance(value, list) else [value]:
            lines.append(f"[[{_key(name)}]]" if isinstance(value, list) else f"[{_key(name)}]")
            lines += [f"{_key(k)} = {_toml(v)}" for k, v in part.items()]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _is_table(value: Any) -> bool:
    tables = value if isinstance(value, list) else [value]
    return bool(tables) and all(isinstance(each, dict) for each in tables)


def _key(name: Any) -> str:
    return json.dumps(str(name))


def _toml(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        return "null"
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


def change_bytes(rng: Rng, content: bytes) -> tuple[bytes, str]:
    """Flip, cut, insert, repeat or overwrite bytes; the new content, and what was done."""
    data = bytearray(content)
    size = len(data)
    at = int(rng.integers(size)) if size else 0
    span = int(min(size - at, 2 ** int(rng.integers(0, 12))))
    way = int(rng.integers(8))
    if way <= 2:
        for _ in range(1 + int(rng.integers(4)) * way):
            if size:
                data[int(rng.integers(size))] ^= 1 << int(rng.integers(8))
        return bytes(data), "bits flipped"
    if way == 3:
        return bytes(data[:at]), "cut off"
    if way == 4:
        return bytes(data[:at] + data[at + span :]), "bytes removed"
    if way == 5:
        return bytes(data[:at] + rng.bytes(span) + data[at:]), "bytes inserted"
    if way == 6:
        return bytes(data[:at] + data[at : at + span] + data[at:]), "bytes repeated"
    data[at : at + span] = pick(rng, (bytes(span), b"\xff" * span, rng.bytes(span)))
    return bytes(data), "bytes overwritten"


def change_array(rng: Rng, array: np.ndarray) -> tuple[np.ndarray, str]:
    """Other values, another dtype or another shape of an array of numbers."""
    way = rng.random()
    if way < 0.5:
        return _other_values(rng, array)
    if way < 0.7:
        with np.errstate(all="ignore"):
            made = array.astype(pick(rng, DTYPES), copy=True)
        if made.dtype.kind == "f" and made.size:
            made.flat[int(rng.integers(made.size))] += pick(rng, (0.5, np.nan, np.inf))
        return made, f"dtype {made.dtype}"
    made = pick(rng, SHAPES)(rng, array)
    return made, f"shape {made.shape}"


DTYPES = ("f8", "f4", "f2", "u1", "i1", ">i4", "i8", "u8", "?", "c16", "i2", "S3")


def _other_values(rng: Rng, array: np.ndarray) -> tuple[np.ndarray, str]:
    if not array.size or array.dtype.kind not in "biuf":
        return np.array(number(rng)), "another number"
    wide = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
    new = number(rng, wide.flat[0].item())
    if array.dtype.kind != "f":
        new = int(np.clip(new, -(2**63), 2**63 - 1)) if np.isfinite(new) and abs(new) < 2**63 else 2**62
    if rng.random() < 0.6:
        wide.flat[int(rng.integers(wide.size))] = new
    else:
        wide[...] = new
    info = np.iinfo(array.dtype) if array.dtype.kind in "iu" else None
    fits = info is None or (wide.min() >= info.min and wide.max() <= info.max)
    return (wide.astype(array.dtype) if fits else wide), f"value {new}"


SHAPES: tuple[Callable[[Rng, np.ndarray], np.ndarray], ...] = (
    lambda _, a: a.ravel(),
    lambda _, a: a[None],
    lambda _, a: a[..., None],
    lambda _, a: a.T,
    lambda _, a: a[:0],
    lambda _, a: a[:-1] if a.ndim else a,
    lambda _, a: np.concatenate([a, a]) if a.ndim else np.array([a, a]),
    lambda _, a: np.resize(a, (1000,)) if a.size else np.zeros(1000),
    lambda _, a: np.resize(a, (2, *a.shape)) if a.size else a,
    lambda _, a: np.resize(a, (*a.shape[:-1], 300)) if a.size else a,
    lambda _, a: a.reshape(-1)[:1],
    lambda _, a: a.reshape(-1)[0] if a.size else a,
    lambda r, a: (
        np.resize(a, tuple(int(n) for n in r.integers(0, 4, int(r.integers(1, 6))))) if a.size else a
    ),
)
