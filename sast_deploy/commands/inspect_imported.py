"""`sast-deploy inspect` of a network that `import` wrote: in real numbers, so without proofs and limits."""

from __future__ import annotations

from pathlib import Path

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.options import console, refuse_ignored


def inspect_imported(path: Path) -> int:
    """Print layers, neurons, notes and origin; the exit code."""
    from dataclasses import asdict

    from sast_deploy.exchange.network import load_network
    from sast_deploy.exchange.summary import float_layers
    from sast_deploy.show.imported import imported_summary, print_imported

    integers = ("samples", "chip", "suggest", "fail_on_limits", "output", "overwrite")
    refuse_ignored(integers, "is for integers, and an imported network has none", f"compile {path} first")
    found = load_network(path)
    print_imported(found, path, console())
    layers = [asdict(each) for each in float_layers(found.network)]
    answer({"summary": imported_summary(found, path), "layers": layers, "notes": found.notes})
    return Exit.OK
