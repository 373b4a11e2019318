"""SANA-FE 2.2.9 beside us: energy, messages, hops and time of programs on a mesh, their spikes and membranes.

It is GPL-3.0, so it runs in a process of its own, of the Python that SAST_WITNESS_PYTHON names.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import DECODINGS, Dense, Program, Readout, frozen_ints, per_neuron
from sast_deploy.reports.costs.cost import cost_of
from sast_deploy.reports.costs.placement import placed as placed_nodes
from sast_deploy.reports.costs.tables import price_table
from tests.programs import conv
from tests.witness.cases import VARIABLE, Case, interpreter, run_sanafe
from tests.witness.mesh import CORES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(interpreter() is None, reason=f"no Python with sanafe: {VARIABLE} names one"),
]
PROGRAMS = 24
LAST_DIGIT = 1e-12  # relative: they add 300,000 terms one by one
LARGE = (2312, 168, 64, 10)
TILES = (1, 2, 3, 4, 28, 29, 32)


def arithmetic(reset, comparison=">"):
    """What SANA-FE's Loihi neurons compute: it has no saturation, and subtracts before the leak."""
    order = "before-leak" if reset == "subtract" else "after-leak"
    return Arithmetic(QFormat(24, 0), 8, "saturate", "toward-zero", "floor", comparison, reset, order)


def layer_of(rng, inputs, neurons, recurrent=False):
    """Half of the neurons near enough to their threshold to fire now and then, at any leak."""
    return Dense(
        frozen_ints(rng.integers(-40, 60, (neurons, inputs)) * (rng.random((neurons, inputs)) < 0.8)),
        frozen_ints(rng.integers(-30, 60, neurons)),
        frozen_ints(rng.integers(50, 400, neurons)),
        int(rng.integers(0, 2)),
        frozen_ints(rng.integers(0, 4097, neurons)),
        recurrent=frozen_ints(rng.integers(-40, 40, (neurons, neurons))) if recurrent else None,
    )


def readout_of(rng, inputs, decoding):
    weight, bias = rng.integers(-90, 90, (4, inputs)), rng.integers(-30, 30, 4)
    decay = frozen_ints(rng.integers(0, 4097, 4))
    return Readout(frozen_ints(weight), frozen_ints(bias), 0, v_decay=decay, decoding=decoding)


