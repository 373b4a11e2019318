"""Programs on cores: every neuron on exactly one, counts derived a second way, capacities kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import UsageError
from sast_deploy.program.fanout import whole
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool, Upsample, frozen_ints
from sast_deploy.program.sums import fan_in
from sast_deploy.proofs.chips import LOIHI1, LOIHI2
from sast_deploy.proofs.mapping import blocks, map_program
from tests.programs import RULES, conv_program, fc_program

SMALL = replace(LOIHI1, neurons=7, synapse_bits=300, input_axons=60, output_axons=40)
ONE = frozen_ints([1])


def numbered(block, shape):
    """The neurons of a block, as numbers in C, H, W order."""
    grid = np.arange(int(np.prod(shape))).reshape(*shape, *([1] * (3 - len(shape))))
    return set(block.of(grid).ravel().tolist())


def connections(program):
    """For every weighted layer {(input of the layer, neuron): synapses}, weight by weight; own spikes too."""
    shapes = program.shapes()
    for index, layer in enumerate(program.layers):
        if isinstance(layer, SumPool | Upsample):
            continue
        neurons = int(np.prod(shapes[index + 1]))
        fans = [fan_in(layer, shapes[index], n) for n in range(neurons)]
        found = {(f"in {j}", n) for n, fan in enumerate(fans) for j, weight, _ in fan if weight}
        if getattr(layer, "recurrent", None) is not None:
            found |= {(f"own {j}", n) for n, j in np.argwhere(layer.recurrent != 0).tolist()}
        yield found


def recurrent_program():
    rng = np.random.default_rng(3)
    program = fc_program(rng)
    first = program.layers[0]
    size = len(first.weight)
    own = replace(first, recurrent=frozen_ints(rng.integers(-3, 4, (size, size))))
    return replace(program, layers=(own, *program.layers[1:]))


def upsampled_program():
    rng = np.random.default_rng(4)
    conv = Conv2d(
        frozen_ints(rng.integers(-2, 3, (5, 2, 3, 3))), bias=ONE, vth=ONE, weight_exp=0, v_decay=ONE,
        stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=1,
    )  # fmt: skip
    shape = conv.out_shape((2, 8, 9))
    second = Conv2d(
        frozen_ints(rng.integers(-2, 3, (10, 1, 2, 2))), bias=ONE, vth=ONE, weight_exp=0, v_decay=ONE,
        stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=5,
    )  # fmt: skip
    up = (shape[0], shape[1] * 2, shape[2])
    out = second.out_shape(up)
    readout = Readout(frozen_ints(rng.integers(-2, 3, (3, int(np.prod(out))))), frozen_ints([0] * 3), 0)
    layers = (conv, Upsample((2, 1)), second, readout)
    return Program("up", (2, 8, 9), 1, 4, ("a", "b", "c"), RULES, layers)


PROGRAMS = {
    "fc": lambda: fc_program(np.random.default_rng(0)),
    "conv": lambda: conv_program(np.random.default_rng(1)),
    "recurrent": recurrent_program,
    "upsampled": upsampled_program,
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("chip", [LOIHI1, LOIHI2, SMALL], ids=["loihi1", "loihi2", "small"])
def test_every_neuron_stands_once_and_every_count_is_that_of_the_connections(name, chip):
    program = PROGRAMS[name]()
    mapping = map_program(program, chip)
    for layer, found in zip(mapping.layers, connections(program), strict=True):
        members = [numbered(part.block, layer.shape) for part in layer.parts]
        assert sum(map(len, members)) == int(np.prod(layer.shape)) == len(set().union(*members))
        for part, inside in zip(layer.parts, members, strict=True):
            here = [(source, n) for source, n in found if n in inside]
            assert part.neurons == len(inside)
            assert part.synapses == len(here)
            assert part.synapse_bits == part.synapses * layer.bits
            if name != "upsampled":
                assert part.input_axons == len({source for source, _ in here})


@pytest.mark.parametrize("name", ["fc", "recurrent"])
def test_output_axons_are_the_cores_that_a_neuron_reaches(name):
    program = PROGRAMS[name]()
    mapping = map_program(program, SMALL)
    assert mapping.cores > len(mapping.layers)
    reached = list(connections(program))
    for number, layer in enumerate(mapping.layers):
        for part in layer.parts:
            inside = numbered(part.block, layer.shape)
            total = 0
            for source, other in (("in {}", number + 1), ("own {}", number)):
                if other == len(mapping.layers):
                    continue
                for target in mapping.layers[other].parts:
                    there = numbered(target.block, mapping.layers[other].shape)
                    total += sum(any((source.format(n), m) in reached[other] for m in there) for n in inside)
            assert part.output_axons == total


@pytest.mark.parametrize("name", PROGRAMS)
def test_capacities_are_kept_by_as_few_blocks_as_can_be(name):
    """One block fewer along any axis breaks a capacity; a limit that one neuron breaks is named."""
    program = PROGRAMS[name]()
    for layer in map_program(program, SMALL).layers:
        for part in layer.parts:
            over = {limit for limit, most in SMALL.capacities.items() if part.needs(limit) > most}
            assert over <= set(layer.beyond)
        assert layer.cores >= max(layer.alone.values())
        assert (layer.cores == 1) == (layer.binds == "")
        if layer.binds:
            assert layer.alone[layer.binds] == max(layer.alone.values())


def test_what_binds_a_dense_layer_decides_how_many_cores_it_takes():
    """100 inputs of 20 neurons, 2 bits: 4,000 bits; cores of 1,000 take 5 neurons each."""
    signs = np.where(np.arange(100) % 2, 1, -1) * np.ones((20, 1))
    dense = Dense(frozen_ints(signs), bias=ONE, vth=ONE, weight_exp=0, v_decay=ONE)
    readout = Readout(frozen_ints(np.full((2, 20), 1)), frozen_ints([0, 0]), 0)
    program = Program("bits", (1, 1, 100), 1, 4, ("a", "b"), RULES, (dense, readout))
    layer, last = map_program(program, replace(LOIHI1, synapse_bits=1000)).layers
    assert (layer.bits, layer.cores, layer.binds) == (2, 4, "synapse bits")
    assert [part.synapse_bits for part in layer.parts] == [1000] * 4
    assert (last.cores, last.parts[0].input_axons, last.parts[0].output_axons) == (1, 20, 0)


def test_memory_as_packed_in_words_with_headers():
    """An axon's 70 weights of 4 bits: 64 of them and 10 bits are 266, so 5 words; 6 and 10 are 34: one."""
    weight = np.full((70, 3), -7)
    weight[5:65, 2] = 0  # from the first to the last that is not zero it is the same list
    weight[:69, 1] = 0  # one weight with an index of 7 bits, 21 bits with the header
    dense = Dense(frozen_ints(weight), bias=ONE, vth=ONE, weight_exp=0, v_decay=ONE)
    readout = Readout(frozen_ints(np.full((2, 70), 1)), frozen_ints([0, 0]), 0)
    program = Program("words", (1, 1, 3), 1, 4, ("a", "b"), RULES, (dense, readout))
    part = map_program(program).layers[0].parts[0]
    assert part.synapses == 70 + 1 + 10
    # The third axon's ten with an index each: 10 x 11 + 10 = 120 bits, two words.
    assert part.packed_bits == 64 * (6 + 1 + 2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_one_core_would_need_does_not_depend_on_how_layers_are_split(name):
    program = PROGRAMS[name]()
    small, large = map_program(program, SMALL), map_program(program, LOIHI1)
    assert small.cores > large.cores == len(large.layers)
    assert small.together == large.together
    needs = {limit: sum(part.needs(limit) for part in large.parts) for limit in ("neurons", "synapse bits")}
    assert needs.items() <= large.together.items()
    spiking = sum(int(np.prod(layer.shape)) for layer in large.layers[:-1])
    assert large.together["output axons"] <= spiking
    if name != "upsampled":
        axons = sum(len({source for source, _ in found}) for found in connections(program))
        assert large.together["input axons"] == axons


def test_one_core_holds_a_small_program_as_a_whole():
    mapping = map_program(fc_program(np.random.default_rng(0)))
    assert mapping.fits_core
    assert mapping.fits_chip
    assert not map_program(fc_program(np.random.default_rng(0)), SMALL).fits_core
    assert not map_program(fc_program(np.random.default_rng(0)), replace(SMALL, cores=2)).fits_chip


def test_a_mapping_is_plain_values_and_a_chip_has_a_name():
    program = fc_program(np.random.default_rng(0))
    told = map_program(program, "loihi2").to_dict()
    assert told["cores"] == sum(layer["cores"] for layer in told["layers"])
    assert told["chip"]["name"] == "loihi2"
    with pytest.raises(UsageError, match=r"no chip 'loihi3'; expected loihi1 or loihi2"):
        map_program(program, "loihi3")


def test_blocks_cover_a_layer():
    shape = (5, 4, 3)
    assert blocks(shape, (1, 1, 1)) == [whole(shape)]
    found = [numbered(block, shape) for block in blocks(shape, (2, 3, 2))]
    assert len(found) == 12
    assert sorted(n for each in found for n in each) == list(range(60))
