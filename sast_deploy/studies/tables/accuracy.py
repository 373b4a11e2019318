"""Tables of networks before compilation: swap-only accuracy, equal compute, cost, and one setting changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from sast_deploy.show.blocks import Table
from sast_deploy.studies.sweep.choices import DEFAULTS
from sast_deploy.studies.tables.groups import NAMES_AND_LENGTH, PAPERS_NOTE, Group, baseline_of, compared_with
from sast_deploy.studies.tables.paper import COST, MATCHED, Swap, paper_set, swap_row
from sast_deploy.studies.tables.table import (
    NOTHING,
    TEST_NOTE,
    Row,
    difference,
    head,
    percent,
    ratio,
    seeds,
    spread,
    table,
)
from sast_deploy.studies.tables.values import figure, gap, hard, surrogate
from sast_deploy.training.recipes import PAPER

CLOSE = 0.1  # two trainings took equal compute if their passes over the data differ by at most this share
SECONDS = figure("train", "seconds")


def swap_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Accuracy with smooth and with hard spikes, nothing else changed, beside the paper's."""
    name = next((found for each in groups if (found := paper_set(each))), "")

    def row(each: Group) -> Row:
        base, mark = compared_with(each, groups)
        return [
            *head(each, groups),
            ("surrogate %", percent(each, surrogate)),
            ("hard %", percent(each, hard)),
            ("gap", percent(each, gap)),
            ("hard against baseline", difference(each, base, hard, mark=mark)),
            (f"paper {name} sur. / hard / gap", _paper(swap_row(each))),
        ]

    title = f"Swap-only: smooth against hard spikes. {data}"
    return table(title, map(row, groups), (TEST_NOTE, PAPERS_NOTE))


def _paper(row: Swap | None) -> str:
    if row is None:
        return NOTHING
    cells = [f"{100 * mean:.2f}{'' if sd is None else f' ± {100 * sd:.2f}'}" for mean, sd in row]
    return " / ".join([*cells, f"{100 * (row[0][0] - row[1][0]):.2f}"])


def matched_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Baseline and SAST with about the same number of passes over the data; None without such a pair."""
    rows: dict[int, Row] = {}
    for base, sast in _pairs(groups):
        for each in (base, sast):
            paper = MATCHED.get((paper_set(each) or "", each.rho > 0))
            rows.setdefault(id(each), [
                *head(each, groups),
                ("passes", str(each.passes)),
                ("seconds", spread(each, SECONDS, 1.0, 0)),
                ("hard %", percent(each, hard)),
                ("against baseline", difference(each, base, hard) if each is sast else NOTHING),
                ("paper", f"{100 * paper[1]:.1f} ({paper[0]} epochs)" if paper else NOTHING),
            ])  # fmt: skip
    return table(f"Equal compute. {data}", rows.values(), (TEST_NOTE,))


def _pairs(groups: tuple[Group, ...]) -> Iterator[tuple[Group, Group]]:
    """(baseline, SAST) that differ in radius and epochs alone and took about the same compute."""
    keys = ("recipe.rho", "recipe.epochs")
    for base, sast in itertools.product(groups, groups):
        fair = abs(base.passes - sast.passes) <= CLOSE * base.passes
        if not base.rho and sast.rho and fair and base.without(*keys) == sast.without(*keys):
            yield base, sast


def cost_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Time of a training step and peak memory, and their ratio to the baseline's."""
    step = figure("train", "step_ms")

    def row(each: Group) -> Row:
        paper = COST.get(paper_set(each) or "") if each.rho else None
        return [
            *head(each, groups),
            ("ms a step", spread(each, step)),
            ("× baseline", ratio(each, baseline_of(each, groups), step)),
            ("peak MB", spread(each, figure("train", "peak_memory_mb"), 1.0, 0)),
            ("seconds", spread(each, SECONDS, 1.0, 0)),
            ("paper × baseline", f"{paper}" if paper else NOTHING),
        ]

    note = "measured while other runs shared the machine: ratios mean more than absolute values"
    return table(f"Cost of training. {data}", map(row, groups), (note,))


def control_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Pairs of trainings that differ in one setting; None without such a pair."""

    def row(reference: Group, control: Group, key: str) -> Row:
        radius = f", ρ {reference.rho:g}" if reference.rho != control.rho else ""
        return [
            ("network", control.network),
            ("control", f"{key.rpartition('.')[2]} = {control.settings[key]}"),
            ("instead of", f"{reference.settings[key]}{radius}"),
            ("ρ", f"{control.rho:g}"),
            ("epochs", str(control.epochs)),
            ("seeds", seeds(control)),
            ("hard %", percent(control, hard)),
            ("reference's hard %", percent(reference, hard)),
            ("difference", difference(control, reference, hard)),
            ("gap", percent(control, gap)),
            ("reference's gap", percent(reference, gap)),
        ]

    rows = itertools.starmap(row, controls(groups))
    return table(f"Controls: one setting changed. {data}", rows, (TEST_NOTE,), left=3, keys=5)


def controls(groups: tuple[Group, ...]) -> Iterator[tuple[Group, Group, str]]:
    """(reference, control, setting) for trainings equal but for one setting, the paper's in the reference.

    The radii of ASAM and SAM measure different things: ASAM's, whatever it is, is also compared with SAM at
    the paper's radius.
    """
    for reference, control in itertools.permutations(groups, 2):
        keys = [key for key in DEFAULTS if reference.settings[key] != control.settings[key]]
        keys = [key for key in keys if key not in NAMES_AND_LENGTH]
        any_radius = keys == ["recipe.sharpness"] and reference.rho == PAPER.rho and control.rho > 0
        free = (*keys, "recipe.rho") if any_radius else keys
        alike = reference.without(*free) == control.without(*free)
        if alike and len(keys) == 1 and reference.settings[keys[0]] == DEFAULTS[keys[0]]:
            yield reference, control, keys[0]
