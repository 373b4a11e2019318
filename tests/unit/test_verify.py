"""`verify` and `inspect`: known answers, comparison, the explanation of a difference, exit codes, JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import h5py
import numpy as np
import pytest

import sast_deploy.engines.lava as lava
from sast_deploy.base.errors import LavaError, NetFileError
from sast_deploy.cli import run
from sast_deploy.compiler import compile_network
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.program.fixedpoint import RESET_ORDERS
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import Conv2d, Dense, Program, frozen_ints
from sast_deploy.program.record import SpikeRecord
from sast_deploy.program.sums import fan_in, layer_inputs, sums_over_time
from sast_deploy.proofs.bounds import prove
from sast_deploy.reports.inspection import footprints
from sast_deploy.verification.comparison import compare_engines, load_engines
from sast_deploy.verification.diagnosis import diagnose
from sast_deploy.verification.vectors import choose_frames, make_known_answers, trace_digests, wrong_answer
from tests.networks import float_fc
from tests.programs import RULES, conv_program, fc_program, random_frames, rich_program, vectorised

PROFILE = load_profile("loihi-int4")


@pytest.fixture(scope="module")
def program():
    return compile_network(float_fc(seed=2, scale=3.0), PROFILE, "small").program


@pytest.fixture
def path(program, tmp_path):
    write_net(tmp_path / "small.net", NetFile(program, PROFILE.text, known=make_known_answers(program)))
    return tmp_path / "small.net"


def test_known_answers_are_the_references_and_survive_the_file(program, path):
    known = read_net(path).known
    record = run_reference(program, known.frames, trace=True)
    assert wrong_answer(known, record) is None
    assert np.array_equal(known.frames, choose_frames(program))
    assert known.frames.shape == (4, 6, 2, 5, 4)
    assert known.frames.max() <= program.input_max
    sha = hashlib.sha256()
    for trace in record.traces:
        sha.update(trace.membrane[2].astype("<i4").tobytes() + trace.spikes[2].astype("u1").tobytes())
    assert known.digests[2] == sha.hexdigest() == trace_digests(record)[2]


@pytest.mark.parametrize("make", [conv_program, rich_program])
def test_every_kind_of_program_has_known_answers(make, tmp_path):
    program = make(np.random.default_rng(1))
    write_net(tmp_path / "a.net", NetFile(program, "", known=make_known_answers(program)))
    assert (
        wrong_answer(read_net(tmp_path / "a.net").known, vectorised(program, choose_frames(program))) is None
    )


@pytest.mark.parametrize("name", ["frames", "counts/0", "counts/1", "logits"])
def test_a_corrupted_vector_or_answer_is_named(path, name):
    with h5py.File(path, "r+") as file:
        data = file[f"sast/known_answers/{name}"]
        data[...] = data[()] ^ (np.arange(data.size).reshape(data.shape) == data.size // 2)
    with pytest.raises(
        NetFileError, match=f"was altered: /sast/known_answers/{name} does not match its checksum"
    ):
        read_net(path)


def test_corrupted_digests_and_missing_vectors_are_named(path):
    with h5py.File(path, "r+") as file:
        digests = json.loads(file["sast/known_answers/trace_digests"][()])
        del file["sast/known_answers/trace_digests"]
        file["sast/known_answers/trace_digests"] = np.bytes_(json.dumps([digests[1], *digests[1:]]))
    with pytest.raises(NetFileError, match="/sast/known_answers/trace_digests does not match"):
        read_net(path)
    with h5py.File(path, "r+") as file:
        del file["sast/known_answers"]
    with pytest.raises(NetFileError, match="is damaged"):
        read_net(path)


def test_wrong_answers_are_named(program):
    known = make_known_answers(program)
    record = run_reference(program, known.frames, trace=True)
    counts, logits = record.counts[1].copy(), record.logits.copy()
    counts[3, 2] += 1
    logits[1, 2] -= 1
    membrane = record.traces[0].membrane.copy()
    membrane[2, 5, 8] += 1
    traces = (replace(record.traces[0], membrane=membrane), record.traces[1])
    for changed, problem in (
        (
            replace(record, counts=(record.counts[0], counts)),
            "vector 3, spiking layer 1, neuron 2: spike count",
        ),
        (replace(record, logits=logits), "vector 1, class 2: logit"),
        (replace(record, traces=traces), "vector 2: digest of membranes and spikes"),
    ):
        assert wrong_answer(known, changed).startswith(problem)


def test_engines_agree_and_all_values_are_counted(program):
    engines = load_engines(("fast",), program)
    frames = random_frames(np.random.default_rng(0), program, 5)
    rows = compare_engines(program, frames, engines, "test split")
    assert [(row.engine, row.problem) for row in rows] == [("reference", ()), ("fast", ())]
    assert {row.values for row in rows} == {5 * (2 * 6 * (9 + 6) + 3)}


@pytest.mark.parametrize("seed", range(4))
def test_the_first_difference_is_explained_with_its_inputs(seed):
    """One membrane off by one in a rich program: the arithmetic printed gives the reference's value."""
    rng = np.random.default_rng(seed)
    program = rich_program(rng)
    frames = random_frames(rng, program, 3)
    record = run_reference(program, frames, trace=True)
    number, sample, step = seed % 3, 1, 4 + seed
    neuron = int(rng.integers(record.traces[number].membrane.shape[2]))
    wrong = [trace.membrane.copy() for trace in record.traces]
    wrong[number][sample, step, neuron] += 1
    traces = tuple(replace(trace, membrane=u) for trace, u in zip(record.traces, wrong, strict=True))
    other = SpikeRecord(record.counts, record.logits, traces)
    engines = {"reference": lambda _: record, "other": lambda _: other}
    lines = compare_engines(program, frames, engines, "test split")[1].problem
    index, _ = list(program.spiking())[number]
    right = record.traces[number].membrane[sample, step, neuron]
    assert lines[0].startswith(f"first difference: sample 1, step {step}, layer {index} (")
    assert f"neuron {neuron}" in lines[0]
    assert lines[1] == f"  reference: membrane {right}, spike {record.traces[number].spikes[1, step, neuron]}"
    assert lines[2].startswith(f"  other: membrane {right + 1}, spike ")
    rule = next(line for line in lines if line.startswith("  by the rule"))
    assert f", in Q4.4 {right}; {right} >= " in rule
    assert lines[-1] == "  consistent with: no mistake that has a name"


