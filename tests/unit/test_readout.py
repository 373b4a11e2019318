"""Leaky readouts: the specification by hand, and every reading of it: engines, proofs, files, compiler."""

from __future__ import annotations

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import CompileError, LavaError
from sast_deploy.calibration import Samples, calibrate
from sast_deploy.calibration.targets import run_float
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatReadout
from sast_deploy.engines import reference
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.lava.exact import unfit_layer
from sast_deploy.engines.lava.run import run_lava
from sast_deploy.engines.reference import Integrators, run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.netx.stock_view import _unpooled, stock_layers
from sast_deploy.program.fixedpoint import ROUNDINGS, shift
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import DECODINGS, Program, Readout, SumPool, frozen_ints
from sast_deploy.program.sums import integrated_reach, leaky_reach, readout_reach
from sast_deploy.proofs.bounds import bound_neurons, prove
from sast_deploy.proofs.limits import check_limits
from sast_deploy.reports.inspection import inspect_net
from sast_deploy.reports.synops import count_operations
from sast_deploy.verification.diagnosis import diagnose, unseen
from sast_deploy.verification.vectors import make_known_answers, wrong_answer
from tests.anyprogram import Seeded, any_frames, any_program
from tests.networks import float_fc, float_trace
from tests.programs import RULES, conv_program, fc_program, random_frames, stock_of

ENGINES = (run_reference, run_vectorised, run_fast)
HALF, UNFILTERED = frozen_ints([2048]), frozen_ints([4096])


def with_readout(program: Program, **fields) -> Program:
    return replace(program, layers=(*program.layers[:-1], replace(program.layers[-1], **fields)))


def leaky(seed=0, decoding="last", exponent=-1) -> Program:
    """Of three classes: one leaks and filters, one only leaks, one sums."""
    program = fc_program(np.random.default_rng(seed), steps=8)
    decays = frozen_ints([1000, 3000, 0]), frozen_ints([2000, 4096, 4096])
    return with_readout(
        program, v_decay=decays[0], u_decay=decays[1], decoding=decoding, weight_exp=exponent,
        bias=frozen_ints([3, -4, 2]),
    )  # fmt: skip


def only(readout: Readout, steps: int, most: int = 1, rules=RULES) -> Program:
    classes, inputs = readout.weight.shape
    return Program("r", (1, 1, inputs), most, steps, tuple("abcdefgh"[:classes]), rules, (readout,))


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize(("decoding", "logit"), [("last", -5), ("max", -2), ("mean", -15)])
def test_the_first_membrane_may_be_the_largest_and_none_may_be_0(run, decoding, logit):
    """m = -2, -1 - 3, -2 - 2, -2 - 3 with a leak of 1/2: the largest is none of the zeros before it."""
    rules = replace(RULES, leak_rounding="floor")
    one = Readout(frozen_ints([[-1]]), frozen_ints([-2]), 0, v_decay=HALF, decoding=decoding)
    frames = np.array([0, 1, 0, 1], np.uint8).reshape(1, 4, 1, 1, 1)
    assert run(only(one, 4, rules=rules), frames).logits.tolist() == [[logit]]


@pytest.mark.parametrize("decoding", DECODINGS)
def test_any_number_of_steps_is_run_and_few_samples_at_a_time(decoding):
    program = leaky(decoding=decoding)
    frames = random_frames(np.random.default_rng(1), replace(program, steps=23), 7)
    wanted = run_reference(program, frames).logits
    assert np.array_equal(run_vectorised(program, frames, batch=2).logits, wanted)
    assert np.array_equal(run_fast(program, frames, batch=3, threads=1).logits, wanted)
    for run in ENGINES:
        assert run(program, frames[:, :0]).logits.tolist() == [[0] * 3] * 7


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_logit_beyond_64_bits_is_refused_by_every_engine(decoding):
    """The largest weight, shifted by 31 bits, of the largest input: 2**62 in each of 4 steps."""
    rules, most = replace(RULES, weight_bits=32), np.iinfo(np.int32).max
    decay = frozen_ints([0 if decoding == "mean" else 1])
    one = Readout(frozen_ints([[most]]), frozen_ints([0]), 1, v_decay=decay, decoding=decoding)
    program = only(one, 4, most, rules)
    frames = np.full((1, 4, 1, 1, 1), most, np.int32)
    for run in ENGINES:
        with pytest.raises(CompileError, match="expected at most 9223372036854775807"):
            run(program, frames)
    with pytest.raises(LavaError, match=r"layer 0: .* reach"):
        run_lava(program, frames)


