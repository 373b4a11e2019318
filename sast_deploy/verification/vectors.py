"""Choose known-answer vectors for a program and let the specifications answer them; compare answers later.

The inputs follow from the program alone, no data set is needed, and each has a purpose: moderate activity,
membrane potentials driven to both ends of their range around spikes, dense input, and a first step that takes
some neuron exactly to its threshold where one is found.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.netx.known_answers import KnownAnswers
from sast_deploy.program.fixedpoint import fit_array, shift_array
from sast_deploy.program.program import Conv2d, Dense, Program, SpikingLayer, per_neuron
from sast_deploy.program.record import SpikeRecord, first_difference, select
from sast_deploy.program.sums import fan_in, weighted_sums
from sast_deploy.proofs.bounds import bound_neurons
from sast_deploy.verification.exercise import Exercise

Frames = npt.NDArray[np.uint8]

MODERATE, DENSE = 0.1, 0.5  # share of inputs that are not 0
PATTERN = (1, 1, -1, 1, 1, 1, -1, -1)  # signs of the weights that a step drives
TARGETS = 12  # neurons of a convolution that are driven at once; of a dense layer one
SEARCH_PRODUCTS = 50_000_000  # multiplications that the search for a threshold may cost
CANDIDATES = (16, 2048)
LARGE = 100_000  # membrane potentials in a vector: beyond it the dense one would take the reference seconds


def make_known_answers(program: Program) -> KnownAnswers | None:
    """The program's vectors and their answers; None where a byte does not hold its inputs, as files do.

    The vectorised specification answers all, the reference as many as it can in a second, at least one.
    RuntimeError where the two disagree, a fault of ours or of the machine's arithmetic.
    """
    if not program.byte_inputs:
        return None
    frames = choose_frames(program)
    exercise = Exercise(program, len(frames))
    record = run_vectorised(program, frames, trace=True, watch=exercise)
    few = exercise.few()
    difference = first_difference(select(record, few), run_reference(program, frames[few], trace=True), few)
    if difference is not None:
        raise RuntimeError(f"vectorised against the reference, on a known-answer vector: {difference}")
    return KnownAnswers(frames, record.counts, record.logits, trace_digests(record))


def trace_digests(record: SpikeRecord) -> tuple[str, ...]:
    """One SHA-256 per sample over every membrane potential and spike; see KnownAnswers."""
    found = []
    for sample in range(len(record.logits)):
        sha = hashlib.sha256()
        for trace in record.traces or ():
            sha.update(np.ascontiguousarray(trace.membrane[sample], dtype="<i4").tobytes())
            sha.update(np.ascontiguousarray(trace.spikes[sample], dtype=np.uint8).tobytes())
        found.append(sha.hexdigest())
    return tuple(found)


def wrong_answer(known: KnownAnswers, record: SpikeRecord) -> str | None:
    """What in the record of the vectors' run is not the stored answer, in one line, or None."""
    for sample, (digest, wanted) in enumerate(zip(trace_digests(record), known.digests, strict=True)):
        for layer, (counts, stored) in enumerate(zip(record.counts, known.counts, strict=True)):
            for neuron in np.flatnonzero(counts[sample] != stored[sample])[:1]:
                values = f"{counts[sample, neuron]}, stored {stored[sample, neuron]}"
                return f"vector {sample}, spiking layer {layer}, neuron {neuron}: spike count {values}"
        for label in np.flatnonzero(record.logits[sample] != known.logits[sample])[:1]:
            values = f"{record.logits[sample, label]}, stored {known.logits[sample, label]}"
            return f"vector {sample}, class {label}: logit {values}"
        if digest != wanted:
            return (
                f"vector {sample}: digest of membranes and spikes {digest[:12]}..., stored {wanted[:12]}..."
            )
    return None


def choose_frames(program: Program) -> Frames:
    """uint8 (4, T, C, H, W): the vectors' inputs, a function of the program alone. Large ones get 3."""
    rng = np.random.default_rng(int(program.digest()[:16], 16))
    moderate, dense, late = (_random(rng, program, program.steps, d) for d in (MODERATE, DENSE, MODERATE))
    driven, first = _random(rng, program, program.steps, MODERATE), program.layers[0]
    if isinstance(first, (Dense, Conv2d)):
        _drive(driven, first, program)
        late[0] = _at_threshold(rng, first, program, late[0])
    # The driven one is not last: what it leaves behind must not reach the next.
    vectors = [moderate, driven, late, dense]
    states = program.steps * sum(int(np.prod(program.shapes()[index + 1])) for index, _ in program.spiking())
    return np.stack(vectors[:3] if states > LARGE else vectors)


def _random(rng: np.random.Generator, program: Program, n: int, density: float) -> Frames:
    shape = (n, *program.input_shape)
    counts = rng.integers(1, program.input_max + 1, shape)
    return (counts * (rng.random(shape) < density)).astype(np.uint8)


def _drive(frames: Frames, layer: SpikingLayer, program: Program) -> None:
    """Take the neurons with the widest range towards one end of it or the other, as PATTERN says."""
    membrane = bound_neurons(program)[0].membrane
    upwards, downwards = np.argsort(-membrane.high), np.argsort(membrane.low)
    at_once = TARGETS if isinstance(layer, Conv2d) else 1
    for t in range(program.steps):
        flat, sign = frames[t].reshape(-1), PATTERN[t % len(PATTERN)]
        order = upwards if sign > 0 else downwards
        chosen = order[t // len(PATTERN) * at_once :][:at_once]
        for neuron in reversed(chosen.tolist()):
            for j, weight, _ in fan_in(layer, program.input_shape, neuron):
                flat[j] = program.input_max if weight * sign > 0 else 0


def _at_threshold(rng: np.random.Generator, layer: SpikingLayer, program: Program, default: Frames) -> Frames:
    """A first frame after which some neuron's membrane potential equals its threshold, if one is found."""
    if layer.delay.any():
        return default
    neurons = int(np.prod(layer.out_shape(program.input_shape)))
    synapses = neurons * int(np.prod(layer.weight.shape[1:]))
    number = int(np.clip(SEARCH_PRODUCTS // synapses, *CANDIDATES))
    frames = np.concatenate([_random(rng, program, number // 2, density) for density in (MODERATE, DENSE)])
    rules = program.arithmetic
    sums = weighted_sums(layer, frames.astype(np.int64), layer.weight).reshape(len(frames), -1)
    reached = shift_array(sums, layer.weight_exp, rules.shift_rounding) + per_neuron(layer.bias, neurons)
    hits = fit_array(reached, rules.state, rules.overflow) == per_neuron(layer.vth, neurons)
    return frames[int(hits.any(axis=1).argmax())] if hits.any() else default
