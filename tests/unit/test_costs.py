"""Costs of a run: every count derived a second way, totals from their terms, wrong tables refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import UsageError
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.program import Conv2d, Readout
from sast_deploy.program.sums import fan_in
from sast_deploy.proofs.chips import LOIHI1
from sast_deploy.proofs.mapping import map_program
from sast_deploy.reports.costs.activity import count_activity, run_activity
from sast_deploy.reports.costs.cost import chosen_table, cost_of
from sast_deploy.reports.costs.energy import energy_of
from sast_deploy.reports.costs.latency import latency_of
from sast_deploy.reports.costs.placement import Placement
from sast_deploy.reports.costs.tables import COUNTS, DEFAULT, GRADES, price_table, table_names
from sast_deploy.reports.synops import count_operations
from tests.programs import conv_program, fc_program
from tests.unit.test_mapping import SMALL, numbered, recurrent_program, upsampled_program

PROGRAMS = {
    "fc": lambda: fc_program(np.random.default_rng(0)),
    "conv": lambda: conv_program(np.random.default_rng(1)),
    "recurrent": recurrent_program,
    "upsampled": upsampled_program,
}
DATA = {"provenance": "random"}


def some_frames(program, samples=3):
    rng = np.random.default_rng(5)
    size = (samples, program.steps, *program.input_shape)
    return (rng.random(size) < 0.3) * rng.integers(1, program.input_max + 1, size)


def mapped(name, chip=SMALL):
    program = PROGRAMS[name]()
    return program, map_program(program, chip), some_frames(program)


def reaches(program):
    """For every weighted layer {neuron: {source: connections}}, of real sources, zero weights included.

    A source is ("in", neuron or pixel in front of pools) or ("own", neuron of the layer itself).
    """
    shapes, before = program.shapes(), []
    for index, layer in enumerate(program.layers):
        if not hasattr(layer, "weight"):
            before.append((layer, shapes[index]))
            continue
        ones = replace(layer, weight=np.ones_like(layer.weight))
        start = before[0][1] if before else shapes[index]
        found = {}
        for neuron in range(int(np.prod(shapes[index + 1]))):
            counts = {}
            for j, _, _ in fan_in(ones, shapes[index], neuron):
                for real in real_sources(before, shapes[index], j, start):
                    counts["in", real] = counts.get(("in", real), 0) + 1
            if getattr(layer, "recurrent", None) is not None:
                counts |= {("own", j): 1 for j in range(len(layer.recurrent))}
            found[neuron] = counts
        yield found
        before = []


def real_sources(before, shape, j, start):
    """The inputs in front of pools and upsamplings that make up input j behind them."""
    grid = {tuple(place): {tuple(place)} for place in np.ndindex(start)} if len(start) == 3 else None
    if grid is None:
        return [j]
    for layer, _ in before:
        if hasattr(layer, "kernel"):
            (rows, columns), found = layer.kernel, {}
            for (c, y, x), members in grid.items():
                found.setdefault((c, y // rows, x // columns), set()).update(members)
            grid = found
        else:
            rows, columns = layer.factors
            grid = {
                (c, y * rows + dy, x * columns + dx): members
                for (c, y, x), members in grid.items() for dy in range(rows) for dx in range(columns)
            }  # fmt: skip
    place = tuple(int(n) for n in np.unravel_index(j, shape)) if len(shape) == 3 else None
    members = grid[place] if place else [each for at, each in grid.items() if np.prod(at) == j]
    return [int(np.ravel_multi_index(each, start)) for each in members]


@pytest.mark.parametrize("name", PROGRAMS)
def test_counts_are_those_of_every_spike_along_every_connection(name):
    """One spike after the other: which cores it reaches, in which step of the chip, over how many hops."""
    program, mapping, frames = mapped(name)
    record = run_reference(program, frames, trace=True)
    found = count_activity(program, mapping, frames, [trace.spikes for trace in record.traces])
    trains = [(frames != 0).reshape(len(frames), program.steps, -1)]
    trains += [trace.spikes for trace in record.traces]
    expected = {key: np.zeros_like(getattr(found, key)) for key in ("received", "events", "spikes", "sent")}
    entered, hops = np.zeros_like(found.entered), np.zeros((3, len(frames)), int)
    place, first, homes = found.placement, 0, []
    for layer in mapping.layers:
        members = [numbered(part.block, layer.shape) for part in layer.parts]
        homes.append({n: first + k for k, inside in enumerate(members) for n in inside})
        first += layer.cores
    for number, wired in enumerate(reaches(program)):
        by_source = {}
        for neuron, sources in wired.items():
            for source, count in sources.items():
                cores = by_source.setdefault(source, {})
                core = homes[number][neuron]
                cores[core] = cores.get(core, 0) + count
        for (kind, j), cores in by_source.items():
            level = number if kind == "in" else number + 1
            node = j // 1024 if level == 0 else place.entries + homes[level - 1][j]
            for sample, step in np.argwhere(trains[level][:, :, j]):
                at = step + level
                for core, count in cores.items():
                    expected["received"][sample, at, core] += 1
                    expected["events"][sample, at, core] += count
                    one, other = node // 4, (place.entries + core) // 4
                    hops[:, sample] += abs(one // 4 - other // 4), abs(one % 4 - other % 4), one == other
                    if level:
                        expected["sent"][sample, at, homes[level - 1][j]] += 1
                    else:
                        entered[sample, at, node] += 1
    for number, train in enumerate(trains[1:]):
        for sample, step, neuron in np.argwhere(train):
            expected["spikes"][sample, step + number + 1, homes[number][neuron]] += 1
    for key, values in expected.items():
        np.testing.assert_array_equal(getattr(found, key), values, err_msg=key)
    np.testing.assert_array_equal(found.entered, entered)
    np.testing.assert_array_equal([found.across, found.along, found.inside], hops)
    assert mapping.cores > len(mapping.layers), "a program on one core a layer shows nothing"


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("chip", [LOIHI1, SMALL], ids=["loihi1", "small"])
def test_events_of_all_cores_are_the_synops(name, chip):
    program, mapping, frames = mapped(name, chip)
    activity, record = run_activity(program, mapping, frames)
    operations = count_operations(program, frames, record.counts)
    conv = [isinstance(program.layers[layer.index], Conv2d) for layer in mapping.layers]
    for kind, chosen in (("conv", True), ("dense", False)):
        synops = sum(ops.synops for ops, is_conv in zip(operations, conv, strict=True) if is_conv == chosen)
        assert activity.counts[f"{kind} synaptic events"] == pytest.approx(synops, rel=1e-12)
    assert activity.counts["messages"] == activity.counts["messages received"]
    assert activity.counts["spikes"] == pytest.approx(sum(c.sum() for c in record.counts) / len(frames))
    assert activity.steps == program.steps + len(mapping.layers)
    assert activity.counts["neuron updates"] == activity.neurons.sum() * activity.steps


@pytest.mark.parametrize("table", table_names())
def test_totals_follow_by_hand_from_the_printed_terms(table):
    program, _, frames = mapped("conv")
    told = cost_of(program, frames, "net", DATA, SMALL, price_table(table)).to_dict()
    terms = told["energy"]["terms"]
    by_hand = sum(term["count"] * term["pj"] for term in terms) * 1e-12
    assert by_hand == pytest.approx(told["energy"]["joules"])
    assert all(term["count"] == told["counts"][term["name"]] for term in terms)
    if told["latency"] is None:
        assert table != DEFAULT
        return
    total = 0.0
    for row in told["latency"]["rows"]:  # 3.1 ns of a convolution's events, 3.8 of a dense layer's
        event = 3.1 if "conv" in row["layer"] else 3.8
        if row["doing"] == "receiving":
            busy = row["messages"] * 16 + row["events"] * event
        else:
            busy = row["neurons"] * (6.0 + 3.7) + row["spikes"] * 30 + row["sent"] * 5.1
        total += busy * 1e-9 + told["latency"]["synchronisation"]
    assert told["latency"]["seconds"] == pytest.approx(total)
    assert told["latency"]["median"] == pytest.approx(told["latency"]["seconds"])
    assert len(told["latency"]["rows"]) == program.steps + 4


def test_latency_is_of_the_core_that_takes_longest_in_every_step():
    """All cores of all steps, one by one, by the equations in the module's text."""
    program, mapping, frames = mapped("fc")
    activity, _ = run_activity(program, mapping, frames)
    table = price_table(DEFAULT)
    found = latency_of(activity, mapping, table)
    times = []
    for sample in range(len(frames)):
        total = 0.0
        for step in range(activity.steps):
            busy = [activity.entered[sample, step, k] * 5.1 for k in range(activity.placement.entries)]
            for core in range(mapping.cores):
                at = sample, step, core
                busy += [
                    activity.received[at] * 16 + activity.events[at] * 3.8,
                    activity.neurons[core] * 9.7 + activity.spikes[at] * 30 + activity.sent[at] * 5.1,
                ]
            total += max(busy) * 1e-9 + table.synchronising(activity.placement.tiles)
        times.append(total)
    assert found.mean == pytest.approx(np.mean(times))
    assert found.worst == pytest.approx(max(times))
    assert found.median == pytest.approx(sorted(times)[1])
    assert found.median == pytest.approx(times[found.sample])
    assert sum(found.critical.values()) == pytest.approx(1)


