"""Programs as SANA-FE's networks, the process that runs them, and what of ours is compared with it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from sast_deploy.engines.reference import Synapses
from sast_deploy.program.program import Program, Readout, per_neuron
from tests.witness.mesh import CORES, Mesh

RUNNER = Path(__file__).with_name("sanafe_runner.py")
VARIABLE = "SAST_WITNESS_PYTHON"
NEVER = 1 << 30  # the threshold of a readout
SILENT = 1 << 28  # a threshold that only the runner's FORCED bias reaches


@cache
def interpreter(package="sanafe"):
    """A Python that has SANA-FE, or another witness: the one that is named, else this one; or None."""
    if named := os.environ.get(VARIABLE):
        look = f"import importlib.util as u; raise SystemExit(u.find_spec({package!r}) is None)"
        return named if subprocess.run([named, "-c", look], check=False).returncode == 0 else None
    return sys.executable if importlib.util.find_spec(package) else None


def run_sanafe(networks, folder):
    """[network][sample] of what the runner finds; one process for all."""
    job, found = folder / "job.json", folder / "found.json"
    job.write_text(json.dumps({"networks": networks}))
    command = [interpreter(), RUNNER, job, found]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return json.loads(found.read_text())["networks"]


@dataclass(frozen=True)
class Case:
    """A program on cores, and its input.

    frames: (samples, time, C, H, W) of 0 and 1. cores: (neurons,) of the inputs and of every layer, 4 * tile
    + core. pairs, timing, synapse: see the runner. held: SANA-FE's neurons can compute it; else they are made
    to fire as ours did.
    """

    program: Program
    frames: np.ndarray
    cores: list[np.ndarray]
    timing: str = "simple"
    pairs: str = "all"
    synapse: str = "loihi_dense_synapse"
    held: bool = True

    def network(self, record):
        """For the runner; record: of our own run, with traces."""
        inputs = self.frames.reshape(*self.frames.shape[:2], -1)
        return {
            "steps": len(inputs[0]),
            "timing": self.timing,
            "traces": self.held,
            "forced": None if self.held else self._forced(record),
            "inputs": _addresses(self.cores[0]),
            "layers": [self._layer(number) for number in range(len(self.program.layers))],
            "samples": [[np.flatnonzero(step).tolist() for step in sample] for sample in inputs],
        }

    def mesh(self):
        """For the closed forms."""
        at = [cores[:, None] == np.arange(CORES) for cores in self.cores]
        fanout = [np.zeros(cores.shape, int) for cores in at]
        for number in range(len(self.program.layers)):
            weight, recurrent = self.weights(number)
            fanout[number] += self._synapses(weight).T @ at[number + 1]
            if recurrent is not None:
                fanout[number + 1] += self._synapses(recurrent).T @ at[number + 1]
        return Mesh(self.cores, fanout, self.synapse)

    def fired(self, record, sample):
        """Spikes on the chip, bool (T + layers, neurons) of each population: each layer a step later."""
        inputs = self.frames[sample].reshape(len(self.frames[sample]), -1)
        spikes = [inputs, *(trace.spikes[sample] for trace in record.traces)]
        steps, layers = len(inputs), len(self.program.layers)
        on_chip = [np.zeros((steps + layers, len(cores)), bool) for cores in self.cores]
        for late, values in enumerate(spikes):
            on_chip[late][late : late + steps] = values
        return on_chip

    def weights(self, number):
        """(out, in) of a layer, in membrane LSBs where held, and (out, out) of its own spikes or None."""
        layer, shape = self.program.layers[number], self.program.shapes()[number]
        synapses, inputs, columns = Synapses(layer, shape), int(np.prod(shape)), []
        for j in range(inputs):
            synapses.send([int(i == j) for i in range(inputs)], 0)
            columns.append(synapses.arrive(0))
        recurrent = getattr(layer, "recurrent", None)
        scale = 1 << layer.weight_exp if self.held else 1
        return np.array(columns).T * scale, None if recurrent is None else recurrent * scale

    def _forced(self, record):
        layers = [trace.spikes for trace in record.traces]
        if isinstance(self.program.layers[-1], Readout):
            layers.append(np.zeros((*self.frames.shape[:2], len(self.program.classes))))
        samples = zip(*layers, strict=True)
        return [[[np.flatnonzero(s).tolist() for s in layer] for layer in sample] for sample in samples]

    def _synapses(self, weight):
        return (np.ones_like(weight) if self.pairs == "all" else weight != 0).astype(int)

    def _layer(self, number):
        layer, rules, cores = self.program.layers[number], self.program.arithmetic, self.cores[number + 1]
        weight, recurrent = self.weights(number)
        vth = np.array([NEVER]) if isinstance(layer, Readout) else layer.vth - (rules.comparison == ">=")
        each = {"bias": layer.bias, "threshold": vth, "decay": layer.v_decay}
        if not self.held:
            each |= {"threshold": np.array([SILENT]), "decay": np.array([4096])}
        return {
            "weight": weight.tolist(),
            "recurrent": None if recurrent is None else recurrent.tolist(),
            "pairs": self.pairs,
            "synapse": self.synapse,
            "core": _addresses(cores),
            "reset": "soft" if self.held and rules.reset == "subtract" else "hard",
            **{name: per_neuron(values, len(cores)).tolist() for name, values in each.items()},
        }


def _addresses(cores):
    return [[int(core) // 4, int(core) % 4] for core in cores]