def test_a_filtered_current_wraps_and_bounds_what_is_integrated():
    rules, most = replace(RULES, weight_bits=24), (1 << 23) - 1
    one = Readout(frozen_ints([[most]]), frozen_ints([0]), 0, u_decay=frozen_ints([1]), decoding="mean")
    program = only(one, 9, rules=rules)
    frames = np.ones((1, 9, 1, 1, 1), np.uint8)
    found = [run(program, frames).logits.tolist() for run in ENGINES]
    assert found[0] == found[1] == found[2]
    assert abs(found[0][0][0]) < 100 * most  # without the wrap 165 of them would add up
    (proof,) = prove(program)
    assert proof.wrapping == 1
    assert proof.membrane == (-8 << 23, 9 * most)  # the first step's current has not wrapped yet


@pytest.mark.parametrize("seed", range(40))
def test_no_membrane_leaves_its_proof_and_no_number_its_reach(seed):
    """Inputs that drive each class to either end, by greed; the reach holds what the proof holds."""
    choose = Seeded(5, seed)
    program = any_program(choose, integrates=True)
    program = replace(program, steps=min(program.steps, 12))
    last, bounds = program.layers[-1], bound_neurons(program)[len(program.layers) - 1]
    if last.sums:
        assert bounds.membrane.low.size == bounds.current.low.size == 0
        return
    frames = any_frames(choose, program, 3)
    largest = max(-int(bounds.sums.low.min()), int(bounds.sums.high.max())) << max(last.weight_exp, 0)
    reach = integrated_reach(last, largest + 1, program.steps)
    assert readout_reach(last, largest + 1, program.steps) >= reach
    for steps in range(1, program.steps + 1):
        every = with_readout(program, decoding="last")
        membranes = run_vectorised(every, frames[:, :steps]).logits
        assert (membranes >= bounds.membrane.low).all()
        assert (membranes <= bounds.membrane.high).all()
    assert -reach <= bounds.membrane.low.min() <= bounds.membrane.high.max() <= reach


@pytest.mark.parametrize("decay", [0, 1, 7, 2048, 4095, 4096])
@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_the_proofs_ends_are_reached(decay, rounding):
    """One class of inputs of either sign, all of them driven one way, is the most that it can be."""
    rules = replace(RULES, leak_rounding=rounding)
    decays = {"v_decay": frozen_ints([decay]), "u_decay": frozen_ints([3000])}
    one = Readout(frozen_ints([[5, -3]]), frozen_ints([1]), 2, **decays)
    program = only(one, 40, rules=rules)
    bounds = bound_neurons(program)[0]
    ends = [run_reference(program, np.tile(x, (1, 40, 1, 1, 1))).logits[0, 0] for x in ([1, 0], [0, 1])]
    assert bounds.membrane.high[0] == ends[0]
    assert bounds.membrane.low[0] <= ends[1]
    assert max(map(abs, ends)) <= leaky_reach(1 + leaky_reach(20, 3000, 40), decay, 40)


def test_what_is_too_long_to_grow_is_bounded_all_the_same():
    program = replace(leaky(), steps=1_000_000)
    (proof,) = [each for each in prove(program) if each.name.endswith("(readout)")]
    assert proof.membrane[1] == -proof.membrane[0] > 1_000_000
    assert not proof.settled
    assert not proof.wrapping
    rules = replace(RULES, weight_bits=32)
    huge = Readout(frozen_ints([[2**31 - 1]]), frozen_ints([0]), 31, decoding="mean")
    assert prove(only(huge, 1_000_000, 2**31 - 1, rules))[0].membrane[1] > 2**63


@pytest.mark.parametrize("decoding", DECODINGS)
def test_a_file_keeps_it_and_stock_netx_refuses_it(tmp_path, decoding):
    program = leaky(decoding=decoding)
    write_net(tmp_path / "a.net", NetFile(program, "", known=make_known_answers(program)))
    found = read_net(tmp_path / "a.net")
    assert found.program.digest() == program.digest()
    assert found.program.layers[-1].decoding == decoding
    with h5py.File(tmp_path / "a.net") as file:
        neuron = {name: each[()] for name, each in file["layer/4/neuron"].items()}
        assert ("decoding" in file["sast/program/layers/2"]) == (decoding != "last")
    assert neuron["type"] == b"SAST_INTEGRATOR"
    assert neuron["vDecay"].tolist() == [1000, 3000, 0]
    assert neuron["decoding"] == decoding.encode()
    assert not stock_of(program).loads
    text = inspect_net(found, None).summary
    assert text["stock NetX"] == "refuses it"
    kept = "keeps 1096..4096/4096 of its membrane potential a step and 0..2096/4096 of its current"
    assert text["readout"].startswith(kept)
    assert f"decoding {decoding}: " in text["readout"]
    sums = with_readout(program, v_decay=frozen_ints([0]), u_decay=UNFILTERED, decoding="last")
    assert stock_of(sums).loads
    assert "readout" not in inspect_net(NetFile(sums, ""), None).summary
    assert "neuron/type" not in stock_layers(sums, False)[-1]


