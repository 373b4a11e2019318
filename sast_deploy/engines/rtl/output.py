"""What the bench of a circuit writes down, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import RtlError
from sast_deploy.rtl.memories import Built
from sast_deploy.rtl.plan import Ints

_DIGITS = np.full(256, -1, np.int8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)


@dataclass(frozen=True, eq=False)
class Results:
    """Logits (samples, classes); labels, and the cycles in which each was offered and done (samples,)."""

    logits: Ints
    labels: Ints
    offered: Ints
    done: Ints


def layer_states(
    path: Path, layer: Built, samples: int, steps: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Membrane potentials and spikes (samples, time, neurons) of one layer, C, H, W order.

    Raises RtlError: fewer rows than that, or values that the circuit left undefined.
    """
    order, lanes = layer.unit.neurons(), layer.unit.lanes
    wide, narrow = -(-lanes * layer.membrane // 4), -(-lanes // 4)
    text = np.frombuffer(path.read_bytes(), np.uint8)
    rows = samples * steps * len(order)
    if text.size != rows * (wide + narrow + 2):
        found = text.size // (wide + narrow + 2)
        raise RtlError(f"{layer.unit.label}: {found} rows of neurons were swept", expected=f"{rows}")
    digits = _DIGITS[text.reshape(rows, -1)]
    membranes = _values(digits[:, :wide], lanes, layer.membrane)
    spikes = _values(digits[:, wide + 1 : wide + 1 + narrow], lanes, 1)
    there = order >= 0
    for values, what in ((membranes, "membrane potential"), (spikes, "spike")):
        unknown = np.argwhere((values < 0) & np.tile(there, (samples * steps, 1)))
        if len(unknown):
            sweep, row = divmod(int(unknown[0][0]), len(order))
            place = f"sample {sweep // steps}, step {sweep % steps}, neuron {order[row, unknown[0][1]]}"
            raise RtlError(f"{layer.unit.label}: {place}: an undefined {what}", expected="0s and 1s")
    membranes = np.where(membranes >> (layer.membrane - 1) & 1, membranes - (1 << layer.membrane), membranes)
    return (
        _placed(membranes, order, samples, steps, np.int32),
        _placed(spikes, order, samples, steps, np.uint8),
    )


def _placed(values: Ints, order: Ints, samples: int, steps: int, kind: Any) -> npt.NDArray[Any]:
    there = order >= 0
    found = np.empty((samples, steps, int(order.max()) + 1), kind)
    found[:, :, order[there]] = values.reshape(samples, steps, *order.shape)[:, :, there]
    return found


def _values(digits: npt.NDArray[np.int8], lanes: int, bits: int) -> Ints:
    """(rows, lanes) of hexadecimal digits, the first lane lowest; -1 where a digit of a value is none."""
    each = (digits[:, :, None] >> np.arange(3, -1, -1)) & 1
    each = np.where(digits[:, :, None] < 0, -1, each).reshape(len(digits), -1)[:, -lanes * bits :]
    each = each.reshape(len(digits), lanes, bits)[:, ::-1]
    values = (np.maximum(each, 0).astype(np.int64) << np.arange(bits - 1, -1, -1)).sum(axis=2)
    return np.where((each < 0).any(axis=2), -1, values)


def sweep_cycles(path: Path, samples: int, steps: int) -> Ints:
    """int64 (samples, steps): the cycle in which each sweep of one layer begins."""
    return np.array(path.read_text().split(), np.int64).reshape(samples, steps)


def results(path: Path, samples: int, classes: int) -> Results:
    """Raises RtlError: results that are undefined or too few."""
    lines = [line.split() for line in path.read_text().splitlines()]
    per = classes + 1
    numbers = [each for line in lines for each in line]
    if len(lines) != samples * per or not all(each.lstrip("-").isdigit() for each in numbers):
        raise RtlError(f"{len(lines) // per} results, or undefined ones", expected=f"{samples}")
    logits = np.empty((samples, classes), np.int64)
    last = np.empty((samples, 3), np.int64)
    for sample in range(samples):
        *each, end = lines[sample * per : (sample + 1) * per]
        for number, logit in each:
            logits[sample, int(number)] = int(logit)
        last[sample] = [int(part) for part in end]
    return Results(logits, last[:, 0], last[:, 1], last[:, 2])
