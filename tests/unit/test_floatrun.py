"""The runner of float networks: against its equations, one number at a time, and against integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.compiler import compile_network, floatrun
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatNetwork,
    FloatPool,
    FloatReadout,
    FloatUpsample,
)
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.engines.reference import run_reference
from tests.networks import EXACT_LSB, exact_network, exact_profile
from tests.programs import random_frames


def plain_run(network, inputs):
    """(membranes, spikes) of every spiking layer, [time][neuron], the readout's membranes, and the logits."""
    shapes, state, found, readout = network.shapes(), {}, {}, []
    for t, frame in enumerate(inputs):
        x = np.asarray(frame, float) / network.input_clip
        for k, layer in enumerate(network.layers):
            if isinstance(layer, (FloatPool, FloatUpsample)):
                x = plain_resample(layer, x, shapes[k + 1])
                continue
            past = state.setdefault(k, {"x": [], "c": 0.0, "u": 0.0, "s": np.zeros(shapes[k + 1]).ravel()})
            past["x"].append(x.ravel())
            a = plain_sums(layer, past["x"], shapes[k], shapes[k + 1], t)
            if getattr(layer, "recurrent", None) is not None:
                a = a + layer.recurrent.astype(float) @ past["s"]
            wide = len(a) // len(layer.weight)
            each = lambda v, n=wide: 0.0 if v is None else np.repeat(v.astype(float), n)  # noqa: E731
            past["c"] = each(layer.current_leak) * past["c"] + a
            if isinstance(layer, FloatReadout):
                keep = 1.0 if layer.leak is None else each(layer.leak)
                past["u"] = keep * past["u"] + past["c"] + each(layer.bias)
                readout.append(past["u"])
                continue
            keep, theta, u, s = each(network.leak(layer)), each(layer.threshold), past["u"], past["s"]
            if network.reset == "zero":
                u = np.where(s, 0.0, keep * u)
            else:
                u = keep * (u - theta * s) if network.reset_order == "before-leak" else keep * u - theta * s
            u = u + past["c"] + each(layer.bias)
            s = np.array([float(a > b or (a == b and network.comparison == ">="))
                          for a, b in zip(u, theta, strict=True)])  # fmt: skip
            past["u"], past["s"], x = u, s, s.reshape(shapes[k + 1])
            found.setdefault(k, []).append((u, s))
    if not readout:
        return found, readout, np.sum([s for _, s in found[max(found)]], axis=0)
    last = network.layers[-1]
    mean = last.leak is None or (last.leak == 1).all()
    done = readout[-1] / len(inputs) if mean else readout[-1]
    decoded = {"last": done, "max": np.max(readout, 0), "mean": np.mean(readout, 0)}
    return found, readout, decoded[last.decoding]


