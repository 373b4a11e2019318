"""The networks and frames that bench_fast.py measures."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.text import percent
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatConv2d, FloatDense, FloatNetwork, FloatPool, FloatReadout
from sast_deploy.data import FrameOptions, load_frames
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.program.profile import load_profile
from sast_deploy.program.program import Program

SHAPE, STEPS, COUNT_MAX, CLASSES = (2, 34, 34), 10, 4, tuple("0123456789")
COUNT_SHARES = (0.446, 0.214, 0.150, 0.190)  # of counts 1..4 among the nonzero pixels of N-MNIST frames
RANDOM_SAMPLES = 4000  # which take a millisecond each to make
CONV_SAMPLES = 1000  # at once: a record holds a count per neuron, 150 kB for each sample
FC_GAINS = ((168, 8.0), (64, 6.0))  # neurons, gain of the random weights: rates as in trained networks
CONV_GAINS = ((68, 6.0), (136, 4.0), (272, 4.0))


@dataclass(frozen=True)
class Workload:
    """A network, its .net file, and what it is fed, as the frame cache has it. key: of its figures."""

    key: str
    name: str
    program: Program
    net: Path
    frames: EventFrames
    source: str

    @property
    def kind(self) -> str:
        """"fc" or "conv"."""
        return self.key.partition("-")[0]


def workloads(folder: Path, net: Path | None, data_root: Path | None, samples: int) -> list[Workload]:
    real, source = recordings(data_root, samples)
    fc = read_net(net).program if net else compiled(fully_connected())
    named = net.name if net else "random weights"
    files = {"fc": written(folder / "fc.net", fc) if net is None else net}
    conv = compiled(convolutional())
    files["conv"] = written(folder / "conv.net", conv)
    some = real[:CONV_SAMPLES]
    sparse = EventFrames.from_dense(random_frames(min(samples, RANDOM_SAMPLES), 0.04, COUNT_SHARES))
    return [
        Workload("fc", "fc, event frames", fc, files["fc"], real, f"{source}; {named}"),
        Workload("fc-random", "fc, 4 % random", fc, files["fc"], sparse, f"random frames; {named}"),
        Workload("conv", "conv, event frames", conv, files["conv"], some, f"{source}; random weights"),
    ]


def recordings(data_root: Path | None, samples: int) -> tuple[EventFrames, str]:
    """N-MNIST frames, shuffled, repeated as needed: of a root that is named, else what "auto" finds."""
    root = data_root or (Path(os.environ["SAST_DATA_ROOT"]) if "SAST_DATA_ROOT" in os.environ else None)
    has_test = root is None or any((root / folder / "Test").is_dir() for folder in (".", "NMNIST"))
    dataset, holdout = "nmnist" if root else "auto", None if has_test else 0.2
    found = load_frames(dataset, FrameOptions(), data_root=root, holdout=holdout)
    splits = EventFrames.joined([as_events(each.frames) for each in (found.test, found.train)])
    order = np.random.default_rng(0).permutation(max(samples, len(splits)))[:samples] % len(splits)
    frames = splits[order]
    distinct, density = min(samples, len(splits)), len(frames.index) / math.prod(frames.shape)
    kind = "simulated" if found.info.simulated else "real"
    return frames, f"{kind} {found.info.dataset}, {percent(density)} dense, {distinct} recordings"


def as_events(frames: EventFrames | np.ndarray) -> EventFrames:
    """Frames of which most are zeros are in the cache like that anyway."""
    return frames if isinstance(frames, EventFrames) else EventFrames.from_dense(frames)


def random_frames(samples: int, density: float, shares: tuple[float, ...]) -> np.ndarray:
    rng = np.random.default_rng(0)
    frames = np.zeros((samples, STEPS, *SHAPE), np.uint8)
    values = np.searchsorted(np.cumsum(shares), np.arange(1000) / 1000, side="right").astype(np.uint8) + 1
    for frame in frames:
        busy = rng.random(frame.shape, dtype=np.float32) < density
        frame[busy] = rng.choice(values, int(busy.sum()))
    return frames


def compiled(network: FloatNetwork) -> Program:
    return compile_network(network, load_profile("loihi-int8"), "bench").program


def written(path: Path, program: Program) -> Path:
    write_net(path, NetFile(program, ""))
    return path


def fully_connected() -> FloatNetwork:
    rng, inputs, layers = np.random.default_rng(0), int(np.prod(SHAPE)), []
    for outputs, gain in FC_GAINS:
        weight = normal(rng, gain, (outputs, inputs))
        layers.append(FloatDense(weight, zeros(outputs), ones(outputs)))
        inputs = outputs
    last = FloatReadout(normal(rng, 1.0, (len(CLASSES), inputs)), zeros(len(CLASSES)))
    return FloatNetwork((*layers, last), SHAPE, STEPS, 0.5, COUNT_MAX, classes=CLASSES)


def convolutional() -> FloatNetwork:
    """The paper's network: 3x3 kernels, stride 2, 68/136/272 channels, global average, readout."""
    rng, inputs, layers, size = np.random.default_rng(0), SHAPE[0], [], SHAPE[1]
    for outputs, gain in CONV_GAINS:
        weight = normal(rng, gain, (outputs, inputs, 3, 3))
        layers.append(FloatConv2d(weight, zeros(outputs), ones(outputs), (2, 2), (1, 1), (1, 1), 1))
        inputs, size = outputs, (size + 1) // 2
    last = FloatReadout(normal(rng, 1.0, (len(CLASSES), inputs)), zeros(len(CLASSES)))
    layers = (*layers, FloatPool((size, size)), last)
    return FloatNetwork(layers, SHAPE, STEPS, 0.5, COUNT_MAX, classes=CLASSES)


def normal(rng: np.random.Generator, gain: float, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.normal(0, gain, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def zeros(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.float32)
