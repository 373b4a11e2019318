"""A dossier as the text of one HTML page: it loads nothing, and the same dossier gives the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sast_deploy import __version__
from sast_deploy.base.outputs import Origin, origin_note
from sast_deploy.base.text import counted, percent, printable, quantity
from sast_deploy.proofs.limits import PROGRAM, LimitCheck
from sast_deploy.reports.costs.latency import Latency
from sast_deploy.reports.dossier import Dossier, NetworkFacts, Recording
from sast_deploy.reports.tracing import SampleTrace
from sast_deploy.show.costs import doing, split_of, waits_for
from sast_deploy.show.page import figures
from sast_deploy.show.page.svg import event_pixels, picture
from sast_deploy.show.page.verdict import KINDS, Verdict, minus, points, size, verdict_of
from sast_deploy.show.trace import decided

if TYPE_CHECKING:
    from markupsafe import Markup

PACKAGE = "sast_deploy.show.page"
CONFUSED = 7  # pairs of classes that are listed
STEPS = 16  # of a latency that are listed, the longest


@dataclass(frozen=True)
class Sample:
    """One traced sample: what it is, how it was decided, its panels."""

    title: str
    below: str
    right: bool | None
    panels: tuple[Markup, ...]


@dataclass(frozen=True)
class Step:
    """One step of the chip: what it waits for."""

    step: int
    where: str
    doing: str
    seconds: float


@dataclass(frozen=True)
class LimitRow:
    """One limit, and what each layer needs of it; None where it does not apply."""

    name: str
    allowed: str
    cells: tuple[LimitCheck | None, ...]


@dataclass(frozen=True)
class Limits:
    """Limits by layer, and those of the whole program."""

    layers: tuple[str, ...]
    rows: tuple[LimitRow, ...]
    whole: tuple[LimitCheck, ...]


@dataclass(frozen=True)
class Confused:
    """Two classes that are confused, how often, and the share of the true one's samples."""

    true: str
    given: str
    count: int
    share: float


@dataclass(frozen=True)
class View:
    """A network with its verdict, its figures by section, and tables turned for the page."""

    key: str
    of: NetworkFacts
    verdict: Verdict
    ladder: Markup | None
    samples: tuple[Sample, ...]
    margins: tuple[Markup, ...]
    weights: tuple[Markup, ...]
    curves: tuple[Markup, ...]
    confusion: Markup | None
    confused: tuple[Confused, ...]
    mistakes: tuple[tuple[Recording, str], ...]
    latency: Markup | None
    steps: tuple[Step, ...]
    limits: Limits


