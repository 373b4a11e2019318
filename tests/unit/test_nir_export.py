"""Ours as NIR graphs: every integer survives; a framework's reader gets what it can express, or a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import nir
import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.errors import ExchangeError, OutputError, UsageError
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatDense, FloatNetwork, FloatReadout, FloatUpsample
from sast_deploy.compiler.floatrun import run_float
from sast_deploy.engines.reference import run_reference
from sast_deploy.exchange.nir import export_nir, from_nir, program_from_nir
from sast_deploy.exchange.nir.exporter import graph_of
from sast_deploy.exchange.nir.importer import program_of
from sast_deploy.exchange.nir.own import KEY
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import Conv2d, Dense, Program, Readout, SumPool, frozen_ints
from tests.anyprogram import Seeded, any_program
from tests.networks import exact_network, float_conv, float_fc

STEPS = 20


def rules(reset="zero", comparison=">=", order="after-leak"):
    return Arithmetic(QFormat(24, 8), 8, "saturate", "toward-zero", "toward-zero", comparison, reset, order)


def program(seed=0, decay=0, conv=False, readout=False, **arithmetic):
    """Thresholds of each neuron, counts up to 2; decay 0 and 4096 leave nothing to round."""
    rng, layers, shape, n = np.random.default_rng(seed), [], (2, 1, 1), 2

    def neurons(rows, exponent):
        bias, vth = rng.integers(0, 5, rows), rng.integers(20, 40, rows)
        return frozen_ints(bias), frozen_ints(vth), exponent, frozen_ints([decay])

    if conv:
        weight = frozen_ints(rng.integers(-20, 30, (3, 2, 3, 3)))
        layers = [Conv2d(weight, *neurons(3, 0), (1, 1), (1, 1), (1, 1), 1), SumPool((2, 2))]
        shape, n = (2, 6, 6), 27
    for rows, exponent in ((6, 1), (4, 0)):
        layers.append(Dense(frozen_ints(rng.integers(-20, 30, (rows, n))), *neurons(rows, exponent)))
        n = rows
    if readout:
        layers[-1] = Readout(layers[-1].weight, layers[-1].bias, 0)
    return Program("p", shape, 2, STEPS, tuple("abcd"), rules(**arithmetic), tuple(layers))


def frames_for(made, seed=0):
    return np.random.default_rng(seed).integers(0, 3, (3, STEPS, *made.input_shape)).astype(np.uint8)


def spikes_of(record):
    return [trace.spikes for trace in record.traces]


def same_spikes(one, other):
    return all(np.array_equal(a, b) for a, b in zip(spikes_of(one), spikes_of(other), strict=True))


def test_integers_survive_with_their_digest():
    """Random programs of every kind, as far as NIR has what they do; the others are refused by name."""
    found, refused = 0, set()
    for seed in range(120):
        made = any_program(Seeded(7, seed))
        try:
            graph, _ = graph_of(made)
        except ExchangeError as error:
            refused.add(str(error).split(":")[1 + str(error).startswith("graph")].strip()[:24])
            continue
        found += 1
        assert program_of(graph, "graph").digest() == made.digest()
    assert found > 10
    assert len(refused) > 3


@pytest.mark.parametrize("profile", ["loihi-int8", "loihi-int4", "loihi-stock"])
@pytest.mark.parametrize("network", [float_fc, float_conv])
def test_compiled_networks_through_a_file(tmp_path, network, profile):
    made = compile_network(network(), load_profile(profile), "mine/net").program
    path = tmp_path / "mine.nir"
    assert isinstance(export_nir(made, path), tuple)
    again = program_from_nir(path)
    assert (again.digest(), again.name, again.classes) == (made.digest(), made.name, made.classes)
    nir.read(path, type_check=network is float_fc)  # a kernel of whatever shape is read all the same
    imported = sast.from_nir(path)
    assert (imported.network.steps, imported.network.classes) == (made.steps, made.classes)
    assert imported.name == "mine_net"


def test_float_networks_keep_every_spike_and_logit():
    """Recurrence, delays, filters, pools, readouts, counts that are divided."""
    kept = 0
    for seed in range(40):
        network = replace(exact_network(seed), classes=None)
        if any(getattr(layer, "delay", np.zeros(1)).ndim == 2 for layer in network.layers):
            continue  # refused
        graph, _ = graph_of(network)
        back = from_nir(graph).network
        assert (back.input_clip, back.input_max, back.reset) == (4, 6, network.reset)
        x = np.random.default_rng(seed).integers(0, 6, (2, 4, 2, 5, 6))
        one, other = (run_float(each, x, trace=True) for each in (network, back))
        assert same_spikes(one, other)
        np.testing.assert_allclose(one.logits, other.logits, rtol=1e-6)
        kept += 1
    assert kept > 15


@pytest.mark.parametrize("decoding", ["last", "max", "mean"])
def test_leaky_readouts_and_orders(decoding):
    layers = [FloatDense([[0.7, 0.2]], leak=0.6), FloatReadout([[1.0], [-1.0]], [0.1, 0.2], leak=0.9,
              current_leak=0.5, decoding=decoding)]  # fmt: skip
    network = FloatNetwork(layers, 2, 9, reset_order="before-leak", comparison=">")
    back = from_nir(graph_of(network)[0]).network
    assert (back.reset, back.reset_order, back.comparison) == ("subtract", "before-leak", ">")
    x = np.random.default_rng(1).integers(0, 3, (4, 9, 2))
    np.testing.assert_allclose(run_float(network, x).logits, run_float(back, x).logits, rtol=1e-5)


@pytest.mark.parametrize("target", ["snntorch", "norse", "spikingjelly"])
@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("comparison", [">=", ">"])
def test_files_for_frameworks_keep_every_spike_where_nothing_is_rounded(tmp_path, target, conv, comparison):
    """Read as the framework's own reader reads; frameworks themselves: tests/conformance."""
    for decay in (0,) if target == "spikingjelly" else (0, 4096):
        made, path = program(1, decay, conv, comparison=comparison), tmp_path / f"{decay}.nir"
        assert export_nir(made, path, target) == ()
        frames = frames_for(made)
        wanted = run_reference(made, frames, trace=True)
        assert same_spikes(run_float(from_nir(path).network, frames, np.float32, trace=True), wanted)
        graph = nir.read(path)
        neurons = [node for node in graph.nodes.values() if hasattr(node, "v_threshold")]
        weights = [node for node in graph.nodes.values() if hasattr(node, "weight")]
        assert all(node.weight.dtype == np.float32 for node in weights)
        if target != "norse":
            assert all((node.v_threshold == 1).all() for node in neurons)
        kinds = {type(node).__name__ for node in neurons}
        wanted_kinds = {"LIF"} if decay or target == "snntorch" else {"IF"}
        assert kinds == wanted_kinds
        own = json.loads(graph.metadata[KEY])
        assert "program" not in own
        with pytest.raises(ExchangeError, match="holds no integers of ours"):
            program_from_nir(path)


