"""What `sast-deploy inspect` says of what `import` wrote; and a network priced, and changes to it tried."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.options import console, refuse_ignored

if TYPE_CHECKING:
    from sast_deploy.api import Net
    from sast_deploy.data.request import DataRequest
    from sast_deploy.reports.inputs import Inputs
    from sast_deploy.show.blocks import Out


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


def priced(net: Net, inputs: Inputs, chip: str, out: Out) -> dict[str, Any]:
    """What an inference costs, printed in short and as plain values."""
    from dataclasses import asdict

    from sast_deploy import api
    from sast_deploy.show.costs import cost_lines

    cost = api.cost(net, inputs, chip=chip)
    out.print("", *cost_lines(cost))
    return asdict(cost.brief())


def tried(
    net: Net, inputs: Inputs | None, chip: str, data: DataRequest, samples: int | None, out: Out
) -> dict[str, Any]:
    """What would mend it, printed and as plain values."""
    from sast_deploy.show.suggestions import print_suggestions
    from sast_deploy.studies.suggestions import TRIED, suggest

    found = suggest(net, inputs, data=data, samples=samples or TRIED, chip=chip)
    print_suggestions(found, out)
    return found.to_dict()
