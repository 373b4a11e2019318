"""Integer networks as torch modules, and what NeuroBench measures of them; knows nothing of sast-deploy.

    python neurobench_runner.py JOB.npz FOUND.json

JOB.npz: `networks`, a JSON list, and arrays. A network: layers, batches, rules and reset_interval; `N.frames`
are its inputs (samples, time, C, H, W), `N.L.NAME` the arrays of layer L, of the types that store them.
Arithmetic: int64, by the words of profiles/README.md. FOUND.json: of every network its logits, spike counts,
and NeuroBench's results for each of the batches.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import snntorch
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint
from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
from neurobench.models import TorchModel
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

LEAK_BITS, CURRENT_BITS = 12, 24
STATIC = [Footprint, ConnectionSparsity]
WORKLOAD = [ActivationSparsity, SynapticOperations, MembraneUpdates]


def divided(x, bits, rounding):
    """x / 2**bits, int64."""
    whole, rest = x >> bits, x & ((1 << bits) - 1)
    half = (1 << bits) >> 1
    if bits == 0 or rounding == "floor":
        return whole
    up = {
        "toward-zero": (x < 0) & (rest > 0),
        "half-up": rest >= half,
        "half-even": (rest > half) | ((rest == half) & (whole % 2 == 1)),
    }[rounding]
    return whole + up


def shifted(x, exponent, rounding):
    return x << exponent if exponent > 0 else divided(x, -exponent, rounding)


def fitted(x, bits, overflow):
    most = 1 << (bits - 1)
    if overflow == "wrap":
        return (x + most) % (2 * most) - most
    return x.clamp(-most + (overflow == "saturate-symmetric"), most - 1)


class IntLinear(nn.Linear):
    """Weights of an integer type; sums in float64, which holds them."""

    def __init__(self, weight):
        super().__init__(weight.shape[1], weight.shape[0], bias=False)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x):
        return functional.linear(x.double(), self.weight.double())


class IntConv2d(nn.Conv2d):
    """The same, of a convolution."""

    def __init__(self, weight, groups, **geometry):
        sizes = weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:])
        super().__init__(*sizes, groups=groups, bias=False, **geometry)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x):
        return self._conv_forward(x.double(), self.weight.double(), None)


class Late(nn.Module):
    """Each input so many steps later; delay (1,) or (inputs,)."""

    def __init__(self, delay):
        super().__init__()
        self.delay, self.past = delay, []

    def clear(self):
        self.past = []

    def forward(self, x):
        self.past.append(x)
        found = torch.zeros_like(x).flatten(1)
        for late in self.delay.unique().tolist():
            if late < len(self.past):
                of_then = self.past[-1 - late].flatten(1)
                found = torch.where(self.delay == late, of_then, found)
        return found.reshape(x.shape)


class Dynamics:
    """What neurons and integrators share: shift, current filter, leak."""

    def take(self, layer, arrays, rules):
        self.rules, self.exponent = rules, layer["weight_exp"]
        self.v_keep, self.u_keep = ((1 << LEAK_BITS) - arrays[name] for name in ("v_decay", "u_decay"))
        self.filters = bool((self.u_keep > 0).any())
        self.clear()

    def leaked(self, x, keep):
        return divided(x * keep, LEAK_BITS, self.rules["leak_rounding"])

    def arriving(self, total):
        x = shifted(total.round().long(), self.exponent, self.rules["shift_rounding"])
        if not self.filters:
            return x
        kept = fitted(self.leaked(self.current, self.u_keep) + x, CURRENT_BITS, "wrap")
        self.current = torch.where(self.u_keep > 0, kept, x)
        return self.current


class Neurons(Dynamics, snntorch.SpikingNeuron):
    """LIF neurons; `mem` is the membrane potential before the reset that its own spike asks for."""

    def __init__(self, layer, arrays, rules):
        super().__init__(threshold=arrays["vth"], init_hidden=True, output=False)
        del self.graded_spikes_factor, self.reset_mechanism_val  # 12 bytes of snnTorch's own neurons
        self.register_buffer("bias", arrays["bias"])
        self.take(layer, arrays, rules)

    def clear(self):
        self.mem = self.current = self.last = torch.zeros((), dtype=torch.int64)
        self.clears = False

    def forward(self, total):
        if self.clears:  # here, so that NeuroBench sees the membranes before
            self.clear()
        rules, vth = self.rules, self.threshold.long()
        reset = self.last * vth
        if rules["reset"] == "zero":
            kept = self.leaked(self.mem * (1 - self.last), self.v_keep)
        elif rules["reset_order"] == "before-leak":
            kept = self.leaked(self.mem - reset, self.v_keep)
        else:
            kept = self.leaked(self.mem, self.v_keep) - reset
        u = kept + self.arriving(total) + self.bias.long()
        self.mem = fitted(u, rules["state_bits"], rules["overflow"])
        self.last = (self.mem >= vth if rules["comparison"] == ">=" else self.mem > vth).long()
        return self.last.double()


class Integrators(Dynamics, nn.Module):
    """A readout."""

    def __init__(self, layer, arrays, rules):
        super().__init__()
        self.register_buffer("bias", arrays["bias"])
        self.decoding = layer["decoding"]
        self.take(layer, arrays, rules)

    def clear(self):
        self.m = self.current = torch.zeros((), dtype=torch.int64)
        self.logits = None

    def forward(self, total):
        self.m = self.leaked(self.m, self.v_keep) + self.arriving(total) + self.bias.long()
        if self.logits is None or self.decoding == "last":
            self.logits = self.m
        else:
            self.logits = self.logits.maximum(self.m) if self.decoding == "max" else self.logits + self.m
        return self.logits


class Block(nn.Module):
    """One layer with weights and its neurons; each of its parts is called once a step."""

    def __init__(self, layer, arrays, rules):
        super().__init__()
        self.spiking = layer["kind"] != "readout"
        self.late = Late(arrays["delay"])
        if layer["kind"] == "conv":
            geometry = {name: tuple(layer[name]) for name in ("stride", "padding", "dilation")}
            self.synapses = IntConv2d(arrays["weight"], layer["groups"], **geometry)
            maps = {name: arrays[name].reshape(-1, 1, 1) for name in arrays if name != "weight"}
            arrays = {**arrays, **maps}
        else:
            self.synapses = IntLinear(arrays["weight"])
        self.recurrent = IntLinear(arrays["recurrent"]) if "recurrent" in arrays else None
        self.neurons = (Neurons if self.spiking else Integrators)(layer, arrays, rules)
        self.offset = layer.get("reset_offset", 0)
        self.clear()

    def clear(self):
        self.late.clear()
        self.neurons.clear()
        self.spikes, self.count = None, 0

    def forward(self, x, resets):
        self.neurons.clears = resets(self.offset)
        x = self.late(x)
        total = self.synapses(x if isinstance(self.synapses, IntConv2d) else x.flatten(1))
        if self.recurrent is not None:
            before = torch.zeros_like(total) if self.spikes is None else self.spikes
            total = total + self.recurrent(before)
        self.spikes = self.neurons(total)
        self.count = self.count + self.spikes
        return self.spikes


class Resampling(nn.Module):
    """A pool, which sums windows, or an upsampling."""

    def __init__(self, layer, rules):
        super().__init__()
        self.layer, self.rounding = layer, rules["shift_rounding"]

    def clear(self):
        """It has no state."""

    def forward(self, x, resets):
        if self.layer["kind"] == "upsample":
            rows, columns = self.layer["factors"]
            return x.repeat_interleave(rows, -2).repeat_interleave(columns, -1)
        sums = functional.avg_pool2d(x.double(), tuple(self.layer["kernel"]), divisor_override=1)
        return shifted(sums.round().long(), self.layer["exponent"], self.rounding).double()


class Network(nn.Module):
    """(samples, time, C, H, W) -> logits, int64 (samples, classes)."""

    def __init__(self, described, arrays):
        super().__init__()
        rules, self.interval = described["rules"], described["reset_interval"]
        self.layers = nn.ModuleList()
        for layer, of_it in zip(described["layers"], arrays, strict=True):
            weighted = "weight" in of_it
            self.layers.append(Block(layer, of_it, rules) if weighted else Resampling(layer, rules))

    def forward(self, frames):
        for layer in self.layers:
            layer.clear()
        for t, x in enumerate(frames.double().unbind(1)):
            for layer in self.layers:
                x = layer(x, lambda offset, t=t: self.interval > 0 and t % self.interval == offset)
        last = self.layers[-1]
        return last.count.long().flatten(1) if last.spiking else x

    def counts(self):
        """Spikes of every neuron, int (samples, neurons), of every spiking layer."""
        return [layer.count.long().flatten(1) for layer in self.layers if getattr(layer, "spiking", False)]


def measure(network, frames, batch):
    """NeuroBench's results; its hooks are gone before the next Benchmark of this network makes its own."""
    model = TorchModel(network)
    model.add_activation_module(snntorch.SpikingNeuron)
    loader = DataLoader(TensorDataset(frames, torch.zeros(len(frames))), batch_size=batch)
    benchmark = Benchmark(model, loader, [], [], [STATIC, WORKLOAD])
    results = benchmark.run(quiet=True)
    del benchmark
    return results


def main(job, found):
    with np.load(job) as arrays:
        results = []
        for number, described in enumerate(json.loads(str(arrays["networks"]))):
            of_layers = [{} for _ in described["layers"]]
            for name in arrays.files:
                which, *rest = name.split(".")
                if which == str(number) and len(rest) == 2:
                    of_layers[int(rest[0])][rest[1]] = torch.from_numpy(arrays[name])
            network = Network(described, of_layers)
            frames = torch.from_numpy(arrays[f"{number}.frames"])
            logits = network(frames).tolist()
            counts = [count.tolist() for count in network.counts()]
            metrics = [measure(network, frames, batch) for batch in described["batches"]]
            results.append({"logits": logits, "counts": counts, "results": metrics})
    with open(found, "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    torch.set_num_threads(1)  # the tensors are small: threads would only wait for one another
    with torch.no_grad():
        main(*sys.argv[1:])
