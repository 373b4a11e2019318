"""A network of ours as a NIR graph: integers survive exactly, and frameworks get what their readers expect.

    tau = dt / (1 - leak), R = tau / dt: what arrives is added as it is      NIR, snnTorch, SpikingJelly
    tau = dt / (1 - leak), R = 1, weights / (1 - leak)                       Norse
    tau = -1 / ln(leak), R = 1                                              sinabs

In a file for a framework thresholds of integers that reset to zero lie between two whole numbers, so that it
is all the same whether a threshold that is met fires.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import ExchangeError, UsageError
from sast_deploy.base.files import write_bytes
from sast_deploy.base.outputs import Found, Kind, check_output
from sast_deploy.base.reading.files import HDF5_MARK, NIR, identify
from sast_deploy.compiler.floatnet import (
    FloatConv2d,
    FloatDense,
    FloatLayer,
    FloatNetwork,
    FloatPool,
    FloatReadout,
)
from sast_deploy.exchange.nir.importer import program_of
from sast_deploy.exchange.nir.own import as_real, told_of
from sast_deploy.exchange.nir.reading import Float64Array, Reading
from sast_deploy.exchange.nir.targets import TARGETS, Target, check_target
from sast_deploy.program.program import Program, Shape

UNLEAKED = 2.0**40  # time constant, in steps, of a neuron without leak among others that leak


def _is_graph(path: Path) -> Found:
    return identify(path) == NIR


NIR_FILE = Kind("NIR graph", HDF5_MARK, _is_graph)


def export_nir(
    network: Program | FloatNetwork,
    path: str | PathLike[str],
    target: str | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a network as a NIR graph, whole or not at all; what there is to say of it, a line each.

    target: None for the graph itself, which `from_nir` reads without any option and, of a Program, restores
    with every integer; or "snntorch", "norse", "spikingjelly", "sinabs", for whose reader it is written.
    name: for people; default a Program's own.

    Raises ExchangeError: what NIR or the target's reader cannot express. UsageError: no such target.
    OutputError: it cannot be written, or something else lies there.

    >>> notes = sast.export_nir(net.program, "mine.nir")
    >>> sast.program_from_nir("mine.nir").digest() == net.program.digest()
    True
    """
    path = Path(path)
    check_output(path, NIR_FILE, None, overwrite=overwrite, option="path")
    graph, notes = graph_of(network, target, name=name, where=str(path))
    content = io.BytesIO()
    nir.write(content, graph)
    write_bytes(path, content.getvalue())
    return notes


def graph_of(
    network: Program | FloatNetwork,
    target: str | None = None,
    *,
    name: str | None = None,
    where: str = "graph",
) -> tuple[nir.NIRGraph, tuple[str, ...]]:
    """The graph, and what there is to say of it. Raises as `export_nir`, but for files."""
    if target not in TARGETS:
        known = ", ".join(each for each in TARGETS if each)
        raise UsageError(f"target = {target!r}", expected=f"none, or one of {known}")
    program = network if isinstance(network, Program) else None
    real = as_real(network) if isinstance(network, Program) else network
    chosen = TARGETS[target]
    notes = check_target(real, program, chosen, where)
    reading = replace(
        chosen.reading, reset=real.reset, comparison=chosen.reading.comparison or real.comparison,
        reset_order=chosen.reading.reset_order or real.reset_order, decoding=_decoding(real),
    )  # fmt: skip
    called = name or ("network" if program is None else program.name)
    kept = program if target is None else None
    writer = _Writer(real, chosen, reading, halves=program is not None and real.reset == "zero")
    graph = writer.graph(told_of(real, called, reading, kept))
    if kept is not None and program_of(graph, where).digest() != kept.digest():
        raise ExchangeError("NIR cannot hold the program's integers", where=where, expected="the same digest")
    return graph, (*notes, *writer.notes)


def _decoding(network: FloatNetwork) -> str | None:
    last = network.layers[-1]
    return last.decoding if isinstance(last, FloatReadout) else None


