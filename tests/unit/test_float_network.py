"""Other people's networks in floating point: none can be constructed wrong, and integers do what they do."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from functools import partial

import numpy as np
import pytest

from sast_deploy.base.errors import CompileError
from sast_deploy.base.settings import ruled
from sast_deploy.calibration import Samples, calibrate
from sast_deploy.calibration.moments import measure
from sast_deploy.calibration.place import Place
from sast_deploy.calibration.targets import run_float
from sast_deploy.calibration.task import Task
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatNetwork,
    FloatPool,
    FloatReadout,
    FloatUpsample,
)
from sast_deploy.compiler.quantize import gain_errors
from sast_deploy.engines.fast import run_fast
from sast_deploy.engines.reference import run_reference
from sast_deploy.program.profile import load_profile, parse_profile
from sast_deploy.program.program import Conv2d, Readout, SumPool
from sast_deploy.program.record import first_difference
from tests.networks import EXACT_LSB, exact_network, exact_profile, float_fc, float_trace
from tests.programs import random_frames

INT8 = load_profile("loihi-int8")
CONV, POOL, OUT = FloatConv2d(np.ones((3, 2, 2, 2)), leak=1), FloatPool(2), FloatReadout(np.ones((2, 3)))
DENSE = FloatDense(np.ones((1, 2)), leak=1)
NETWORKS = 60
FEATURES = {
    "subtract", "zero", "conv", "dense", "pool", "readout", "recurrent", "forward", "ends in conv",
    "ends in dense", "ends in readout", "leak of each", "filter of each", "no filter", "one filter",
    "one leak", "delay of a layer", "delays of inputs", "delays of synapses", "undelayed", "late readout",
    "two groups", "strided", "counts beyond 1.0",
}  # fmt: skip


def features(program, frames):
    """What a program has and meets, by name."""
    yield from (program.arithmetic.reset, f"ends in {program.layers[-1].kind}")
    if frames.max() > 4:
        yield "counts beyond 1.0"
    for layer in program.layers:
        yield layer.kind
        if isinstance(layer, Readout) and layer.delay.any():
            yield "late readout"
        if isinstance(layer, (Readout, SumPool)):
            continue
        late = layer.delay
        kinds = ("delay of a layer", "delays of inputs", "delays of synapses")
        yield kinds[late.ndim - (late.size == 1)] if late.any() else "undelayed"
        yield "leak of each" if len(layer.v_decay) > 1 else "one leak"
        one = "no filter" if layer.u_decay[0] == 4096 else "one filter"
        yield "filter of each" if len(layer.u_decay) > 1 else one
        yield "recurrent" if getattr(layer, "recurrent", None) is not None else "forward"
        if isinstance(layer, Conv2d):
            yield from ("two groups",) * (layer.groups == 2) + ("strided",) * (layer.stride == (1, 2))


@pytest.mark.slow
def test_integers_do_what_floating_point_does_where_nothing_is_rounded():
    """Membranes, spikes and logits of both engines equal the float network's, at every step."""
    seen = Counter()
    for seed in range(NETWORKS):
        network = exact_network(seed)
        compilation = compile_network(network, exact_profile(network.reset), "exact")
        program = compilation.program
        frames = random_frames(np.random.default_rng(seed), program, samples=2)
        traces, logits = float_trace(network, frames)
        record = run_reference(program, frames, trace=True)
        for trace, (membrane, spikes) in zip(record.traces, traces, strict=True):
            assert np.array_equal(trace.spikes, spikes), seed
            assert np.array_equal(trace.membrane * EXACT_LSB, membrane), seed
            seen["lively"] += 0.05 < spikes.mean() < 0.95
        last = program.layers[-1]
        unit = network.steps * 64 * 2.0**last.weight_exp if isinstance(last, Readout) else 1
        assert np.array_equal(record.logits, unit * logits), seed
        assert first_difference(record, run_fast(program, frames, trace=True)) is None
        assert all(facts.error == 0 == facts.clipped_weights for facts in compilation.layers)
        seen.update(set(features(program, frames)))
    assert seen.pop("lively") > NETWORKS
    assert set(seen) == FEATURES
    assert min(seen.values()) >= 2, seen


