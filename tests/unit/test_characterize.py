"""Cells, front, correlations and the study's figures on records made by hand, each derived a second time."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sast_deploy.base.errors import OutputError, UsageError
from sast_deploy.show.blocks import UNLIMITED
from sast_deploy.studies.characterize.cells import Cell, Change, change
from sast_deploy.studies.characterize.claims import Best, claims_of
from sast_deploy.studies.characterize.crossed import STEEPNESS, Cross, check_measured
from sast_deploy.studies.characterize.plot import draw
from sast_deploy.studies.characterize.result import (
    EVERY,
    PREDICTORS,
    Characterization,
    characterize,
    correlate,
    front_of,
    rank_p,
)
from sast_deploy.studies.characterize.tables import Clock, tables_of
from sast_deploy.studies.sweep.choices import NetworkChoice
from sast_deploy.studies.sweep.schema import RECORD
from sast_deploy.studies.sweep.study import load_study
from sast_deploy.studies.tables.build import make_tables
from sast_deploy.studies.tables.records import Record, _to_dict, load_records, raw_text, record_of
from sast_deploy.training.network.surrogates import SURROGATES
from tests.unit.test_tables import record

INT4 = "loihi-int4"
T2 = 4.302652729911275  # Student's t at 0.975 with 2 degrees of freedom


def measured(
    seed: int, accuracy: float, cycles: float, *, rate: float = 0.1, hidden: tuple[int, ...] = (16, 32),
    kind: str = "conv", subject: str = INT4, **network: Any,
) -> Record:  # fmt: skip
    """A run with these figures: 100 input events, `rate` times 10 behind them, SynOps half of the cycles."""
    choice = NetworkChoice(f"{kind}-{network.get('surrogate', 'arctan')}", kind, hidden).changed(network)
    base = record(seed, accuracy)
    layers = [
        {"layer": "layer 0", "events": 100.0, "waits": {"accumulate": 0.25 * cycles, "sweep": 0.25 * cycles}},
        {"layer": "layer 1", "events": 10 * rate, "waits": {"accumulate": 0.5 * cycles, "sweep": 0.0}},
    ]
    found = {"samples": 30, "mean": cycles, "median": cycles - 1, "p99": cycles + 5, "worst": cycles + 9,
             "lanes": [8, 8], "layers": layers}  # fmt: skip
    program = {"accuracy": accuracy, "synops": cycles / 2, "rates": [rate, 3 * rate], "layers": []}
    name = "-".join([kind, *(f"{key}{value}" for key, value in network.items()), f"seed{seed}"])
    return replace(base, name=name, config={**base.config, "network": choice.to_dict()},
                   profiles={subject: program}, circuits={subject: found})  # fmt: skip


def three(
    accuracy: list[float], cycles: list[float], rates: list[float] | None = None, **more: Any
) -> list[Record]:
    rates = rates or [0.1] * len(cycles)
    return [measured(seed, *each[:2], rate=each[2], **more)
            for seed, each in enumerate(zip(accuracy, cycles, rates, strict=True))]  # fmt: skip


BASE = three([0.90, 0.92, 0.91], [1000.0, 1100.0, 1200.0], [0.10, 0.11, 0.12], k=6.0)
ESCAPE = three([0.91, 0.91, 0.91], [900.0, 1000.0, 1000.0], [0.08, 0.09, 0.09],
               surrogate="spike-rate-escape", k=4.0)  # fmt: skip
IF = three([0.80, 0.83, 0.79], [500.0, 560.0, 580.0], [0.04, 0.05, 0.06], neuron="if", k=6.0)
LAPICQUE = three([0.90, 0.92, 0.91], [1000.0, 1100.0, 1200.0], [0.10, 0.11, 0.12], k=6.0,
                 neuron="lapicque", resistance=2.0)  # fmt: skip


def one(records: list[Record]) -> Characterization:
    (found,) = characterize(tuple(records))
    return found


def cell(found: Characterization, surrogate: str = "arctan", neuron: str = "lif") -> Cell:
    (each,) = [each for each in found.cells if (each.surrogate, each.neuron) == (surrogate, neuron)]
    return each


def test_cells_are_runs_that_differ_in_their_seed() -> None:
    found = one(BASE + ESCAPE + IF)
    labels = ["conv 16-32, arctan, lif", "conv 16-32, spike-rate-escape, lif", "conv 16-32, arctan, if"]
    assert [each.label for each in found.cells] == labels  # the baseline first, surrogates before neurons
    assert found.samples == (30,)
    base = cell(found)
    cycles = base.mean(lambda each: each.cycles)
    assert cycles is not None
    assert (cycles.n, cycles.mean, cycles.sd) == (3, 1100.0, pytest.approx(100.0))
    first = base.figures[0]
    assert (first.rate, first.inputs, first.hidden) == (pytest.approx(0.2), 100.0, 1.0)
    assert (first.input_share, first.hidden_share) == (0.25, 0.5)


def test_changes_are_paired_by_seed_with_an_interval() -> None:
    found = one(BASE + ESCAPE)
    escape, base = cell(found, "spike-rate-escape"), cell(found)
    assert base.is_baseline
    assert (escape.baseline, escape.is_baseline) == (base.label, False)
    each = np.array([-10.0, -100 / 11, -100 / 6])  # percent, seed by seed
    half = T2 * each.std(ddof=1) / math.sqrt(3)
    cycles = escape.changes["cycles"]
    assert (cycles.n, cycles.mean) == (3, pytest.approx(each.mean()))
    assert cycles.interval == pytest.approx((each.mean() - half, each.mean() + half))
    assert cycles.noise is False
    points = np.array([1.0, -1.0, 0.0])
    accuracy = escape.changes["accuracy"]
    assert accuracy.mean == pytest.approx(points.mean())
    assert accuracy.interval == pytest.approx((-T2 / math.sqrt(3), T2 / math.sqrt(3)))
    assert accuracy.noise is True
    assert escape.keeps_accuracy


@pytest.mark.parametrize(
    ("own", "base", "expected"),
    [
        ([9.0], [10.0], Change(1, -10.0, None, None)),  # one seed: nothing is known of noise
        ([10.0], [10.0], Change(1, 0.0, None, None)),
        ([10.0, 20.0], [10.0, 20.0], Change(2, 0.0, None, True)),  # the same
        ([9.0, 18.0], [10.0, 20.0], Change(2, -10.0, None, None)),  # all differences equal: no interval
    ],
)
def test_changes_at_the_edges(own: list[float], base: list[float], expected: Change) -> None:
    found = change(own, base)
    assert (found.n, found.interval, found.noise) == (expected.n, expected.interval, expected.noise)
    assert found.mean == pytest.approx(expected.mean)


@pytest.mark.parametrize(
    ("accuracy", "kept"),
    [
        ([0.89, 0.90, 0.92], True),  # a little worse, within noise
        ([0.80, 0.82, 0.81 + 1e-6], False),  # ten points, beyond it
        ([0.95, 0.97, 0.96 + 1e-6], True),  # better
    ],
)
def test_accuracy_is_kept_within_noise_or_better(accuracy: list[float], kept: bool) -> None:
    found = one(BASE + three(accuracy, [1.0, 2.0, 3.0], surrogate="sigmoid", k=8.0))
    assert cell(found, "sigmoid").keeps_accuracy is kept


def test_seeds_without_a_partner_and_failed_runs_do_not_count() -> None:
    failed = replace(ESCAPE[1], profiles={}, circuits={})
    planned = Record(ESCAPE[2].name, ESCAPE[2].config)
    found = one([*BASE[:2], ESCAPE[0], failed, planned])
    escape = cell(found, "spike-rate-escape")
    assert [each.seed for each in escape.figures] == [0]
    assert escape.missing == (1, 2)
    assert escape.changes["cycles"] == Change(1, pytest.approx(-10.0), None, None)
    assert not one([*BASE[1:], ESCAPE[0]]).cells[1].changes  # no seed in common
    nothing = one([*BASE, Record(ESCAPE[0].name, ESCAPE[0].config)])
    assert cell(nothing, "spike-rate-escape").mean(lambda each: each.cycles) is None
    assert "missing" in "\n".join(line for table in tables_of(nothing) for line in table.lines(UNLIMITED))


def test_without_a_baseline_there_are_no_changes() -> None:
    found = one(ESCAPE + IF)
    assert [each.baseline for each in found.cells] == ["", ""]
    assert all(not each.changes and not each.keeps_accuracy for each in found.cells)
    assert [each.best for each in found.claims[:3]] == [None] * 3
    assert found.claims[3].best is not None


def test_the_baseline_has_the_same_recipe_and_the_nearest_slope() -> None:
    other = three([0.5] * 3, [1.0] * 3, k=4.0)
    found = one(BASE + other + ESCAPE)
    labels = {each.label: each.baseline for each in found.cells}
    assert labels["conv 16-32, spike-rate-escape, lif"] == "conv 16-32, arctan, lif, k 4"
    assert labels["conv 16-32, arctan, lif, k 6"] == "conv 16-32, arctan, lif, k 6"


def test_networks_and_data_are_never_compared() -> None:
    wide = three([0.9] * 3, [10.0, 11.0, 12.0], hidden=(64,), kind="fc", k=6.0)
    elsewhere = [replace(each, data={**each.data, "frame_digest": "b" * 64}) for each in BASE]
    first, second = characterize(tuple(BASE + wide + elsewhere))
    assert (first.networks, second.networks) == (("conv 16-32", "fc 64"), ("conv 16-32",))
    assert {each.network for each in first.correlations} == {EVERY, "conv 16-32", "fc 64"}
    assert {each.network for each in second.correlations} == {"conv 16-32"}
    assert all(each.is_baseline for each in first.cells)
    assert {each.network: each.n for each in first.correlations} == {EVERY: 6, "conv 16-32": 3, "fc 64": 3}


def test_the_front_against_its_definition() -> None:
    found = one(BASE + ESCAPE + IF + LAPICQUE)
    points = {}
    for each in found.cells:
        cycles, accuracy = each.mean(lambda one: one.cycles), each.mean(lambda one: one.accuracy)
        assert cycles
        assert accuracy
        points[each.label] = (cycles.mean, accuracy.mean)
    expected = set(points)
    for a, b in itertools.permutations(points, 2):
        if points[b][0] <= points[a][0] and points[b][1] >= points[a][1] and points[a] != points[b]:
            expected.discard(a)
    assert set(found.front) == expected == {"conv 16-32, arctan, if", "conv 16-32, spike-rate-escape, lif"}
    assert front_of([*found.cells[:1], cell(found, neuron="lapicque")]) == (  # equal ones both stand
        "conv 16-32, arctan, lif", "conv 16-32, arctan, lapicque",
    )  # fmt: skip


def by_hand(a: list[float], b: list[float]) -> float:
    """Spearman's: Pearson's of mean ranks."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(v < each for v in values) + (sum(v == each for v in values) + 1) / 2 for each in values]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def test_correlations_with_ties_against_ranks_by_hand() -> None:
    runs = [each for found in one(BASE + ESCAPE + IF).cells for each in found.figures]
    cycles = [each.cycles for each in runs]
    found = {each.predictor: each for each in correlate("conv 16-32", runs)}
    for name, figure in PREDICTORS.items():
        values = [figure(each) for each in runs]
        if name == "input events":
            assert (found[name].rho, found[name].p) == (None, None)  # the same in every run
        else:
            assert found[name].rho == pytest.approx(by_hand(values, cycles))
    assert found["SynOps"].rho == pytest.approx(1.0)
    assert {each.n for each in found.values()} == {9}
    assert all(each.rho is None for each in correlate("x", runs[:2]))