def plain_resample(layer, x, shape):
    out = np.zeros(shape)
    for c, y, z in np.ndindex(*shape):
        if isinstance(layer, FloatPool):
            (h, w) = layer.kernel
            out[c, y, z] = x[c, y * h : y * h + h, z * w : z * w + w].mean()
        else:
            out[c, y, z] = x[c, y // layer.factors[0], z // layer.factors[1]]
    return out


def plain_sums(layer, past, in_shape, out_shape, t):
    """sum_j A_ij x_j,(t - d_ij), one synapse at a time."""
    if not isinstance(layer, FloatConv2d):
        delay = np.broadcast_to(layer.delay, layer.weight.shape)
        total = np.zeros(len(layer.weight))
        for i, j in np.ndindex(layer.weight.shape):
            if t >= delay[i, j]:
                total[i] += float(layer.weight[i, j]) * past[t - delay[i, j]][j]
        return total
    total, late = np.zeros(out_shape), t - int(layer.delay[0])
    if late < 0:
        return total.ravel()
    x, (_, height, width) = past[late].reshape(in_shape), in_shape
    per, own = layer.weight.shape[1], out_shape[0] // layer.groups
    for o, r, q, i, dy, dx in np.ndindex(*out_shape, *layer.weight.shape[1:]):
        y = r * layer.stride[0] - layer.padding[0] + dy * layer.dilation[0]
        z = q * layer.stride[1] - layer.padding[1] + dx * layer.dilation[1]
        if 0 <= y < height and 0 <= z < width:
            total[o, r, q] += float(layer.weight[o, i, dy, dx]) * x[o // own * per + i, y, z]
    return total.ravel()


def any_network(seed):
    """A random network with every kind of layer, reset, order, comparison, filter, delay and readout."""
    rng = np.random.default_rng(seed)

    def neurons(n):
        return {
            "bias": rng.normal(0, 0.1, n), "threshold": rng.uniform(0.3, 0.6, n),
            "leak": rng.uniform(0, 1, n),
            "current_leak": rng.uniform(0, 1, n) if rng.random() < 0.5 else None,
        }  # fmt: skip

    weight = rng.normal(0, 1, (4, 1, 3, 2))
    conv = FloatConv2d(weight, stride=(1, 2), padding=1, groups=2, delay=1, **neurons(4))
    layers = [conv, FloatUpsample((1, 2)), FloatPool((2, 3))]  # 4 x 2 x 2
    delay = rng.integers(0, 3, [(1,), (16,), (3, 16)][seed % 3])
    back = rng.normal(0, 0.5, (3, 3)) if rng.random() < 0.5 else None
    layers.append(FloatDense(rng.normal(0, 1, (3, 16)), delay=delay, recurrent=back, **neurons(3)))
    if seed % 4:
        kinds = ("last", "max", "mean")
        own = {k: v for k, v in neurons(2).items() if k != "threshold"} if seed % 2 else {}
        layers.append(FloatReadout(rng.normal(0, 1, (2, 3)), delay=1, decoding=kinds[seed % 3], **own))
    reset = ("subtract", "zero")[seed % 2]
    order = ("after-leak", "before-leak")[seed // 2 % 2] if reset == "subtract" else "after-leak"
    comparison = (">=", ">")[seed // 3 % 2]
    return FloatNetwork(layers, (2, 4, 5), 5, None, 3, reset=reset, reset_order=order, comparison=comparison)


@pytest.mark.parametrize("seed", range(12))
def test_arrays_do_what_the_equations_say(seed):
    network, rng = any_network(seed), np.random.default_rng(seed)
    inputs = rng.normal(0.5, 2, (3, 7, 2, 4, 5))
    record = run_float(network, inputs, trace=True)
    for n, sample in enumerate(inputs):
        found, readout, logits = plain_run(network, sample)
        for trace, steps in zip(record.traces, found.values(), strict=True):
            assert np.array_equal(trace.spikes[n], [s for _, s in steps])
            np.testing.assert_allclose(trace.membrane[n], [u for u, _ in steps], atol=1e-12)
        np.testing.assert_allclose(record.logits[n], logits, atol=1e-12)
        if readout:
            np.testing.assert_allclose(record.readout[n], readout, atol=1e-12)
    assert [count.tolist() for count in record.counts] == [t.spikes.sum(1).tolist() for t in record.traces]
    assert any(0.05 < trace.spikes.mean() < 0.95 for trace in record.traces)
    assert record.predictions.tolist() == record.logits.argmax(1).tolist()


@pytest.mark.parametrize("seed", range(10))
def test_integers_do_the_same_where_nothing_is_rounded(seed):
    network = exact_network(seed)
    program = compile_network(network, exact_profile(network.reset), "exact").program
    frames = random_frames(np.random.default_rng(seed), program, samples=2)
    found, wanted = run_float(network, frames, trace=True), run_reference(program, frames, trace=True)
    for mine, trace in zip(found.traces, wanted.traces, strict=True):
        assert np.array_equal(mine.spikes, trace.spikes)
        assert np.array_equal(mine.membrane, trace.membrane * EXACT_LSB)
    single = run_float(network, frames, np.float32, trace=True)
    assert single.logits.dtype == single.traces[0].membrane.dtype == np.float32
    assert all(np.array_equal(a.spikes, b.spikes) for a, b in zip(single.traces, found.traces, strict=True))


def test_a_threshold_that_is_met_exactly_fires_or_not():
    network = FloatNetwork([FloatDense([[0.5]], leak=1)], 1, 4)
    x = np.ones((1, 4, 1))
    assert run_float(network, x).counts[0].tolist() == [[2]]
    assert run_float(replace(network, comparison=">"), x).counts[0].tolist() == [[1]]


def test_samples_may_be_run_in_parts(monkeypatch):
    network = any_network(3)
    inputs = np.random.default_rng(0).normal(0.5, 2, (5, 7, 2, 4, 5))
    whole = run_float(network, inputs, trace=True)
    monkeypatch.setattr(floatrun, "ROOM", 700)
    parts = run_float(network, inputs, trace=True)
    assert np.array_equal(whole.logits, parts.logits)
    assert np.array_equal(whole.readout, parts.readout)
    assert all(np.array_equal(a.current, b.current) for a, b in zip(whole.traces, parts.traces, strict=True))
    assert run_float(network, inputs).traces is run_float(network, inputs).readout is None


@pytest.mark.parametrize("inputs", [np.ones((2, 4, 3)), np.ones((0, 4, 40)), np.ones((4, 40)), [["a"]]])
def test_inputs_of_another_shape_are_refused(inputs):
    with pytest.raises(DataError, match=r"expected numbers \(samples, time, 2, 4, 5\)"):
        run_float(any_network(0), inputs)
