"""`sast-deploy characterize`: what surrogates and neurons make of accuracy, spikes and cycles."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sast_deploy.base.errors import Exit, UsageError
from sast_deploy.commands.answers import answer
from sast_deploy.commands.circuits import LANES
from sast_deploy.commands.command import command
from sast_deploy.commands.completing import STUDY, datasets, profiles
from sast_deploy.commands.network import KINDS, SURROGATES
from sast_deploy.commands.options import (
    COUNT,
    OUTPUT,
    SEED,
    Finite,
    console,
    gathered,
    option,
    refuse_ignored,
    titled,
)
from sast_deploy.commands.several import listed
from sast_deploy.commands.shared import overwrite_option
from sast_deploy.commands.sweeping import do_runs, sweep_options
from sast_deploy.training.network.neurons import FIXED

if TYPE_CHECKING:
    from sast_deploy.commands.sweeping import Runs
    from sast_deploy.studies.characterize.crossed import Cross

CROSSED = ("dataset", "surrogates", "neurons", "network", "widths", "seeds", "epochs", "train", "test",
           "size", "profile")  # fmt: skip
NAMES = {"metavar": "NAME,...", "show_default": True}


def _cross(dataset: str | None, **values: Any) -> Cross | None:
    from sast_deploy.studies.characterize.crossed import Cross

    return None if dataset is None else Cross(dataset, **values)


@command(
    "characterize", "Surrogates and neurons against accuracy and cycles.",
    "sast-deploy characterize examples/characterize-sim6k.toml --data-root data/simulated",
    "sast-deploy characterize --dataset nmnist --surrogate arctan,triangular --neuron lif,if --epochs 10",
)
@click.argument("study", type=STUDY, required=False)
@gathered(
    "cross", _cross, "Without STUDY",
    option("--dataset", metavar="NAME", shell_complete=datasets, help="As of train, but never auto."),
    option("--surrogate", "surrogates", type=listed(click.Choice(SURROGATES)), default=",".join(SURROGATES),
           help="Each as steep as the others.", **NAMES),
    option("--neuron", "neurons", type=listed(click.Choice(list(FIXED))), default="lif",
           help="Each crossed with every surrogate.", **NAMES),
    option("--network", type=click.Choice(list(KINDS)), default="conv", show_default=True, help="Its kind."),
    option("--widths", type=LANES, metavar="N,N,...",
           help="Neurons or channels of its layers; else as published."),
    option("--seeds", type=listed(SEED), default="0,1,2", help="One training each.", **NAMES),
    option("--epochs", type=COUNT, help="Default: the recommended recipe's."),
    option("--train", type=COUNT, help="Only so many training samples."),
    option("--test", type=COUNT, help="Only so many test samples."),
    option("--size", type=COUNT, nargs=2, metavar="H W", help="Sum pixels down to H x W."),
    option("--profile", default="loihi-int4", show_default=True, shell_complete=profiles,
           help="Of the integers; followed by calibrated, they are chosen on data."),
)  # fmt: skip
@sweep_options
@titled(
    "Output",
    option("--clock", type=Finite(min=0, min_open=True), metavar="MHZ", help="For times beside cycles."),
    option("--plot", type=OUTPUT, help="Picture: .svg, .pdf or .png."),
)
@overwrite_option("another picture or study")
def characterize_command(
    study: Path | None, cross: Cross | None, where: Runs, clock: float | None, plot: Path | None,
    overwrite: bool,
) -> Exit:  # fmt: skip
    """Do the runs of STUDY, or cross surrogates with neurons, and say what both make of the circuit.

    Prints accuracy, sparsity of each layer, SynOps and cycles, the Pareto front, what is within noise, and
    how well accuracy and firing rate predict cycles. Resumable as sweep is. Without STUDY the study is
    written beside the runs, so that it can be repeated.
    """
    from sast_deploy.base.outputs import check_output, picture_kind
    from sast_deploy.studies.characterize.crossed import check_measured
    from sast_deploy.studies.characterize.plot import draw
    from sast_deploy.studies.characterize.result import characterize_runs
    from sast_deploy.studies.characterize.tables import Clock, tables_of
    from sast_deploy.studies.sweep.study import load_study

    if study is not None:
        refuse_ignored(CROSSED, "with STUDY, which says what is crossed")
        wanted = load_study(study, data_root=where.data_root)
        check_measured(wanted, study)
    elif cross is None:
        raise UsageError("neither STUDY nor --dataset", expected="one of them")
    else:
        wanted = cross.study(where.data_root)
    if where.dry_run:
        refuse_ignored(("clock", "plot", "overwrite"), "with --dry-run, which starts nothing")
    elif plot is None and cross is None:
        refuse_ignored(["overwrite"], "without --plot, where nothing is written but runs")
    runs, times, out = where.folder(wanted), Clock(clock), console()
    if plot:
        inputs = [study] if study else []
        check_output(plot, picture_kind(plot), inputs=inputs, overwrite=overwrite, option="--plot")
    begins = partial(cross.write, runs, overwrite) if cross and not where.dry_run else None
    study = cross.path(runs, overwrite) if cross and begins else study
    facts, code = do_runs(wanted, where, begins)
    found = () if where.dry_run else characterize_runs(wanted, runs)
    out.print(*(part for each in found for table in tables_of(each, times) for part in ("", table)))
    if plot and found:
        out.print(f"wrote {draw(found, plot)}")
    answer({**facts, "study": study, "clock": clock, "results": found, "plot": plot})
    return code
