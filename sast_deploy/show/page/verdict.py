"""The first thing on the page: whether the network goes on the chip, in a sentence and a few figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sast_deploy.base.text import counted, percent, quantity
from sast_deploy.reports import dossier as facts
from sast_deploy.reports.dossier import NetworkFacts
from sast_deploy.reports.inputs import GIVEN, OWN_SPLIT

KINDS = {
    facts.REAL: "real recordings", facts.SIMULATED: "simulated recordings",
    facts.EMBEDDED: "embedded data, simulated", facts.GIVEN: "frames given",
}  # fmt: skip


REFERENCE = "reference"


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
    """The banner. good: whether nothing speaks against the chip; mended: what was tried and would mend it."""

    title: str
    sentence: str
    good: bool
    facts: tuple[Fact, ...]
    mended: str = ""


def verdict_of(network: NetworkFacts) -> Verdict:
    """Of one network."""
    fits, exact, chip = network.fits, network.bit_accurate, network.chip
    cores = counted(network.cores, "core")
    if not exact:
        title = "Not to be trusted: engines disagree"
    else:
        title = f"Fits {chip}" if fits else f"Does not fit {chip} as it is"
    held = f"It takes {cores}" if fits else f"{'. '.join(network.reasons)}. Otherwise it would take {cores}"
    engines = [each for each in dict.fromkeys(check.engine for check in network.checks) if each != REFERENCE]
    given = f"{_listed(engines)} give every value of the reference" if engines else "the reference alone ran"
    same = given if exact else "not bit-accurate"
    share = network.accuracy
    right = "of unknown accuracy" if share is None else f"{percent(share.value)} right"
    return Verdict(
        title, f"{held}; {same}; {right} on {KINDS[network.kind]}.", fits and exact, tuple(_facts(network)),
        _mended(network),
    )  # fmt: skip


def _mended(network: NetworkFacts) -> str:
    """The changes that let it fit, what loses least first."""
    if network.fits or network.suggestions is None:
        return ""
    found = [each for each in network.suggestions.tried if each.fits]
    lost = [(-(each.difference or 0.0), index) for index, each in enumerate(found)]
    texts = []
    for loss, index in sorted(lost):
        known = found[index].difference is not None
        texts.append(found[index].change + (f" ({points(loss / 100)} points)" if known else ""))
    return f"What would mend it: {'; or '.join(texts)}." if texts else ""


def _facts(network: NetworkFacts) -> Iterator[Fact]:
    share, gap, of = network.accuracy, network.gap, network.float_accuracy
    if share is None:
        yield Fact("Accuracy", "–", below="no labels")
    else:
        low, high = (f"{100 * end:.1f}" for end in share.interval)
        yield Fact("Accuracy", f"{100 * share.value:.2f}", "%", f"95 % interval {low} to {high}")
    if gap is None or of is None:
        yield Fact("Against float", "–", below="the float network is not known")
    else:
        yield Fact("Against float", points(gap), "points", f"float, hard spikes: {percent(of.value)}")
    values, exact = compared_values(network), network.bit_accurate
    yield Fact("Bit-accurate", "yes" if exact else "no", "", f"{values:,} values compared", exact)
    cores = f"{counted(network.cores, 'core')} of {network.inspection.mapping.chip.cores}"
    yield Fact(f"Fits {network.chip}", "yes" if network.fits else "no", "", cores, network.fits)
    yield from _costs(network)


def compared_values(network: NetworkFacts) -> int:
    """Values of engines held against the reference, and of the reference against known answers; the reference
    is not compared with itself.
    """
    itself = (check.engine == REFERENCE and check.data in (OWN_SPLIT, GIVEN) for check in network.checks)
    return sum(check.values for check, same in zip(network.checks, itself, strict=True) if not same)


def _costs(network: NetworkFacts) -> Iterator[Fact]:
    energy, latency = network.cost.energy, network.cost.latency
    if energy is None:
        yield Fact("Energy", "–", below="nothing is published")
    else:
        value, unit = quantity(energy.joules, "J", 3).split(" ")
        yield Fact("Energy", value, unit, f"mean of {network.cost.samples:,}, {energy.grade}")
    if latency is None:
        yield Fact("Latency", "–", below="nothing is published")
    else:
        value, unit = quantity(latency.median, "s", 3).split(" ")
        yield Fact("Latency", value, unit, f"median of {network.cost.samples:,}, {latency.grade}")
    yield Fact("Operations", f"{network.synops:,.0f}", "SynOps", f"mean of {network.samples:,}")
    value, unit = size(network.packed_bytes).split(" ")
    yield Fact("Parameters", value, unit, f"{network.weight_bits} bits a weight")


def size(number: int) -> str:
    """A number of bytes."""
    return f"{number / 1024:,.1f} KiB" if number >= 1024 else f"{number} B"


def points(gap: float) -> str:
    """What a gap to the float network took off, in points of 100, with its sign."""
    return minus(f"{-100 * gap:+.2f}") if round(100 * gap, 2) else "±0.00"


def minus(text: str) -> str:
    """With the sign that stands at the height of a plus."""
    return text.replace("-", "−")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
