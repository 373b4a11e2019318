"""Hardware profiles: TOML -> frozen Profile. Unknown, missing and impossible keys are refused by name.

profiles/README.md explains every key. The files ship inside the wheel as `sast_deploy.profiles`.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from sast_deploy.base.errors import ProfileError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import TOML_BYTES, parse_toml, read_toml
from sast_deploy.base.rules import Choice, Maybe, Number, Problem, Table, Text, Whole, refuse, shown
from sast_deploy.base.settings import Checked, ruled
from sast_deploy.program.fixedpoint import COMPARISONS, RESET_ORDERS, Arithmetic, QFormat, check_order

EXPECTED = Expected("a TOML profile", ProfileError)


@dataclass(frozen=True)
class Profile(Checked):
    """One target's integer formats and rules.

    arithmetic: what simulators obey. reset_order (of a reset by subtraction), comparison: as the TOML has
    them, or None: the network's own, see `obeying`. weight_scale, clipping, exponent_min, exponent_max,
    headroom, grid, accumulator_bits and excess: what the compiler obeys. text: the TOML as read, kept for the
    .net file.

    >>> sast.load_profile("loihi-int4").weight_max
    7
    """

    name: Annotated[str, Text(200, "/\0", blank=False)]
    description: Annotated[str, Text(blank=False)]
    arithmetic: Arithmetic
    weight_scale: Annotated[str, Choice(("neuron", "layer", "unit"))]
    clipping: Annotated[str, Choice(("none", "mse"))]
    exponent_min: Annotated[int, Whole(-8, 7)]
    exponent_max: Annotated[int, Whole(-8, 7)]
    headroom: Annotated[float, Number(1.0, 1024.0)]
    grid: Annotated[int, Whole(1, 4096)]
    accumulator_bits: Annotated[int, Whole(8, 31)]
    excess: Annotated[str, Choice(("refuse", "rescale"))]
    text: Annotated[str, Text(TOML_BYTES, without="")]
    reset_order: Annotated[str | None, Maybe(Choice(RESET_ORDERS))] = None
    comparison: Annotated[str | None, Maybe(Choice(COMPARISONS))] = None

    def obeying(self, order: str, comparison: str = COMPARISONS[0]) -> Profile:
        """With a network's order of a reset by subtraction, and its comparison, where the TOML leaves them
        open.
        """
        rules = self.arithmetic
        if rules.reset == "subtract" and self.reset_order is None:
            rules = replace(rules, reset_order=order)
        if self.comparison is None:
            rules = replace(rules, comparison=comparison)
        return replace(self, arithmetic=rules)

    @property
    def digest(self) -> str:
        """SHA-256 of its text (64 hexadecimal digits)."""
        return hashlib.sha256(self.text.encode()).hexdigest()

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
    """The profile of that name, or the one in that TOML file. Raises ProfileError.

    >>> str(sast.load_profile("loihi-int8").arithmetic.state)
    'Q8.8'
    """
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


# section -> key -> the field that it fills, of Profile, Arithmetic or QFormat, whose rule holds here too; but
# a profile may be narrower than a program.
LAYOUT: Mapping[str, Mapping[str, str]] = {
    "weight": {
        "bits": "weight_bits", "scale": "weight_scale", "clipping": "clipping",
        "exponent_min": "exponent_min", "exponent_max": "exponent_max",
    },
    "state": {
        "bits": "bits", "fraction_bits": "fraction_bits", "overflow": "overflow", "headroom": "headroom",
        "grid": "grid",
    },
    "accumulator": {"bits": "accumulator_bits", "excess": "excess"},
    "leak": {"rounding": "leak_rounding"},
    "shift": {"rounding": "shift_rounding"},
    "spike": {"comparison": "comparison"},
    "reset": {"kind": "reset", "order": "reset_order", "delay": "delay"},
}  # fmt: skip
OPTIONAL = {"order", "comparison"}  # keys
NARROWER = {
    "weight_bits": Whole(2, 8), "bits": Whole(2, 24), "fraction_bits": Whole(0, 23), "delay": Whole(1, 1),
}  # fmt: skip
_FIELDS = {**ruled(Profile), **ruled(Arithmetic), **NARROWER}
SCHEMA = Table({
    **{name: _FIELDS[name] for name in ("name", "description")},
    **{
        name: Table({key: _FIELDS[field] for key, field in keys.items()}, OPTIONAL & set(keys))
        for name, keys in LAYOUT.items()
    },
})  # fmt: skip


def _parsed(raw: Mapping[str, Any], text: str, where: str) -> Profile:
    refuse(_problems(raw), where, ProfileError, "see profiles/README.md")
    values = {field: raw[name].get(key) for name, keys in LAYOUT.items() for key, field in keys.items()}
    values |= {"name": raw["name"], "description": raw["description"], "text": text}
    values["headroom"] = float(values["headroom"])
    values["state"] = _made(QFormat, values)
    open_ones = {"reset_order": RESET_ORDERS[0], "comparison": COMPARISONS[0]}
    own = {name: values[name] or default for name, default in open_ones.items()}
    values["arithmetic"] = _made(Arithmetic, {**values, **own})
    made: Profile = _made(Profile, values)
    return made


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    return kind(**{each.name: values[each.name] for each in fields(kind)})


def _problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with a profile's tables, by themselves and with one another."""
    found = list(SCHEMA.problems(raw, ""))
    yield from found
    if found:
        return
    if raw["name"] in (".", "..") or not raw["name"].isprintable():
        yield Problem("name", shown(raw["name"]), "a name that can be a file's")
    bits, fraction = raw["state"]["bits"], raw["state"]["fraction_bits"]
    if fraction >= bits:
        what = f"state.fraction_bits = {fraction} of state.bits = {bits}"
        yield Problem("", what, "fewer fraction bits than bits in all")
    try:
        check_order(raw["reset"]["kind"], raw["reset"].get("order", RESET_ORDERS[0]))
    except ValueError:
        yield Problem("reset.order", shown(raw["reset"]["order"]), "none: a reset to zero has one kind only")
    low, high = raw["weight"]["exponent_min"], raw["weight"]["exponent_max"]
    if low > high:
        yield Problem("", f"weight.exponent_min = {low} > exponent_max = {high}", "no smaller a largest one")


def _close(name: str) -> str:
    near = difflib.get_close_matches(name, profile_names(), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _folder() -> Any:
    """The profiles folder: package data in an installation, the top-level folder in a checkout."""
    shipped = resources.files("sast_deploy") / "profiles"
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[2] / "profiles"
