"""NIR graphs in: every node against the equation that it stands for, and everything refused by its name."""

from __future__ import annotations

import nir
import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import ExchangeError, UsageError
from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatPool, FloatReadout
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.exchange.nir import FRAMEWORKS, from_nir
from sast_deploy.exchange.nir.reading import OPEN, Reading
from tests.nirgraphs import DT, READ, SOFT, affine, chain, conv, cuba, full, integrate, lif, tiny, written

STEPS = 12


def read(graph, framework=None, steps=STEPS, **facts):
    own = {} if framework else READ
    return from_nir(graph, framework, steps=steps, **{**own, **facts})


def spikes(graph, x, **facts):
    """Of every spiking layer, (time, neurons)."""
    record = run_float(read(graph, **facts).network, x[None], trace=True)
    return [trace.spikes[0] for trace in record.traces]


def counts_in(*shape, seed=0, most=3):
    return np.random.default_rng(seed).integers(0, most, (STEPS, *shape)).astype(float)


def neurons(currents, kept=1.0, theta=1.0, kappa=None, gain=1.0, offset=0.0, reset="zero", strict=False):
    """The equations of NIR in steps of Euler's method: what reaches the neurons -> their spikes."""
    c = u = s = np.zeros(currents.shape[1])
    found = []
    for x in currents:
        c = x if kappa is None else kappa * c + x
        u = kept * u * (1 - s) if reset == "zero" else kept * u - theta * s
        u = u + gain * c + offset
        s = (u > theta if strict else u >= theta).astype(float)
        found.append(s)
    assert 0 < np.mean(found) < 1
    return np.array(found)


def applied(node, x):
    bias = node.bias if hasattr(node, "bias") else 0
    return x.reshape(len(x), -1) @ np.asarray(node.weight).T + bias


def convolved(node, x):
    """conv.groups == 1, stride 1, no padding."""
    weight, out = np.asarray(node.weight), []
    for frame in x:
        windows = np.lib.stride_tricks.sliding_window_view(frame, weight.shape[2:], (1, 2))
        out.append(np.einsum("ihwyx,oiyx->ohw", windows, weight) + np.asarray(node.bias)[:, None, None])
    return np.array(out)


