"""The geometry of convolutions against torch's, by moving single inputs through kernels of single taps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from sast_deploy.engines.reference import synapses
from sast_deploy.program.geometry import Axis, taps
from sast_deploy.program.program import SumPool
from sast_deploy.program.sums import fan_in, resampled, weighted_sums
from tests.programs import GEOMETRIES, conv

AXES = [
    Axis(*values)
    for values in itertools.product((4, 7), (1, 2, 3), (1, 2, 3), (0, 1, 3), (1, 2))
    if Axis(*values).outputs > 0
]


def torchs(axis: Axis, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """One axis of torch's convolution: x (n, size) -> (n, outputs)."""
    options = (axis.stride, axis.padding, axis.dilation)
    return functional.conv1d(x[:, None], weight.reshape(1, 1, -1), None, *options)[:, 0]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: "-".join(map(str, vars(axis).values())))
def test_an_axis_is_torchs(axis):
    """Input i meets output o at a tap where a 1 at i comes out at o through a kernel of that tap alone."""
    under = axis.under(np.arange(axis.outputs))
    assert under.shape == (axis.outputs, axis.kernel)
    for tap in range(axis.kernel):
        met = torchs(axis, torch.eye(axis.kernel)[tap], torch.eye(axis.size)).numpy()  # (input, output)
        assert met.shape[1] == axis.outputs
        pairs = np.argwhere(met.T == 1)[:, ::-1].tolist()
        inputs, outputs = axis.inside(tap)
        ours = zip(range(axis.size)[inputs], range(axis.outputs)[outputs], strict=True)
        assert [list(pair) for pair in ours] == pairs
        assert [[i, o] for o, i in enumerate(under[:, tap].tolist()) if 0 <= i < axis.size] == pairs


def test_a_kernel_larger_than_its_input_has_no_outputs():
    assert Axis(4, 3, dilation=2).outputs == 0
    assert Axis(4, 3, 2, padding=1, dilation=2).outputs == 1


def test_taps_come_row_by_row():
    found = list(taps(Axis(3, 2, padding=1), Axis(5, 2, stride=2)))
    assert found == [
        (0, 0, (..., slice(0, 3, 1), slice(0, 4, 2)), (..., slice(1, 4), slice(0, 2))),
        (0, 1, (..., slice(0, 3, 1), slice(1, 5, 2)), (..., slice(1, 4), slice(0, 2))),
        (1, 0, (..., slice(0, 3, 1), slice(0, 4, 2)), (..., slice(0, 3), slice(0, 2))),
        (1, 1, (..., slice(0, 3, 1), slice(1, 5, 2)), (..., slice(0, 3), slice(0, 2))),
    ]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_weighted_sums_are_torchs(geometry):
    rng = np.random.default_rng(1)
    layer = conv(rng, 4, 8, **geometry)
    inputs = rng.integers(-5, 5, (3, 4, 11, 10))
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    x, weight = torch.from_numpy(inputs).double(), torch.from_numpy(layer.weight.copy()).double()
    expected = functional.conv2d(x, weight, None, *options).numpy()
    assert np.array_equal(weighted_sums(layer, inputs, layer.weight), expected)
    assert layer.out_shape((4, 11, 10)) == expected.shape[1:]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_fan_in_is_the_references_list(geometry):
    layer = conv(np.random.default_rng(2), 4, 8, **geometry)
    shape = (4, 7, 6)
    found = [[] for _ in range(int(np.prod(layer.out_shape(shape))))]
    for j, groups in enumerate(synapses(layer, shape)):
        for targets, weights, delay in groups:
            for neuron, weight in zip(range(len(found))[targets], weights, strict=True):
                found[neuron].append((j, weight, delay))
    for neuron, expected in enumerate(found):
        assert sorted(fan_in(layer, shape, neuron)) == sorted(expected)


def test_a_pool_drops_the_remainder_and_does_not_overflow():
    inputs = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(1, 2, 5, 3)
    assert resampled(SumPool((2, 3)), inputs, "floor").tolist() == [[[[15], [51]], [[105], [141]]]]
    assert resampled(SumPool((2, 2)), np.full((1, 1, 2, 2), 255, np.uint8), "floor").tolist() == [[[[1020]]]]
