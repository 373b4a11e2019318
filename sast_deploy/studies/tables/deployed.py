"""Tables of compiled networks: accuracy and SynOps of each profile, and what each compiler option gains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sast_deploy.show.blocks import Table
from sast_deploy.studies.tables.groups import PAPERS_NOTE, Group, compared_with, label
from sast_deploy.studies.tables.paper import DEPLOYED, SYNOPS_NOTE, paper_set
from sast_deploy.studies.tables.table import (
    NOTHING,
    TEST_NOTE,
    Row,
    difference,
    head,
    percent,
    ratio,
    spread,
    table,
)
from sast_deploy.studies.tables.values import Value, figure, hidden_synops, loss


def deployed_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Accuracy and SynOps of the integer networks on the whole test split; None if nothing was compiled."""
    notes = (
        TEST_NOTE,
        f"{PAPERS_NOTE}, and with the plain profile where that one was not measured",
        "lost to float: points of the hard-spike accuracy before quantization",
        "kSynOps behind layer 0: those that training can change, the input's events being given",
        *([SYNOPS_NOTE] if any(paper_set(each) for each in groups) else []),
    )
    rows = [_row(each, subject, groups) for each in groups for subject in _subjects(each)]
    return table(f"Hardware-aware: integers. {data}", rows, notes, keys=5)


def _subjects(each: Group) -> list[str]:
    return wide_first(name for run in each.runs.values() for name in run.profiles)


def wide_first(subjects: Iterable[str]) -> list[str]:
    """Profiles that were measured, each once, by the bits of their weights."""
    return sorted(set(subjects), key=lambda subject: (-bits_of(subject), subject))


def bits_of(subject: str) -> int:
    """Bits of a weight, from the profile's name: 4 for "loihi-int4 calibrated"; 0 if it says none."""
    digits = subject.split()[0].rpartition("int")[2]
    return int(digits) if digits.isdecimal() else 0


def _row(each: Group, subject: str, groups: tuple[Group, ...]) -> Row:
    base, mark = compared_with(each, groups)
    theirs = subject if base and subject in _subjects(base) else subject.split()[0]
    (accuracy, synops, hidden), (others, their_synops, their_hidden) = map(_figures, (subject, theirs))
    paper = DEPLOYED.get((paper_set(each) or "", bits_of(subject), each.rho > 0))
    if each.settings["network.kind"] != "fc":
        paper = None
    return [
        *head(each, groups),
        ("profile", subject),
        ("accuracy %", percent(each, accuracy)),
        ("lost to float", percent(each, loss(subject))),
        ("against baseline", difference(each, base, accuracy, others, mark)),
        ("kSynOps", spread(each, synops, 1e-3)),
        ("× baseline", ratio(each, base, synops, their_synops, mark)),
        ("behind layer 0", spread(each, hidden, 1e-3)),
        ("× baseline", ratio(each, base, hidden, their_hidden, mark)),
        ("paper % / kSynOps", f"{100 * paper[0]:.1f} / {paper[1]:,.1f}" if paper else NOTHING),
    ]


def _figures(subject: str) -> tuple[Value, Value, Value]:
    of = ("profiles", subject)
    return figure(*of, "accuracy"), figure(*of, "synops"), hidden_synops(subject)


def ablation_tables(data: str, groups: tuple[Group, ...]) -> Iterator[Table | None]:
    """For each group, one row for every compiler option, one column for every profile."""
    for each in groups:
        profiles = wide_first(name for run in each.runs.values() for name in run.ablations)
        steps = list(dict.fromkeys(
            row["name"] for run in each.runs.values() for name in profiles
            for row in (run.ablations.get(name) or {}).get("rows", [])
        ))  # fmt: skip
        rows = [_ablated(each, profiles, step, steps[0]) for step in steps]
        title = f"Compiler options: test accuracy %, {label(each, groups)}, {each.epochs} epochs. {data}"
        note = f"gain: against the first row; {TEST_NOTE}; choices were made on training samples"
        yield table(title, rows, (note,), left=1, keys=0)


def _ablated(each: Group, profiles: list[str], step: str, first: str) -> Row:
    """What the compiler options up to `step` gain; none where the compiler refused them."""
    def accuracy(profile: str, name: str) -> Value:
        return figure("ablations", profile, "rows", {"name": name}, "test", "accuracy")

    def gain(profile: str) -> str:
        return difference(each, each, accuracy(profile, step), accuracy(profile, first))

    return [
        ("compiler options, one added at a time", step),
        *((profile, percent(each, accuracy(profile, step))) for profile in profiles),
        *((f"{profile}, gain", NOTHING if step == first else gain(profile)) for profile in profiles),
    ]
