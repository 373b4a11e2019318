"""Hardware profiles: TOML -> frozen Profile. Unknown, missing and impossible keys are refused by name.

profiles/README.md explains every key. The files ship inside the wheel as `sast_deploy.profiles`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sast_deploy.base.errors import ProfileError
from sast_deploy.base.fields import Name, Whole, ruled
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import parse_toml, read_toml
from sast_deploy.base.settings import Table, Text, refuse, shown, shown_key
from sast_deploy.program.fixedpoint import Arithmetic, QFormat


def _of(name: str) -> Any:
    """What a field of a program's rules may hold, as SCHEMA says it."""
    rule = ruled(Arithmetic)[name]
    assert isinstance(rule, (Name, Whole))
    return rule.options if isinstance(rule, Name) else (rule.low, rule.high)


# section -> key -> the values allowed: an inclusive range of numbers, or a tuple of names. What a program's
# rules allow stands at their fields; a profile may be narrower.
Range = tuple[float, float]
SCHEMA: Mapping[str, Mapping[str, Any]] = {
    "weight": {
        "bits": (2, 8),
        "scale": ("neuron", "layer", "unit"),
        "clipping": ("none", "mse"),
        "exponent_min": (-8, 7),
        "exponent_max": (-8, 7),
    },
    "state": {
        "bits": (2, 24),
        "fraction_bits": (0, 23),
        "overflow": _of("overflow"),
        "headroom": (1.0, 1024.0),
        "grid": (1, 4096),
    },
    "accumulator": {"bits": (8, 31), "excess": ("refuse", "rescale")},
    "leak": {"rounding": _of("leak_rounding")},
    "shift": {"rounding": _of("shift_rounding")},
    "spike": {"comparison": _of("comparison")},
    "reset": {"kind": _of("reset"), "delay": (1, 1)},
}
FLOAT_KEYS = {"state.headroom"}
TEXTS = Table({"name": Text(200, "/\0"), "description": Text()}, open=True)
EXPECTED = Expected("a TOML profile", ProfileError)


@dataclass(frozen=True)
class Profile:
    """One target's integer formats and rules.

    arithmetic: what simulators obey. weight_scale, clipping, exponent_min, exponent_max, headroom, grid,
    accumulator_bits and excess: what the compiler obeys. text: the TOML as read, kept for the .net file.
    """

    name: str
    description: str
    arithmetic: Arithmetic
    weight_scale: str
    clipping: str
    exponent_min: int
    exponent_max: int
    headroom: float
    grid: int
    accumulator_bits: int
    excess: str
    text: str

    @property
    def weight_max(self) -> int:
        """Largest weight magnitude; the range is symmetric because Lava turns an all-negative
        matrix with its lowest value into one without it.
        """
        return (1 << (self.arithmetic.weight_bits - 1)) - 1


def profile_names() -> tuple[str, ...]:
    """Names of the profiles that ship with the package, sorted."""
    return tuple(sorted(item.name[:-5] for item in _folder().iterdir() if item.name.endswith(".toml")))


def load_profile(name_or_path: str) -> Profile:
    """The profile of that name, or the one in that TOML file. Raises ProfileError."""
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path)
        return _parsed(*read_toml(path, EXPECTED), where=str(path))
    if name_or_path not in profile_names():
        raise ProfileError(
            "no profile of this name",
            where=name_or_path,
            expected=f"one of {', '.join(profile_names())} or the path of a .toml file{_close(name_or_path)}",
        )
    return parse_profile((_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8"), where=name_or_path)


def parse_profile(text: str, where: str) -> Profile:
    """Parse and check a profile's TOML text; `where` names it in errors. Raises ProfileError."""
    return _parsed(parse_toml(text, where, EXPECTED), text, where)


def _parsed(raw: Mapping[str, Any], text: str, where: str) -> Profile:
    _check_keys(raw, {"name", "description", *SCHEMA}, where, "")
    refuse(TEXTS.problems(raw, ""), where, ProfileError)
    if raw["name"] in ("", ".", "..") or not raw["name"].isprintable() or not raw["description"]:
        found = f"name = {shown(raw['name'])}, description = {shown(raw['description'])}"
        raise ProfileError(found, where=where, expected="texts that are not empty; the name can be a file's")
    for section, keys in SCHEMA.items():
        if not isinstance(raw[section], dict):
            raise ProfileError(
                f"{section} = {shown(raw[section])}", where=where, expected=f"a section [{section}]"
            )
        _check_keys(raw[section], set(keys), where, f"{section}.")
        for key, allowed in keys.items():
            _check_value(raw[section][key], allowed, where, f"{section}.{key}")
    return _build(raw, text, where)


def _build(raw: Mapping[str, Any], text: str, where: str) -> Profile:
    weight, state = raw["weight"], raw["state"]
    if state["fraction_bits"] >= state["bits"]:
        raise ProfileError(
            f"state.fraction_bits = {state['fraction_bits']} of state.bits = {state['bits']}",
            where=where,
            expected="fewer fraction bits than bits in all",
        )
    if weight["exponent_min"] > weight["exponent_max"]:
        raise ProfileError(
            f"weight.exponent_min = {weight['exponent_min']} > exponent_max = {weight['exponent_max']}",
            where=where,
        )
    return Profile(
        name=raw["name"],
        description=raw["description"],
        arithmetic=Arithmetic(
            state=QFormat(state["bits"], state["fraction_bits"]),
            weight_bits=weight["bits"],
            overflow=state["overflow"],
            leak_rounding=raw["leak"]["rounding"],
            shift_rounding=raw["shift"]["rounding"],
            comparison=raw["spike"]["comparison"],
            reset=raw["reset"]["kind"],
        ),
        weight_scale=weight["scale"],
        clipping=weight["clipping"],
        exponent_min=weight["exponent_min"],
        exponent_max=weight["exponent_max"],
        headroom=float(state["headroom"]),
        grid=state["grid"],
        accumulator_bits=raw["accumulator"]["bits"],
        excess=raw["accumulator"]["excess"],
        text=text,
    )


def _check_keys(raw: Mapping[str, Any], wanted: set[str], where: str, prefix: str) -> None:
    for key in raw:
        if key not in wanted:
            near = difflib.get_close_matches(key, wanted, n=1)
            raise ProfileError(
                f"unknown key {prefix}{shown_key(key)}",
                where=where,
                expected=f"{prefix}{near[0]}" if near else f"one of {', '.join(sorted(wanted))}",
            )
    for key in sorted(wanted - set(raw)):
        raise ProfileError(f"key {prefix}{key} is missing", where=where, todo="see profiles/README.md")


def _check_value(value: Any, allowed: Any, where: str, key: str) -> None:
    if isinstance(allowed[0], str):
        if not isinstance(value, str) or value not in allowed:
            expected = f"one of {', '.join(allowed)}"
            raise ProfileError(f"{key} = {shown(value)}", where=where, expected=expected)
        return
    kinds = (int, float) if key in FLOAT_KEYS else (int,)
    low, high = allowed
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        noun = "a number" if key in FLOAT_KEYS else "an integer"
        raise ProfileError(f"{key} = {shown(value)}", where=where, expected=f"{noun} from {low} to {high}")


def _close(name: str) -> str:
    near = difflib.get_close_matches(name, profile_names(), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _folder() -> Any:
    """The profiles folder: package data in an installation, the top-level folder in a checkout."""
    shipped = resources.files("sast_deploy") / "profiles"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / "profiles"
