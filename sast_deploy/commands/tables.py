"""`sast-deploy tables`: the paper's tables from the runs of a sweep."""

from __future__ import annotations

from pathlib import Path

import click

from sast_deploy.commands.options import PATH, Command, console, example
from sast_deploy.text import printable


@click.command(
    "tables",
    cls=Command,
    short_help="The paper's tables from the runs of a sweep.",
    epilog=example(
        "sast-deploy tables runs/paper-nmnist",
        "sast-deploy tables runs/paper-nmnist --markdown --json benchmarks/results/nmnist.json",
    ),
)
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown instead.")
@click.option("--json", "raw", type=PATH, metavar="OUT", help="Write every run's figures as small JSON.")
@click.option("--plots", type=PATH, metavar="DIR", help="Write pictures: gap over rho, frames; event drop.")
def tables_command(runs: tuple[Path, ...], as_markdown: bool, raw: Path | None, plots: Path | None) -> None:
    """Print the paper's tables for RUNS: folders of sweeps, or files that --json wrote.

    Every figure is a mean over seeds ± sample standard deviation, beside the paper's; differences come with
    paired tests. Real, simulated and embedded data never share a table. Missing runs are shown as missing.
    """
    from sast_deploy.errors import OutputError
    from sast_deploy.fileio import check_output
    from sast_deploy.tables import load_records, make_tables, markdown, write_raw

    if raw is not None:
        check_output(raw, "JSON file of runs", b'"sast-deploy-runs"')
    if plots is not None and plots.exists() and not plots.is_dir():
        raise OutputError("is no folder", where=plots, expected="a folder for pictures")
    records = load_records(runs)
    out = console()
    for table in make_tables(records):
        if as_markdown:
            click.echo(markdown(table))
        else:
            out.print(table, "")
    if raw is not None:
        write_raw(raw, records)
        click.echo(printable(f"wrote {raw}"), err=True)
    if plots is not None:
        from sast_deploy.tables.plots import draw

        for path in draw(records, plots):
            click.echo(printable(f"wrote {path}"), err=True)
