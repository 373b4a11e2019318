"""Tables of networks before compilation: swap-only accuracy, equal compute, cost, and one setting changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.groups import (
    DEFAULTS,
    PAPERS_NOTE,
    Group,
    baseline_of,
    compare,
    compared_with,
    recipe_label,
)
from sast_deploy.studies.tables.paper import COST, MATCHED, Swap, paper_set, swap_row
from sast_deploy.studies.tables.table import NOTHING, TEST_NOTE, difference, percent, spread
from sast_deploy.studies.tables.values import gap, hard, surrogate, training
from sast_deploy.training.recipes import PAPER

CLOSE = 0.1  # two trainings took equal compute if their passes over the data differ by at most this share


def seeds(each: Group) -> str:
    """How many seeds are finished: "5", or "3 of 5"."""
    done = len(each.values(hard))
    return str(done) if done == len(each.runs) else f"{done} of {len(each.runs)}"


def head(each: Group, groups: tuple[Group, ...]) -> tuple[str, ...]:
    """The columns that say which group a row is: network, recipe, rho, epochs, seeds."""
    network = str(each.settings["network.name"])
    return network, recipe_label(each, groups), f"{each.rho:g}", str(each.epochs), seeds(each)


HEAD = ("network", "recipe", "ρ", "epochs", "seeds")
NAMES, KEYS = 2, 4  # the columns of these that are words, and those that tell rows apart


def swap_table(data: str, groups: tuple[Group, ...]) -> Table:
    """Accuracy with smooth and with hard spikes, nothing else changed, beside the paper's."""
    name = next((found for each in groups if (found := paper_set(each))), "")
    columns = (
        *HEAD,
        "surrogate %",
        "hard %",
        "gap",
        "hard against baseline",
        f"paper {name} sur. / hard / gap",
    )
    rows = []
    for each in groups:
        n, (base, mark) = len(each.values(hard)), compared_with(each, groups)
        rows.append(
            (
                *head(each, groups),
                percent(each.mean(surrogate), n),
                percent(each.mean(hard), n),
                spread(each.mean(gap), n, 100.0, 2),
                difference(compare(each, base, hard), mark) if base else NOTHING,
                _paper(swap_row(each)),
            )
        )
    return Table(
        f"Swap-only: smooth against hard spikes. {data}", columns, tuple(rows), (TEST_NOTE, PAPERS_NOTE),
        NAMES, KEYS,
    )  # fmt: skip


def _paper(row: Swap | None) -> str:
    if row is None:
        return NOTHING
    parts = []
    for value, sd in ((row.surrogate, row.surrogate_sd), (row.hard, row.hard_sd)):
        parts.append(f"{100 * value:.2f}" + (f" ± {100 * sd:.2f}" if sd is not None else ""))
    return f"{' / '.join(parts)} / {100 * (row.surrogate - row.hard):.2f}"


def matched_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Baseline and SAST with about the same number of passes over the data; None without such a pair."""
    rows, used = [], set()
    for base, sast in _pairs(groups):
        for each in (base, sast):
            if id(each) not in used:
                used.add(id(each))
                n = len(each.values(hard))
                paper = MATCHED.get((paper_set(each) or "", each.rho > 0))
                rows.append(
                    (
                        *head(each, groups), str(each.passes),
                        spread(each.mean(training("seconds")), n, 1.0, 0), percent(each.mean(hard), n),
                        difference(compare(each, base, hard)) if each is sast else NOTHING,
                        f"{100 * paper[1]:.1f} ({paper[0]} epochs)" if paper else NOTHING,
                    )
                )  # fmt: skip
    columns = (*HEAD, "passes", "seconds", "hard %", "against baseline", "paper")
    title = f"Equal compute. {data}"
    return Table(title, columns, tuple(rows), (TEST_NOTE,), NAMES, KEYS) if rows else None


def _pairs(groups: tuple[Group, ...]) -> Iterator[tuple[Group, Group]]:
    """(baseline, SAST) that differ in radius and epochs alone and took about the same compute."""
    keys = ("recipe.rho", "recipe.epochs")
    for base, sast in itertools.product(groups, groups):
        fair = abs(base.passes - sast.passes) <= CLOSE * base.passes
        if not base.rho and sast.rho and fair and base.without(*keys) == sast.without(*keys):
            yield base, sast


def cost_table(data: str, groups: tuple[Group, ...]) -> Table:
    """Time of a training step and peak memory, and their ratio to the baseline's."""
    columns = (*HEAD, "ms a step", "× baseline", "peak MB", "seconds", "paper × baseline")
    rows = []
    for each in groups:
        n, base = len(each.values(hard)), baseline_of(each, groups)
        step = each.mean(training("step_ms"))
        own = base.mean(training("step_ms")) if base else None
        ratio = f"{step.mean / own.mean:.2f}" if step and own and own.mean else NOTHING
        paper = COST.get(paper_set(each) or "") if each.rho else None
        rows.append(
            (
                *head(each, groups), spread(step, n, 1.0, 1), ratio,
                spread(each.mean(training("peak_memory_mb")), n, 1.0, 0),
                spread(each.mean(training("seconds")), n, 1.0, 0), f"{paper}" if paper else NOTHING,
            )
        )  # fmt: skip
    note = "measured while other runs shared the machine: ratios mean more than absolute values"
    return Table(f"Cost of training. {data}", columns, tuple(rows), (note,), NAMES, KEYS)


def control_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Pairs of trainings that differ in one setting; None without such a pair."""
    rows = []
    for reference, control, key in controls(groups):
        n = len(control.values(hard))
        instead = str(reference.settings[key])
        if reference.rho != control.rho:
            instead += f", ρ {reference.rho:g}"
        rows.append(
            (
                str(control.settings["network.name"]), f"{key.rpartition('.')[2]} = {control.settings[key]}",
                instead, f"{control.rho:g}", str(control.epochs), seeds(control),
                percent(control.mean(hard), n), percent(reference.mean(hard), len(reference.values(hard))),
                difference(compare(control, reference, hard)), spread(control.mean(gap), n, 100.0, 2),
                spread(reference.mean(gap), len(reference.values(hard)), 100.0, 2),
            )
        )  # fmt: skip
    columns = (
        "network", "control", "instead of", "ρ", "epochs", "seeds", "hard %", "reference's hard %",
        "difference", "gap", "reference's gap",
    )  # fmt: skip
    title = f"Controls: one setting changed. {data}"
    return Table(title, columns, tuple(rows), (TEST_NOTE,), left=3, keys=5) if rows else None


def controls(groups: tuple[Group, ...]) -> Iterator[tuple[Group, Group, str]]:
    """(reference, control, setting) for trainings equal but for one setting, the paper's in the reference.

    The radii of ASAM and SAM measure different things: ASAM's, whatever it is, is also compared with SAM at
    the paper's radius.
    """
    for reference, control in itertools.permutations(groups, 2):
        keys = [key for key in DEFAULTS if reference.settings[key] != control.settings[key]]
        keys = [key for key in keys if key not in ("recipe.name", "recipe.rho", "recipe.epochs")]
        any_radius = keys == ["recipe.sharpness"] and reference.rho == PAPER.rho and control.rho > 0
        free = (*keys, "recipe.rho") if any_radius else keys
        alike = reference.without(*free) == control.without(*free)
        if alike and len(keys) == 1 and reference.settings[keys[0]] == DEFAULTS[keys[0]]:
            yield reference, control, keys[0]