def pooled(x, k=2):
    n, c, h, w = x.shape
    return x[:, :, : h // k * k, : w // k * k].reshape(n, c, h // k, k, w // k, k).sum((3, 5))


def shifted_by(values, delays):
    """(time, n), each column so many steps later."""
    return np.stack([np.concatenate([np.zeros(d), values[:, k]])[:STEPS] for k, d in enumerate(delays)], 1)


class TestNodes:
    def test_lif_of_either_reset(self):
        first, x = affine(3, 2), counts_in(2)
        for reset in ("zero", "subtract"):
            (found,) = spikes(chain((2,), first, lif(3)), x, **SOFT | {"reset": reset})
            assert np.array_equal(found, neurons(applied(first, x), 0.75, reset=reset))

    def test_gains_leaks_and_thresholds_of_each_neuron(self):
        """R other than tau / dt scales what arrives; v_leak adds (1 - leak) v_leak."""
        first, x = affine(3, 2), counts_in(2, seed=1)
        kept, r, v_leak = np.array([0.5, 0.75, 0.25]), np.array([1.0, 8.0, 2.0]), np.array([0.5, -0.25, 0])
        theta = np.array([0.5, 1.5, 0.75])
        node = lif(3, tau=DT / (1 - kept), r=r, v_leak=v_leak, v_threshold=theta)
        (found,) = spikes(chain((2,), first, node), x)
        offset = (1 - kept) * v_leak
        wanted = neurons(applied(first, x), kept, theta, gain=(1 - kept) * r, offset=offset)
        assert np.array_equal(found, wanted)
        assert "v_leak as a bias of" in " ".join(read(chain((2,), first, node)).notes)

    def test_if_and_its_two_gains(self):
        first, x = affine(3, 2), counts_in(2)
        (found,) = spikes(chain((2,), first, integrate(3)), x)
        assert np.array_equal(found, neurons(applied(first, x)))
        plain = integrate(3, r=full(3, 2.0))
        (found,) = spikes(chain((2,), first, plain), x, integrator_gain="plain")
        assert np.array_equal(found, neurons(2 * applied(first, x)))

    def test_cuba_lif_without_a_bias(self):
        first, x = affine(3, 2, bias=False), counts_in(2)
        (found,) = spikes(chain((2,), first, cuba(3)), x)
        assert np.array_equal(found, neurons(applied(first, x), 0.75, kappa=0.5))
        (found,) = spikes(chain((2,), first, cuba(3)), x, current_order="before-leak")
        assert np.array_equal(found, neurons(0.5 * applied(first, x), 0.75, kappa=0.5))

    @pytest.mark.parametrize("reset", ["zero", "subtract"])
    def test_a_bias_that_passes_the_filter_is_a_neuron_that_always_fires(self, reset):
        """In the first layer by its own spikes, in later ones by those of the layer before."""
        first, second, x = affine(3, 2), affine(2, 3, seed=5), counts_in(2)
        second.bias[:] = [0.25, 0.5]
        assert first.bias.any()
        graph = chain((2,), first, cuba(3), second, cuba(2, 0.5, 0.25, theta=4.0))
        for order in ("after-leak", "before-leak"):
            facts = READ | {"reset": reset, "reset_order": order}
            if order == "before-leak" and reset == "subtract":
                continue  # neurons() has the other
            one, two = spikes(graph, x, **facts)
            wanted = neurons(applied(first, x), 0.75, kappa=0.5, reset=reset)
            assert np.array_equal(one[:, :3], wanted)
            assert one[:, 3:].all()
            assert np.array_equal(two, neurons(applied(second, wanted), 0.5, 4, 0.25, reset=reset))
        made = read(graph, **facts)
        assert sum("always fires" in note for note in made.notes) == 1
        plain = chain((2,), affine(3, 2), lif(3), second, cuba(2))
        one, two = spikes(plain, x)
        assert (one.shape[1], one[:, 3:].all()) == (4, True)
        assert np.array_equal(two, neurons(applied(second, one[:, :3]), 0.75, kappa=0.5))

    def test_a_filtered_bias_before_a_late_recurrent_layer(self):
        """The neuron that always fires comes beside delays and recurrent weights, and alters neither."""
        first, second, x = affine(3, 2), affine(2, 3, seed=5), counts_in(2)
        late = nir.Delay(np.array([0, 2, 1]) * DT)
        back = nir.Linear(np.array([[0, 0.5], [-0.5, 0.25]]))
        graph = chain((2,), first, lif(3), late, second, cuba(2), loops=[(4, back)])
        one, two = spikes(graph, x)
        shifted = shifted_by(one, (0, 2, 1))
        c = u = s = np.zeros(2)
        for t, arriving in enumerate(applied(second, shifted)):
            c = 0.5 * c + arriving + back.weight @ s
            u = 0.75 * u * (1 - s) + c
            s = (u >= 1).astype(float)
            assert np.array_equal(two[t], s)

    def test_threshold_has_no_memory(self):
        first, x = affine(3, 2), counts_in(2)
        graph = chain((2,), first, nir.Threshold(full(3, 0.75)))
        (found,) = spikes(graph, x)
        assert np.array_equal(found, applied(first, x) >= 0.75)
        (found,) = spikes(graph, x, **SOFT | {"reset_order": "before-leak"})
        assert np.array_equal(found, applied(first, x) >= 0.75)
        with pytest.raises(ExchangeError, match=r"1 \(Threshold\) keeps nothing of the step before"):
            read(graph, **SOFT)

    def test_scales_before_and_after_weights_and_products_of_weights(self):
        one, two, x = affine(4, 2), affine(3, 4, bias=False), counts_in(2)
        before, after = nir.Scale(np.array([2.0, 0.5])), nir.Scale(np.array([1.0, 2.0, -0.5]))
        (found,) = spikes(chain((2,), before, one, two, after, lif(3)), x)
        sums = applied(two, applied(one, x * before.scale)) * after.scale
        assert np.array_equal(found, neurons(sums, 0.75))
        whole = nir.Scale(np.array(2.0))
        (found,) = spikes(chain((2,), whole, one, lif(4)), x)
        assert np.array_equal(found, neurons(applied(one, 2 * x), 0.75))

    def test_a_convolution_with_a_threshold_of_each_channel(self):
        node, x = conv(3, 2), counts_in(2, 6, 6)
        theta = np.array([0.5, 1.0, 6.0])[:, None, None] * np.ones((3, 4, 4))
        graph = chain((2, 6, 6), node, lif((3, 4, 4), v_threshold=theta))
        (found,) = spikes(graph, x)
        sums = convolved(node, x).reshape(STEPS, -1)
        assert np.array_equal(found, neurons(sums, 0.75, theta.ravel()))
        scaled = chain((2, 6, 6), nir.Scale(np.array([[[2.0]], [[0.5]]])), node, lif((3, 4, 4)))
        (found,) = spikes(scaled, x)
        sums = convolved(node, x * [[[2.0]], [[0.5]]]).reshape(STEPS, -1)
        assert np.array_equal(found, neurons(sums, 0.75))

    @pytest.mark.parametrize("kind", [nir.SumPool2d, nir.AvgPool2d])
    def test_pools_before_weights(self, kind):
        first, last, x = conv(3, 2), affine(2, 12), counts_in(2, 6, 6)
        pool = kind(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
        flat = nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1)
        theta = 9.0 if kind is nir.SumPool2d else 2.25
        graph = chain((2, 6, 6), first, lif((3, 4, 4), theta=6.0), pool, flat, last, lif(2, theta=theta))
        one, two = spikes(graph, x)
        means = pooled(one.reshape(STEPS, 3, 4, 4)) / (1 if kind is nir.SumPool2d else 4)
        assert np.array_equal(two, neurons(applied(last, means), 0.75, theta))
        layers = read(graph).network.layers
        assert [type(each) for each in layers] == [FloatConv2d, FloatPool, FloatDense]

    def test_pools_and_inputs_that_neurons_follow(self):
        """A pool becomes a convolution of each channel by itself, and so do plain inputs."""
        pool, x = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), counts_in(2, 4, 4)
        graph = chain((2, 4, 4), lif((2, 4, 4), theta=2.0), pool, integrate((2, 2, 2), theta=3.0))
        one, two = spikes(graph, x)
        assert np.array_equal(one, neurons(x.reshape(STEPS, -1), 0.75, 2.0))
        sums = pooled(one.reshape(STEPS, 2, 4, 4).astype(float)).reshape(STEPS, -1)
        assert np.array_equal(two, neurons(sums, 1.0, 3.0))
        scaled = chain((3,), nir.Scale(np.array([1.0, 0.5, 2.0])), integrate(3, theta=2.0))
        x = counts_in(3)
        (found,) = spikes(scaled, x)
        assert np.array_equal(found, neurons(x * [1, 0.5, 2], 1.0, 2.0))

    def test_delays_in_whole_steps(self):
        first, x = affine(3, 2), counts_in(2)
        (found,) = spikes(chain((2,), nir.Delay(np.array([1, 3]) * DT), first, lif(3)), x)
        late = shifted_by(x, (1, 3))
        assert np.array_equal(found, neurons(applied(first, late), 0.75))
        plain = affine(3, 2, bias=False)
        (found,) = spikes(chain((2,), plain, nir.Delay(np.array([0, 1, 2]) * DT), lif(3)), x)
        sums = shifted_by(applied(plain, x), (0, 1, 2))
        assert np.array_equal(found, neurons(sums, 0.75))

    @pytest.mark.parametrize("inside", [False, True])
    def test_recurrent_edges(self, inside):
        """Beside the chain, or in a graph of their own as snnTorch writes them."""
        first, x = affine(3, 2), counts_in(2)
        back = nir.Affine(np.random.default_rng(3).integers(-3, 3, (3, 3)) / 4, np.array([0, 0.25, 0]))
        if inside:
            three = np.array([3])
            ends = {"input": nir.Input({"input": three}), "output": nir.Output({"output": three})}
            edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
            inner = nir.NIRGraph({**ends, "lif": lif(3), "w_rec": back}, edges)
            graph = chain((2,), first, inner)
        else:
            graph = chain((2,), first, lif(3), loops=[(1, back)])
        (found,) = spikes(graph, x)
        u = s = np.zeros(3)
        for t, arriving in enumerate(applied(first, x)):
            u = 0.75 * u * (1 - s) + arriving + back.weight @ s + back.bias
            s = (u >= 1).astype(float)
            assert np.array_equal(found[t], s)
        assert "one step later" in " ".join(read(graph).notes)

    @pytest.mark.parametrize("kind", ["LI", "CubaLI", "I", "none"])
    def test_readouts(self, kind):
        first, last, x = affine(3, 2), affine(2, 3), counts_in(2)
        last.bias[:] = 0 if kind == "CubaLI" else [0.25, 0.5]
        tau, slow = full(2, DT / 0.25), full(2, DT / 0.5)
        zeros = full(2, 0)
        node = {
            "LI": lambda: nir.LI(tau=tau, r=tau / DT, v_leak=zeros),
            "CubaLI": lambda: nir.CubaLI(slow, tau, tau / DT, zeros, slow / DT),
            "I": lambda: nir.I(r=full(2, 1 / DT)),
            "none": lambda: None,
        }[kind]()
        graph = chain((2,), first, lif(3), last, *([] if node is None else [node]))
        made = read(graph, decoding="max" if kind == "LI" else None)
        record = run_float(made.network, x[None], trace=True)
        sums, m, c, seen = applied(last, record.traces[0].spikes[0].astype(float)), 0.0, 0.0, []
        for arriving in sums:
            c = 0.5 * c + arriving if kind == "CubaLI" else arriving
            m = (0.75 if "L" in kind else 1.0) * m + c
            seen.append(m)
        assert isinstance(made.network.layers[-1], FloatReadout)
        wanted = np.max(seen, 0) if kind == "LI" else seen[-1] if "L" in kind else seen[-1] / STEPS
        np.testing.assert_allclose(record.logits[0], wanted, rtol=1e-6)
        assert any("logits are" in note or "read out" in note for note in made.notes)