def test_one_number_stands_for_all_and_arrays_are_copied():
    weight = np.eye(3, 4)
    layer = FloatDense(weight, 0.5, [2], leak=np.float32(0.25), delay=3)
    weight[:] = 7
    assert layer.weight.tolist() == np.eye(3, 4).tolist()
    for values, expected in ((layer.bias, 0.5), (layer.threshold, 2), (layer.leak, 0.25)):
        assert (values.tolist(), values.dtype) == ([expected] * 3, np.float32)
    assert (layer.delay.tolist(), layer.delay.dtype) == ([3], np.int32)
    assert (layer.current_leak, layer.recurrent) == (None, None)
    for array in (layer.weight, layer.bias, layer.delay):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert all(getattr(replace(layer), each.name) is not None for each in fields(layer)[:4])
    conv = FloatConv2d(np.ones((3, 2, 2, 2)), stride=2, padding=[1, 0])
    assert (conv.stride, conv.padding, conv.dilation, conv.groups) == ((2, 2), (1, 0), (1, 1), 1)
    assert FloatPool(2).kernel == (2, 2)


def test_a_network_fills_in_what_follows():
    layer = FloatDense(np.ones((3, 4)))
    for shape in (4, (4,), [4], (4, 1, 1)):
        network = FloatNetwork([layer], shape, 9, 0.5, input_clip=3)
        assert (network.input_shape, network.input_max, network.classes) == ((4, 1, 1), 3, ("0", "1", "2"))
    assert network.shapes() == ((4, 1, 1), (3,))
    assert FloatNetwork([CONV], (2, 3, 3), 1).shapes()[-1] == (3, 2, 2)
    assert len(FloatNetwork([CONV], (2, 3, 3), 1).classes) == 12
    own = FloatDense(np.ones((2, 3)), leak=(0.25, 1))
    network = FloatNetwork([layer, own], 4, 9, 0.5, classes="ab")
    assert [network.leak(each).tolist() for each in network.layers] == [[0.5] * 3, [0.25, 1]]
    assert network.classes == ("a", "b")


@pytest.mark.parametrize(
    "kind", [FloatDense, FloatConv2d, FloatPool, FloatUpsample, FloatReadout, FloatNetwork]
)
def test_every_field_has_a_rule(kind):
    by_hand = {"layers", "alpha", "classes"} if kind is FloatNetwork else set()
    assert {each.name for each in fields(kind)} == set(ruled(kind)) | by_hand


NAN, HUGE = float("nan"), 1e39


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": [[1, NAN]]}, r"FloatDense.weight = nan at \[0, 1\]; expected finite float32 \(1, 2\)"),
        ({"weight": [[HUGE]]}, r"weight = inf at \[0, 0\]"),
        ({"weight": [1, 2]}, r"weight = shape \(2,\); expected finite float32 \(out, in\)"),
        ({"weight": [["1"]]}, "weight = list of 1"),
        ({"weight": np.zeros((0, 3))}, r"weight = shape \(0, 3\)"),
        ({"weight": np.ma.ones((3, 4))}, "weight = "),
        ({"bias": [1, 2]}, r"bias = shape \(2,\); expected finite float32 \(3\)"),
        ({"bias": None}, "bias = None"),
        ({"threshold": 0}, r"threshold = 0 at \[0\]; expected finite float32 \(3\) above 0"),
        ({"threshold": [1, -1, 1]}, r"threshold = -1 at \[1\]"),
        ({"leak": 1.5}, r"leak = 1.5 at \[0\]; expected finite float32 \(3\) from 0 to 1, or None"),
        ({"current_leak": [0, 0, -0.1]}, r"current_leak = -0.1 at \[2\]"),
        ({"delay": 63}, r"delay = 63..63; expected int32 \(1\) or \(4\) or \(3, 4\) from 0 to 62"),
        ({"delay": -1}, "delay = -1..-1"),
        ({"delay": 0.5}, r"delay = float64 \(1,\)"),
        ({"delay": [1, 2]}, r"delay = shape \(2,\)"),
        ({"recurrent": np.ones((3, 4))}, r"recurrent = shape \(3, 4\); expected finite float32 \(3, 3\)"),
    ],
)
def test_a_wrong_layer_is_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        FloatDense(**{"weight": np.ones((3, 4)), **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(CONV, stride=0), r"FloatConv2d.stride\[0\] = 0 \(expected an integer from 1"),
        (lambda: replace(CONV, groups=2), "3 channels in 2 groups; expected as many in each"),
        (lambda: replace(CONV, delay=(1, 2, 3)), r"FloatConv2d.delay = shape \(3,\)"),
        (lambda: FloatPool((2, 2, 2)), r"FloatPool.kernel = \[2, 2, 2\]"),
        (lambda: FloatReadout(np.ones((2, 3)), [1, 2, 3]), r"FloatReadout.bias = shape \(3,\)"),
        (lambda: network((CONV, POOL, OUT), alpha=NAN), "alpha = nan; expected a number from 0 to 1"),
        (lambda: network((CONV, POOL, OUT), alpha="1"), "alpha = '1'"),
        (lambda: network((replace(CONV, leak=None), POOL, OUT)), "layer 0 has no leak; expected leak of the"),
        (lambda: network((CONV, OUT)), r"layer 1: weight \(2, 3\) after \(3, 2, 2\)"),
        (lambda: network((CONV, CONV, OUT)), r"layer 1: weight \(3, 2, 2, 2\) after \(3, 2, 2\)"),
        (lambda: network((CONV, FloatPool(3), OUT)), r"layer 1: pool \(3, 3\) after \(3, 2, 2\)"),
        (lambda: network((CONV, POOL)), "FloatPool is last; expected a readout, or a layer that spikes"),
        (lambda: network((FloatReadout(np.ones((2, 18))),)), "no layer spikes; expected one at least"),
        (lambda: network((OUT, CONV)), "a readout before the last layer; expected one at most, and last"),
        (lambda: network(("dense", OUT)), "layer 0 is str; expected a FloatLayer"),
        (lambda: network((CONV, POOL, OUT), classes=("a",)), "2 logits for 1 classes; expected as many"),
        (lambda: network((CONV, POOL, OUT), classes=(1, 2)), r"classes \(1, 2\); expected texts"),
        (lambda: network((CONV, POOL, OUT), reset="none"), "FloatNetwork.reset = 'none'; expected subtract"),
        (lambda: network((CONV, POOL, OUT), input_clip=0), "FloatNetwork.input_clip = 0"),
        (lambda: network((CONV, POOL, OUT), input_max=1.0), "FloatNetwork.input_max = 1.0"),
        (lambda: network((CONV, POOL, OUT), shape=(2, 3)), r"FloatNetwork.input_shape = \[2, 3\]"),
        (lambda: network((CONV, POOL, OUT), steps=0.5), "FloatNetwork.steps = 0.5"),
        (lambda: network((replace(CONV, padding=(9999, 9999)),)), "layer 0 has 1,200,000,000 values; exp"),
        (lambda: network((FloatPool(3), DENSE), input_max=2**30), "layer 0 has sums up to 9,663,676,416"),
    ],
)  # fmt: skip
def test_a_wrong_network_is_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def network(layers, shape=(2, 3, 3), steps=4, **others):
    return FloatNetwork(layers, shape, steps, **others)