def test_p_of_few_runs_is_exact() -> None:
    a, b = np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 7.0])
    assert rank_p(a, b) == pytest.approx(2 / 6)  # one order of six, and its reverse
    c = np.array([2.0, 1.0, 3.0, 4.0])
    rho = abs(by_hand([1, 2, 3, 4], c.tolist()))
    orders = list(itertools.permutations([1, 2, 3, 4]))
    share = sum(abs(by_hand(list(each), c.tolist())) >= rho - 1e-9 for each in orders) / len(orders)
    assert rank_p(np.arange(4.0), c) == pytest.approx(share)
    many = np.arange(9.0)
    rho = by_hand(many.tolist(), (many % 4).tolist())
    t = rho * math.sqrt(7 / (1 - rho**2))
    from scipy import stats

    assert rank_p(many, many % 4) == pytest.approx(2 * stats.t.sf(abs(t), 7))


def test_the_studys_figures_beside_ours() -> None:
    found = one(BASE + ESCAPE + IF + LAPICQUE)
    surrogate, neuron, gain, spread = found.claims
    escape = cell(found, "spike-rate-escape").changes["cycles"]
    best = Best("conv 16-32, spike-rate-escape, lif", escape.mean, escape.interval, escape.noise)
    assert surrogate.same == surrogate.best == surrogate.kept == best
    assert neuron.same is not None
    assert (neuron.same.value, neuron.same.noise) == (0.0, True)
    assert neuron.best is not None
    assert neuron.best.cell == "conv 16-32, arctan, if"
    each = [100 * (own / base - 1) for own, base in ((500, 1000), (560, 1100), (580, 1200))]
    assert neuron.best.value == pytest.approx(np.mean(each))
    assert neuron.kept == neuron.same  # `if` loses ten points
    assert gain.best is not None
    assert gain.best.value == pytest.approx(0.0)
    assert spread.best is not None
    assert spread.best.value == pytest.approx(1100 / (1640 / 3))
    assert spread.kept is not None
    assert spread.kept.value == pytest.approx(1100 / (2900 / 3))
    assert claims_of("another", found.cells)[3].best is None


