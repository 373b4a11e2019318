"""NeuroBench's metrics, counted by hand; tests/conformance/test_neurobench.py has its own package beside."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import DataError, UsageError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool, frozen_ints
from sast_deploy.reports.costs.neurobench import neurobench
from sast_deploy.reports.synops import count_operations
from tests.programs import RULES, conv_program, fc_program, random_frames


def ints(*values):
    return frozen_ints(list(values))


def neurons(weight, vth=3, **options):
    """A layer that neither leaks nor has biases."""
    zeros = np.zeros(len(weight), int)
    return Dense(frozen_ints(weight), frozen_ints(zeros), frozen_ints(zeros + vth), 0, ints(0), **options)


def reading(*weight):
    return Readout(frozen_ints(weight), frozen_ints(np.zeros(len(weight), int)), 0)


def program_of(*layers, shape=(1, 1, 3), classes=2, steps=2, **options):
    names = tuple(map(str, range(classes)))
    return Program("hand", shape, 2, steps, names, RULES, layers, **options)


def frames_of(*samples, shape=(1, 1, 3)):
    """samples[n][t]: the inputs in a row."""
    found = np.array(samples)
    return found.reshape(*found.shape[:2], *shape).astype(np.uint8 if found.min() >= 0 else np.int8)


# Two samples. The first: membranes (1, -1), (4, 0), so one spike, at the end. The second: (2, 0), (2, 0).
SMALL = program_of(neurons([[1, 0, 2], [0, -1, 1]]), reading([1, 0], [1, 1]))
INPUT = frames_of([[1, 1, 0], [1, 0, 1]], [[2, 0, 0], [0, 0, 0]])


def test_everything_of_a_small_network():
    found = neurobench(SMALL, INPUT)
    assert found.footprint == 10 + 6  # a byte for each 4-bit weight, and for each 8-bit bias and threshold
    assert found.packed_bits == 10 * 4 + 6 * 8
    assert (found.connection_sparsity, found.connection_sparsity_rounded) == (3 / 10, 0.3)
    assert found.activation_sparsity == 7 / 8
    assert found.dense == 2 * (6 + 4)
    assert found.effective_macs == (2 + 3 + 1) / 2  # all of the first layer, for one input is 2
    assert found.effective_acs == 2 / 2  # the spike's two weights in the readout
    assert found.membrane_updates == (2 + 2 + 2) / 2
    first, last = found.layers
    assert (first.weights, first.zeros, first.dense, first.membrane_updates) == (6, 2, 12, 3.0)
    assert (last.weights, last.zeros, last.dense, last.membrane_updates) == (4, 1, 8, None)
    assert (first.activation_sparsity, last.activation_sparsity) == (7 / 8, None)
    assert [layer.name for layer in found.layers] == ["layer 0 (dense)", "layer 1 (readout)"]


@pytest.mark.parametrize(
    ("batch", "macs", "acs"),
    [
        (1, 1, 2 + 3 + 2),  # only the second sample's first step is graded
        (2, 2 + 1, 3 + 2),  # which is one call with the first sample's
        (3, 2 + 1, 3 + 2),
    ],
)
def test_a_batch_decides_between_macs_and_acs(batch, macs, acs):
    found = neurobench(SMALL, INPUT, batch=batch)
    assert (found.effective_macs, found.effective_acs) == (macs / 2, acs / 2)
    assert found.batch == batch
    assert replace(found, batch=None, effective_macs=3.0, effective_acs=1.0, layers=()) == replace(
        neurobench(SMALL, INPUT), layers=()
    )


def test_minus_one_is_no_graded_input():
    program = program_of(neurons([[1, 1, 0]]), reading([1]), classes=1, input_min=-2)
    found = neurobench(program, frames_of([[-1, 1, 0], [0, 0, 0]]))
    assert (found.effective_macs, found.effective_acs) == (0, 2)
    found = neurobench(program, frames_of([[-2, 1, 0], [0, 0, 0]]))
    assert (found.effective_macs, found.effective_acs) == (2, 0)


def test_a_membrane_is_that_before_the_reset_of_its_own_spike():
    """3, which fires, then 0: an update, though after each step's own reset both are 0."""
    program = program_of(neurons([[3]]), reading([1]), classes=1, shape=(1, 1, 1), steps=3)
    assert neurobench(program, frames_of([[1], [0], [0]], shape=(1, 1, 1))).membrane_updates == 2