class TestFrameworks:
    def test_every_row_says_what_it_means_and_whence(self):
        for name, row in FRAMEWORKS.items():
            assert name == row.title.lower()
            assert row.source.startswith(row.title)
            missing = {fact for fact in OPEN if getattr(row.reading, fact) is None}
            assert missing >= set(row.usual), name

    def test_the_same_graph_means_five_things(self):
        """One leak each from tau = 4e-4 at R = 1: 1 - dt/tau, 1 - dt*dt/tau, exp(-1/tau), exp(-dt/tau)."""
        single = {"spikes": "single", "lower_bound": "none", "gain": "plain"}
        given = {
            "snntorch": ({"reset": "zero"}, 0.75, 0.25),
            "norse": ({"reset": "zero"}, 1 - 1e-6 / 4e-4, 1e-6 / 4e-4),
            "spikingjelly": ({}, 0.75, 0.25),
            "sinabs": ({"reset": "zero", **single}, np.exp(-1 / 4e-4), 1.0),
            "rockpool": ({"spikes": "single"}, np.exp(-2.5), 2.5 / np.exp(-2.5)),
        }
        first = affine(3, 2)
        for name, (facts, leak, gain) in given.items():
            layer = read(chain((2,), first, lif(3, r=full(3, 1.0))), name, **facts).network.layers[0]
            np.testing.assert_allclose(layer.leak, leak, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(layer.weight, first.weight * gain, rtol=1e-6)

    def test_facts_go_before_a_frameworks_own(self):
        made = read(tiny(), "snntorch", reset="zero", dt=2 * DT, comparison=">=")
        assert made.network.layers[0].leak.tolist() == [0.5] * 3
        assert made.network.comparison == ">="

    def test_norses_time_constants_that_were_not_multiplied_are_noticed(self):
        graph = chain((2,), affine(3, 2), lif(3, tau=full(3, 0.01), r=full(3, 1.0)))
        with pytest.raises(ExchangeError, match=r'tau = 0.01, as long as dt = 0.001.*expected tau "seconds"'):
            read(graph, "norse", reset="zero")
        layer = read(graph, "norse", reset="zero", tau="seconds").network.layers[0]
        np.testing.assert_allclose(layer.leak, 0.9, rtol=1e-6)

    @pytest.mark.parametrize(
        ("facts", "missing"),
        [
            ({}, ["dt", "leak", "reset", "reset_order", "comparison"]),
            ({"reset": "zero"}, ["dt", "leak", "comparison"]),
            ({"reset": "subtract", "dt": DT, "leak": "exp"}, ["reset_order", "comparison"]),
        ],
    )
    def test_what_nobody_says_is_asked_for_with_what_would_differ(self, facts, missing):
        with pytest.raises(ExchangeError) as caught:
            from_nir(tiny(), steps=STEPS, **facts)
        text = str(caught.value)
        assert f"NIR does not say {', '.join(missing)};" in text
        assert all(OPEN[fact] in text for fact in missing)
        assert "or --from, one of snntorch, norse, spikingjelly, sinabs, rockpool (in Python" in text

    def test_neurons_without_leak_need_neither_dt_nor_order(self):
        graph = chain((2,), affine(3, 2), integrate(3, r=full(3, 1.0)))
        facts = {"reset": "subtract", "comparison": ">", "integrator_gain": "plain"}
        network = from_nir(graph, steps=3, **facts).network
        assert (network.reset, network.comparison) == ("subtract", ">")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"framework": "snnTorch"}, "framework = 'snnTorch'; expected one of snntorch, norse"),
            ({"leek": "exp"}, r"leek.*leak"),
            ({"leak": "euclid"}, r"leak = 'euclid'"),
            ({"dt": -1.0}, r"dt = -1.0"),
            ({"dt": float("nan")}, r"dt = nan"),
        ],
    )
    def test_facts_that_there_are_not(self, arguments, message):
        framework = arguments.pop("framework", None)
        with pytest.raises(UsageError, match=message):
            from_nir(tiny(), framework, steps=STEPS, **{**READ, **arguments})

    def test_every_fact_is_explained(self):
        assert set(OPEN) == set(Reading().to_dict()) - {"decoding"}