def test_a_readout_whose_pool_is_folded_loses_no_field():
    """Whatever fields a readout has, now or later."""
    last = replace(
        conv_program(np.random.default_rng(0)).layers[-1], weight=frozen_ints(np.ones((3, 8))),
        delay=frozen_ints([2]), v_decay=HALF, u_decay=frozen_ints([9]), decoding="max",
    )  # fmt: skip
    found = _unpooled(last, SumPool((2, 2)), (2, 4, 4), (2, 2, 2))
    for field in fields(Readout):
        if field.name != "weight":
            assert getattr(found, field.name) is getattr(last, field.name), field.name


def test_loihi_has_registers_for_it_and_a_sum_needs_none():
    program = leaky()
    found = {c.limit: c for c in check_limits(program) if c.layer == "layer 2 (readout)"}
    assert found["decay"].needs == "v 0..3000, u 1999..4095"
    assert found["decay"].meets
    low, high = prove(program)[-1].membrane
    width = max((-low - 1).bit_length(), high.bit_length()) + 1
    bits = int(found["state bits"].needs)
    assert width < bits <= 24
    assert found["current bits"].meets
    plain = with_readout(program, v_decay=frozen_ints([0]), u_decay=UNFILTERED)
    names = {c.limit for c in check_limits(plain) if c.layer == "layer 2 (readout)"}
    assert not names & {"decay", "state bits", "current bits", "threshold"}


def test_operations_are_those_of_a_sum():
    program = leaky(decoding="max")
    frames = random_frames(np.random.default_rng(0), program, 5)
    counts = run_fast(program, frames).counts
    plain = fc_program(np.random.default_rng(0), steps=8)
    assert count_operations(program, frames, counts) == count_operations(plain, frames, counts)


MISTAKES = {
    "readout bias added once": None,
    "readout shifted once, after all steps": None,
    "readout sums rounded floor instead of half-up": {"rules": {"shift_rounding": "floor"}},
    "readout leak rounded floor instead of toward-zero": {"rules": {"leak_rounding": "floor"}},
    "readout without its leak": {"v_decay": frozen_ints([0])},
    "readout without its current filter": {"u_decay": UNFILTERED},
    "readout's largest membrane potential instead of its last": {"decoding": "max"},
    "readout's mean membrane potential instead of its last": {"decoding": "mean"},
    "readout leaks what arrives, too": None,
    "readout bias filtered by the current decay": None,
    "readout's membrane potential not cleared between samples": None,
}


@pytest.mark.parametrize("name", [name for name, change in MISTAKES.items() if change])
def test_an_engine_with_another_readout_is_named(name):
    """By the known answers alone; the readout runs alone, so that no other layer sees the other rule."""
    rng = np.random.default_rng(8)
    readout = replace(leaky().layers[-1], weight=frozen_ints(rng.integers(-7, 8, (3, 9))))
    program = only(readout, 9, most=3)
    known, change = make_known_answers(program), dict(MISTAKES[name])
    rules = replace(program.arithmetic, **change.pop("rules", {}))
    other = replace(with_readout(program, **change), arithmetic=rules)
    for run in ENGINES:
        assert diagnose(program, known.frames, run(other, known.frames, trace=True)) == (name,)
    assert diagnose(program, known.frames, run_fast(program, known.frames, trace=True)) == ()
    record = run_reference(program, known.frames, trace=True)
    assert not {*MISTAKES} & {*unseen(program, known.frames, record)}


class BiasOnce(Integrators):
    """The planted bugs: each is one line away from the specification."""

    def step(self, accumulated):
        result = super().step(accumulated)
        self.bias = [0] * self.classes
        return result

    def clear(self):
        super().clear()
        self.bias = self.layer.bias.tolist()


class LeaksAll(Integrators):
    def step(self, accumulated):
        total = [shift(a, self.layer.weight_exp, self.rules.shift_rounding) for a in accumulated]
        for i, arriving in enumerate(total):
            self.current[i] = reference.filtered(self.current[i], arriving, self.u_decay[i], self.rules)
            m = self.membrane[i] + self.current[i] + self.bias[i]
            self.membrane[i] = reference.leak(m, self.v_decay[i], self.rules.leak_rounding)
        self.logits = self._decoded()
        return self.logits


