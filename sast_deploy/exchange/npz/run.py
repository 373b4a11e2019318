"""Runs network.npz with NumPy alone; `python run.py` replays its known answers, exit code 0: all equal."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

UNITY, LEAK_BITS, CURRENT_BITS = 4096, 12, 24


def shift(v: Any, n: int, rounding: str) -> Any:
    """v * 2**n; to the right rounded."""
    if n >= 0 or rounding == "floor":
        return v << n if n >= 0 else v >> -n
    half = 1 << (-n - 1)
    add = {"toward-zero": (v < 0) * (2 * half - 1), "half-up": half, "half-even": half - 1 + ((v >> -n) & 1)}
    return (v + add[rounding]) >> -n


def wrap(v: Any, bits: int) -> Any:
    """v modulo 2**bits, signed."""
    return ((v + (1 << (bits - 1))) & ((1 << bits) - 1)) - (1 << (bits - 1))


class Layer:
    """One layer: what network.npz says of it, and its state between steps."""

    def __init__(self, said: dict[str, Any], arrays: dict[str, Any], rules: dict[str, Any]) -> None:
        size = int(np.prod(said["out_shape"]))
        self.said, self.rules, self.arrays, self.t = said, rules, arrays, -1
        self.seen: list[Any] = []  # inputs of all steps
        names = [name for name in arrays if name in ("bias", "vth", "v_decay", "u_decay")]
        self.of = {name: arrays[name].repeat(size // len(arrays[name])) for name in names}
        self.c, self.u, self.s = np.zeros((3, size), np.int64)

    def leak(self, v: Any, decay: Any) -> Any:
        """What a step leaves of v."""
        return shift(v * (UNITY - decay), -LEAK_BITS, self.rules["leak_rounding"])

    def sums(self, x: Any, weight: Any) -> Any:
        """W x of one step's input (C, H, W) or (n,)."""
        if self.said["kind"] != "conv":
            return weight @ x.ravel()
        (sy, sx), (py, px), (dy, dx) = (self.said[key] for key in ("stride", "padding", "dilation"))
        (outputs, ins, *kernel), (_, rows, columns) = weight.shape, self.said["out_shape"]
        x, total = np.pad(x, ((0, 0), (py, py), (px, px))), np.zeros(self.said["out_shape"], np.int64)
        for o, i, j in np.ndindex(outputs, *kernel):
            under = x[:, i * dy : i * dy + rows * sy : sy, j * dx : j * dx + columns * sx : sx]
            first = o // (outputs // self.said["groups"]) * ins
            total[o] += np.tensordot(weight[o, :, i, j], under[first : first + ins], 1)
        return total.ravel()

    def arrived(self, x: Any) -> Any:
        """a_t: what set out `delay` steps ago, and the layer's own spikes of the step before."""
        self.seen.append(x)
        delay, weight, total = self.arrays["delay"], self.arrays["weight"], np.zeros(self.u.size, np.int64)
        for d in np.unique(delay[delay <= self.t]):
            total += self.sums(self.seen[self.t - d], np.where(delay == d, weight, 0))
        return total + self.arrays["recurrent"] @ self.s if "recurrent" in self.arrays else total

    def step(self, x: Any) -> Any:
        """The outputs of one step: spikes, resampled values, or a readout's membrane potentials."""
        said, rules, of, self.t = self.said, self.rules, self.of, self.t + 1
        if said["kind"] == "upsample":
            return x.repeat(said["factors"][0], 1).repeat(said["factors"][1], 2)
        if said["kind"] == "pool":
            (channels, rows, columns), (h, w) = said["out_shape"], said["kernel"]
            windows = x[:, : rows * h, : columns * w].reshape(channels, rows, h, columns, w)
            return shift(windows.sum((2, 4)), said["exponent"], rules["shift_rounding"])
        arriving = shift(self.arrived(x), said["weight_exp"], rules["shift_rounding"])
        if rules["reset_interval"] and self.t % rules["reset_interval"] == said.get("reset_offset"):
            self.c, self.u, self.s = np.zeros((3, self.u.size), np.int64)
        filtered = wrap(self.leak(self.c, of["u_decay"]) + arriving, CURRENT_BITS)
        self.c = np.where(of["u_decay"] == UNITY, arriving, filtered)
        reset, first = self.s * of.get("vth", 0), rules["reset_order"] == "before-leak"
        if rules["reset"] == "zero":
            reset, first = self.s * self.u, True
        self.u = self.leak(self.u - reset * first, of["v_decay"]) - reset * (not first) + self.c + of["bias"]
        if said["kind"] == "readout":
            return self.u
        high = (1 << (rules["state_bits"] - 1)) - 1
        low = -high if rules["overflow"] == "saturate-symmetric" else -high - 1
        wraps = rules["overflow"] == "wrap"
        self.u = wrap(self.u, rules["state_bits"]) if wraps else np.clip(self.u, low, high)
        self.s = (self.u > of["vth"]) | ((self.u == of["vth"]) & (rules["comparison"] == ">="))
        self.s = self.s.astype(np.int64)
        return self.s.reshape(said["out_shape"])


def run(net: Any, frames: Any) -> tuple[Any, Any, Any]:
    """Of one sample (time, C, H, W): membrane potentials and spikes (time, neurons), logits (classes,)."""
    rules, layers = json.loads(str(net["rules"])), []
    for i, said in enumerate(rules["layers"]):
        arrays = {name: net[f"layer{i}_{name}"].astype(np.int64) for name in said["arrays"]}
        layers.append(Layer(said, arrays, rules))
    membranes, spikes, last = [], [], []
    spiking = [layer for layer in layers if layer.said["kind"] in ("dense", "conv")]
    for x in frames.astype(np.int64):
        for layer in layers:
            x = layer.step(x)
        membranes.append([u for layer in spiking for u in layer.u])
        spikes.append([s for layer in spiking for s in layer.s])
        last.append(x.ravel())
    decoded = {"last": last[-1], "max": np.max(last, 0), "mean": np.sum(last, 0), "count": np.sum(last, 0)}
    return np.array(membranes), np.array(spikes), decoded[rules["decoding"]]


def main() -> int:
    """Replay the known answers and print the first difference."""
    with np.load(Path(__file__).parent / "network.npz", allow_pickle=False) as net:
        for sample, frames in enumerate(net["known_frames"]):
            for name, found in zip(("membranes", "spikes", "logits"), run(net, frames), strict=True):
                for place in np.argwhere(found != net[f"known_{name}"][sample])[:1]:
                    print("vector", sample, name, place.tolist(), "are", found[tuple(place)])
                    return 1
        number = len(net["known_frames"])
        print(number, "vectors: every membrane potential, spike and logit is as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main())
