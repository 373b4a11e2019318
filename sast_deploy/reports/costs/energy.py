"""Energy of an inference: counts times prices, each on a line of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sast_deploy.reports.costs.tables import COUNTS, PriceTable


@dataclass(frozen=True)
class EnergyTerm:
    """One line: count (mean per sample) times pj picojoules. meaning: of the count. source: of the price."""

    name: str
    meaning: str
    count: float
    pj: float
    source: str

    @property
    def joules(self) -> float:
        """count x price."""
        return self.count * self.pj * 1e-12


@dataclass(frozen=True)
class Energy:
    """Energy per inference by one table. grade, source, unpriced: the table's.

    >>> energy = sast.cost(net, frames).energy
    >>> energy.joules == sum(term.count * term.pj * 1e-12 for term in energy.terms)
    True
    """

    table: str
    grade: str
    source: str
    terms: tuple[EnergyTerm, ...]
    unpriced: tuple[str, ...]

    @property
    def joules(self) -> float:
        """The sum of all terms."""
        return sum(term.joules for term in self.terms)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        terms = [{**asdict(term), "joules": term.joules} for term in self.terms]
        return {**asdict(self), "terms": terms, "unpriced": list(self.unpriced), "joules": self.joules}


def energy_of(counts: Mapping[str, float], table: PriceTable) -> Energy:
    """Price the counts (means per sample) that the table knows and that are there."""
    terms = tuple(
        EnergyTerm(price.count, COUNTS[price.count], counts[price.count], price.pj, price.source)
        for price in table.prices
        if counts[price.count]
    )
    return Energy(table.name, table.grade, table.source, terms, table.unpriced)
