"""The first thing on the page: whether the network goes on the chip, in a sentence and a few figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sast_deploy.base.text import counted, percent, quantity
from sast_deploy.reports import dossier as facts
from sast_deploy.reports.dossier import NetworkFacts

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
    """The banner. good: whether nothing speaks against the chip."""

    title: str
    sentence: str
    good: bool
    facts: tuple[Fact, ...]


def verdict_of(network: NetworkFacts) -> Verdict:
    """Of one network."""
    fits, exact, chip = network.fits, network.bit_accurate, network.chip
    cores = counted(network.cores, "core")
    if not exact:
        title = "Not to be trusted: engines disagree"
    else:
        title = f"Fits {chip}" if fits else f"Does not fit {chip} as it is"
    held = f"It takes {cores}" if fits else f"{network.reasons[0]}. Otherwise it would take {cores}"
    engines = [each for each in dict.fromkeys(check.engine for check in network.checks) if each != REFERENCE]
    given = f"{_listed(engines)} give every value of the reference" if engines else "the reference alone ran"
    same = given if exact else "not bit-accurate"
    share = network.accuracy
    right = "of unknown accuracy" if share is None else f"{percent(share.value)} right"
    return Verdict(
        title, f"{held}; {same}; {right} on {KINDS[network.kind]}.", fits and exact, tuple(_facts(network))
    )


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
    values, exact = sum(check.values for check in network.checks), network.bit_accurate
    yield Fact("Bit-accurate", "yes" if exact else "no", "", f"{values:,} values compared", exact)
    cores = f"{counted(network.cores, 'core')} of {network.inspection.mapping.chip.cores}"
    yield Fact(f"Fits {network.chip}", "yes" if network.fits else "no", "", cores, network.fits)
    yield from _costs(network)


def _costs(network: NetworkFacts) -> Iterator[Fact]:
    energy, latency = network.cost.energy, network.cost.latency
    if energy is None:
        yield Fact("Energy", "–", below="nothing is published")
    else:
        value, unit = quantity(energy.joules, "J", 3).split(" ")
        yield Fact("Energy", value, unit, f"per inference, {energy.grade}")
    if latency is None:
        yield Fact("Latency", "–", below="nothing is published")
    else:
        value, unit = quantity(latency.median, "s", 3).split(" ")
        yield Fact("Latency", value, unit, f"per inference, {latency.grade}")
    yield Fact("Operations", f"{network.synops:,.0f}", "SynOps", "per inference")
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