def test_tables_say_times_noise_and_what_is_the_same() -> None:
    found = one(BASE + ESCAPE)
    text = "\n".join(line for table in tables_of(found, Clock(10.0)) for line in table.lines(UNLIMITED))
    assert "110.0 µs" in text  # 1,100 cycles at 10 MHz
    assert "+0.0 [-2.5, +2.5] within noise" in text
    assert "-11.9 % [-22.2, -1.6]: spike-rate-escape, lif" in text
    assert "conv 16-32 input events → cycles 6 – –" in " ".join(text.split())
    assert "more" not in tables_of(found)[0].columns
    titles = [each.title.partition(".")[0] for each in make_tables(tuple(BASE))]
    assert "Pareto front" in titles


def test_a_picture_of_every_network(tmp_path: Path) -> None:
    path = draw(characterize(tuple(BASE + ESCAPE + IF)), tmp_path / "a.svg")
    assert path.read_text().count("<!-- spike-rate-escape -->") == 1  # its mark's name


def test_circuits_are_kept_in_files_and_files_without_stay_as_they_were(tmp_path: Path) -> None:
    assert RECORD.fits(json.loads(json.dumps(_to_dict(BASE[0]))))
    path = tmp_path / "raw.json"
    path.write_text(raw_text(BASE))
    assert one(list(load_records([path]))).cells[0].label == "conv 16-32, arctan, lif"
    before = _to_dict(record())
    assert "circuits" not in before
    assert record_of(before).circuits == {}
    broken = _to_dict(replace(BASE[0], circuits={INT4: {"samples": 3}}))
    assert not RECORD.fits(json.loads(json.dumps(broken)))