@dataclass(eq=False)
class _Writer:
    network: FloatNetwork
    target: Target
    reading: Reading
    halves: bool
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    last: str = "input"

    def graph(self, metadata: dict[str, str]) -> nir.NIRGraph:
        shapes = self.network.shapes()
        start: Shape = shapes[0]
        if start[1:] == (1, 1) and not isinstance(self.network.layers[0], FloatConv2d | FloatPool):
            start = start[:1]
        self.nodes["input"] = nir.Input({"input": np.array(start)})
        if self.network.input_clip != 1:
            self._add("scale", nir.Scale(self._kind(np.full(start, 1 / self.network.input_clip))))
        shape, area = start, 1
        for index, layer in enumerate(self.network.layers):
            if isinstance(layer, FloatPool):
                area *= 1 if self.target.mean_pools else layer.area
                self._pool(layer, index)
            else:
                self._weighted(layer, index, shape, area)
                area = 1
            shape = shapes[index + 1]
        self._add("output", nir.Output({"output": np.array(shape)}))
        try:
            return nir.NIRGraph(self.nodes, self.edges, metadata)
        except ValueError:
            # nir 1.0.8 reckons with square kernels and one group; what is wrong our own reader would find.
            why = "it reckons with square kernels and one group"
            self.notes.append(f"nir.read takes it with type_check=False alone: {why}")
            return nir.NIRGraph(self.nodes, self.edges, metadata, type_check=False)

    def _add(self, name: str, node: nir.NIRNode) -> None:
        self.nodes[name] = node
        self.edges.append((self.last, name))
        self.last = name

    def _kind(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """float64 for NIR; what frameworks compute in for theirs."""
        return np.asarray(values, np.float64 if self.target.whole else np.float32)

    def _pool(self, layer: FloatPool, index: int) -> None:
        kernel = np.array(layer.kernel)
        kind = nir.AvgPool2d if self.target.mean_pools else nir.SumPool2d
        self._add(f"{index}_pool", kind(kernel, kernel, np.zeros(2, int)))

    def _weighted(self, layer: FloatLayer, index: int, shape: Shape, area: int) -> None:
        assert isinstance(layer, FloatDense | FloatConv2d | FloatReadout)
        if layer.delay.any():
            assert self.reading.dt is not None
            late = layer.delay * self.reading.dt
            late = late.reshape(shape) if late.size > 1 else np.full(shape, late[0])
            self._add(f"{index}_delay", nir.Delay(late))
        if len(shape) > 1 and not isinstance(layer, FloatConv2d):
            self._add(f"{index}_flatten", nir.Flatten({"input": np.array(shape)}, 0, -1))
        neurons = _Neurons(self, layer, index)
        weight, bias = neurons.rows(layer.weight.astype(np.float64) / area), neurons.bias
        if isinstance(layer, FloatConv2d):
            node: nir.NIRNode = nir.Conv2d(
                shape[1:], self._kind(weight), layer.stride, layer.padding, layer.dilation, layer.groups,
                self._kind(bias),
            )  # fmt: skip
        else:
            node = nir.Affine(self._kind(weight), self._kind(bias))
        self._add(f"{index}_weights", node)
        if (made := neurons.node(layer.out_shape(shape))) is not None:
            name = f"{index}_neurons"
            self._add(name, made)
            if isinstance(layer, FloatDense) and layer.recurrent is not None:
                back = nir.Linear(self._kind(neurons.rows(layer.recurrent.astype(np.float64))))
                self.nodes[f"{index}_recurrent"] = back
                self.edges += [(name, f"{index}_recurrent"), (f"{index}_recurrent", name)]


class _Neurons:
    """The neurons of one layer for a target's reader, parameters for each row of the weights."""

    def __init__(self, writer: _Writer, layer: FloatDense | FloatConv2d | FloatReadout, index: int) -> None:
        self.writer, self.layer = writer, layer
        rows = len(layer.weight)
        readout = isinstance(layer, FloatReadout)
        plain = np.ones(rows) if layer.leak is None else layer.leak.astype(np.float64)
        self.leak = plain if isinstance(layer, FloatReadout) else writer.network.leak(layer)
        kappa = layer.current_leak
        self.current = kappa.astype(np.float64) if kappa is not None and kappa.any() else None
        self.threshold = None if readout else self._threshold()
        self.unit = np.ones(rows)  # what a row is divided by
        if writer.target.one_threshold and self.threshold is not None:
            self.unit, self.threshold = self.threshold, np.ones(rows)
        if writer.target.title == "Norse" and not (self.leak == 1).all():
            self.unit = self.unit * (1 - self.leak)
        offset = layer.bias.astype(np.float64) / self.unit
        self.bias, self.v_leak = offset, np.zeros(rows)
        if self.current is not None:  # a bias of NIR's own passes the filter
            self.bias, self.v_leak = np.zeros(rows), offset / self._left(self.leak)

    def rows(self, values: Float64Array) -> Float64Array:
        """Weights of this layer, in the reader's units."""
        return values / self.unit.reshape(-1, *[1] * (values.ndim - 1))

    def node(self, shape: Shape) -> nir.NIRNode | None:
        """None where the target's readout has no neurons."""
        whole, dt = self.writer.target.whole, self.writer.reading.dt or 1.0
        kept, r = self._each(self.leak, shape), {}
        if self.threshold is not None:
            zeros = np.zeros(shape)
            r = {"v_threshold": self._each(self.threshold, shape), "v_reset": self.writer._kind(zeros)}
        elif not whole:
            return None
        if self.current is None and (self.leak == 1).all() and self.writer.target.title != "snnTorch":
            one = 1.0 if self.writer.reading.integrator_gain == "plain" else 1 / dt
            ones = self.writer._kind(np.full(shape, one))
            return nir.IF(r=ones, **r) if r else nir.I(r=ones)
        tau = self._tau(kept.astype(np.float64))
        unity = self.writer.reading.gain == "plain" or self.writer.target.title == "Norse"
        gain = self.writer._kind(np.ones(shape) if unity else tau / dt)
        common = {"r": gain, "v_leak": self._each(self.v_leak, shape)}
        if self.current is None:
            return (nir.LIF if r else nir.LI)(tau=self.writer._kind(tau), **common, **r)
        slow = self._tau(self._each(self.current, shape).astype(np.float64))
        both = {"tau_mem": self.writer._kind(tau), "tau_syn": self.writer._kind(slow)}
        return (nir.CubaLIF if r else nir.CubaLI)(**both, **common, **r, w_in=self.writer._kind(slow / dt))

    def _threshold(self) -> Float64Array:
        assert not isinstance(self.layer, FloatReadout)
        theta = self.layer.threshold.astype(np.float64)
        if not self.writer.halves or theta.max() >= 1 << 22:
            return theta
        return theta + (0.5 if self.writer.network.comparison == ">" else -0.5)

    def _each(self, values: Float64Array, shape: Shape) -> npt.NDArray[Any]:
        """For every neuron, of values for rows of the weights."""
        return self.writer._kind(values.repeat(math.prod(shape) // len(values)).reshape(shape))

    def _left(self, kept: Float64Array) -> Float64Array:
        """1 - leak, never 0."""
        return np.where(kept == 1, 1 / UNLEAKED, 1 - kept)

    def _tau(self, kept: Float64Array) -> Float64Array:
        dt = self.writer.reading.dt or 1.0
        if self.writer.reading.leak == "exp":
            return np.asarray(-dt / np.log(kept))
        return np.asarray(dt / self._left(kept))
