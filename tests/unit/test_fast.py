"""The fast engine: tiles, threads, dense products, memory, refusals."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest

from sast_deploy.base.compiled import source_digest
from sast_deploy.base.errors import DataError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.fast import (
    FastEngine,
    choice,
    emit,
    engine as engine_module,
    listing,
    product,
    run_fast,
)
from sast_deploy.engines.fast.kernels import run_spiking
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Program, SumPool, frozen_ints
from sast_deploy.program.record import first_difference
from tests.programs import (
    RULES,
    conv,
    conv_program,
    decoder_program,
    dense as dense_layer,
    fc_program,
    random_frames,
    readout,
    rich_program,
    vectorised,
)

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"fc": fc_program, "conv": conv_program, "rich": rich_program}


@pytest.mark.slow
@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 1), (3, 2), (7, 4), (64, 2), (None, None)])
def test_batches_and_threads_change_nothing(make, batch, threads):
    rng = np.random.default_rng(3)
    program = make(rng)
    frames = random_frames(rng, program, 20)
    got = run_fast(program, frames, trace=True, batch=batch, threads=threads)
    assert first_difference(got, vectorised(program, frames)) is None


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
def test_any_density(make, density):
    rng = np.random.default_rng(4)
    program = make(rng)
    frames = random_frames(rng, program, 3, density)
    got = run_fast(program, frames, trace=True)
    assert first_difference(got, run_reference(program, frames, trace=True)) is None


WIDE = [(0, 255), (0, 999), (-3, 3), (-255, 1), (-70_000, 65_535), (0, 2**31 - 1), (1 - 2**31, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("make", [fc_program, conv_program, rich_program])
@pytest.mark.parametrize(("low", "high"), WIDE)
def test_inputs_of_every_width_and_sign(make, low, high):
    """Whatever integer type holds them; and the same frames in another type give the same record."""
    rng = np.random.default_rng([5, high])
    program = replace(make(rng), input_min=low, input_max=high)
    frames = rng.integers(low, high + 1, (3, 6, *program.input_shape)) * (rng.random((3, 6, 1, 1, 1)) < 0.8)
    frames[0, 0] = low
    frames[1, 0] = high
    expected = run_reference(program, frames, trace=True)
    for dtype in (np.int64, np.min_scalar_type(low) if low < 0 else np.min_scalar_type(high)):
        held = np.iinfo(dtype)
        if held.min <= low and high <= held.max:
            got = run_fast(program, frames.astype(dtype), trace=True, batch=2)
            assert first_difference(got, expected) is None


def test_records_without_traces_and_without_samples():
    rng = np.random.default_rng(6)
    program = conv_program(rng)
    frames = random_frames(rng, program, 3)
    got = run_fast(program, frames)
    assert got.traces is None
    assert first_difference(got, run_reference(program, frames)) is None
    empty = run_fast(program, frames[:0], trace=True)
    assert [len(count) for count in empty.counts] == [0, 0, 0]
    assert empty.logits.shape == (0, 3)


@pytest.mark.parametrize("make", [*PROGRAMS.values(), decoder_program])
@pytest.mark.parametrize(("samples", "steps"), [(0, 4), (2, 0), (0, 0)])
def test_no_samples_and_no_steps(make, samples, steps):
    program = make(np.random.default_rng(2))
    frames = np.zeros((samples, steps, *program.input_shape), np.uint8)
    for given in (frames, EventFrames.from_dense(frames)):
        assert first_difference(run_fast(program, given, trace=True), vectorised(program, frames)) is None


def test_a_spiking_last_layer_counts_its_spikes():
    rng = np.random.default_rng(2)
    program = fc_program(rng)
    last = replace(program.layers[1], vth=frozen_ints([3]))
    spiking = replace(program, layers=(program.layers[0], last), classes=tuple("abcdef"))
    frames = random_frames(rng, program, 5)
    got = run_fast(spiking, frames, trace=True)
    assert got.logits.sum() > 0
    assert first_difference(got, run_reference(spiking, frames, trace=True)) is None


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [-2, 0, 3])
def test_a_pool_of_frames_in_front_of_a_readout_or_a_layer(exponent):
    """Sums beyond 255, which no longer fit bytes."""
    rng = np.random.default_rng(7)
    pool = SumPool((2, 2), exponent)
    hidden = dense_layer(rng, 2 * 3 * 2, 5)
    for layers in ((pool, readout(rng, 12, 3, -1)), (pool, hidden, readout(rng, 5, 3))):
        program = Program("pooled", (2, 6, 5), 255, 4, ("a", "b", "c"), RULES, layers)
        frames = rng.integers(0, 256, (3, 4, 2, 6, 5)).astype(np.uint8)
        got = run_fast(program, frames, trace=True)
        assert first_difference(got, run_reference(program, frames, trace=True)) is None


def test_frames_on_disk_of_odd_strides_and_of_other_lengths(tmp_path):
    rng = np.random.default_rng(8)
    program = fc_program(rng)
    frames = random_frames(rng, program, 8)
    np.save(tmp_path / "frames.npy", frames)
    expected = run_reference(program, frames, trace=True)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    assert first_difference(run_fast(program, mapped, trace=True), expected) is None
    strided = np.asfortranarray(frames)
    assert first_difference(run_fast(program, strided, trace=True), expected) is None
    short = run_fast(program, frames[:, :2], trace=True)
    assert first_difference(short, run_reference(program, frames[:, :2], trace=True)) is None


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.uint8, 5), (np.uint8, 255), (np.int64, 5), (np.int64, 255), (np.int64, 260)]
)
def test_an_input_too_large_is_found_wherever_it_is_looked_for(dtype, value):
    """By the kernel, before dense products, and before a wider type is cast to bytes."""
    program = fc_program(np.random.default_rng(3))
    frames = random_frames(np.random.default_rng(3), program, 9).astype(dtype)
    frames[7, 2, 1, 0, 3] = value
    found = int(frames.max())
    engine = engine_module.FastEngine(program, batch=2, threads=2)
    for dense_layers in (set(), {0}):
        run = engine_module._Run(frames, engine_module.empty_record(engine.neurons, 9, 6, 3, False), 9)
        run.dense.update(dense_layers)
        with pytest.raises(DataError, match=rf"frames with values 0\.\.{found}; expected 0\.\.4"):
            engine._tile(run, 0)


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("make", ["fc", "conv"])
def test_products_are_chosen_by_the_clock_and_agree(make, exact, monkeypatch):
    rng = np.random.default_rng(9)
    program = replace(fc_program(rng, shape=(2, 8, 8), hidden=(40, 24)), reset_interval=3)
    if make == "conv":
        layers = (conv(rng, 2, 5, stride=(2, 1)), conv(rng, 5, 40, dilation=(1, 2)), readout(rng, 960, 3))
        program = replace(program, layers=layers)
    asked, calls = [], []

    def counted(plan, x):
        calls.append(plan.out_shape)
        return product.product_sums(plan, x)

    def clock(question, candidates, code):
        asked.append(question)
        for candidate in candidates.values():
            candidate()
        return "product"

    monkeypatch.setattr(engine_module, "product_sums", counted)
    monkeypatch.setattr(choice, "exact_here", lambda: exact)
    monkeypatch.setattr(choice, "fastest", clock)
    for name in ("WORTH_ASKING", "WORTH_IMPORTING"):
        monkeypatch.setattr(choice, name, 1)
    for density, wanted in ((0.9, exact), (0.02, False)):
        calls.clear()
        frames = random_frames(rng, program, 12, density)
        got = run_fast(program, frames, trace=True, batch=4, threads=1)
        assert (program.shapes()[1] in calls) == wanted
        assert first_difference(got, run_reference(program, frames, trace=True)) is None
    assert any("90 % counts" in question for question in asked) == exact


def test_the_clock_is_not_asked_where_little_is_to_be_won(monkeypatch):
    monkeypatch.setattr(choice, "fastest", lambda *_: pytest.fail("asked"))
    program = fc_program(np.random.default_rng(9))
    run_fast(program, random_frames(np.random.default_rng(9), program, 12, 0.9), batch=4)


def test_a_product_gives_way_to_counts_beyond_int8():
    rng = np.random.default_rng(10)
    program = replace(fc_program(rng), input_max=255)
    frames = rng.integers(0, 128, (6, 6, *program.input_shape)).astype(np.uint8)
    frames[4:] += 128
    engine = FastEngine(program, batch=2)
    run = engine_module._Run(frames, engine_module.empty_record(engine.neurons, 6, 6, 3, True), 2, {0})
    for low in (0, 2, 4):
        engine._tile(run, low)
    assert first_difference(run.record, run_reference(program, frames, trace=True)) is None


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
@pytest.mark.parametrize("highest", [1, 3, 255])
@pytest.mark.parametrize("density", [0.0, 0.03, 0.7])
def test_lists_of_events_in_place_of_frames(make, highest, density):
    rng = np.random.default_rng(4)
    program = replace(make(rng), input_max=highest)
    frames = rng.integers(1, highest + 1, (5, 6, *program.input_shape)).astype(np.uint8)
    frames[rng.random(frames.shape) >= density] = 0
    lists = EventFrames.from_dense(frames)
    engine = FastEngine(program, batch=2, threads=2)
    expected = run_reference(program, frames, trace=True)
    assert first_difference(engine.run(lists, trace=True), expected) is None
    if engine.plans[0].lanes is not None:
        run = engine_module._Run(lists, engine_module.empty_record(engine.neurons, 5, 6, 3, False), 5, {0})
        engine._tile(run, 0)
        np.testing.assert_array_equal(run.record.logits, expected.logits)


def test_lists_with_a_count_too_large_are_refused():
    program = fc_program(np.random.default_rng(3))
    frames = random_frames(np.random.default_rng(3), program, 9)
    frames[7, 2, 1, 0, 3] = 5
    with pytest.raises(DataError, match=r"frames with values 0\.\.5; expected 0\.\.4"):
        run_fast(program, EventFrames.from_dense(frames), batch=2)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 65, 127, 128, 200])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_lists_are_the_same_with_and_without_instructions_for_them(size, density):
    rng = np.random.default_rng(size)
    x = np.where(rng.random(size) < density, rng.integers(1, 5, size), 0).astype(np.uint8)
    for kind in (np.uint16, np.int32):
        for name, lister in LISTERS.items():
            index, values = np.zeros(size + 64, kind), np.zeros(size + 64, np.uint8)
            n = lister(x, index, values)
            np.testing.assert_array_equal(index[:n], np.flatnonzero(x), err_msg=name)
            np.testing.assert_array_equal(values[:n], x[x > 0], err_msg=name)


def lister(list_bits, take):
    @numba.njit
    def run(x, index, values):
        n = 0
        for low in range(0, len(x), 64):
            bits = listing.unequal(x, low, len(x), 0)
            beyond = max(low + 64 - len(x), 0)
            list_bits(bits, low, index, n)
            take(bits << np.uint64(beyond), x, low - beyond, values, n)
            n += listing.count_bits(bits)
        return n

    return run


LISTERS = {
    "compressing": lister(listing._list_by_compressing, listing._take_by_compressing(64)),
    "scanning": lister(listing._list_by_scanning, listing._take_by_scanning),
}


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["haswell", "skylake-avx512"])
def test_other_processors_get_other_code_and_the_same_numbers(processor):
    """What numba makes for a processor with AVX2 alone, and for one with AVX-512 but not all of it.

    It is kept as all kernels are, until their source changes: to make it takes half a minute.
    """
    if platform.machine() != "x86_64" or (processor != "haswell" and not emit.FEATURES.get("avx512bw")):
        pytest.skip(f"this processor does not run code for {processor}")
    features = "+avx2,+bmi,+bmi2,+fma,+popcnt" + ",+avx512f,+avx512bw,+avx512vl" * (processor != "haswell")
    environment = {
        **os.environ, "NUMBA_CACHE_DIR": str(ROOT / ".cache" / "kernels" / processor),
        "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESSOR], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "False None None None None None\n", done.stdout + done.stderr


OTHER_PROCESSOR = """
import numpy as np
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.engines.fast import emit, run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.record import first_difference
from tests.programs import conv_program, fc_program, random_frames
from tests.unit.test_fast_lanes import conv, program_of