def test_the_fast_engine_with_another_rule_is_named(program):
    known = make_known_answers(program)
    for change, name in (
        ({"leak_rounding": "floor"}, "leak rounded floor instead of toward-zero"),
        ({"comparison": ">"}, "> instead of >="),
        ({"reset": "zero"}, "reset to zero"),
        ({"reset_order": "before-leak"}, "reset before the leak"),
        ({"overflow": "wrap"}, "wrap instead of saturate"),
        ({"shift_rounding": "floor"}, "weighted sums rounded floor instead of half-up"),
    ):
        wrong = replace(program, arithmetic=replace(program.arithmetic, **change))
        record = run_fast(wrong, known.frames, trace=True)
        assert diagnose(program, known.frames, record) == (name,)


@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        (("subtract", "before-leak"), ("subtract", "after-leak"), "reset after the leak"),
        (("subtract", "before-leak"), ("zero", "after-leak"), "reset to zero"),
        (("zero", "after-leak"), ("subtract", "after-leak"), "reset by subtraction"),
        (("zero", "after-leak"), ("subtract", "before-leak"), "reset by subtraction"),
    ],
)
def test_another_reset_is_named(program, right, wrong, name):
    right, wrong = (
        replace(program, arithmetic=replace(program.arithmetic, reset=reset, reset_order=order))
        for reset, order in (right, wrong)
    )
    frames = make_known_answers(right).frames
    assert diagnose(right, frames, run_fast(wrong, frames, trace=True)) == (name,)