def pool(kernel=2, stride=2, padding=0):
    return nir.AvgPool2d(*(np.array([each, each]) for each in (kernel, stride, padding)))


BRANCH = {
    "input": nir.Input({"input": np.array([2])}), "a": affine(2, 2), "b": affine(2, 2, 1), "n": lif(2),
    "output": nir.Output({"output": np.array([2])}),
}  # fmt: skip
RISING = np.arange(1, 49.0).reshape(3, 4, 4)


def edges(*pairs, **nodes):
    """The nodes of BRANCH, or others, with edges "ab" written in letters of their names' beginnings."""
    named = nodes or BRANCH
    names = {name[0]: name for name in named} | {"c": "c"}
    return nir.NIRGraph(named, [(names[a], names[b]) for a, b in pairs], type_check=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tiny(v_reset=full(3, -0.5)), r"1 \(LIF\) resets to v_reset = -0.5; expected 0"),
        (lambda: tiny(v_threshold=np.array([1, 0, 1.0])), r"1 \(LIF\) does not become a layer: .*old = 0"),
        (lambda: tiny(tau=full(3, 5e-5)), r"1 \(LIF\) has tau = 5e-05, of which a step of 0.0001 keeps -1"),
        (lambda: tiny(tau=full(3, -1.0)), r"1 \(LIF\) has tau = -1"),
        (lambda: chain((2,), affine(3, 2), cuba(3, tau_syn=full(3, 1e-5)), affine(2, 3), lif(2)),
         r"has tau_syn = 1e-05"),
        (lambda: chain((2,), nir.Delay(full(2, 1.5e-4)), affine(3, 2), lif(3)),
         r"0 \(Delay\) delays by 0.00015 s, 1.5 steps of 0.0001 s; expected whole steps"),
        (lambda: chain((2,), nir.Delay(full(2, 1e-2)), affine(3, 2), lif(3)), r"100 steps .*0 to 62"),
        (lambda: chain((2,), affine(3, 2), nir.Delay(full(3, DT)), lif(3)), r"1 \(Delay\) delays a bias"),
        (lambda: chain((2, 6), nir.Conv1d(None, np.ones((2, 2, 3)), 1, 0, 1, 1, np.zeros(2)), lif((2, 4))),
         r"0 \(Conv1d\) is a Conv1d; expected a node that sast-deploy reads"),
        (lambda: chain((2, 6, 6), conv(3, 2), pool(), lif((3, 2, 2))),
         r"1 \(AvgPool2d\) is between weights and the neurons"),
        (lambda: chain((2, 6, 6), pool(3, 2), conv(3, 2), lif((3, 2, 2))),
         r"windows \(3, 3\) at a stride of \(2, 2\)"),
        (lambda: chain((2, 6, 6), pool(padding=1), conv(3, 2), lif((3, 2, 2))), r"padding \(1, 1\)"),
        (lambda: chain((2, 6, 6), conv(3, 2), conv(3, 3), lif((3, 2, 2))), r"1 \(Conv2d\) follows weights"),
        (lambda: chain((2, 6, 6), conv(3, 3), lif((3, 4, 4))), r"weights \(3, 3, 3, 3\) in 1 groups"),
        (lambda: chain((2, 2, 2), conv(3, 2), lif((3, 4, 4))), r"larger than its input \(2, 2, 2\)"),
        (lambda: chain((2, 6, 6), conv(3, 2), lif((3, 4, 4), v_threshold=RISING)),
         r"1 \(LIF\) has v_threshold that differs within a channel; expected one for each channel"),
        (lambda: chain((2, 6, 6), conv(3, 2), cuba((3, 4, 4))), r"1 \(CubaLIF\) has a bias that passes"),
        (lambda: chain((2,), affine(3, 2), cuba(3)), r"has a bias that passes the current filter"),
        (lambda: chain((2,), affine(3, 4), lif(3)), r"0 \(Affine\) has weights \(3, 4\) after \(2,\)"),
        (lambda: chain((2,), affine(3, 2), lif(4)), r"has v_threshold \(4,\) for 3 neurons"),
        (lambda: chain((2,), affine(3, 2), nir.LI(*[full(3, 1.0)] * 3), affine(2, 3), lif(2)),
         r"1 \(LI\) does not spike, and is not last"),
        (lambda: chain((2, 6, 6), conv(3, 2), lif((3, 4, 4)), loops=[(1, nir.Scale(np.ones((3, 4, 4))))]),
         r"is a convolution whose spikes lead back to it"),
        (lambda: chain((2,), affine(3, 2), lif(3), loops=[(1, affine(2, 3))]), r"recurrent weights \(2, 3\)"),
        (lambda: edges("ia", "ib", "an", "bn", "no"),
         r"input leads to 2 nodes \(a, b\); expected one chain of layers"),
        (lambda: edges("ia", "an", "bn", "no"), r"n has 2 inputs \(a, b\)"),
        (lambda: edges("ia", "an", "no"), "b is not on the way from input to output"),
        (lambda: edges("ia", "ab", "ba"), "a loop around a, which does not spike"),
        (lambda: edges("ia", "ac", "no"), "an edge to or from 'c', which is no node"),
        (lambda: edges("no", output=BRANCH["output"], n=lif(2)), "the graph has 0 nodes Input; expected one"),
        (lambda: chain((2,), affine(3, 2)), "no layer spikes"),
        (lambda: chain((2,), affine(3, 2), lif(3, r=full(3, np.inf))), "1.r is not finite; expected finite"),
        (lambda: chain((0,), affine(3, 2), lif(3)), r"its input has the shape \[0\]"),
        (lambda: nir.Linear(np.eye(2)), "is a Linear; expected a nir.NIRGraph"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused_by_name(make, message):
    with pytest.raises(ExchangeError, match=message) as caught:
        read(make())
    assert "\n" not in str(caught.value)


class TestFiles:
    def test_a_file_is_its_graph(self, tmp_path):
        path = written(tmp_path / "tiny.nir", tiny())
        made = sast.from_nir(path, steps=STEPS, **READ)
        assert made.name == "tiny"
        assert (made.source["format"], made.source["path"]) == ("nir", str(path))
        same = read(tiny()).network
        for one, other in zip(made.network.layers, same.layers, strict=True):
            assert np.array_equal(one.weight, other.weight)

    def test_axes_of_samples_and_time_are_left_out_and_told(self):
        graph = chain((1, 20, 2), affine(3, 2), lif(3))
        made = read(graph)
        assert made.network.input_shape == (2, 1, 1)
        assert any("[1, 20, 2] is taken as [2]" in note for note in made.notes)

    def test_the_number_of_steps_is_asked_for(self):
        with pytest.raises(ExchangeError, match="not say how many steps a sample has; expected steps"):
            from_nir(tiny(), **READ)

    def test_it_compiles_and_saves_as_all_imported_networks_do(self, tmp_path):
        made = read(tiny(), classes=["a", "b"])
        net = sast.compile(made, "loihi-int8")
        assert net.program.classes == ("a", "b")
        again = sast.load_network(made.save(tmp_path / "tiny.h5"))
        assert again.notes == made.notes
