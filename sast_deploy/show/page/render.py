"""A dossier as the text of one HTML page: it loads nothing, and the same dossier gives the same bytes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sast_deploy.base.outputs import Origin, origin_note
from sast_deploy.base.text import counted, percent, printable
from sast_deploy.reports import dossier as facts
from sast_deploy.reports.dossier import Dossier, NetworkFacts, Recording
from sast_deploy.reports.tracing import SampleTrace
from sast_deploy.show.page import figures
from sast_deploy.show.page.svg import event_pixels, picture
from sast_deploy.show.trace import decided

if TYPE_CHECKING:
    from markupsafe import Markup

PACKAGE = "sast_deploy.show.page"
KINDS = {
    facts.REAL: "real recordings", facts.SIMULATED: "simulated recordings",
    facts.EMBEDDED: "embedded data, simulated", facts.GIVEN: "frames given",
}  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """One figure of the verdict. good: None where it is neither."""

    name: str
    value: str
    unit: str = ""
    below: str = ""
    good: bool | None = None


@dataclass(frozen=True)
class Verdict:
    """The banner. good: whether nothing speaks against the chip."""

    title: str
    sentence: str
    good: bool
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Sample:
    """One traced sample: what it is, how it was decided, its panels."""

    title: str
    below: str
    right: bool | None
    panels: tuple[Markup, ...]


@dataclass(frozen=True)
class View:
    """A network with its verdict and its figures, by section."""

    key: str
    of: NetworkFacts
    verdict: Verdict
    ladder: Markup
    samples: tuple[Sample, ...]
    margins: tuple[Markup, ...]
    weights: tuple[Markup, ...]
    curves: tuple[Markup, ...]
    confusion: Markup | None
    mistakes: tuple[tuple[Recording, str], ...]


def render(dossier: Dossier, made: Origin | None = None) -> str:
    """The page. made: what it depends on, kept in it, so that another's page is not replaced in silence."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        loader=FunctionLoader(_part), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {
        "percent": percent, "number": lambda value: f"{value:,}", "whole": lambda value: f"{value:,.0f}",
        "shape": lambda shape: " × ".join(f"{each:,}" for each in shape), "plain": printable,
        "counted": counted, "bytes": _bytes,
    }  # fmt: skip
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    views = [_view(f"n{number}", each) for number, each in enumerate(dossier.networks)]
    return environment.get_template("page.html.j2").render(
        dossier=dossier, views=views, single=len(views) == 1, kinds=KINDS, words=figures.WORDS,
        style=_safe(_part("page.css")), script=_safe(script), script_digest=digest,
        made=origin_note(made), fronts=tuple(_fronts(dossier)), integers=facts.INTEGERS,
        trained=facts.TRAINED,
    )  # fmt: skip


def _part(name: str) -> str:
    """A file of this package."""
    return files(PACKAGE).joinpath(name).read_text(encoding="utf-8")


def _safe(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)


def _bytes(number: int) -> str:
    return f"{number / 1024:,.1f} KiB" if number >= 1024 else f"{number} B"


def _view(key: str, network: NetworkFacts) -> View:
    def each(what: str, draw: Any, found: Sequence[Any]) -> tuple[Markup, ...]:
        return tuple(_safe(draw(f"{key}-{what}{number}", one)) for number, one in enumerate(found))

    matrix = network.confusion
    return View(
        key, network, _verdict(network), _safe(figures.ladder(f"{key}-ladder", network.ladder)),
        tuple(_sample(f"{key}-s{number}", trace) for number, trace in enumerate(network.traces)),
        each("margin", figures.margins, network.margins), each("weight", figures.weights, network.weights),
        tuple(_curves(key, network)),
        None if matrix is None else _safe(figures.confusion(f"{key}-confusion", matrix, network.classes)),
        tuple((one, picture(event_pixels(one.image))) for one in network.mistakes),
    )  # fmt: skip


def _curves(key: str, network: NetworkFacts) -> Iterator[Markup]:
    for kind in dict.fromkeys(curve.kind for curve in network.curves):
        found = [curve for curve in network.curves if curve.kind == kind]
        yield _safe(figures.curve(f"{key}-{kind}", kind, found))


def _sample(name: str, trace: SampleTrace) -> Sample:
    given = trace.classes[trace.prediction]
    right = None if trace.label is None else trace.label == trace.prediction
    truth = "" if trace.label is None else f"true class {trace.classes[trace.label]}, "
    panels = (
        figures.film(f"{name}-film", trace), figures.logits(f"{name}-logits", trace),
        figures.raster(f"{name}-raster", trace), figures.membranes(f"{name}-membranes", trace),
    )  # fmt: skip
    return Sample(trace.what, f"{truth}given {given}, decided {decided(trace)}", right,
                  tuple(map(_safe, panels)))  # fmt: skip


def _fronts(dossier: Dossier) -> Iterator[Markup]:
    if dossier.choice is None:
        return
    names = [each.name for each in dossier.networks]
    shares = [100 * each.accuracy.value if each.accuracy else 0.0 for each in dossier.networks]
    for number, axis in enumerate(dossier.choice.axes):
        yield _safe(figures.front(f"front{number}", axis, names, shares))


# ---- the verdict --------------------------------------------------------------


def _verdict(network: NetworkFacts) -> Verdict:
    fit, exact = network.fit, network.bit_accurate
    good = fit.fits and exact
    accuracy = "of unknown accuracy" if network.accuracy is None else f"{percent(network.accuracy.value)} right"
    engines = list(dict.fromkeys(check.engine for check in network.checks))
    same = f"bit-accurate on {_listed(engines)}" if exact else "engines DISAGREE"
    cores = counted(fit.cores, "core")
    title = f"Fits {fit.chip}" if fit.fits else f"Does not fit {fit.chip} as it is"
    held = f"It takes {cores}" if fit.fits else f"{fit.reasons[0]}. It would take {cores}"
    sentence = f"{held}; {same}; {accuracy} on {KINDS[network.kind]}."
    return Verdict(title, sentence, good, tuple(_verdict_facts(network)))


def _verdict_facts(network: NetworkFacts) -> Iterator[Fact]:
    share = network.accuracy
    if share is None:
        yield Fact("Accuracy", "–", below="no labels")
    else:
        low, high = (f"{100 * end:.1f}" for end in share.interval)
        yield Fact("Accuracy", f"{100 * share.value:.2f}", "%", f"95 % interval {low} to {high}")
    gap, of = network.gap, network.float_accuracy
    if gap is None or of is None:
        yield Fact("Gap to float", "–", below="the float network is not known")
    else:
        yield Fact("Gap to float", f"{-100 * gap:+.2f}".replace("-", "−"), "points",
                   f"float, hard spikes: {percent(of.value)}")  # fmt: skip
    values = sum(check.values for check in network.checks)
    exact = network.bit_accurate
    yield Fact("Bit-accurate", "yes" if exact else "no", "", f"{values:,} values compared", exact)
    fit = network.fit
    yield Fact(fit.chip, "fits" if fit.fits else "does not fit", "", counted(fit.cores, "core"), fit.fits)
    yield Fact("Operations", f"{network.synops:,.0f}", "SynOps", "per inference")
    yield Fact("Parameters", _bytes(network.packed_bytes).split(" ")[0],
               _bytes(network.packed_bytes).split(" ")[1], f"{network.weight_bits} bits a weight")  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
