"""The parts of the Lava backend that need no Lava: exact products, batching, shared arrays, the clock."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from sast_deploy.base.children import child_environment
from sast_deploy.base.errors import LavaError
from sast_deploy.engines.lava import exact, run, run_lava, shim
from sast_deploy.engines.lava.run import BATCH_MAX, LANE_PRODUCTS, choose_batch, choose_lanes
from sast_deploy.engines.lava.shared import BatchClock, create_shared, map_frames, open_shared, share_frames
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.program import Dense, frozen_ints
from tests.programs import GEOMETRIES, conv, conv_program, fc_program, random_frames


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolution_is_torchs(geometry):
    rng = np.random.default_rng(1)
    layer = conv(rng, 4, 8, **geometry)
    inputs = rng.integers(0, 5, (3, 4, 11, 10)).astype(np.float32)
    weight = layer.weight.astype(np.float32)
    options = (layer.stride, layer.padding, layer.dilation, layer.groups)
    expected = functional.conv2d(torch.from_numpy(inputs), torch.from_numpy(weight), None, *options).numpy()
    assert np.array_equal(exact.convolve(inputs, weight, layer), expected)


def test_products_use_the_narrowest_exact_type():
    # 2 * (2**22 - 1) * 2 = 2**24 - 4 is below the bound; one more input unit is not.
    weight = frozen_ints([[(1 << 22) - 1, 1 - (1 << 22)], [5, 5]])
    assert exact.weighted_bound(weight, 2) == (1 << 24) - 4
    assert exact.exact_type(weight, 2) is np.float32
    assert exact.exact_type(weight, 3) is np.float64


def test_inputs_of_each_layer_are_bounded():
    # Frames up to 3, spikes pooled over 4, spikes pooled over 2, spikes.
    assert exact.input_maxima(conv_program(np.random.default_rng(0))) == [3, 1, 4, 1, 2, 1]


UNLOADED = """
import sys
from sast_deploy.engines.lava import shim
shim.prepare()
import numpy, scipy
import sast_deploy.engines.lava.processes.network
heavy = ["numpy.f2py.crackfortran", "numpy.testing._private.utils", "scipy.signal._signaltools", "torch"]
print([name for name in heavy if name in sys.modules])
numpy.testing.assert_equal(1, 1)
print(scipy.signal.lfilter([1], [1], [2.0])[0], bool(numpy.f2py.__doc__))
"""


@pytest.mark.slow
def test_what_nothing_needs_is_loaded_on_first_use():
    """In the child, whose start everybody waits for; and where it is asked for, it is there."""
    command = [sys.executable, "-c", UNLOADED]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "2.0 True"], done.stderr


def test_the_models_of_a_class_are_searched_once():
    searched = []

    def find(proc):
        searched.append(proc)
        return [type(proc)]

    once = shim._once_a_class(find)
    assert [once(proc=1), once(proc=2), once(proc="a"), once("b")] == [[int], [int], [str], [str]]
    assert searched == [1, "a"]
    once(1).append(None)
    assert once(1) == [int]


def test_program_too_wide_for_float64_is_refused(tmp_path):
    program = fc_program(np.random.default_rng(0))
    first = program.layers[0]
    huge = frozen_ints(np.full(first.weight.shape, (1 << 31) - 1))
    wide = Dense(huge, first.bias, first.vth, -8, first.v_decay)
    rules = dataclasses.replace(program.arithmetic, weight_bits=32)
    layers = (wide, *program.layers[1:])
    wide = dataclasses.replace(program, input_max=1 << 20, arithmetic=rules, layers=layers)
    path = tmp_path / "wide.net"
    write_net(path, NetFile(wide, ""))
    with pytest.raises(LavaError, match=r"layer 0: weighted sums reach \d+ \* 2\*\*-8"):
        run_lava(path, random_frames(np.random.default_rng(0), program, 1))


def test_clock_of_a_partly_filled_last_batch():
    clock = BatchClock(samples=7, steps=2, batch=3)
    assert clock.lava_steps == 6
    expected = [(0, 3, 0), (0, 3, 1), (3, 6, 0), (3, 6, 1), (6, 7, 0), (6, 7, 1)]
    assert [(s.start, s.stop, t) for s, t in map(clock.at, range(1, 7))] == expected


@pytest.mark.parametrize(
    ("samples", "lanes", "batch"),
    [(1, 1, 1), (2048, 1, 2048), (2049, 1, 1025), (2880, 1, 1440), (10_000, 1, 2000), (10_000, 2, 1667),
     (10_000, 3, 1667), (3, 2, 2)],
)  # fmt: skip
def test_batches_are_equal_and_bounded(samples, lanes, batch):
    assert BATCH_MAX == 2048
    assert choose_batch(fc_program(np.random.default_rng(0)), samples, lanes) == batch


def test_networks_run_side_by_side_where_each_has_enough_to_do(monkeypatch):
    program = fc_program(np.random.default_rng(0))
    assert exact.products(program) == 9 * 40 + 6 * 9 + 3 * 6
    conv = conv_program(np.random.default_rng(0))
    kernels = 4 * 5 * 7 * 12 + 6 * 2 * 3 * 18 + 5 * 18 + 3 * 5
    assert exact.products(conv) == kernels
    enough = -(-LANE_PRODUCTS // (6 * exact.products(program)))
    for there, lanes in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(run, "processors", lambda there=there: there)
        assert choose_lanes(program, 4 * enough, 6) == lanes
        assert choose_lanes(program, enough - 1, 6) == choose_lanes(program, 1, 6) == 1
    assert choose_lanes(program, 1000 * enough, 6) == run.LANES_MAX == 8


def test_a_clock_of_some_of_the_samples():
    clock = BatchClock(samples=3, steps=2, batch=2, first=10)
    assert clock.lava_steps == 4
    assert [(s.start, s.stop, t) for s, t in map(clock.at, range(1, 5))] == [
        (10, 12, 0), (10, 12, 1), (12, 13, 0), (12, 13, 1)
    ]  # fmt: skip


def test_wide_layers_shrink_the_batch():
    rng = np.random.default_rng(0)
    program = dataclasses.replace(conv_program(rng), input_shape=(2, 9, 8))
    wide = dataclasses.replace(
        fc_program(rng, shape=(2, 300, 300), hidden=(20, 6)),
    )
    assert choose_batch(program, 1000) == 1000
    # 180,020 numbers of 8 bytes a sample in 128 MiB are 93 samples; eleven equal batches hold 91.
    assert choose_batch(wide, 1000) == 91


@pytest.mark.parametrize("part", [slice(None), slice(2, 5), slice(1, 2), slice(None, None, 2)])
def test_mapped_frames_are_shared_in_place(part, tmp_path):
    frames = np.random.default_rng(0).integers(0, 9, (6, 2, 1, 3, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")[1:][part]
    source = share_frames(tmp_path, mapped)
    in_place = mapped.flags.c_contiguous
    assert (Path(source["path"]).name == "frames.npy") == in_place
    assert np.array_equal(map_frames(source), frames[1:][part])


def test_frames_that_differ_from_their_file_are_copied(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((2, 1, 1, 1, 1), dtype=np.uint8))
    changed = np.load(tmp_path / "frames.npy", mmap_mode="c")
    changed[1] = 7
    assert map_frames(share_frames(tmp_path, changed)).ravel().tolist() == [0, 7]
    plain = np.full((2, 1, 1, 1, 1), 5, dtype=np.uint8)
    assert map_frames(share_frames(tmp_path, plain)).ravel().tolist() == [5, 5]


def test_shared_arrays_reserve_their_space(tmp_path):
    path = tmp_path / "shared.npy"
    create_shared(path, np.int32, (100, 100))
    assert path.stat().st_blocks * 512 >= 40_000
    open_shared(path, writable=True)[3, 4] = 5
    seen = open_shared(path, writable=False)
    assert seen[3, 4] == 5
    assert not seen.flags.writeable


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    program = fc_program(np.random.default_rng(0))
    path = tmp_path / "a.net"
    write_net(path, NetFile(program, ""))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(LavaError, match="cannot use the temporary folder: No space left on device"):
        run_lava(path, random_frames(np.random.default_rng(0), program, 1))