@pytest.mark.parametrize("order", RESET_ORDERS)
def test_the_rule_is_shown_with_its_reset(order):
    """vth 4, leak 1/2: of a membrane 10 that fired, 10/2 - 4 or (10 - 4)/2 is left."""
    layer = Dense(frozen_ints([[10]]), frozen_ints([0]), frozen_ints([4]), 0, frozen_ints([2048]))
    rules = replace(RULES, weight_bits=8, reset_order=order)
    program = Program("one", (1, 1, 1), 1, 2, ("a",), rules, (layer,))
    frames = np.ones((1, 2, 1, 1, 1), np.uint8)
    record = run_reference(program, frames, trace=True)
    off = np.array([[0], [1]], np.int32)
    trace = replace(record.traces[0], membrane=record.traces[0].membrane + off)
    wrong = replace(record, traces=(trace,))
    engines = {"reference": lambda _: record, "other": lambda _: wrong}
    lines = compare_engines(program, frames, engines, "test split")[1].problem
    kept, late = {"after-leak": (5, 4), "before-leak": (3, 0)}[order]
    assert f"  by the rule: {kept} + 10 + 0 - {late} = {kept + 10 - late}, in Q4.4" in "\n".join(lines)
    assert f"threshold 4, reset subtract {order}, decay 2048/4096" in "\n".join(lines)


def test_wrong_readouts_are_named(program):
    frames = random_frames(np.random.default_rng(0), program, 4)
    record = run_reference(program, frames, trace=True)
    bias = program.layers[-1].bias.astype(np.int64)
    once = replace(record, logits=record.logits - (program.steps - 1) * bias)
    assert diagnose(program, frames, once) == ("readout bias added once",)
    short = replace(record, counts=(record.counts[0] - 1, record.counts[1]))
    assert diagnose(program, frames, short) == (
        "spike counts that are not the sums of the engine's own spikes",
    )
    engines = {"reference": lambda _: record, "x": lambda _: once}
    rows = compare_engines(program, frames, engines, "test split")
    assert rows[1].problem[0].startswith("first difference: sample 0, class 0: logit")


@pytest.mark.parametrize("make", [fc_program, conv_program, rich_program])
def test_arrays_and_single_neurons_have_the_same_sums(make):
    """Two derivations of a_t: whole arrays at once, and the synapses of one neuron."""
    rng = np.random.default_rng(3)
    program = make(rng)
    frames = random_frames(rng, program, 2)
    spikes = [trace.spikes for trace in run_reference(program, frames, trace=True).traces]
    for index, train in layer_inputs(program, frames, spikes).items():
        layer, shape = program.layers[index], program.shapes()[index]
        sums, flat = sums_over_time(layer, train, layer.weight), train.reshape(*train.shape[:2], -1)
        for neuron in range(0, sums.shape[2], 3):
            synapses = fan_in(layer, shape, neuron)
            for t in (0, program.steps - 1):
                one = sum(w * flat[1, t - d, j] for j, w, d in synapses if t >= d)
                assert one == sums[1, t, neuron]


def test_the_command_compares_and_exits_0(path, capsys):
    assert run(["verify", str(path), "--known-answers-only", "--backend", "fast"]) == 0
    out = capsys.readouterr().out
    assert out.count("the file's answers") == 2
    assert "DIFFERS" not in out