def one_layer(steps=10, **neurons):
    return FloatNetwork([FloatDense(np.ones((3, 4)), **neurons)], 4, steps)


def compiled(network, **changes):
    text = INT8.text
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new, 1)
    return compile_network(network, parse_profile(text, "test"), "t")


@pytest.mark.parametrize(
    ("leak", "decay"),
    [(0.5, [2048]), ([0.5, 0.5, 0.5], [2048]), ([0, 0.25, 1], [4096, 3072, 0]), (0.9, [410])],
)
def test_a_leak_is_what_a_step_keeps(leak, decay):
    layer = compiled(one_layer(leak=leak, current_leak=leak)).program.layers[0]
    assert layer.v_decay.tolist() == layer.u_decay.tolist() == decay
    assert compiled(one_layer(leak=leak)).program.layers[0].u_decay.tolist() == [4096]


def test_a_leak_between_two_integers_is_told_and_a_warning_where_it_matters():
    slight = compiled(one_layer(leak=0.9))  # less than a weight's rounding
    assert slight.warnings == ()
    assert slight.notes == (
        "layer 0: leak 0.9 (neuron 0) becomes 3686/4096, rounded by -0.4/4096: a constant input's sum over "
        "10 steps changes by 0.04 %",
    )
    exact = compiled(one_layer(leak=[0.5, 3686 / 4096, 1.0], steps=1000))
    assert (exact.warnings, exact.notes) == ((), ())
    changes = ": a constant input's sum over 1000 steps changes by"
    strong = compiled(one_layer(leak=[0.5, 0.999, 0.9], current_leak=0.995, steps=1000))
    assert strong.notes == ()
    assert strong.warnings == (
        f"layer 0: leak 0.999 (neuron 1) becomes 4092/4096, rounded by +0.096/4096{changes} 0.99 %",
        f"layer 0: current_leak 0.995 (neuron 0) becomes 4076/4096, rounded by +0.48/4096{changes} 2.31 %",
    )


def test_the_error_of_a_leak_is_that_of_the_sum_it_makes():
    leak, decay = np.array([0.0, 0.9, 0.9999, 1.0]), np.array([4096.0, 410.0, 0.0, 0.0])
    for steps in (1, 7, 200):
        sums = [np.sum(kept[:, None] ** np.arange(steps), axis=1) for kept in (leak, 1 - decay / 4096)]
        assert gain_errors(leak, decay, steps) == pytest.approx(np.abs(sums[1] / sums[0] - 1), abs=1e-9)


