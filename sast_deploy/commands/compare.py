"""`sast-deploy compare`: two networks on the same recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.errors import Exit
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import NET
from sast_deploy.commands.options import COUNT, INDEX, PATH, console, option, refuse_ignored, titled
from sast_deploy.commands.shared import DATA_OPTIONS, data_options
from sast_deploy.engines import ENGINE_NAMES

if TYPE_CHECKING:
    from sast_deploy.data.request import DataRequest
    from sast_deploy.engines import EngineName


@command(
    "compare", "Two networks on the same recordings: accuracy, spikes, SynOps.",
    "sast-deploy compare netx_exports/sast-loihi-int8.net netx_exports/sast-loihi-int4.net",
    "sast-deploy compare a.net b.net --input frames.npy --labels labels.npy --sample 3",
)
@click.argument("net", metavar="A", type=NET)
@click.argument("other", metavar="B", type=NET)
@titled(
    "Comparison",
    option("--samples", type=COUNT, help="Only N samples, evenly spread."),
    option("--sample", type=INDEX,
           help="Whose spikes are compared one by one; default: the first that differs."),
    option("--input", "input_path", type=PATH, metavar="NPY", help="Frames of your own, not the test split."),
    option("--labels", "labels_path", type=PATH, metavar="NPY", help="Class indices (samples,) of --input."),
    option("--backend", type=click.Choice(ENGINE_NAMES), default="fast", show_default=True,
           help="All give the same."),
)  # fmt: skip
@data_options(None)
def compare_command(
    net: Path,
    other: Path,
    samples: int | None,
    sample: int | None,
    input_path: Path | None,
    labels_path: Path | None,
    backend: EngineName,
    data: DataRequest,
) -> int:
    """Run A and B on the test split of their own data set, or on --input, and say how they differ.

    Accuracies with McNemar's test, the spikes of every layer, synaptic operations, and the first step and
    neuron at which the spikes of one sample part.
    """
    from sast_deploy import api
    from sast_deploy.netx.foreign.frames import load_array
    from sast_deploy.show.comparing import print_comparison

    if input_path is not None:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    else:
        refuse_ignored(["labels_path"], "without --input", "add --input FRAMES.npy")
    frames, labels = (None if path is None else load_array(path) for path in (input_path, labels_path))
    nets = api.load(net), api.load(other)
    found = api.compare(
        *nets, frames, labels, data=data, samples=samples, engine=backend, sample=sample
    )  # fmt: skip
    print_comparison(found, console())
    answer(found.to_dict())
    return Exit.OK