def test_what_a_target_does_otherwise_is_told():
    told = graph_of(program(0, 1024), "snntorch")[1]
    assert told == (
        "layer 0: integers round the leak in every step (toward-zero), snnTorch does not",
        "layer 1: integers round the leak in every step (toward-zero), snnTorch does not",
    )
    small = replace(program(), arithmetic=replace(rules(), state=QFormat(8, 4)))
    assert any("may leave Q4.4, endless there" in note for note in graph_of(small, "norse")[1])
    (line,) = graph_of(program(readout=True), "snntorch")[1]
    assert line == "the last layer has no neurons in snnTorch: sum its output over the steps"
    network = FloatNetwork([FloatDense(np.eye(2), leak=0.5)], 2, 4, reset="zero")
    assert graph_of(network, "snntorch")[1] == ("snnTorch fires at >, this network at >=",)
    oblong = replace(float_conv().layers[0], weight=np.ones((4, 2, 3, 2)), leak=1)
    assert "type_check=False" in graph_of(FloatNetwork([oblong], (2, 8, 10), 4))[1][0]


def with_layer(network=None, reset="zero", **changes):
    layer = FloatDense(np.eye(2), **{"leak": 0.5, **changes})
    return FloatNetwork([layer, FloatDense(np.eye(2), leak=0.5)], 2, 4, reset=reset)


