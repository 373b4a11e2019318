"""All tables of a set of runs: one of each kind for each set of frames, which are never mixed."""

from __future__ import annotations

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.accuracy import control_table, cost_table, matched_table, swap_table
from sast_deploy.studies.tables.analysed import disturbance_table, membrane_table, threshold_table
from sast_deploy.studies.tables.conditions import frame_tables
from sast_deploy.studies.tables.deployed import ablation_tables, deployed_table
from sast_deploy.studies.tables.groups import PAPERS, PAPERS_NOTE, Group, data_label, group
from sast_deploy.studies.tables.records import Record
from sast_deploy.studies.tables.table import TEST_NOTE, fitting, table
from sast_deploy.studies.tables.values import hard

MARKS = {TEST_NOTE: ", W ", PAPERS_NOTE: PAPERS}  # what a cell holds that the note explains


def make_tables(records: tuple[Record, ...]) -> tuple[Table, ...]:
    """Every table that the runs give, in the order in which a reader asks."""
    groups = group(records)
    apart = [table for each in by_data(groups).items() for table in _of_data(*each)]
    found = [each for each in (*apart, *frame_tables(groups)) if each is not None]
    return tuple(fitting(each, MARKS) for each in found)


def by_data(groups: tuple[Group, ...]) -> dict[str, tuple[Group, ...]]:
    """Groups by what they were trained on: data set, real or simulated, how many samples, which frames."""
    frames: dict[tuple[str, str, str], list[Group]] = {}
    for each in groups:
        digest = each.data.get("frame_digest", "")
        frames.setdefault((data_label(each), str(each.settings["data.name"]), digest), []).append(each)
    labels = [label for label, _, _ in frames]
    names = [(label, name) for label, name, _ in frames]
    found = {}
    for (label, name, digest), those in frames.items():
        full = label if labels.count(label) == 1 else f"{label} ({name})"
        full += f", frames {digest[:8]}" if names.count((label, name)) > 1 else ""
        found[full] = tuple(those)
    return found


def _of_data(data: str, groups: tuple[Group, ...]) -> tuple[Table | None, ...]:
    return (
        swap_table(data, groups), deployed_table(data, groups), matched_table(data, groups),
        control_table(data, groups), threshold_table(data, groups), *ablation_tables(data, groups),
        disturbance_table("drop", data, groups), disturbance_table("noise", data, groups),
        membrane_table(data, groups), cost_table(data, groups), missing_table(data, groups),
    )  # fmt: skip


def missing_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """The runs that their study plans and that are not finished; None if all are."""
    missing = [(each, sorted(set(each.runs) - set(each.values(hard)))) for each in groups]
    rows = [
        [("run", each.runs[seeds[0]].name.rpartition("-seed")[0]), ("seeds", ", ".join(map(str, seeds)))]
        for each, seeds in missing if seeds
    ]  # fmt: skip
    return table(f"Missing runs. {data}", rows, keys=0)
