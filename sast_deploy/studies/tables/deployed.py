"""Tables of compiled networks: accuracy and SynOps of each profile, and what each compiler option gains."""

from __future__ import annotations

from collections.abc import Iterator

from sast_deploy.show.blocks import Table
from sast_deploy.studies.analysis.significance import Summary
from sast_deploy.studies.tables.accuracy import HEAD, KEYS, NAMES, head
from sast_deploy.studies.tables.groups import PAPERS_NOTE, Group, compare, compared_with, recipe_label
from sast_deploy.studies.tables.paper import DEPLOYED, SYNOPS_NOTE, paper_set
from sast_deploy.studies.tables.records import Record
from sast_deploy.studies.tables.table import NOTHING, TEST_NOTE, difference, percent, spread
from sast_deploy.studies.tables.values import Value, deployed, hard, hidden_synops, loss


def deployed_table(data: str, groups: tuple[Group, ...]) -> Table | None:
    """Accuracy and SynOps of the integer networks on the whole test split; None if nothing was compiled."""
    rows = [row for each in groups for subject in subjects(each) for row in [_row(each, subject, groups)]]
    columns = (
        *HEAD, "profile", "accuracy %", "lost to float", "against baseline", "kSynOps", "× baseline",
        "behind layer 0", "× baseline",
        "paper % / kSynOps",
    )  # fmt: skip
    notes = (
        TEST_NOTE,
        f"{PAPERS_NOTE}, and with the plain profile where that one was not measured",
        "lost to float: points of the hard-spike accuracy before quantization",
        "kSynOps behind layer 0: those that training can change, the input's events being given",
        *([SYNOPS_NOTE] if any(paper_set(each) for each in groups) else []),
    )
    title = f"Hardware-aware: integers. {data}"
    return Table(title, columns, tuple(rows), notes, NAMES, KEYS + 1) if rows else None


def subjects(each: Group) -> list[str]:
    """The profiles that were measured of any run of a group, wide weights first."""
    found = {subject: run.profiles[subject] for run in each.runs.values() for subject in run.profiles}
    return sorted(found, key=lambda subject: (-bits_of(subject), subject))


def bits_of(subject: str) -> int:
    """Bits of a weight, from the profile's name: 4 for "loihi-int4 calibrated"; 0 if it says none."""
    digits = subject.split()[0].rpartition("int")[2]
    return int(digits) if digits.isdecimal() else 0


def _row(each: Group, subject: str, groups: tuple[Group, ...]) -> tuple[str, ...]:
    n, (base, mark) = len(each.values(hard)), compared_with(each, groups)
    theirs = subject if base and subject in subjects(base) else subject.split()[0]
    accuracy, other = (deployed(name, "accuracy") for name in (subject, theirs))
    paper = DEPLOYED.get((paper_set(each) or "", bits_of(subject), each.rho > 0))
    if each.settings["network.kind"] != "fc":
        paper = None
    return (
        *head(each, groups), subject,
        percent(each.mean(accuracy), n),
        spread(each.mean(loss(subject)), n, 100.0, 2),
        difference(compare(each, base, accuracy, other), mark) if base else NOTHING,
        *_operations(each.mean(deployed(subject, "synops")), base, deployed(theirs, "synops"), n, mark),
        *_operations(each.mean(hidden_synops(subject)), base, hidden_synops(theirs), n, mark),
        f"{100 * paper[0]:.1f} / {paper[1]:,.1f}" if paper else NOTHING,
    )  # fmt: skip


def _operations(own: Summary | None, base: Group | None, synops: Value, n: int, mark: str) -> tuple[str, str]:
    """kSynOps per sample, and their ratio to the baseline's."""
    other = base.mean(synops) if base else None
    ratio = f"{own.mean / other.mean:.2f}{mark}" if own and other and other.mean else NOTHING
    return spread(own, n, 1e-3, 1), ratio


def ablation_tables(data: str, groups: tuple[Group, ...]) -> Iterator[Table]:
    """For each group, one row for every compiler option, one column for every profile."""
    for each in groups:
        found = {name for run in each.runs.values() for name in run.ablations}
        profiles = sorted(found, key=lambda name: (-bits_of(name), name))
        if not profiles:
            continue
        steps = list(dict.fromkeys(
            row["name"] for run in each.runs.values() for name in profiles
            for row in (run.ablations.get(name) or {}).get("rows", [])
        ))  # fmt: skip
        rows = [(step, *_gains(each, profiles, step, steps[0])) for step in steps]
        columns = ("compiler options, one added at a time", *profiles, *(f"{p}, gain" for p in profiles))
        label = f"{each.settings['network.name']}, {recipe_label(each, groups)}, ρ {each.rho:g}"
        title = f"Compiler options: test accuracy %, {label}, {each.epochs} epochs. {data}"
        note = f"gain: against the first row; {TEST_NOTE}; choices were made on training samples"
        yield Table(title, columns, tuple(rows), (note,), left=1)


def _gains(each: Group, profiles: list[str], step: str, first: str) -> list[str]:
    n = len(each.values(hard))
    means = [percent(each.mean(_ablated(profile, step)), n) for profile in profiles]
    gains = [compare(each, each, _ablated(p, step), _ablated(p, first)) for p in profiles]
    return means + [NOTHING if step == first else difference(gain) for gain in gains]


def _ablated(profile: str, step: str) -> Value:
    """Test accuracy of the compiler options up to `step`."""

    def value(run: Record) -> float | None:
        rows = (run.ablations.get(profile) or {}).get("rows", [])
        found = next((row["test"] for row in rows if row["name"] == step), None)
        return float(found["accuracy"]) if found else None  # None: the compiler refused

    return value