def any_case(number):
    """Either reset and comparison, recurrence, convolutions, readouts; layers on a core or on several.

    Of every third, each spike goes to one core: layers are whole, and have no recurrence.
    """
    rng, whole = np.random.default_rng(number), number % 3 == 0
    reset = ("zero", "subtract")[number % 2]
    rules = arithmetic(reset, (">", ">=")[number // 2 % 2] if reset == "zero" else ">")
    shape = (2, int(rng.integers(3, 8)), int(rng.integers(3, 8)))
    sizes = [int(np.prod(shape)), int(rng.integers(4, 50)), int(rng.integers(3, 20)), 4]
    layers = [layer_of(rng, *sizes[n : n + 2], recurrent=not whole and number % 5 == n) for n in range(3)]
    if number % 6 == 5:
        first = replace(conv(rng, 2, 3), weight_exp=4, vth=frozen_ints([60, 90, 120]))
        layers[:2] = [first, layer_of(rng, 3 * shape[1] * shape[2], sizes[2])]
    if number % 4 < 3:
        layers[2] = readout_of(rng, sizes[2], DECODINGS[number % 4])
    program = Program("witness", shape, 1, 8, tuple("abcd"), rules, tuple(layers))
    frames = (rng.random((2, 8, *shape)) < rng.uniform(0.05, 0.4)).astype(np.uint8)
    pairs = "nonzero" if number % 6 == 5 else ("all", "nonzero")[number // 3 % 2]
    return Case(program, frames, placed(rng, program, whole), "detailed" if whole else "simple", pairs)


def placed(rng, program, whole):
    """Populations on cores of their own anywhere on the mesh; of a layer on one core, or on up to four."""
    free, cores = rng.permutation(CORES)[: rng.integers(16, CORES + 1)].tolist(), []
    for shape in program.shapes():
        own = [free.pop() for _ in range(1 if whole else rng.integers(1, 5))]
        cores.append(np.sort(rng.choice(own, int(np.prod(shape)))))
    return cores


def large_case(timing, *places):
    """2312-168-64-10 with layers on the given numbers of cores, one after the other; inputs behind them."""
    rng = np.random.default_rng(7)
    hidden = [layer_of(rng, *LARGE[n : n + 2]) for n in range(2)]
    hidden = [replace(layer, vth=frozen_ints([900 * (2 - n)])) for n, layer in enumerate(hidden)]
    names = tuple(map(str, range(10)))
    last = Readout(frozen_ints(rng.integers(-90, 90, (10, 64))), frozen_ints(np.zeros(10, int)), 0)
    program = Program("large", (2, 34, 34), 1, 10, names, arithmetic("zero", ">="), (*hidden, last))
    frames = (rng.random((1, 10, 2, 34, 34)) < 0.08).astype(np.uint8)
    starts = np.cumsum([0, *places])
    spread = zip(starts, places, LARGE[1:], strict=False)
    cores = [start + np.arange(size) * parts // size for start, parts, size in spread]
    return Case(program, frames, [8 + np.arange(2312) // 1024, *cores], timing)


def spread_case(tiles):
    """One layer of 40 neurons, on so many tiles; the more are in use, the longer they synchronise."""
    rng = np.random.default_rng(tiles)
    layer, names = layer_of(rng, 8, 40), tuple(map(str, range(40)))
    program = Program("spread", (2, 2, 2), 1, 4, names, arithmetic("zero"), (layer,))
    frames = (rng.random((1, 4, 2, 2, 2)) < 0.5).astype(np.uint8)
    return Case(program, frames, [np.zeros(8, int), 4 * (np.arange(40) % tiles) + 1])


def costed(program, samples=2):
    """A program where our mapping puts it, and its cost; the pixels on nodes in front of the cores."""
    rng = np.random.default_rng(11)
    size = (samples, program.steps, *program.input_shape)
    frames = ((rng.random(size) < 0.1) * rng.integers(1, program.input_max + 1, size)).astype(np.uint8)
    cost = cost_of(program, frames, "net", {}, "loihi1", price_table("sana-fe-loihi"))
    place = placed_nodes(program, cost.mapping)
    cores = [place.entry_of(int(np.prod(program.input_shape)))]
    first = 0
    for layer in cost.mapping.layers:
        at = np.zeros((*layer.shape, 1, 1)[:3], int)
        for number, part in enumerate(layer.parts):
            part.block.of(at)[...] = place.node_of(first + number)
        cores.append(at.ravel())
        first += layer.cores
    return Case(program, frames, cores), cost


def deployed(weight_bits):
    """2312-168-64-10 as we compile it: reset by subtraction after the leak, membranes that saturate."""
    rng, most = np.random.default_rng(weight_bits), (1 << (weight_bits - 1)) - 1
    layers = [
        Dense(frozen_ints(rng.integers(-most, most + 1, (LARGE[n + 1], LARGE[n]))), frozen_ints([1]),
              frozen_ints([100]), 0, frozen_ints([2048]))
        for n in range(2)
    ]  # fmt: skip
    last = Readout(frozen_ints(rng.integers(-most, most + 1, (10, 64))), frozen_ints(np.zeros(10, int)), 0)
    rules = Arithmetic(QFormat(8, 4), weight_bits, "saturate", "toward-zero", "floor", ">=", "subtract")
    return Program("deployed", (2, 34, 34), 4, 10, tuple(map(str, range(10))), rules, (*layers, last))


def convolved():
    """Two convolutions without zero weights, and a readout."""
    rng = np.random.default_rng(2)
    layers = [replace(conv(rng, *channels), weight_exp=0) for channels in ((2, 5), (5, 8))]
    layers = [
        replace(layer, weight=frozen_ints(np.where(layer.weight, layer.weight, 1)), vth=frozen_ints([3]))
        for layer in layers
    ]
    shape = layers[1].out_shape(layers[0].out_shape((2, 20, 21)))
    weight = rng.integers(-3, 4, (3, int(np.prod(shape))))
    last = Readout(frozen_ints(weight), frozen_ints(np.zeros(3, int)), 0)
    return Program("convolved", (2, 20, 21), 3, 5, tuple("abc"), deployed(4).arithmetic, (*layers, last))


@pytest.fixture(scope="module")
def deployments(tmp_path_factory):
    """[(our cost, what SANA-FE found for each sample)] of programs on the cores of our mapping."""
    programs = [deployed(4), deployed(8), convolved(), deployed(4)]
    cases = [costed(program) for program in programs]
    networks = []
    for case, _ in cases:
        record = run_vectorised(case.program, case.frames, trace=True)
        networks.append(case.replayed(record))
    networks[-1]["timing"] = "detailed"
    results = run_sanafe(networks, tmp_path_factory.mktemp("deployed"))
    return [(cost, samples) for (_, cost), samples in zip(cases, results, strict=True)]


def test_our_mapping_and_counts_cost_what_sanafe_finds(deployments):
    """Of FC networks on 4 and 5 cores, as compiled, and a convolution: energy and time to the last digit."""
    cores = [cost.mapping.cores for cost, _ in deployments]
    assert cores[:2] + cores[3:] == [4, 5, 4]
    assert cores[2] > 3
    for cost, samples in deployments[:-1]:
        energy = np.mean([sum(sample["energy"]["total"]) for sample in samples])
        assert same(cost.energy.joules, energy)
        assert same(cost.counts["messages"], np.mean([sum(sample["messages"]) for sample in samples]))
        hops = np.mean([np.sum(sample["hops"], axis=0) for sample in samples], axis=0)
        assert same([cost.counts["hops east-west"], cost.counts["hops north-south"]], hops)
        times = [sum(sample["time"]) for sample in samples]
        assert same([cost.latency.mean, cost.latency.worst], [np.mean(times), max(times)])
        steps = samples[cost.latency.sample]["time"]
        assert same([row.seconds for row in cost.latency.rows], steps)


def test_its_detailed_time_waits_for_the_mesh_besides(deployments):
    """What latency leaves out, said in its text: never faster."""
    cost, samples = deployments[-1]
    times = [sum(sample["time"]) for sample in samples]
    assert 1 <= np.mean(times) / cost.latency.mean < 2


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """[(case, our record, what SANA-FE found for each sample)]: small ones, then two large."""
    small = [any_case(number) for number in range(PROGRAMS)] + [spread_case(tiles) for tiles in TILES]
    large = [large_case("simple", 3, 1, 1), large_case("detailed", 1, 1, 1)]
    networks = [case.network() for case in small + large]
    results = run_sanafe(networks, tmp_path_factory.mktemp("sanafe"))
    records = [run_reference(case.program, case.frames, trace=True) for case in small]
    records += [run_vectorised(case.program, case.frames, trace=True) for case in large]
    return list(zip(small + large, records, results, strict=True))


@pytest.fixture(scope="module")
def on_chip(found):
    """[(case, its mesh, our spikes at the steps of the chip, what SANA-FE found)] of every sample."""
    meshes = [case.mesh() for case, _, _ in found]
    return [
        (case, mesh, case.fired(record, n), sample)
        for mesh, (case, record, samples) in zip(meshes, found, strict=True)
        for n, sample in enumerate(samples)
    ]


def same(ours, theirs):
    return np.allclose(ours, theirs, rtol=LAST_DIGIT, atol=0)


def test_spikes_are_ours(found, on_chip):
    for case, _, fired, sample in on_chip:
        for ours, theirs in zip(fired[1:], sample["spikes"], strict=True):
            assert [np.flatnonzero(step).tolist() for step in ours] == theirs, case.program.arithmetic
    rates = [trace.spikes.mean() for _, record, _ in found for trace in record.traces]
    assert np.mean([0.02 < rate < 0.9 for rate in rates]) > 0.8


def after_reset(case, layer, trace):
    """Membranes (samples, steps, neurons) with the reset of their step, which ours take at the next."""
    if case.program.arithmetic.reset == "zero":
        return trace.membrane * (1 - trace.spikes)
    return trace.membrane - per_neuron(layer.vth, trace.membrane.shape[2]) * trace.spikes


def test_membranes_are_ours(found):
    for case, record, samples in found:
        steps = case.frames.shape[1]
        for n, (_, layer) in enumerate(case.program.spiking()):
            theirs = [sample["potentials"][n][n + 1 : n + 1 + steps] for sample in samples]
            assert np.array_equal(after_reset(case, layer, record.traces[n]), theirs)
            assert np.abs(record.traces[n].membrane).max() < 1 << 22  # nothing saturates
    assert min(trace.membrane.min() for _, record, _ in found for trace in record.traces) < -100


def test_logits_are_ours(found):
    """Of the membrane potentials of a readout: neurons that never fire."""
    decoded = {"last": lambda m: m[:, -1], "max": lambda m: m.max(1), "mean": lambda m: m.sum(1)}
    readouts = [results for results in found if isinstance(results[0].program.layers[-1], Readout)]
    for case, record, samples in readouts:
        late, steps = len(case.program.layers), case.frames.shape[1]
        membranes = np.array([sample["potentials"][-1][late : late + steps] for sample in samples])
        assert np.array_equal(record.logits, decoded[case.program.layers[-1].decoding](membranes))
    assert len(readouts) > PROGRAMS / 2


def test_energy_is_counts_times_prices(on_chip):
    for _, mesh, fired, sample in on_chip:
        energy = mesh.energy(fired)
        assert energy.keys() == sample["energy"].keys()
        assert all(same(energy[part], sample["energy"][part]) for part in energy)
        assert mesh.messages(fired).tolist() == sample["messages"]
        assert mesh.hops(fired).tolist() == sample["hops"]


def test_time_is_that_of_the_busiest_core(on_chip):
    for case, mesh, fired, sample in on_chip:
        if case.timing == "simple":
            assert same(mesh.times(fired).max(1), sample["time"])
    synchronised = [mesh.synchronisation for case, mesh, *_ in on_chip if case.program.name == "spread"]
    assert synchronised == [600, 1000, 1000, 1400, 1400, 1800, 1800]


def test_detailed_time_is_that_of_queues_where_layers_are_whole(on_chip):
    """How much the first arrival of a step adds to the busiest core is small where there is much to do."""
    whole = [sample for sample in on_chip if sample[0].timing == "detailed"]
    for _, mesh, fired, sample in whole:
        assert same(mesh.queued(fired), sample["time"])
        assert not same(mesh.times(fired).max(1), sample["time"])
    _, mesh, fired, sample = whole[-1]
    assert np.isclose(mesh.times(fired).max(1).sum(), sum(sample["time"]), rtol=1e-3)
    assert len(whole) > PROGRAMS / 3
