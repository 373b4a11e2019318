"""All tables of a set of runs: one of each kind for each set of frames, which are never mixed."""

from __future__ import annotations

from sast_deploy.show.blocks import Table
from sast_deploy.studies.characterize.result import characterize
from sast_deploy.studies.characterize.tables import tables_of
from sast_deploy.studies.tables.accuracy import control_table, cost_table, matched_table, swap_table
from sast_deploy.studies.tables.analysed import disturbance_table, membrane_table, threshold_table
from sast_deploy.studies.tables.conditions import frame_tables
from sast_deploy.studies.tables.deployed import ablation_tables, deployed_table
from sast_deploy.studies.tables.groups import PAPERS, PAPERS_NOTE, Group, by_data, group
from sast_deploy.studies.tables.records import Record
from sast_deploy.studies.tables.table import TEST_NOTE, fitting, table
from sast_deploy.studies.tables.values import hard

MARKS = {TEST_NOTE: ", W ", PAPERS_NOTE: PAPERS}  # what a cell holds that the note explains


def make_tables(records: tuple[Record, ...]) -> tuple[Table, ...]:
    """Every table that the runs give, in the order in which a reader asks."""
    groups = group(records)
    apart = [table for each in by_data(groups).items() for table in _of_data(*each)]
    circuits = [table for each in characterize(records) for table in tables_of(each)]
    found = [each for each in (*apart, *frame_tables(groups), *circuits) if each is not None]
    return tuple(fitting(each, MARKS) for each in found)


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
