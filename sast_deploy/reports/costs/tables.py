"""Tables of prices in TOML: what one event costs in energy and time, who says so, and what has no price.

    name = "mine"
    description = "what people read"
    grade = "measured"                       # or calibrated model, pre-silicon, technology figure
    chips = ["loihi1"]
    source = "where the figures are from"
    unpriced = ["what costs something, too"]

    [[price]]
    count = "dense synaptic events"          # one of COUNTS
    pJ = 35.5
    ns = 3.8                                 # time on the core that does it; left out: none
    source = "where this figure is from, if not from the table's source"

    [synchronisation]                        # at the end of a step; left out: the table says no latency
    tiles = [1, 2]
    us = [0.6, 1.0]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from sast_deploy.base.errors import UsageError
from sast_deploy.base.reading import Expected
from sast_deploy.base.reading.documents import parse_toml, read_toml
from sast_deploy.base.rules import Choice, Items, Maybe, Number, Problem, Table, Text, Whole, refuse
from sast_deploy.base.settings import Checked
from sast_deploy.proofs.chips import CHIPS

EXPECTED = Expected("a TOML table of prices", UsageError)
GRADES = ("measured", "calibrated model", "pre-silicon", "technology figure")
COUNTS: Mapping[str, str] = {  # what can be priced
    "dense synaptic events": "SynOps of dense layers",
    "conv synaptic events": "SynOps of convolutions",
    "neuron accesses": "neurons x steps of the chip",
    "neuron updates": "neurons x steps of the chip",
    "changed membranes": "updates that change a membrane potential",
    "unchanged membranes": "the other updates",
    "spikes": "spikes of neurons",
    "messages": "spikes and nonzero pixels x cores that they reach",
    "messages received": "the same, where they arrive",
    "messages within a tile": "those that make no hop",
    "hops east-west": "between tiles, along the mesh",
    "hops north-south": "between tiles, across the mesh",
    "effective MACs": "nonzero graded inputs x nonzero weights",
    "effective ACs": "spikes x nonzero weights",
}
RECEIVING = ("messages received", "dense synaptic events", "conv synaptic events")
UPDATING = ("neuron accesses", "neuron updates", "spikes", "messages")
TIMED = (*RECEIVING, *UPDATING)  # whose times are known core by core
DEFAULT = "sana-fe-loihi"
_SENTENCE = Text(1000, blank=False)
_PRICE = Number(0.0, 1e9)


@dataclass(frozen=True)
class Price(Checked):
    """Of one event. pj: picojoules. ns: nanoseconds on its core, or None. source: of these figures."""

    count: Annotated[str, Choice(tuple(COUNTS))]
    pj: Annotated[float, _PRICE]
    ns: Annotated[float | None, Maybe(_PRICE)]
    source: Annotated[str, _SENTENCE]


@dataclass(frozen=True)
class PriceTable(Checked):
    """Prices of events, no count twice.

    name, description, source: as the TOML has them. grade: how good the figures are. chips: for which they
    hold. unpriced: what costs something, too. synchronisation: (tiles, microseconds) at the end of a step, by
    the number of tiles in use, increasing; none: the table says no latency.

    >>> price_table("sana-fe-loihi").price("spikes").pj
    69.3
    """

    name: Annotated[str, Text(100, "/\0", blank=False)]
    description: Annotated[str, _SENTENCE]
    grade: Annotated[str, Choice(GRADES)]
    chips: Annotated[tuple[str, ...], Items(Choice(tuple(CHIPS)), 1)]
    source: Annotated[str, _SENTENCE]
    unpriced: Annotated[tuple[str, ...], Items(_SENTENCE)]
    prices: tuple[Price, ...]
    synchronisation: tuple[tuple[int, float], ...] = ()

    def price(self, count: str) -> Price | None:
        """Of one kind of event, or None."""
        return next((price for price in self.prices if price.count == count), None)

    def time(self, count: str) -> float:
        """Seconds that one event takes on its core; 0 where none is said."""
        price = self.price(count)
        return 0.0 if price is None or price.ns is None else price.ns * 1e-9

    def synchronising(self, tiles: int) -> float:
        """Seconds at the end of a step with so many tiles in use: of the largest entry that is not above."""
        below = [us for most, us in self.synchronisation if most <= tiles]
        return (below[-1] if below else self.synchronisation[0][1]) * 1e-6


def table_names() -> tuple[str, ...]:
    """Names of the tables that ship with the package, sorted."""
    return tuple(sorted(item.name[:-5] for item in _folder().iterdir() if item.name.endswith(".toml")))


def price_table(name_or_path: str) -> PriceTable:
    """The table of that name, or the one in that TOML file. Raises UsageError."""
    if name_or_path.endswith(".toml") or "/" in name_or_path:
        path = Path(name_or_path)
        return _parsed(read_toml(path, EXPECTED)[0], str(path))
    if name_or_path not in table_names():
        expected = f"one of {', '.join(table_names())}, or the path of a .toml file"
        raise UsageError(f"no table of prices {name_or_path!r}", expected=expected)
    text = (_folder() / f"{name_or_path}.toml").read_text(encoding="utf-8")
    return _parsed(parse_toml(text, name_or_path, EXPECTED), name_or_path)


def _folder() -> Any:
    return resources.files("sast_deploy.reports.costs") / "tables"


_HEAD: Mapping[str, Any] = {
    "name": Text(100, "/\0", blank=False), "description": _SENTENCE, "grade": Choice(GRADES),
    "chips": Items(Choice(tuple(CHIPS)), 1, 9), "source": _SENTENCE, "unpriced": Items(_SENTENCE, 0, 99),
}  # fmt: skip
_ENTRY = Table(
    {"count": Choice(tuple(COUNTS)), "pJ": _PRICE, "ns": _PRICE, "source": _SENTENCE}, {"ns", "source"}
)
_STEP = Table({
    "tiles": Items(Whole(1, 1 << 20), 1, 99), "us": Items(_PRICE, 1, 99)
})  # fmt: skip
SCHEMA = Table(
    {**_HEAD, "price": Items(_ENTRY, 1, len(COUNTS)), "synchronisation": _STEP}, {"synchronisation"}
)


def _parsed(raw: Mapping[str, Any], where: str) -> PriceTable:
    todo = "sast_deploy/reports/costs/tables/ has examples"
    refuse(_problems(raw, where), where, UsageError, todo)
    prices = tuple(
        Price(each["count"], float(each["pJ"]), float(each["ns"]) if "ns" in each else None,
              each.get("source", raw["source"]))
        for each in raw["price"]
    )  # fmt: skip
    step = raw.get("synchronisation", {"tiles": [], "us": []})
    synchronisation = tuple(zip(step["tiles"], map(float, step["us"]), strict=True))
    head = {name: raw[name] for name in _HEAD}
    head |= {name: tuple(raw[name]) for name in ("chips", "unpriced")}
    return PriceTable(**head, prices=prices, synchronisation=synchronisation)


def _problems(raw: Mapping[str, Any], where: str) -> Iterator[Problem]:
    """What is wrong with a table's values, by themselves and with one another."""
    found = list(SCHEMA.problems(raw, ""))
    yield from found
    if found:
        return
    if raw["name"] in table_names() and raw["name"] != where:
        yield Problem("name", repr(raw["name"]), "a name that no table of the package has")
    counts = [each["count"] for each in raw["price"]]
    for number, each in enumerate(raw["price"]):
        if counts.index(each["count"]) < number:
            yield Problem(f"price[{number}].count", repr(each["count"]), "a count that has no price yet")
        if "ns" in each and each["count"] not in TIMED:
            yield Problem(f"price[{number}].ns", str(each["ns"]), f"times of {', '.join(TIMED)} only")
    step = raw.get("synchronisation", {"tiles": [], "us": []})
    if len(step["tiles"]) != len(step["us"]) or sorted(set(step["tiles"])) != list(step["tiles"]):
        what = f"{len(step['tiles'])} tiles and {len(step['us'])} us"
        yield Problem("synchronisation", what, "as many of both, tiles increasing")