@pytest.mark.parametrize(
    ("network", "target", "message"),
    [
        (program(reset="subtract"), "snntorch", "snnTorch cannot express a reset 'subtract': its reader h"),
        (program(reset="subtract"), "norse", "Norse cannot express a reset 'subtract'"),
        (program(reset="subtract"), "spikingjelly", "SpikingJelly cannot express a reset 'subtract'"),
        (program(), "sinabs", "sinabs cannot express a reset 'zero': its reader has 'subtract' alone"),
        (program(0, 2048, reset="subtract"), "sinabs", "a reset after-leak: its reader has before-leak"),
        (program(reset="subtract"), "sinabs", "layer 0: membrane potentials that may reach twice"),
        (with_layer(reset="subtract", leak=1.0), "sinabs", "a reset after-leak|compile it"),
        (program(0, 4096), "spikingjelly", "layer 0: a leak that keeps nothing"),
        (with_layer(leak=[0.5, 0.75]), "spikingjelly", "layer 0: leaks that differ within a layer"),
        (with_layer(leak=[0.5, 1]), "snntorch", "layer 0: neurons with and without leak in one layer"),
        (with_layer(recurrent=np.eye(2)), "norse", "layer 0: recurrent weights"),
        (with_layer(delay=1), "snntorch", "layer 0: delays"),
        (with_layer(current_leak=0.5), "norse", "layer 0: current filters"),
        (with_layer(current_leak=0.5, bias=1.0), "snntorch", "layer 0: a bias beside a current filter"),
        (with_layer(delay=[[1, 2], [3, 4]]), None, "NIR cannot express layer 0: a delay for each synapse$"),
        (FloatNetwork([FloatUpsample(2), FloatDense(np.ones((1, 4)), leak=1)], (1, 1, 1), 4), None, "an ups"),
        (replace(program(), reset_interval=3), None, r"clears its states within a sample \(reset_interval\)"),
        (replace(program(conv=True), layers=(program(conv=True).layers[0], SumPool((2, 2), -2),
                 *program(conv=True).layers[2:])), None, "layer 1: a pool that shifts its sums by -2"),
        (replace(program(), arithmetic=replace(rules(), state=QFormat(32, 8)), layers=(
            replace(program().layers[0], bias=frozen_ints([2**25 + 1])), program().layers[1])), None,
         "layer 0: bias of more than 24 bits"),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_refused(network, target, message):
    with pytest.raises(ExchangeError, match=message) as caught:
        graph_of(network, target)
    assert "\n" not in str(caught.value)


def test_sinabs_gets_what_is_proved_to_fire_once_a_step():
    rng = np.random.default_rng(4)

    def layer(rows, inputs):
        weight = rng.integers(-10, 30, (rows, inputs))
        vth = np.maximum(weight, 0).sum(1) * 4096 * 2 * 0.55  # of 2 at most, half of it kept
        return Dense(*map(frozen_ints, (weight, [0], vth.astype(int))), 12, frozen_ints([2048]))

    layers = (layer(6, 4), layer(4, 6))
    arithmetic = rules("subtract", ">=", "before-leak")
    made = Program("p", (4, 1, 1), 1, 40, tuple("abcd"), arithmetic, layers)
    graph, notes = graph_of(made, "sinabs")
    frames = (rng.random((2, 40, 4, 1, 1)) < 0.9).astype(np.uint8)
    wanted = run_reference(made, frames, trace=True)
    assert same_spikes(run_float(from_nir(graph).network, frames, trace=True), wanted)
    assert sum(count.sum() for count in wanted.counts) > 40
    (tau,) = {float(node.tau[0]) for node in graph.nodes.values() if isinstance(node, nir.LIF)}
    assert tau == pytest.approx(-1 / np.log(0.5))
    assert len(notes) == 2


class TestOwnFiles:
    def test_its_metadata_is_believed_and_nothing_contradicts_it(self, tmp_path):
        path = tmp_path / "p.nir"
        export_nir(program(), path)
        with pytest.raises(UsageError, match="which says itself how it is read; leave framework out"):
            from_nir(path, "snntorch")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda own: own["program"].update(digest="0" * 64), "was altered: its integers do not match"),
            (lambda own: own["program"]["arithmetic"].update(overflow="wrap"), "was altered"),
            (lambda own: own["program"]["layers"][0].update(exponent=9), "holds no program of ours: weigh"),
            (lambda own: own["program"]["layers"].pop(), "holds no program of ours"),
            (lambda own: own["program"]["arithmetic"].update(reset="none"), "metadata: .*reset = 'none'"),
            (lambda own: own.update(version=2), "has metadata of version 2; expected 1; update sast-deploy"),
            (lambda own: own.update(steps=0), "steps = 0"),
            (lambda own: own.update(surprise=1), "surprise"),
            (lambda own: own.pop("reading"), "reading"),
        ],
    )
    def test_metadata_that_is_not_the_programs_is_refused(self, change, message):
        graph, _ = graph_of(program(decay=1024))
        own = json.loads(graph.metadata[KEY])
        change(own)
        graph.metadata[KEY] = json.dumps(own)
        with pytest.raises(ExchangeError, match=message) as caught:
            program_of(graph, "graph")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("text", ["", "{", "[]", 7, b"\xff"])
    def test_metadata_that_is_no_table_is_refused(self, text):
        graph, _ = graph_of(program())
        graph.metadata[KEY] = text
        with pytest.raises(ExchangeError, match="metadata"):
            from_nir(graph)

    def test_a_weight_that_was_changed_is_found(self):
        graph, _ = graph_of(program())
        graph.nodes["0_weights"].weight[0, 0] += 2  # one integer, at an exponent of 1
        with pytest.raises(ExchangeError, match="was altered"):
            program_of(graph, "graph")

    def test_a_refusal_names_the_file(self, tmp_path):
        graph, _ = graph_of(program(decay=1024))
        graph.nodes["0_neurons"].tau[:] = 1e-9
        nir.write(tmp_path / "p.nir", graph)
        for read in (program_from_nir, from_nir):
            with pytest.raises(ExchangeError, match=r"p\.nir: 0_neurons \(LIF\) has tau = 1e-09"):
                read(tmp_path / "p.nir")

    def test_nothing_of_another_kind_is_overwritten(self, tmp_path):
        path = tmp_path / "mine.nir"
        path.write_text("mine")
        with pytest.raises(OutputError, match="is a file of another kind"):
            export_nir(program(), path, overwrite=True)
        assert path.read_text() == "mine"

    def test_an_unknown_target(self):
        with pytest.raises(UsageError, match="target = 'rockpool'; expected none, or one of snntorch, norse"):
            graph_of(program(), "rockpool")
