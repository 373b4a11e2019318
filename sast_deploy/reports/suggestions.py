"""Changes that were tried so that a chip holds a network, and what each cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sast_deploy.reports.accuracy import Accuracy


@dataclass(frozen=True)
class Suggestion:
    """A change that was tried.

    change: what. how: the command, or option, that makes it for good. mends: the limits that it mends, none
    where it saves cores alone. verdict: of the changed network. fits, cores: whether and on how many.
    accuracy: of the changed network, difference: in points of per cent against the network as it is, p:
    McNemar's; None where there are no labelled samples. note: what the figure is of.

    >>> sast.suggest(net, frames, labels).tried[0].mends
    ('reset',)
    """

    change: str
    how: str
    mends: tuple[str, ...]
    verdict: str
    fits: bool
    cores: int
    accuracy: Accuracy | None
    difference: float | None
    p: float | None
    note: str


@dataclass(frozen=True)
class Suggestions:
    """What could be changed, the smallest first.

    chip, verdict, fits, cores: of the network as it is. breaks: why it does not fit, a line each. accuracy:
    None without labelled samples. samples: how many. tried: what mends or saves something. notes: what was
    not tried, and why.

    >>> sast.suggest(net, frames, labels).fits
    False
    """

    chip: str
    verdict: str
    fits: bool
    cores: int
    breaks: tuple[str, ...]
    accuracy: Accuracy | None
    samples: int
    tried: tuple[Suggestion, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