def test_the_mesh_and_its_synchronisation():
    """Tiles fill a column of four first; the table's largest entry that is not above counts."""
    place = Placement(entries=3, cores=30)
    assert place.tiles == 9
    across, along = place.hops(np.array([0, 3, 4, 16, 20]), 30)  # tile 7: column 1, row 3
    assert across.tolist() == [1, 1, 1, 0, 0]
    assert along.tolist() == [3, 3, 2, 3, 2]
    table = price_table(DEFAULT)
    times = [table.synchronising(tiles) for tiles in (1, 2, 3, 4, 28, 29, 99)]
    assert times == pytest.approx([0.6e-6, 1e-6, 1e-6, 1.4e-6, 1.4e-6, 1.8e-6, 1.8e-6])


def test_every_table_says_where_its_figures_are_from_and_what_they_leave_out():
    for name in table_names():
        table = price_table(name)
        assert table.name == name
        assert table.grade in GRADES
        assert table.unpriced
        assert all(price.source and price.count in COUNTS for price in table.prices)
    assert set(table_names()) >= {"sana-fe-loihi", "davies2018", "horowitz-45nm"}
    assert not any("loihi2" in price_table(name).chips for name in ("sana-fe-loihi", "davies2018"))


MINE = """
name = "mine"
description = "a table of my own"
grade = "measured"
chips = ["loihi1", "loihi2"]
source = "my lab, 2026"
unpriced = ["the rest"]
[[price]]
count = "spikes"
pJ = 2
ns = 7
source = "page 3"
"""


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    program, mapping, frames = mapped("fc")
    activity, _ = run_activity(program, mapping, frames)
    table = chosen_table(str(path), "loihi2")
    energy = energy_of(activity.counts, table)
    assert [(term.name, term.pj, term.source) for term in energy.terms] == [("spikes", 2.0, "page 3")]
    assert energy.joules == activity.counts["spikes"] * 2e-12
    assert latency_of(activity, mapping, table) is None, "a table without synchronisation has no steps' times"


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('count = "spikes"', 'count = "spike"', r"price\[0\].count = 'spike'; expected one of dense syn"),
        ("pJ = 2", "pJ = -2", r"price\[0\].pJ = -2; expected a number from 0"),
        ("pJ = 2", "", r"price\[0\].pJ"),
        ('grade = "measured"', 'grade = "guessed"', "grade = 'guessed'; expected one of measured"),
        ('source = "my lab, 2026"', "", "source"),
        ('chips = ["loihi1", "loihi2"]', 'chips = ["loihi3"]', r"chips\[0\] = 'loihi3'"),
        ("ns = 7", "us = 7", r"us"),
        ('count = "spikes"', 'count = "hops east-west"', r"price\[0\].ns = 7; expected times of"),
        ("[[price]]", "[synchronisation]\ntiles = [2, 1]\nus = [1, 2]\n[[price]]", "synchronisation = 2 t"),
        ("pJ = 2", "pJ = 2\n[[price]]\ncount = 'spikes'\npJ = 3", r"price\[1\].count = 'spikes'"),
        ('name = "mine"', 'name = "sana-fe-loihi"', "name = 'sana-fe-loihi'; expected a name that no table"),
        ("name =", "nam e =", "not valid TOML"),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(tmp_path, old, new, wrong):
    path = tmp_path / "mine.toml"
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(UsageError, match=wrong) as caught:
        price_table(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_figure_for_loihi_2():
    program, _, frames = mapped("fc")
    assert chosen_table(None, "loihi2") is None
    cost = cost_of(program, frames, "net", DATA, "loihi2")
    assert (cost.energy, cost.latency) == (None, None)
    assert any("arXiv 2601.10035" in note for note in cost.notes)
    assert {each.what for each in cost.busiest} >= {"synaptic events", "neuron updates", "messages received"}
    with pytest.raises(UsageError, match="nothing is published per operation of Loihi 2"):
        chosen_table("sana-fe-loihi", "loihi2")
    with pytest.raises(UsageError, match="no table of prices 'sanafe'; expected one of davies2018"):
        chosen_table("sanafe", "loihi1")


def test_inputs_above_one_are_said_to_be_one_message():
    program, _, frames = mapped("fc")
    graded = cost_of(program, np.where(frames, 2, 0), "net", DATA)
    assert any("2.00 times as many" in note for note in graded.notes)
    assert not any("graded" in note for note in cost_of(program, frames.clip(0, 1), "net", DATA).notes)


def test_a_readout_sends_nothing_and_all_is_plain():
    program, _, frames = mapped("conv")
    cost = cost_of(program, frames, "net", DATA, SMALL, price_table(DEFAULT))
    assert isinstance(program.layers[-1], Readout)
    assert (cost.loads[-1].spikes, cost.loads[-1].sent) == (0.0, 0.0)
    assert sum(load.cores for load in cost.loads) == cost.mapping.cores
    assert cost.to_dict()["synops"] == cost.synops
