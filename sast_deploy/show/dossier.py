"""A dossier in a few lines for a terminal; the page has all of it."""

from __future__ import annotations

from sast_deploy.base.text import percent
from sast_deploy.reports.dossier import Dossier, NetworkFacts
from sast_deploy.show.blocks import Out, Table


def print_dossier(dossier: Dossier, out: Out) -> None:
    """A line for each network, and of several which to take for which budget."""
    columns = ("network", "accuracy", "bit-accurate", dossier.networks[0].fit.chip, "SynOps", "bytes")
    out.print(Table("", columns, tuple(_row(each) for each in dossier.networks), left=1))
    if dossier.choice is not None:
        out.print("", *dossier.choice.sentences)


def _row(network: NetworkFacts) -> tuple[str, ...]:
    fit, share = network.fit, network.accuracy
    return (
        network.name, "no labels" if share is None else percent(share.value),
        "yes" if network.bit_accurate else "NO", f"{'fits' if fit.fits else 'breaks'}, {fit.cores} cores",
        f"{network.synops:,.0f}", f"{network.packed_bytes:,}",
    )  # fmt: skip