def render(dossier: Dossier, made: Origin | None = None) -> str:
    """The page. made: what it depends on, kept in it, so that another's page is not replaced in silence."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    )  # fmt: skip
    environment.filters |= FILTERS
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    views = [_view(f"n{number}", each) for number, each in enumerate(dossier.networks)]
    return environment.get_template("page.html.j2").render(
        dossier=dossier, views=views, single=len(views) == 1, kinds=KINDS, words=figures.WORDS,
        style=_safe(_part("page.css")), script=_safe(script), script_digest=digest, version=__version__,
        made=origin_note(made), fronts=tuple(_fronts(dossier)),
    )  # fmt: skip


def _figure(text: str) -> str:
    """A number in a text with its thousands apart; any other text as it is."""
    return minus(f"{int(text):,}") if text.lstrip("-").isdecimal() else text


FILTERS: dict[str, Callable[..., str]] = {
    "percent": percent, "counted": counted, "quantity": quantity, "bytes": size,
    "figure": _figure, "split": split_of,
    "number": lambda value: minus(f"{value:,}"),
    "whole": lambda value: minus(f"{value:,.0f}"),
    "points": points,
    "p": lambda value: "< 0.001" if value < 0.001 else f"{value:.2g}",
    "shape": lambda shape: " × ".join(f"{each:,}" for each in shape),
}  # fmt: skip


def _shown(value: Any) -> Any:
    """A text without what would act on a reader; what is markup already stays."""
    return printable(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _part(name: str) -> str:
    """A file of this package."""
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _safe(text: str) -> Markup:
    import markupsafe

    return markupsafe.Markup(text)


def _view(key: str, network: NetworkFacts) -> View:
    def each(what: str, draw: Any, found: Sequence[Any]) -> tuple[Markup, ...]:
        return tuple(_safe(draw(f"{key}-{what}{number}", one)) for number, one in enumerate(found))

    matrix, latency = network.confusion, network.cost.latency
    measured = any(rung.accuracy is not None for rung in network.ladder)
    return View(
        key, network, verdict_of(network),
        _safe(figures.ladder(f"{key}-ladder", network.ladder)) if measured else None,
        tuple(_sample(f"{key}-s{number}", trace) for number, trace in enumerate(network.traces)),
        each("margin", figures.margins, network.margins), each("weight", figures.weights, network.weights),
        tuple(_curves(key, network)),
        None if matrix is None else _safe(figures.confusion(f"{key}-confusion", matrix, network.classes)),
        () if matrix is None else tuple(_confused(matrix, network.classes)),
        tuple((one, picture(event_pixels(one.image))) for one in network.mistakes),
        None if latency is None else _safe(figures.latency(f"{key}-latency", latency)),
        () if latency is None else _steps(latency), _limits(network.inspection.limits),
    )  # fmt: skip


def _curves(key: str, network: NetworkFacts) -> Iterator[Markup]:
    for kind in dict.fromkeys(curve.kind for curve in network.curves):
        found = [curve for curve in network.curves if curve.kind == kind]
        yield _safe(figures.curve(f"{key}-{kind}", kind, found))


def _confused(matrix: npt.NDArray[np.int64], classes: Sequence[str]) -> Iterator[Confused]:
    """The most frequent first."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    for place in np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]:
        true, given = divmod(int(place), len(matrix))
        if count := int(wrong[true, given]):
            yield Confused(classes[true], classes[given], count, count / int(matrix[true].sum()))


def _sample(name: str, trace: SampleTrace) -> Sample:
    given = trace.classes[trace.prediction]
    right = None if trace.label is None else trace.label == trace.prediction
    truth = "" if trace.label is None else f"true class {trace.classes[trace.label]}, "
    panels = [figures.film(f"{name}-film", trace), figures.logits(f"{name}-logits", trace)]
    if trace.layers:  # a readout alone has no spikes
        panels += [figures.raster(f"{name}-raster", trace), figures.membranes(f"{name}-membranes", trace)]
    return Sample(trace.what, f"{truth}given {given}, decided {decided(trace)}", right,
                  tuple(map(_safe, panels)))  # fmt: skip


def _steps(latency: Latency) -> tuple[Step, ...]:
    """Its steps in order, of many the longest."""
    longest = sorted(latency.rows, key=lambda row: (-row.seconds, row.step))[:STEPS]
    rows = sorted(longest, key=lambda row: row.step)
    return tuple(Step(row.step, waits_for(row), doing(row), row.seconds) for row in rows)


def _limits(checks: Sequence[LimitCheck]) -> Limits:
    whole = tuple(check for check in checks if check.layer == PROGRAM)
    apart = [check for check in checks if check.layer != PROGRAM]
    layers = tuple(dict.fromkeys(check.layer for check in apart))
    rows = []
    for name in dict.fromkeys(check.limit for check in apart):
        row = {check.layer: check for check in apart if check.limit == name}
        rows.append(LimitRow(name, next(iter(row.values())).allowed, tuple(map(row.get, layers))))
    return Limits(layers, tuple(rows), whole)


def _fronts(dossier: Dossier) -> Iterator[Markup]:
    if dossier.choice is None:
        return
    for number, axis in enumerate(dossier.choice.axes):
        yield _safe(figures.front(f"front{number}", axis, dossier.networks))