def test_the_sum_of_two_spikes_is_one_graded_input():
    one = frozen_ints(np.ones((1, 1, 1, 1), int))
    square = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    first = Conv2d(one, ints(0), ints(1), 0, ints(4096), **square)
    program = program_of(first, SumPool((1, 2)), reading([1], [1]), shape=(1, 1, 2))
    frames = frames_of([[1, 1], [2, 0]], shape=(1, 1, 2))  # two spikes, then one
    readout = neurobench(program, frames, batch=1).layers[1]
    assert (readout.effective_macs, readout.effective_acs, readout.dense) == (2, 2, 4)
    assert count_operations(program, frames, run_reference(program, frames).counts)[1].effective == 3 * 2


def test_spikes_and_inputs_count_when_they_arrive():
    """Through recurrent weights a step later, through delays with these; after the last step, not at all."""
    program = program_of(neurons([[3, 0, 0], [1, 0, 0]], recurrent=frozen_ints([[0, 1], [1, 1]])), classes=2)
    found = neurobench(program, frames_of([[1, 0, 0], [1, 0, 0]]))
    assert found.activation_sparsity == 1 - 3 / 4  # the first neuron fires in both steps, the other at last
    assert found.effective_acs == 2 * 2 + 1  # the first spike meets one recurrent weight, the others none
    assert found.dense == 2 * (6 + 4)
    assert found.connection_sparsity == 5 / 10
    late = program_of(neurons([[3, 1, 1]], delay=ints(1, 0, 2)), classes=1)
    graded = frames_of([[1, 2, 1], [1, 1, 2]])
    assert neurobench(late, graded).effective_macs == 1 + 2
    one_call = neurobench(late, graded, batch=1)  # the first step gets the 2, the second none
    assert (one_call.effective_macs, one_call.effective_acs) == (1, 2)


def test_synapses_with_delays_of_their_own():
    weight = [[1, 1, 0], [0, 1, 1]]
    delay = frozen_ints([[0, 1, 0], [0, 0, 9]])
    program = program_of(neurons(weight, vth=99, delay=delay))
    found = neurobench(program, frames_of([[1, 1, 1], [1, 1, 1]]))
    assert found.effective_acs == (1 + 1) + (1 + 1 + 1)
    assert found.dense == 2 * 6


def test_without_pools_it_does_the_effective_operations_of_synops():
    rng = np.random.default_rng(4)
    program = fc_program(rng)
    frames = random_frames(rng, program, 5)
    operations = count_operations(program, frames, run_reference(program, frames).counts)
    found = neurobench(program, frames)
    assert [layer.effective_macs + layer.effective_acs for layer in found.layers] == pytest.approx(
        [layer.effective for layer in operations]
    )
    assert [layer.dense for layer in found.layers] == [layer.dense for layer in operations]
    assert found.effective_macs == found.layers[0].effective_macs


def test_samples_in_parts_and_as_events_count_the_same(monkeypatch):
    rng = np.random.default_rng(5)
    program = conv_program(rng)
    frames = random_frames(rng, program, 5)
    whole = neurobench(program, frames, batch=2)
    assert neurobench(program, EventFrames.from_dense(frames), batch=2) == whole
    monkeypatch.setattr("sast_deploy.reports.costs.traced.TOGETHER", 1)
    assert neurobench(program, frames, batch=2) == whole


def test_results_have_neurobenchs_names_and_plain_values():
    found = neurobench(SMALL, INPUT, batch=2)
    assert found.results() == {
        "Footprint": 16, "ConnectionSparsity": 0.3, "ActivationSparsity": 7 / 8, "MembraneUpdates": 3.0,
        "SynapticOperations": {"Effective_MACs": 1.5, "Effective_ACs": 2.5, "Dense": 20.0},
    }  # fmt: skip
    plain = json.loads(json.dumps(found.to_dict()))
    assert plain["neurobench_definitions"] == "2.3.0"
    assert plain["layers"][0]["name"] == "layer 0 (dense)"


def test_a_network_without_spikes_has_no_activations():
    found = neurobench(program_of(reading([1, 0, 1]), classes=1), INPUT)
    assert (found.activation_sparsity, found.membrane_updates, found.effective_macs) == (0.0, 0.0, 2.0)


def test_nothing_to_count_is_refused():
    with pytest.raises(UsageError, match="batches of 0 samples; expected 1 or more"):
        neurobench(SMALL, INPUT, batch=0)
    with pytest.raises(DataError, match="0 samples of 2 steps"):
        neurobench(SMALL, INPUT[:0])
    with pytest.raises(DataError, match=r"frames of uint8 \(2, 3\); expected integers"):
        neurobench(SMALL, INPUT[:, 0, 0, 0])