def test_recurrent_weights_share_the_scale_of_a_neurons_own():
    """Neuron 0's largest weight is recurrent, neuron 1's is not; an input of 1.0 is two counts, one spike."""
    weight, recurrent = [[0.5, 0.1], [4.0, 1.0]], [[0.0, 1.0], [0.5, -0.5]]
    layer = FloatDense(weight, recurrent=recurrent, leak=0.5)
    compilation = compiled(FloatNetwork([layer], 2, 4, input_clip=2))
    made = compilation.program.layers[0]
    assert made.recurrent.tolist() == [[0, 127], [32, -32]]
    assert made.weight.tolist() == [[32, 6], [127, 32]]
    real = np.array([[0.25, 0.05, 0, 1], [2, 0.5, 0.5, -0.5]])
    off = np.array([[32, 6, 0, 127], [127, 32, 32, -32]]) / 127 * [[1], [2]] - real
    assert compilation.layers[0].error == pytest.approx(np.sqrt((off**2).mean() / (real**2).mean()))
    cut = compiled(FloatNetwork([replace(layer, recurrent=np.array(recurrent) * 99)], 2, 4, input_clip=2),
                   c=('clipping = "none"', 'clipping = "mse"'))  # fmt: skip
    assert 0 <= cut.layers[0].clipped_weights < 1


def test_recurrent_weights_count_as_spikes_in_the_accumulator():
    """Limit 2**9 - 1 = 511: two inputs up to 2 and four spikes of the same weight k reach 8 k, so k <= 63."""
    layer = FloatDense(np.ones((4, 2)), recurrent=np.ones((4, 4)), leak=0.5)
    text = {"a": ("bits = 24", "bits = 10"), "b": ('"refuse"', '"rescale"'), "c": ("_max = 1", "_max = 0")}
    text["d"] = ("exponent_min = -8", "exponent_min = 0")
    compilation = compiled(FloatNetwork([layer], 2, 4, input_max=2), **text)
    made = compilation.program.layers[0]
    assert made.weight.max() == made.recurrent.max()
    assert 496 < compilation.layers[0].proof.high <= 511


def test_a_neuron_with_recurrent_weights_alone_has_weights():
    layer = FloatDense([[1.0], [0.0]], recurrent=[[0, 0], [1, 0]], leak=0.5)
    assert compiled(FloatNetwork([layer], 1, 4)).warnings == ()


def test_a_program_resets_in_its_networks_order_unless_the_profile_has_another():
    def made(reset, order, profile):
        network = FloatNetwork([FloatDense(np.ones((3, 4)), leak=0.5)], 4, 10, reset=reset, reset_order=order)
        made = compiled(network, reset=('kind = "subtract"', profile))
        return made.program.arithmetic.reset_rule, made.warnings

    left_open, before = 'kind = "subtract"', 'kind = "subtract"\norder = "before-leak"'
    assert made("subtract", "after-leak", left_open) == ("subtract after-leak", ())
    assert made("subtract", "before-leak", left_open) == ("subtract before-leak", ())
    assert made("subtract", "before-leak", before) == ("subtract before-leak", ())
    assert made("subtract", "after-leak", before) == (
        "subtract before-leak", ("trained with reset after-leak, but this profile has before-leak",),
    )  # fmt: skip
    assert made("subtract", "before-leak", 'kind = "zero"') == (
        "zero",
        ("trained with reset 'subtract', but this profile has 'zero': other spikes; "
         "a profile with reset.kind = 'subtract' keeps them",),
    )  # fmt: skip
    message = r"reset_order 'before-leak' with reset 'zero'; expected 'after-leak'"
    with pytest.raises(ValueError, match=message):
        made("zero", "before-leak", left_open)


def test_a_filtered_current_that_may_wrap_is_refused():
    """Every step 400 inputs of 127 arrive at half their weight: 24 bits hold the sum of 330 steps."""
    layer = FloatDense(np.vstack([np.full(400, 0.01), np.ones(400)]), 0, [1, 9], 0.5, [0.0, 1.0])
    fits, wraps = (FloatNetwork([layer], 400, steps) for steps in (330, 331))
    assert compiled(fits).layers[0].proof.wrapping == 0
    assert compiled(fits).program.layers[0].weight_exp == -1
    message = "layer 0: the filtered current of neuron 1 may wrap in 331 steps; expected -8388608..8388607"
    with pytest.raises(CompileError, match=message):
        compiled(wraps)
    compiled(FloatNetwork([replace(layer, current_leak=None)], 400, 331))


