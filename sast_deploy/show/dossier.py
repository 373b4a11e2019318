"""A dossier in a few lines for a terminal; the page has all of it."""

from __future__ import annotations

from sast_deploy.base.text import percent, quantity
from sast_deploy.reports.dossier import Dossier, NetworkFacts
from sast_deploy.show.blocks import Out, Table


def print_dossier(dossier: Dossier, out: Out) -> None:
    """A line for each network, and of several which to take for which budget."""
    chip = dossier.networks[0].chip
    columns = ("network", "accuracy", "bit-accurate", chip, "cores", "SynOps", "energy", "latency", "bytes")
    out.print(Table("", columns, tuple(_row(each) for each in dossier.networks), left=1))
    if dossier.choice is not None:
        for axis in dossier.choice.axes:
            out.print("", f"{axis.name}:", *(f"  {axis.sentence(take)}" for take in axis.front))
        out.print("", *dossier.choice.advice)


def _row(network: NetworkFacts) -> tuple[str, ...]:
    share, energy, latency = network.accuracy, network.cost.energy, network.cost.latency
    return (
        network.name, "no labels" if share is None else percent(share.value),
        "yes" if network.bit_accurate else "NO", "fits" if network.fits else "does not fit",
        f"{network.cores}", f"{network.synops:,.0f}", "" if energy is None else quantity(energy.joules, "J"),
        "" if latency is None else quantity(latency.median, "s"), f"{network.packed_bytes:,}",
    )  # fmt: skip
