"""Layers of neurons from a chain of NIR nodes: gains and leaks go into weights, biases and thresholds.

With a share `a` that a step keeps of the membrane potential, `d` of the current, and gains g:

    LIF      u = a u + g R (W x + b) + (1 - a) v_leak         tau u' = v_leak - u + R I
    CubaLIF  c = d c + g' w_in (W x + b),   u = a u + g R c + (1 - a) v_leak
    IF       u = u + g R (W x + b)                            u' = R I
    Threshold  u = W x + b, which nothing of the step before is left of

A bias that passes a current's filter is what a FloatNetwork's does not: a neuron that always fires is added,
whose weight it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import nir
import numpy as np

from sast_deploy.base.errors import ExchangeError
from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatLayer, FloatReadout
from sast_deploy.exchange.nir.chain import LINEAR, SILENT, SPIKING, Link
from sast_deploy.exchange.nir.reading import Reading
from sast_deploy.exchange.nir.weights import Between, Float64Array, Refuse, Weights, per_row

LOUD = 3.0  # thresholds that a neuron which always fires is given in every step: 2 are enough after a reset


@dataclass(eq=False)
class Neurons:
    """Parameters of one layer, one for each row of its weights. kept, gain: of the membrane potential.
    current_kept, current_gain: of a filtered current, or None. offset: added to u in every step.
    threshold: None of a layer that does not spike.
    """

    kept: Float64Array
    gain: Float64Array
    offset: Float64Array
    threshold: Float64Array | None
    current_kept: Float64Array | None = None
    current_gain: Float64Array | None = None

    @property
    def whole_gain(self) -> Float64Array:
        """Of what arrives, up to the membrane potential."""
        return self.gain if self.current_gain is None else self.gain * self.current_gain


@dataclass(eq=False)
class Builder:
    """Layers so far, and what came after the last of them."""

    reading: Reading
    where: str
    between: Between
    layers: list[FloatLayer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    always: bool = False  # whether the last neuron of the layer before always fires

    def build(self, links: tuple[Link, ...]) -> None:
        """All of a chain."""
        last = max((i for i, link in enumerate(links) if isinstance(link.node, SPIKING + SILENT)), default=-1)
        ends = last == len(links) - 1 or all(isinstance(link.node, nir.Flatten) for link in links[last + 1 :])
        for index, link in enumerate(links):
            if isinstance(link.node, SPIKING):
                self._spiking(link, last=ends and index == last)
            elif isinstance(link.node, SILENT):
                if not (ends and index == last):
                    self._refuser(link)("does not spike, and is not last", "a readout, last, or neurons")
                self._readout(link)
            elif not (ends and index > last):
                self.between.add(link.node, self.reading.dt, self._refuser(link))
        if not ends:
            self._sums(links[-1])

    def _refuser(self, link: Link) -> Refuse:
        kind = type(link.node).__name__

        def refuse(found: str, expected: str) -> NoReturn:
            raise ExchangeError(f"{link.name} ({kind}) {found}", where=self.where, expected=expected)

        return refuse

    def _spiking(self, link: Link, last: bool) -> None:
        refuse = self._refuser(link)
        weights = self.between.done(refuse)
        neurons = self._neurons(link.node, weights, refuse)
        recurrent, more = self._recurrent(link, weights, refuse)
        weights.bias = weights.bias + more
        parts = self._parts(weights, neurons, recurrent, last, refuse)
        self._note(link, neurons, recurrent is not None)
        self._append(parts, weights, refuse)
        self.between = Between(weights.out_shape)

    def _readout(self, link: Link) -> None:
        refuse = self._refuser(link)
        weights = self.between.done(refuse)
        neurons = self._neurons(link.node, weights, refuse)
        if weights.geometry is not None:
            refuse("reads out a convolution", "weights (classes, in)")
        parts = self._parts(weights, neurons, None, True, refuse)
        decoding = self.reading.decoding or "last"
        said = {"last": "the last", "max": "the largest", "mean": "the mean"}[decoding]
        self.notes.append(f"{link.name}: the logits are {said} of its membrane potentials over time")
        self._note(link, neurons, False)
        del parts["threshold"], parts["recurrent"]
        self._append({**parts, "decoding": decoding}, weights, refuse, FloatReadout)

    def _sums(self, link: Link) -> None:
        """Weights that no neurons follow."""
        refuse = self._refuser(link)
        weights = self.between.done(refuse)
        if weights.geometry is not None:
            refuse("is a last layer of no neurons", "weights (classes, in), or neurons")
        n = len(weights.weight)
        plain = Neurons(np.ones(n), np.ones(n), np.zeros(n), None)
        parts = self._parts(weights, plain, None, True, refuse)
        self.notes.append(f"{link.name}: no neurons follow: its mean over time is read out")
        kept = {name: parts[name] for name in ("weight", "bias", "delay")}
        self._append(kept, weights, refuse, FloatReadout)

    def _append(
        self, parts: dict[str, Any], weights: Weights, refuse: Refuse, kind: type[FloatLayer] | None = None
    ) -> None:
        kind = kind or (FloatDense if weights.geometry is None else FloatConv2d)
        self.layers += self.between.pools
        try:
            self.layers.append(kind(**parts))
        except ValueError as error:
            refuse(f"does not become a layer: {error}", "values in their ranges")

    def _neurons(self, node: Any, weights: Weights, refuse: Refuse) -> Neurons:
        def each(name: str) -> Float64Array:
            return per_row(getattr(node, name), weights, name, refuse)

        if isinstance(node, nir.Threshold):
            if self.reading.reset == "subtract" and self.reading.reset_order == "after-leak":
                refuse("keeps nothing of the step before", 'reset "zero", or subtraction "before-leak"')
            zeros = np.zeros(len(weights.weight))
            return Neurons(zeros, zeros + 1, zeros, each("threshold"))
        if hasattr(node, "v_reset") and np.any(node.v_reset):
            worst = np.asarray(node.v_reset).ravel()[np.abs(np.ravel(node.v_reset)).argmax()]
            refuse(f"resets to v_reset = {worst:.6g}", "0")
        threshold = each("v_threshold") if isinstance(node, SPIKING) else None
        if isinstance(node, nir.IF | nir.I):
            assert self.reading.dt is not None or self.reading.integrator_gain == "plain"
            step = 1.0 if self.reading.integrator_gain == "plain" else float(self.reading.dt or 1)
            ones = np.ones(len(weights.weight))
            return Neurons(ones, each("r") * step, ones * 0, threshold)
        filtered = isinstance(node, nir.CubaLIF | nir.CubaLI)
        tau = each("tau_mem" if filtered else "tau")
        kept = self._kept(tau, "tau_mem" if filtered else "tau", refuse)
        gain = each("r") * self.reading.scaled(self.reading.gain, tau, kept)
        found = Neurons(kept, gain, (1 - kept) * each("v_leak"), threshold)
        if filtered:
            found.current_kept = self._kept(each("tau_syn"), "tau_syn", refuse)
            scaled = self.reading.scaled(self.reading.current_gain, each("tau_syn"), found.current_kept)
            late = found.current_kept if self.reading.current_order == "before-leak" else 1.0
            found.current_gain = each("w_in") * scaled * late
        return found

    def _kept(self, tau: Float64Array, name: str, refuse: Refuse) -> Float64Array:
        kept, dt = self.reading.kept(tau), self.reading.dt
        wrong = ~((kept >= 0) & (kept <= 1) & (tau > 0))
        if wrong.any():
            at = int(wrong.argmax())
            refuse(f"has {name} = {tau[at]:.6g}, of which a step of {dt:g} keeps {kept[at]:.4g}", "0 to 1")
        if self.reading.tau == "times-dt" and dt is not None and (tau >= dt).any():
            refuse(
                f"has {name} = {tau.max():.6g}, as long as dt = {dt:g}: it was not multiplied by it",
                'tau "seconds" for this file',
            )
        return kept

    def _recurrent(
        self, link: Link, weights: Weights, refuse: Refuse
    ) -> tuple[Float64Array | None, Float64Array | float]:
        """Weights (out, out) from its own spikes, and the bias that comes with them."""
        if link.recurrent is None:
            return None, 0.0
        if weights.geometry is not None:
            refuse("is a convolution whose spikes lead back to it", "recurrent weights of a dense layer")
        n = len(weights.weight)
        loop = Between((n,))
        for name, node in link.recurrent:
            assert isinstance(node, LINEAR)
            loop.add(node, None, self._refuser(Link(name, node)))
        back = loop.done(refuse)
        if back.geometry is not None:
            back = Weights(np.diag(back.weight.ravel()), np.zeros(n), (n,))
        if back.weight.shape != (n, n):
            refuse(f"has recurrent weights {back.weight.shape}", f"({n}, {n})")
        return back.weight, back.bias

    def _parts(
        self, weights: Weights, neurons: Neurons, recurrent: Float64Array | None, last: bool, refuse: Refuse
    ) -> dict[str, Any]:
        gain = neurons.whole_gain
        wide = (-1, *[1] * (weights.weight.ndim - 1))
        bias, through = weights.bias * gain, neurons.current_kept is not None
        parts: dict[str, Any] = {
            "weight": weights.weight * gain.reshape(wide), "bias": bias + neurons.offset,
            "threshold": neurons.threshold, "leak": neurons.kept, "current_leak": neurons.current_kept,
            "delay": weights.delay, "recurrent": None if recurrent is None else recurrent * gain[:, None],
            **(weights.geometry or {}),
        }  # fmt: skip
        filtered = bias * neurons.current_kept if neurons.current_kept is not None else np.zeros(1)
        if self.always or (through and filtered.any()):
            self._constant(parts, bias if through else bias * 0, neurons, last, refuse)
        if weights.geometry is not None:
            del parts["recurrent"]
        return parts

    def _constant(
        self, parts: dict[str, Any], bias: Float64Array, neurons: Neurons, last: bool, refuse: Refuse
    ) -> None:
        """The bias that passes the filter, as the weight of a neuron that always fires."""
        before = self.layers[-1] if self.layers and not self.between.pools else None
        dense = parts.get("weight") is not None and parts["weight"].ndim == 2
        if not self.always and dense and isinstance(before, FloatDense):
            self.layers[-1] = _with_constant(before)
            more = f"layer {len(self.layers) - 1}: one neuron more, which always fires"
            self.notes.append(f"{more}: the bias that passes the next layer's current filter")
            self.always = True
        if self.always:
            assert dense
            parts["weight"] = np.hstack([parts["weight"], bias[:, None]])
            parts["bias"] = parts["bias"] - bias
            parts["delay"] = _with_column(parts["delay"], parts["weight"].shape)
            self.always = False
        elif dense and not self.layers and not last:
            self._constant_within(parts, bias, neurons)
            self.always = True
        else:
            found = "has a bias that passes the current filter"
            refuse(found, "none, or a dense layer before, one of whose neurons can stand for it")

    def _constant_within(self, parts: dict[str, Any], bias: Float64Array, neurons: Neurons) -> None:
        """The same in a first layer: what the filter keeps of the bias comes back one step later.

        sum_(k <= t) d**k b = b + sum_(k < t) d**k (d b)
        """
        assert neurons.current_kept is not None
        assert neurons.threshold is not None
        n = len(bias)
        back = np.zeros((n + 1, n + 1))
        back[:n, :n] = 0 if parts["recurrent"] is None else parts["recurrent"]
        back[:n, n] = neurons.current_kept * bias
        loud = float(np.median(neurons.threshold))
        parts["weight"] = np.vstack([parts["weight"], np.zeros((1, parts["weight"].shape[1]))])
        if np.ndim(parts["delay"]) == 2:
            parts["delay"] = np.vstack([parts["delay"], np.zeros((1, parts["delay"].shape[1]), np.int64)])
        ends = {"bias": LOUD * loud, "threshold": loud, "leak": 0.0, "current_leak": 0.0}
        for name, value in ends.items():
            parts[name] = np.append(parts[name], value)
        parts["recurrent"] = back
        self.notes.append("layer 0: one neuron more, which always fires and leads back: the bias that passes"
                          " the current filter")  # fmt: skip

    def _note(self, link: Link, neurons: Neurons, recurrent: bool) -> None:
        said = [f"leak {_range(neurons.kept)}"]
        if neurons.current_kept is not None:
            said.append(f"current leak {_range(neurons.current_kept)}")
        if neurons.threshold is not None:
            said.append(f"threshold {_range(neurons.threshold)}")
        if not np.allclose(neurons.whole_gain, 1, rtol=1e-6, atol=0):
            said.append(f"weights and bias times {_range(neurons.whole_gain)}")
        if neurons.offset.any():
            said.append(f"v_leak as a bias of {_range(neurons.offset)}")
        if recurrent:
            said.append("its own spikes arrive one step later")
        self.notes.append(f"{link.name} ({type(link.node).__name__}): {', '.join(said)}")


def _with_constant(layer: FloatDense) -> FloatDense:
    """The layer with one neuron more, that fires in every step."""
    loud = float(np.median(layer.threshold))

    def longer(values: Any, value: float) -> Any:
        return None if values is None else np.append(values, np.float32(value))

    assert layer.leak is not None
    back = layer.recurrent
    return FloatDense(
        np.vstack([layer.weight, np.zeros((1, layer.weight.shape[1]))]), longer(layer.bias, LOUD * loud),
        longer(layer.threshold, loud), longer(layer.leak, 0), longer(layer.current_leak, 0),
        layer.delay if layer.delay.ndim == 1 else np.vstack([layer.delay, np.zeros_like(layer.delay[:1])]),
        None if back is None else np.pad(back, ((0, 1), (0, 1))),
    )  # fmt: skip


def _with_column(delay: Any, shape: tuple[int, ...]) -> Any:
    """Delays with one input more, undelayed."""
    if np.size(delay) == 1 and not np.any(delay):
        return delay
    whole = np.asarray(delay) if np.ndim(delay) == 2 else np.resize(delay, shape[1] - 1)
    return np.append(whole, np.zeros((*whole.shape[:-1], 1), np.int64), axis=-1)


def _range(values: Float64Array) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:.6g}" if np.isclose(low, high, rtol=1e-9, atol=0) else f"{low:.6g} to {high:.6g}"


def needed(links: tuple[Link, ...]) -> frozenset[str]:
    """The facts of Reading without which this chain cannot be read."""
    return frozenset(fact for link in links for fact in _needs(link.node))


def _needs(node: nir.NIRNode) -> Iterator[str]:
    if isinstance(node, SPIKING):
        yield from ("reset", "comparison", "spikes", "lower_bound")
    if isinstance(node, nir.LIF | nir.CubaLIF | nir.LI | nir.CubaLI):
        yield from ("dt", "tau", "leak", "gain")
    if isinstance(node, nir.LIF | nir.CubaLIF | nir.Threshold):
        yield "reset_order"
    if isinstance(node, nir.CubaLIF | nir.CubaLI):
        yield from ("current_gain", "current_order")
    if isinstance(node, nir.IF | nir.I):
        yield "integrator_gain"
    if isinstance(node, nir.Delay):
        yield "dt"
