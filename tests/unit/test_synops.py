"""SynOps: by hand, and against the reference's own list of synapses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.engines.reference import run_reference, synapses
from sast_deploy.program.fanout import fan_out
from sast_deploy.program.program import Program, SumPool, frozen_ints
from sast_deploy.reports.synops import count_operations
from tests.programs import RULES, conv, conv_program, fc_program, random_frames, readout


def test_dense_by_hand():
    program = fc_program(np.random.default_rng(0))
    frames = random_frames(np.random.default_rng(1), program, 7)
    record = run_reference(program, frames)
    operations = count_operations(program, frames, record.counts)
    assert [layer.synops for layer in operations] == pytest.approx(
        [
            np.count_nonzero(frames) * 9 / 7,
            record.counts[0].sum() * 6 / 7,
            record.counts[1].sum() * 3 / 7,
        ]
    )
    assert [layer.dense for layer in operations] == [6 * 40 * 9, 6 * 9 * 6, 6 * 6 * 3]
    assert [layer.operation for layer in operations] == ["MAC", "AC", "AC"]


def test_fan_out_is_the_length_of_the_synapse_lists():
    """Borders, strides, dilation and groups, against the reference's explicit lists."""
    program = conv_program(np.random.default_rng(2))
    for layer, shape in zip(program.layers, program.shapes()[:-1], strict=True):
        if isinstance(layer, SumPool):
            continue
        lists = synapses(layer, shape)
        weights = [[weight for _, group, _ in groups for weight in group] for groups in lists]
        assert fan_out(layer, shape, nonzero_only=False).tolist() == [len(targets) for targets in weights]
        assert fan_out(layer, shape, nonzero_only=True).tolist() == [
            sum(weight != 0 for weight in targets) for targets in weights
        ]


def test_a_spike_before_a_pool_is_charged_the_layer_behind():
    rng = np.random.default_rng(3)
    layers = (replace(conv(rng, 1, 2), vth=frozen_ints([4, 5])), SumPool((2, 2)), readout(rng, 2 * 2 * 2, 3))
    program = Program("p", (1, 5, 5), 1, 4, ("a", "b", "c"), RULES, layers)
    frames = (rng.random((6, 4, 1, 5, 5)) < 0.5).astype(np.uint8)
    record = run_reference(program, frames)
    behind = count_operations(program, frames, record.counts)[1]
    pooled = record.counts[0].reshape(6, 2, 5, 5)[:, :, :4, :4]  # row and column 4 fill no window
    assert pooled.sum() > 0
    assert behind.synops == pytest.approx(pooled.sum() * 3 / 6)
    assert count_operations(program, frames, record.counts)[0].operation == "AC"


def test_recurrent_weights_count_for_the_layers_own_spikes():
    rng = np.random.default_rng(5)
    program = fc_program(rng)
    recurrent = frozen_ints(rng.integers(-3, 4, (9, 9)) * (rng.random((9, 9)) < 0.5))
    fed_back = replace(program, layers=(replace(program.layers[0], recurrent=recurrent), *program.layers[1:]))
    frames = random_frames(rng, program, 4)
    counts = run_reference(fed_back, frames).counts
    plain, found = (count_operations(each, frames, counts)[0] for each in (program, fed_back))
    spikes = counts[0].mean(axis=0)
    assert found.synops - plain.synops == pytest.approx(spikes.sum() * 9)
    by_hand = sum(spikes[j] for j in range(9) for i in range(9) if recurrent[i, j])
    assert found.effective - plain.effective == pytest.approx(by_hand)
    assert found.dense - plain.dense == 9 * 9 * program.steps
