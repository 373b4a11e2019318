"""`sast-deploy tables`: the paper's tables from the runs of a sweep."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sast_deploy.base.progress import say
from sast_deploy.commands.answers import answer
from sast_deploy.commands.command import command
from sast_deploy.commands.options import OUTPUT, PATH, console, refuse_ignored
from sast_deploy.commands.shared import overwrite_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sast_deploy.show.blocks import Table


@command(
    "tables", "The paper's tables from the runs of a sweep.",
    "sast-deploy tables runs/paper-nmnist",
    "sast-deploy tables runs/paper-nmnist --markdown -o benchmarks/results/nmnist.json",
)
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown instead.")
@click.option("-o", "--output", "raw", type=OUTPUT, help="Write every run's figures as small JSON.")
@click.option("--plots", type=OUTPUT, metavar="DIR", help="Write pictures: gap over rho, frames; event drop.")
@overwrite_option("figures and pictures")
def tables_command(
    runs: tuple[Path, ...], as_markdown: bool, raw: Path | None, plots: Path | None, overwrite: bool
) -> None:
    """Print the paper's tables for RUNS: folders of sweeps, or files that -o wrote.

    Every figure is a mean over seeds ± sample standard deviation, beside the paper's; differences come with
    paired tests. Real, simulated and embedded data never share a table. Missing runs are shown as missing.
    """
    from sast_deploy.base.files import write_text
    from sast_deploy.base.outputs import check_output, check_output_folder, picture_kind
    from sast_deploy.studies.tables.build import make_tables
    from sast_deploy.studies.tables.plots import pictures
    from sast_deploy.studies.tables.records import RAW, load_records, raw_text, records_origin

    if raw is None and plots is None:
        refuse_ignored(["overwrite"], "without -o FILE or --plots DIR")
    if plots is not None:
        check_output_folder(plots)
    records = load_records(runs)
    made = records_origin(records)
    if raw is not None:
        check_output(raw, RAW, made, inputs=runs, overwrite=overwrite)
    planned = {} if plots is None else pictures(records, plots)
    if plots is not None and not planned:
        say(f"no pictures in {plots}: these runs hold nothing to draw")
    for path in planned:
        check_output(path, picture_kind(path), made, overwrite=overwrite, option="--plots")
    tables = tuple(make_tables(records))
    _print(tables, as_markdown)
    if raw is not None:
        write_text(raw, raw_text(records))
        say(f"wrote {raw}")
    for path, write in planned.items():
        write(made)
        say(f"wrote {path}")
    shown = [{name: getattr(each, name) for name in ("title", "columns", "rows", "notes")} for each in tables]
    figures = json.loads(raw_text(records))["runs"]
    answer({"runs": figures, "tables": shown, "output": raw, "plots": list(planned)})


def _print(tables: Iterable[Table], as_markdown: bool) -> None:
    from sast_deploy.show.blocks import Line
    from sast_deploy.studies.tables.table import markdown

    out = console()
    for table in tables:
        lines = (Line(line, whole=True) for line in markdown(table).split("\n"))
        out.print(*(lines if as_markdown else (table, "")))