CROSS = Cross(
    "nmnist", "conv", (8, 16), ("arctan", "triangular"), ("lif", "if"), (0, 1), INT4, 3, size=(17, 17)
)


def test_a_written_study_is_the_study(tmp_path: Path) -> None:
    path = CROSS.write(tmp_path, overwrite=False)
    assert path.name == "characterize-nmnist.toml"
    read, made = load_study(path), CROSS.study(None)
    assert [each.config for each in read.runs] == [each.config for each in made.runs]
    assert len(read.runs) == 8
    for each in read.runs:
        values = each.config["network"]
        assert SURROGATES[values["surrogate"]].steepest(values["k"]) == pytest.approx(STEEPNESS)
        assert (each.recipe.recipe.forward, each.recipe.recipe.init, each.recipe.recipe.k_start) == (
            "hard", "lsuv", 0.0,
        )  # fmt: skip
        assert [stage.key for stage in each.stages] == ["float", f"profile {INT4}", f"circuit {INT4}"]
    CROSS.write(tmp_path, overwrite=False)  # the same again
    with pytest.raises(OutputError, match="holds a study"):
        replace(CROSS, epochs=4).write(tmp_path, overwrite=False)
    replace(CROSS, epochs=4).write(tmp_path, overwrite=True)


def test_a_name_of_any_data_set_is_one_of_a_folder() -> None:
    odd = replace(CROSS, dataset='folder:/a "b"/ü')
    assert odd.name == "characterize-folder-a-b"
    assert odd.study(Path("r")).runs[0].data.dataset == odd.dataset


def test_a_study_without_circuits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    text = CROSS.text()
    path.write_text(text.replace("circuits", "# circuits"))
    with pytest.raises(UsageError, match="no circuits of a profile"):
        check_measured(load_study(path), path)
    path.write_text(text.replace(f'circuits = ["{INT4}"]', 'circuits = ["loihi-int8"]'))
    with pytest.raises(UsageError, match="no circuits of a profile"):
        check_measured(load_study(path), path)
    path.write_text(text)
    check_measured(load_study(path), path)