rng, found = np.random.default_rng(1), []
lanes = [program_of(rng, conv(rng, channels, 49), channels) for channels in (4, 32)]
for program in (fc_program(rng, hidden=(300, 20)), conv_program(rng), *lanes):
    frames = random_frames(rng, program, 3)
    expected = run_reference(program, frames, trace=True)
    found.append(first_difference(run_fast(program, frames, trace=True), expected))
    if len(found) == 1:
        lists = EventFrames.from_dense(frames)
        found.append(first_difference(run_fast(program, lists, trace=True), expected))
print(emit.COMPRESSES, *found)
"""


@pytest.mark.slow
def test_torch_is_imported_only_when_a_dense_product_needs_it():
    script = "import sys, sast_deploy.engines.fast\nprint({'torch', 'h5py'} & set(sys.modules))\n"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "set()\n", done.stderr


def test_memory_does_not_grow_with_the_number_of_samples():
    """Beyond the record itself, which holds a count per sample and neuron."""
    rng = np.random.default_rng(11)
    program = fc_program(rng, shape=(2, 20, 20))
    engine = FastEngine(program, batch=8, threads=1)  # of several, more or fewer hold a tile at the same time
    peaks, one = [], random_frames(rng, program, 1)
    engine.run(np.broadcast_to(one, (64, 6, 2, 20, 20)))
    for samples in (64, 512):
        frames = np.broadcast_to(one, (samples, 6, 2, 20, 20))
        tracemalloc.start()
        record = engine.run(frames)
        results = sum(count.nbytes for count in record.counts) + record.logits.nbytes
        peaks.append(tracemalloc.get_traced_memory()[1] - results)
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 20_000


def test_progress_sees_every_sample_once():
    rng = np.random.default_rng(12)
    program = fc_program(rng)
    frames, seen = random_frames(rng, program, 11), []

    def watch(samples):
        for sample in samples:
            seen.append(sample)
            yield sample

    run_fast(program, frames, batch=3, progress=watch)
    assert seen == list(range(11))


def test_refusals():
    rng = np.random.default_rng(13)
    program = fc_program(rng)
    frames = random_frames(rng, program, 2)
    with pytest.raises(DataError, match=r"frames of float64 .*expected integers \(samples, time, 2, 5, 4\)"):
        run_fast(program, frames.astype(float))
    with pytest.raises(DataError, match="frames of uint8"):
        run_fast(program, frames[:, :, :1])
    for wrong in ({"batch": 0}, {"threads": 0}):
        with pytest.raises(DataError, match="= 0; expected at least 1"):
            run_fast(program, frames, **wrong)


def test_current_filters_wrap_at_24_bits():
    rules = Arithmetic(QFormat(24, 0), 8, "wrap", "toward-zero", "floor", ">=", "subtract")
    rng = np.random.default_rng(14)
    program = fc_program(rng, rules, exponent=14)
    filtered = replace(program.layers[0], u_decay=frozen_ints([1, 0, 4096, 5, 7, 4095, 2, 3, 4]))
    program = replace(program, layers=(filtered, *program.layers[1:]))
    frames = random_frames(rng, program, 6, 0.9)
    expected = run_reference(program, frames, trace=True)
    assert np.abs(expected.traces[0].membrane).max() > 2**22
    assert first_difference(run_fast(program, frames, trace=True), expected) is None


def test_a_changed_helper_invalidates_the_machine_code_on_disk():
    """The stamp that numba compares covers all files of the package, with the numba that is installed."""
    stored = getattr(run_spiking._cache, "_cache_file", None)
    if stored is None:
        pytest.skip("numba keeps no machine code here")
    assert source_digest(Path(engine_module.__file__).parent) in stored._source_stamp


@pytest.mark.slow
def test_kernels_run_where_nothing_can_be_cached(tmp_path):
    """NUMBA_CACHE_DIR at a place that cannot be written: compiled in memory."""
    script = "from sast_deploy.base.compiled import compiled\nprint(compiled()(lambda x: x + 1)(2))\n"
    environment = {**os.environ, "NUMBA_CACHE_DIR": "/proc/nowhere"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.strip() == "3", done.stderr