class FiltersBias(Integrators):
    def __init__(self, layer, rules):
        super().__init__(layer, rules)
        self.inside = [b if u < 4096 else 0 for b, u in zip(self.bias, self.u_decay, strict=True)]
        self.bias = [b - i for b, i in zip(self.bias, self.inside, strict=True)]

    def step(self, accumulated):
        exponent = -self.layer.weight_exp
        return super().step([a + (b << exponent) for a, b in zip(accumulated, self.inside, strict=True)])


class Remembers(Integrators):
    def clear(self):
        before = getattr(self, "membrane", None)
        super().clear()
        self.membrane = before or self.membrane


class ShiftsLast(Integrators):
    def clear(self):
        super().clear()
        self.sent, self.arrived = [0] * self.classes, [0] * self.classes

    def step(self, accumulated):
        exponent, rounding = self.layer.weight_exp, self.rules.shift_rounding
        self.arrived = [a + b for a, b in zip(self.arrived, accumulated, strict=True)]
        whole = [shift(a, exponent, rounding) for a in self.arrived]
        more, self.sent = [a - b for a, b in zip(whole, self.sent, strict=True)], whole
        return super().step([a << -exponent for a in more])


PLANTED = {
    BiasOnce: "readout bias added once",
    LeaksAll: "readout leaks what arrives, too",
    FiltersBias: "readout bias filtered by the current decay",
    Remembers: "readout's membrane potential not cleared between samples",
    ShiftsLast: "readout shifted once, after all steps",
}


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize("wrong", PLANTED, ids=lambda wrong: wrong.__name__)
def test_a_planted_bug_of_the_readout_is_named_by_the_known_answers(wrong, decoding, monkeypatch):
    program = leaky(decoding=decoding)
    known = make_known_answers(program)
    monkeypatch.setattr(reference, "Integrators", wrong)
    record = run_reference(program, known.frames, trace=True)
    monkeypatch.undo()
    assert wrong_answer(known, record) is not None
    assert diagnose(program, known.frames, record) == (PLANTED[wrong],)
    assert diagnose(program, known.frames, run_reference(program, known.frames, trace=True)) == ()


def integrate(arriving, bias, alpha, kappa, decoding):
    """The equation of compiler/floatnet.py once more: logits of sums (samples, time, classes), float64."""
    c = m = np.zeros(arriving[:, 0].shape)
    found = []
    for t in range(arriving.shape[1]):
        c = kappa * c + arriving[:, t]
        m = alpha * m + c + bias
        found.append(m)
    membranes = np.stack(found, axis=1)
    if decoding == "last":
        return membranes[:, -1] / (len(found) if alpha == 1 and kappa == 0 else 1)
    return membranes.max(axis=1) if decoding == "max" else membranes.mean(axis=1)


def float_leaky(alpha, kappa, decoding, seed=1):
    plain = float_fc(seed=seed, scale=2.0, steps=12)
    out = plain.layers[-1]
    last = FloatReadout(out.weight, out.bias, 0, alpha, kappa, decoding)
    return replace(plain, layers=(*plain.layers[:-1], last))


CASES = [(1.0, 0.0), (0.9, 0.0), (0.75, 0.5), (0.0, 0.0), (1.0, 0.8)]


@pytest.mark.parametrize("decoding", DECODINGS)
@pytest.mark.parametrize(("alpha", "kappa"), CASES)
def test_the_program_predicts_what_the_float_readout_does(alpha, kappa, decoding):
    """Of the same spikes: logits are one factor of the float ones but for the weights' rounding."""
    network = float_leaky(alpha, kappa, decoding)
    compiled = compile_network(network, load_profile("loihi-int8"), "t")
    assert not compiled.warnings
    program = compiled.program
    frames = random_frames(np.random.default_rng(3), program, 200)
    record = run_fast(program, frames, trace=True)
    out = network.layers[-1]
    arriving = record.traces[-1].spikes.astype(np.float64) @ out.weight.T.astype(np.float64)
    wanted = integrate(arriving, out.bias, alpha, kappa, decoding)
    factor = (wanted * record.logits).sum() / (record.logits**2.0).sum()
    assert record.logits * factor == pytest.approx(wanted, abs=0.02 * np.abs(wanted).max())
    margin = np.diff(np.sort(wanted, axis=1)[:, -2:], axis=1).ravel()
    clear = margin > 0.02 * np.abs(wanted).max()
    assert clear.mean() > 0.5
    assert np.array_equal(record.logits.argmax(axis=1)[clear], wanted.argmax(axis=1)[clear])


