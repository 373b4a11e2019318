"""The kernels that run one layer over a tile of samples, all steps: spiking layers and pools.

Maps are stored channel-last, so that the inputs of a kernel's row and the outputs of a position are
contiguous. A layer is P positions x G groups of O neurons that share one table of weight rows; position p of
group g sees the inputs of its `segments`: (first unit, last unit + 1, row of the table minus input
position), where a unit is a pixel's channels of one group. A dense layer is one position, group and segment.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.engines.fast.events import add_rows, find_nonzeros
from sast_deploy.engines.fast.neurons import (
    BINARY,
    FILTERED,
    INTERVAL,
    MOST,
    OFFSET,
    RECURRENT,
    UNCHECKED,
    scale,
    step_neurons,
)


@inlined
def list_events(x: Any, unit_of: Any, busy: Any, index: Any, starts: Any) -> int:  # pragma: no cover
    """Positions of the nonzero inputs of one sample, step by step, and where each unit's start.

    x: (T, size). unit_of: the unit of each input. index: (T * size,). starts: (T, units + 1). Returns their
    number.
    """
    steps, units = x.shape[0], starts.shape[1] - 1
    filled = 0
    for t in range(steps):
        begin = filled
        filled += find_nonzeros(x[t], busy, index[begin:])
        if units > 1:
            starts[t, 0] = begin
            starts[t, 1:] = 0
            for i in range(np.uint64(begin), np.uint64(filled)):
                starts[t, 1 + unit_of[index[i]]] += 1
            for j in range(units):
                starts[t, j + 1] += starts[t, j]
        else:
            starts[t, 0], starts[t, 1] = begin, filled
    return filled


@inlined
def collect(
    t: int, binary: int, x: Any, index: Any, starts: Any, segments: Any, delays: Any, delay_rows: int,
    rows: Any, values: Any,
) -> int:  # pragma: no cover
    """Weight rows and values that arrive at one position and group, of these segments, in step t; their
    number.
    """
    n = 0
    for d in range(len(delays)):
        sent = t - delays[d]
        if sent < 0:
            continue
        inputs = x[sent]
        for s in range(len(segments)):
            begin, end = starts[sent, segments[s, 0]], starts[sent, segments[s, 1]]
            offset = segments[s, 2] + d * delay_rows
            source, target, length = np.uint64(begin), np.uint64(n), np.uint64(end - begin)
            for i in range(length):
                rows[target + i] = index[source + i] + offset
            if not binary:
                for i in range(length):
                    values[target + i] = inputs[index[source + i]]
            n += end - begin
    return n


@inlined
def feed_back(spikes: Any, first_row: int, rows: Any, values: Any, n: int) -> int:  # pragma: no cover
    """Append the layer's own spikes of the step before to the n rows and values; their new number."""
    for j in range(len(spikes)):
        rows[n] = first_row + j
        values[n] = 1
        n += spikes[j]
    return n


@inlined
def exceeds(x: Any, most: int) -> int:  # pragma: no cover
    """Whether a value of one sample (T, size) is larger; read here, where it stays in the cache."""
    over = 0
    for t in range(x.shape[0]):
        row = x[t]
        peak = row[0]
        for j in range(len(row)):
            peak = row[j] if row[j] > peak else peak
        over |= peak > most
    return over


@compiled(error_model="numpy")
def run_spiking(
    x: Any, given: Any, synapses: Any, rows: Any, vectors: Any, rules: Any, spikes: Any, counts: Any,
    membrane: Any,
) -> int:  # pragma: no cover
    """Every step of a spiking layer for every sample of a tile; the number of nonzero inputs, or -1 at the
    first sample with an input larger than MOST of the rules.

    x: (samples, T, size). given: weighted sums (samples, T, lanes), for which x is not looked at, or
    without samples. synapses: as plan.py has them. rows: scratch. vectors: (5, neurons), of the total's type.
    spikes: (samples, T, padded size), counts: (samples, neurons), membrane: (samples, T, neurons), or without
    samples: out.
    """
    samples, steps, size = x.shape
    weight, partial, unit_of, units, segment_of, segments, delays, delay_rows, limit = synapses
    lanes, outputs, places = weight.shape[1], counts.shape[1], len(segment_of) - 1
    neurons, binary = outputs // places, rules[BINARY]
    busy, index = np.empty(size, rows.dtype), np.empty(steps * size, rows.dtype)
    values, starts = np.empty(len(rows), partial.dtype), np.empty((steps, units + 1), np.int32)
    sums, total = np.empty(lanes, partial.dtype), np.empty(outputs + lanes, vectors.dtype)
    u, none = np.empty(outputs, vectors.dtype), np.zeros(spikes.shape[2], np.uint8)
    current = np.empty(outputs if rules[FILTERED] else 0, vectors.dtype)
    found = 0
    for sample in range(samples):
        if len(given) == 0:
            if rules[MOST] < UNCHECKED and exceeds(x[sample], rules[MOST]):
                return -1
            found += list_events(x[sample], unit_of, busy, index, starts)
        counts[sample] = 0
        before = none
        for t in range(steps):
            if t == 0 or (rules[INTERVAL] > 0 and t % rules[INTERVAL] == rules[OFFSET]):
                u[:] = 0
                current[:] = 0
                before = none
            if len(given):
                total[:outputs] = given[sample, t, :outputs]
            for place in range(0 if len(given) else places):
                seen = segments[segment_of[place] : segment_of[place + 1]]
                n = collect(t, binary, x[sample], index, starts, seen, delays, delay_rows, rows, values)
                if rules[RECURRENT] >= 0 and t > 0:
                    n = feed_back(spikes[sample, t - 1, :outputs], rules[RECURRENT], rows, values, n)
                # The lanes beyond this place's neurons are 0, and overwritten by the next place.
                add_rows(rows, values, n, weight, sums, total, place * neurons, limit, binary)
            step_neurons(total, current, u, before, vectors, rules, spikes[sample, t], counts[sample])
            before = spikes[sample, t]
            if len(membrane):
                membrane[sample, t] = u
    return found


@compiled(error_model="numpy")
def run_pool(
    x: Any, in_shape: Any, kernel_rows: int, kernel_columns: int, rules: Any, out: Any
) -> None:  # pragma: no cover
    """out <- shift(sum of each window, exponent). x, out: (samples, T, padded size), maps channel-last."""
    channels, width = in_shape[0], in_shape[2]
    height_out, width_out = in_shape[1] // kernel_rows, width // kernel_columns
    total = np.empty(channels, np.int64)
    for sample in range(x.shape[0]):
        for t in range(x.shape[1]):
            source, target = x[sample, t], out[sample, t]
            for row in range(height_out):
                for column in range(width_out):
                    total[:] = 0
                    for dy in range(kernel_rows):
                        for dx in range(kernel_columns):
                            y, z = row * kernel_rows + dy, column * kernel_columns + dx
                            window = source[(y * width + z) * channels :]
                            for c in range(channels):
                                total[c] += window[c]
                    scale(total, 0, channels, rules)
                    values = target[(row * width_out + column) * channels :]
                    for c in range(channels):
                        values[c] = total[c]


@compiled(error_model="numpy")
def channels_last(x: Any, channels: int, out: Any) -> None:  # pragma: no cover
    """(C, H, W) to (H, W, C), for every sample and step. x: (samples, T, size), out: the same, padded."""
    pixels = x.shape[2] // channels
    for sample in range(x.shape[0]):
        for t in range(x.shape[1]):
            source, target = x[sample, t], out[sample, t]
            for c in range(channels):
                for pixel in range(pixels):
                    target[pixel * channels + c] = source[c * pixels + pixel]