def test_the_command_shows_a_difference_and_exits_1(path, program, monkeypatch, capsys):
    def wrong(_path, frames, **_options):
        other = replace(program, arithmetic=replace(program.arithmetic, leak_rounding="floor"))
        return run_reference(other, frames, trace=True)

    monkeypatch.setattr(lava, "run_lava", wrong)
    assert run(["verify", str(path), "--known-answers-only"]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS" in out
    assert "  consistent with: leak rounded floor instead of toward-zero" in out
    assert "inputs that are not 0 in this step" in out


def test_a_missing_engine_exits_3_unless_left_out(path, monkeypatch, capsys):
    def missing(_path, _frames, **_options):
        raise LavaError("Lava cannot be imported", todo="run `make setup`")

    monkeypatch.setattr(lava, "run_lava", missing)
    assert run(["verify", str(path), "--known-answers-only"]) == 3
    assert "Lava cannot be imported" in capsys.readouterr().err
    assert run(["verify", str(path), "--known-answers-only", "--backend", "reference"]) == 0


def test_a_file_without_known_answers_is_named(program, tmp_path, capsys):
    write_net(tmp_path / "a.net", NetFile(program, ""))
    assert run(["verify", str(tmp_path / "a.net"), "--known-answers-only"]) == 2
    assert "holds no known answers" in capsys.readouterr().err


def test_inspect_prints_and_writes_everything(path, program, tmp_path, capsys):
    assert run(["inspect", str(path), "-o", str(tmp_path / "facts.json")]) == 0
    out = capsys.readouterr().out
    for word in ("loihi-int4", program.digest(), "may saturate", "packed bits", "NeuroBench", "synapse bits",
                 "meets", "reset: subtract, of zero: BREAKS", "4 vectors", "resets to ZERO"):  # fmt: skip
        assert word in out, word
    facts = json.loads((tmp_path / "facts.json").read_text())
    assert facts["known_answers"] == 4
    assert [layer["name"] for layer in facts["layers"]] == [
        "layer 0 (dense)",
        "layer 1 (dense)",
        "layer 2 (readout)",
    ]
    assert {check["limit"] for check in facts["limits"]} >= {
        "neurons",
        "threshold",
        "bias",
        "decay",
        "cores",
        "reset",
    }


def test_four_bit_weights_take_four_bits(program):
    first = footprints(program)[0]
    assert (first.weights, first.packed_bits) == (360, 360 * 4 + 18 * 8)
    assert first.neurobench_bytes == 360 + 18
    eight = compile_network(float_fc(), load_profile("loihi-int8"), "t").program
    assert footprints(eight)[0].packed_bits == 360 * 8 + 18 * 16
    assert footprints(eight)[0].neurobench_bytes == 360 + 18 * 2
    last = replace(program.layers[-1], bias=frozen_ints([300, -1, 0]))  # a readout's sums have no range
    wide = footprints(replace(program, layers=(*program.layers[:-1], last)))[-1]
    assert (wide.packed_bits, wide.neurobench_bytes) == (18 * 4 + 3 * 10, 18 + 3 * 2)


def test_recurrent_weights_are_memory_and_may_be_zero_too():
    program = rich_program(np.random.default_rng(0))
    layer, bits = program.layers[2], program.arithmetic.weight_bits
    assert layer.recurrent is not None
    found = next(each for each in footprints(program) if each.weights == layer.weight.size + 49)
    assert found.packed_bits == found.weights * bits + 14 * program.arithmetic.state.bits
    facts = next(each for each in prove(program) if each.shape == layer.weight.shape)
    zeros = (layer.weight == 0).sum() + (layer.recurrent == 0).sum()
    assert facts.zero_weights == zeros / found.weights


def test_a_convolution_names_channel_row_and_column():
    rng = np.random.default_rng(0)
    program = conv_program(rng)
    frames = random_frames(rng, program, 1)
    record = run_reference(program, frames, trace=True)
    assert isinstance(program.layers[0], Conv2d)
    membrane = record.traces[0].membrane.copy()
    membrane[0, 2, 37] -= 1
    other = replace(record, traces=(replace(record.traces[0], membrane=membrane), *record.traces[1:]))
    engines = {"reference": lambda _: record, "x": lambda _: other}
    lines = compare_engines(program, frames, engines, "t")[1].problem
    assert lines[0] == "first difference: sample 0, step 2, layer 0 (conv), neuron 37 (1, 0, 2)"