@pytest.mark.slow
def test_a_filtered_current_takes_a_smaller_exponent_before_it_is_refused():
    network = float_leaky(1.0, 0.999, "last")
    profile = load_profile("loihi-int8")
    wide = replace(profile, exponent_max=7)
    longer = replace(network, steps=4000)
    program = compile_network(longer, wide, "t").program
    assert 0 <= program.layers[-1].weight_exp < 7
    assert prove(program)[-1].wrapping == 0
    ones = FloatReadout(np.ones((3, 6)), 0.0, 0, 1.0, 1.0)
    with pytest.raises(CompileError, match=r"layer 2.*current of neuron 0 may wrap in 40000 steps"):
        compile_network(replace(longer, layers=(*longer.layers[:-1], ones), steps=40_000), wide, "t")


def test_a_leak_between_two_twelfth_powers_is_told_with_what_it_changes():
    network = replace(float_leaky(0.9999, 0.0, "mean"), steps=1000)
    (warning,) = compile_network(network, load_profile("loihi-int8"), "t").warnings
    assert warning.startswith("layer 2: leak 0.9999 (neuron 0) becomes 4096/4096, ")


def test_more_than_64_bits_are_refused_by_the_compiler():
    network = replace(float_leaky(1.0, 0.0, "mean"), steps=1_000_000)
    assert compile_network(network, load_profile("loihi-int8"), "t").program.layers[-1].decoding == "mean"
    out = FloatReadout(np.ones((3, 6)), 1e6, decoding="mean")
    network = replace(network, layers=(*network.layers[:-1], out))
    with pytest.raises(CompileError, match=r"layer 2: .* intermediate results may reach [0-9]{20,} "):
        compile_network(network, load_profile("loihi-int8"), "t")


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "kappa"), CASES)
@pytest.mark.parametrize("decoding", ["last", "mean"])
def test_calibration_aims_at_its_logits_and_all_steps_may_be_kept(alpha, kappa, decoding):
    network = float_leaky(alpha, kappa, decoding)
    profile = load_profile("loihi-int3")
    program = compile_network(network, profile, "t").program
    frames = random_frames(np.random.default_rng(4), program, 120)
    targets = run_float(network, frames)
    plain = replace(network, layers=(*network.layers[:-1], float_fc(seed=1, scale=2.0).layers[-1]))
    spikes = float_trace(plain, frames)[0][-1][1]
    out = network.layers[-1]
    wanted = integrate(spikes @ out.weight.T.astype(np.float64), out.bias, alpha, kappa, decoding)
    if (alpha, kappa, decoding) == (1.0, 0.8, "last"):
        wanted = wanted / network.steps  # without leak the last is a sum, and told as a mean
    assert targets.logits == pytest.approx(wanted, rel=1e-4, abs=1e-5)
    fit, judge = (Samples(frames[part], wanted[part].argmax(axis=1)) for part in (slice(60), slice(60, None)))
    found = calibrate(network, profile, "t", fit, judge)
    assert found.steps[-1].before.loss <= found.steps[0].before.loss
    assert any(step.kept for step in found.steps)
    last = found.compilation.program.layers[-1]
    assert (last.decoding, last.v_decay.tolist()) == (decoding, [round(4096 * (1 - alpha))])


@pytest.mark.parametrize(
    ("alpha", "kappa", "decoding"),
    [(0.9, 0.0, "max"), ([0.9, 0.8, 0.7], 0.0, "last"), (0.9, [0.5, 0.5, 0.1], "last")],
)
def test_calibration_takes_readouts_that_are_not_linear_or_not_one_for_all(alpha, kappa, decoding):
    network, profile = float_leaky(alpha, kappa, decoding), load_profile("loihi-int3")
    program = compile_network(network, profile, "t").program
    frames = random_frames(np.random.default_rng(4), program, 60)
    labels = run_float(network, frames).logits.argmax(axis=1)
    fit, judge = (Samples(frames[part], labels[part]) for part in (slice(30), slice(30, None)))
    found = calibrate(network, profile, "t", fit, judge)
    assert found.steps[-1].before.loss <= found.steps[0].before.loss
    assert found.compilation.program.layers[-1].decoding == decoding


def test_lava_bounds_what_it_adds_up():
    program = leaky(decoding="mean")
    assert unfit_layer(program, 8) is None
    assert unfit_layer(with_readout(program, weight_exp=20), 1 << 20).startswith("layer 2: ")
