"""Runs network.npz with NumPy alone and replays its known answers: `python run.py`; exit code 0: all equal."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CURRENT_BITS, UNITY = 24, 4096
Array = np.ndarray[Any, Any]


def divide(v: Array, n: int, rounding: str) -> Array:
    """v / 2**n, rounded."""
    if n == 0 or rounding == "floor":
        return v >> n
    half = 1 << (n - 1)
    tie = {"toward-zero": (v < 0) * (2 * half - 1), "half-up": half, "half-even": half - 1 + (v >> n & 1)}
    return (v + tie[rounding]) >> n


def shift(v: Array, n: int, rounding: str) -> Array:
    """v * 2**n, rounded."""
    return v << n if n >= 0 else divide(v, -n, rounding)


def wrap(v: Array, bits: int) -> Array:
    """v modulo 2**bits, signed."""
    return ((v + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


class Layer:
    """One layer: its arrays, and its state between steps; every number an int64."""

    def __init__(self, said: dict[str, Any], arrays: dict[str, Array], rules: dict[str, Any]) -> None:
        self.said, self.rules, self.t = said, rules, -1
        self.out, neurons = said["out_shape"], int(np.prod(said["out_shape"]))
        for name in ("bias", "vth", "v_decay", "u_decay"):
            values = arrays.get(name, np.zeros(1, np.int64))
            setattr(self, name, values.repeat(neurons // len(values)))
        self.weight, self.recurrent, self.delay = (arrays.get(k) for k in ("weight", "recurrent", "delay"))
        self.c, self.u, self.s = np.zeros((3, neurons), np.int64)
        self.seen: list[Array] = []

    def add(self, x: Array, weight: Array) -> Array:
        """Weighted sums of one step's inputs (C, H, W) or (n,)."""
        if self.said["kind"] != "conv":
            return weight @ x.ravel()
        (sy, sx), (py, px), (dy, dx) = (self.said[key] for key in ("stride", "padding", "dilation"))
        (outputs, ins, *kernel), (_, rows, columns) = weight.shape, self.out
        x, total = np.pad(x, ((0, 0), (py, py), (px, px))), np.zeros(self.out, np.int64)
        for i, j in np.ndindex(*kernel):
            under = x[:, i * dy : i * dy + rows * sy : sy, j * dx : j * dx + columns * sx : sx]
            for o in range(outputs):
                first = o // (outputs // self.said["groups"]) * ins
                total[o] += np.tensordot(weight[o, :, i, j], under[first : first + ins], 1)
        return total.ravel()

    def arrived(self, x: Array) -> Array:
        """a_t: what set out `delay` steps ago, and the layer's own spikes of the step before."""
        self.seen.append(x)
        sums = np.zeros(self.u.size, np.int64)
        for d in np.unique(self.delay):
            if d <= self.t:
                sums += self.add(self.seen[self.t - d], np.where(self.delay == d, self.weight, 0))
        return sums if self.recurrent is None else sums + self.recurrent @ self.fired

    def step(self, x: Array) -> Array:
        """Outputs of one step: spikes, resampled values, or a readout's membrane potentials."""
        said, rules, self.t = self.said, self.rules, self.t + 1
        if said["kind"] == "upsample":
            return x.repeat(said["factors"][0], 1).repeat(said["factors"][1], 2)
        if said["kind"] == "pool":
            (_, rows, columns), (h, w) = self.out, said["kernel"]
            windows = x[:, : rows * h, : columns * w].reshape(-1, rows, h, columns, w)
            return shift(windows.sum((2, 4)), said["exponent"], rules["shift_rounding"])
        self.fired = self.s
        arriving = shift(self.arrived(x), said["weight_exp"], rules["shift_rounding"])
        every = rules["reset_interval"] if said["kind"] != "readout" else 0
        if every and self.t % every == said["reset_offset"]:
            self.c, self.u, self.s = np.zeros((3, self.u.size), np.int64)
        kept = wrap(divide(self.c * (UNITY - self.u_decay), 12, rules["leak_rounding"]) + arriving, CURRENT_BITS)
        self.c = np.where(self.u_decay == UNITY, arriving, kept)
        reset = self.s * (self.u if rules["reset"] == "zero" else self.vth)
        before = rules["reset"] == "zero" or rules["reset_order"] == "before-leak"
        u = divide((self.u - reset * before) * (UNITY - self.v_decay), 12, rules["leak_rounding"])
        self.u = u - reset * (not before) + self.c + self.bias
        if said["kind"] == "readout":
            return self.u
        high = (1 << (rules["state_bits"] - 1)) - 1
        low = -high - (rules["overflow"] == "saturate")
        wraps = rules["overflow"] == "wrap"
        self.u = wrap(self.u, rules["state_bits"]) if wraps else np.clip(self.u, low, high)
        self.s = (self.u >= self.vth if rules["comparison"] == ">=" else self.u > self.vth).astype(np.int64)
        return self.s.reshape(self.out)


def run(net: Any, frames: Array) -> tuple[Array, Array, Array]:
    """Of one sample (time, C, H, W): membrane potentials and spikes (time, neurons), logits (classes,)."""
    rules = json.loads(str(net["rules"]))
    layers = []
    for number, said in enumerate(rules["layers"]):
        named = {name: net[f"layer{number}_{name}"].astype(np.int64) for name in said["arrays"]}
        layers.append(Layer(said, named, rules))
    spiking = [layer for layer in layers if layer.said["kind"] in ("dense", "conv")]
    membranes, spikes, answers = [], [], []
    for x in frames.astype(np.int64):
        for layer in layers:
            x = layer.step(x)
        membranes.append(np.concatenate([np.zeros(0, np.int64), *(layer.u for layer in spiking)]))
        spikes.append(np.concatenate([np.zeros(0, np.int64), *(layer.s for layer in spiking)]))
        answers.append(x.ravel())
    decode = {"last": lambda m: m[-1], "max": lambda m: m.max(0), "mean": sum, "spike-counts": sum}
    return np.array(membranes), np.array(spikes), decode[rules["decoding"]](np.array(answers))


def main() -> int:
    """Replay the known answers; print the first difference; 0: none, 1: one."""
    with np.load(Path(__file__).parent / "network.npz", allow_pickle=False) as net:
        for sample, frames in enumerate(net["known_frames"]):
            names = ("membranes", "spikes", "logits")
            for name, found in zip(names, run(net, frames), strict=True):
                for place in np.argwhere(found != net[f"known_{name}"][sample])[:1]:
                    print(f"vector {sample}: {name}{place.tolist()} differ")
                    return 1
        print(f"{len(net['known_frames'])} vectors: every membrane potential, spike and logit is as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