def test_another_reset_is_a_warning():
    network = FloatNetwork(one_layer(leak=0.5).layers, 4, 10, reset="zero")
    (warning,) = compiled(network).warnings
    assert warning.startswith("trained with reset 'zero', but this profile has 'subtract': other spikes; ")


def test_calibration_refuses_recurrent_weights_by_name():
    one, *others = float_fc().layers
    network = replace(float_fc(), layers=(replace(one, recurrent=np.eye(9)), *others))
    with pytest.raises(CompileError, match="layer 0: cannot calibrate recurrent weights; expected none"):
        calibrate(network, INT8, "t", SAMPLES, SAMPLES)


@pytest.mark.parametrize(
    "changes",
    [
        {"delay": 2},
        {"current_leak": 0.5},
        {"leak": np.linspace(0, 1, 9)},
        {"reset": "zero"},
        {"reset_order": "before-leak"},
        {"spiking": True},
        *({"decoding": each, "leak": 0.5} for each in ("last", "max", "mean")),
    ],
    ids=str,
)
def test_calibration_gains_whatever_a_network_has(changes):
    """Delays, filters, leaks of each neuron, resets of both orders, readouts of every kind, or none."""
    plain = float_fc(seed=4, scale=2.0)
    one, two, out = plain.layers
    if "reset" in changes or "reset_order" in changes:
        network = replace(plain, **changes)
    elif "spiking" in changes:
        classes = tuple(map(str, range(len(two.weight))))
        network = replace(plain, layers=(one, two), classes=classes)
    elif "decoding" in changes:
        network = replace(plain, layers=(one, two, replace(out, **changes)))
    else:
        network = replace(plain, layers=(replace(one, **changes), two, out))
    found = calibrate(network, load_profile("loihi-int2"), "t", SAMPLES, SAMPLES)
    before, kept = found.steps[0].before, [step for step in found.steps if step.kept]
    assert kept[-1].after.loss < before.loss
    program = found.compilation.program
    frames = SAMPLES.frames[:3]
    assert np.array_equal(run_fast(program, frames).logits, run_reference(program, frames).logits)


@pytest.mark.slow
def test_calibration_knows_a_leak_of_each_layer():
    """Layers that name the network's leak as their own are the same network; another leak is another one."""
    plain = float_fc(seed=4, scale=2.0)
    profile, steps = load_profile("loihi-int2"), ("search", "rounding", "correction")

    def digest(first, second, alpha):
        one, two, out = plain.layers
        layers = (replace(one, leak=first), replace(two, leak=second, current_leak=0), out)
        network = replace(plain, layers=layers, alpha=alpha)
        return calibrate(network, profile, "t", SAMPLES, SAMPLES, steps=steps).compilation.program.digest()

    wanted = calibrate(plain, profile, "t", SAMPLES, SAMPLES, steps=steps).compilation.program.digest()
    assert digest(0.5, 0.5, None) == digest(None, 0.5, 0.5) == wanted
    assert len({wanted, digest(0.5, 0.25, None), digest(0.25, 0.5, None)}) == 3


def test_every_choice_is_made_with_the_leak_of_its_membranes(monkeypatch):
    """Inputs act on a layer's own membranes, its spikes on those of the layer above; a readout sums."""
    seen = {"measure": [], "Place": [], "Task": []}

    def noting(name, true, *args, **named):
        seen[name].append(named.get("alpha", args[-1] if args else None))
        return true(*args, **named)

    for true in (measure, Place, Task):
        name = true.__name__
        monkeypatch.setattr(f"sast_deploy.calibration.solve.{name}", partial(noting, name, true))
    one, two, out = float_fc(scale=2.0).layers
    network = replace(float_fc(), layers=(replace(one, leak=0.25), replace(two, leak=0.75), out))
    targets = run_float(network, SAMPLES.frames)
    traces, logits = float_trace(network, SAMPLES.frames)
    for found, (_, spikes) in zip(targets.spikes, traces, strict=True):
        assert np.array_equal(found, spikes)
    assert targets.logits == pytest.approx(logits, abs=1e-6)
    calibrate(network, INT8, "t", SAMPLES, SAMPLES, steps=["rounding"])
    assert seen == {"measure": [0.25, 0.75, 1], "Place": [0.75, 0.75], "Task": [0.25, 0.75, 1]}


RNG = np.random.default_rng(0)
SAMPLES = Samples(RNG.integers(0, 5, (40, 6, 2, 5, 4)).astype(np.uint8), RNG.integers(0, 3, 40))
