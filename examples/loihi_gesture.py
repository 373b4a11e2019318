"""A stranger's network of integers, trained for Loihi, built by the public API and run on its recordings.

    python examples/loihi_gesture.py FOLDER [--engine fast|lava] [--check]

FOLDER has loihi_gesture_net/ (conv1.txt, conv2.txt, fc1.txt, fc2.txt, pool1.txt to pool3.txt: integer
weights, one a line) and dvsgesture10/ (1.bs2 to 10.bs2: one recording of DVS128 Gesture for each class).

SLAYER's Loihi neurons, bit for bit: current and membrane decay by 1024 and 128 of 4096, toward zero; a weight
is 64 LSBs, the threshold 80 of them; a neuron fires above it, not at it, and is reset to zero; a refractory
period of 1 is the reset itself. The pools have neurons too: they are convolutions of one constant weight, one
group a channel. A spike reaches the next layer one step later. SLAYER bins events by rounding to the nearest
millisecond (`np.round`), and a bin holds 1 however many events fall into it.
"""

import argparse
from pathlib import Path

import numpy as np

import sast_deploy as sast

STEPS, SENSOR, CLASSES = 1450, 128, 11


def ints(*values: int) -> np.ndarray:
    """An int32 array."""
    return np.array(values, np.int32)


def build(folder: Path) -> sast.Net:
    """The network in `folder` (loihi_gesture_net/)."""
    neurons = {"bias": ints(0), "vth": ints(80 << 6), "weight_exp": 6,
               "v_decay": ints(128), "u_decay": ints(1024)}  # fmt: skip

    def weight(name: str, *shape: int) -> np.ndarray:
        return np.loadtxt(folder / f"{name}.txt").astype(np.int32).reshape(shape)

    def conv(values: np.ndarray, stride: int, padding: int, groups: int = 1, delay: int = 1) -> sast.Conv2d:
        geometry = {"stride": (stride,) * 2, "padding": (padding,) * 2, "dilation": (1, 1), "groups": groups}
        return sast.Conv2d(values, **neurons, **geometry, delay=ints(delay))

    def pool(name: str, channels: int, size: int, delay: int = 1) -> sast.Conv2d:
        return conv(weight(name, 1, 1, size, size).repeat(channels, axis=0), size, 0, channels, delay)

    layers = (
        pool("pool1", 2, 4, delay=0),
        conv(weight("conv1", 16, 2, 5, 5), 1, 2),
        pool("pool2", 16, 2),
        conv(weight("conv2", 32, 16, 3, 3), 1, 1),
        pool("pool3", 32, 2),
        sast.Dense(weight("fc1", 512, 2048), **neurons, delay=ints(1)),
        sast.Dense(weight("fc2", CLASSES, 512), **neurons, delay=ints(1)),
    )
    membrane, toward_zero = sast.QFormat(24, 0), "toward-zero"
    rules = sast.Arithmetic(membrane, 8, "saturate-symmetric", toward_zero, toward_zero, ">", "zero")
    names = tuple(str(k) for k in range(CLASSES))
    program = sast.Program("loihi-gesture", (2, SENSOR, SENSOR), 1, STEPS, names, rules, layers)
    return sast.Net.from_program(program, known_answers=False)


def read(path: Path, steps: int = STEPS) -> np.ndarray:
    """Frames uint8 (steps, 2, 128, 128) of a .bs2 file: x, y, then polarity (1 bit) and microseconds (23)."""
    event = np.fromfile(path, np.uint8).reshape(-1, 5).astype(np.int64)
    time = (event[:, 2] & 127) << 16 | event[:, 3] << 8 | event[:, 4]
    step = np.round(time / 1000).astype(np.int64)
    inside = step < steps
    frames = np.zeros((steps, 2, SENSOR, SENSOR), np.uint8)
    frames[step[inside], event[inside, 2] >> 7, event[inside, 1], event[inside, 0]] = 1
    return frames


def main() -> None:
    """Classify the ten recordings; with --check, compare all membranes and spikes of the first one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--engine", choices=["fast", "lava"], default="fast")
    parser.add_argument("--check", action="store_true", help="engines against the reference: minutes")
    asked = parser.parse_args()
    net = build(asked.folder / "loihi_gesture_net")
    frames = [read(asked.folder / "dvsgesture10" / f"{k}.bs2") for k in range(1, 11)]
    if asked.check:
        for row in sast.verify(net, frames[0], engines=["fast", "lava"]).rows:
            print(f"{row.engine}: {row.values:,} values, {'; '.join(row.problem) or 'all equal'}")
    for k, recording in enumerate(frames, start=1):
        run = sast.simulate(net, recording, engine=asked.engine)
        spikes = run.logits[0]
        print(f"{k}.bs2: class {run.predictions[0]}, {spikes[k - 1]} spikes, next {np.sort(spikes)[-2]}")


if __name__ == "__main__":
    main()
