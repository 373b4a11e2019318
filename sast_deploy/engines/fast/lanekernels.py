"""The kernels that run layers of int8 weights on whole vectors: by places, by counts, or from given sums.

The names are those of kernels.py, which runs what these do not hold; the records are the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sast_deploy.base.compiled import compiled, inlined
from sast_deploy.engines.fast.bytemaps import MOST_BYTES, SQUARE, sum_bytes, transpose_bytes
from sast_deploy.engines.fast.emit import BYTES
from sast_deploy.engines.fast.listing import (
    count_bits,
    find_counts,
    find_events,
    find_ranges,
    find_words,
    largest_byte,
    sort_by_count,
)
from sast_deploy.engines.fast.neurons import BINARY, INTERVAL, MOST, OFFSET, UNCHECKED
from sast_deploy.engines.fast.plan import Lanes
from sast_deploy.engines.fast.rows import add_row, sum_rows, sum_valued_rows
from sast_deploy.engines.fast.steps import step_places

# Kernels that own no array need not count who does: that took a third of the time of a small layer's step.
uncounted = compiled(error_model="numpy", _nrt=False, forceinline=True)
FEW_EVENTS = 6  # of a place on average, up to which adding each to its places takes less than listing them
TOGETHER = 16  # places whose sums wait in the first-level cache for the step of their neurons


@inlined
def aligned(rows: int, lanes: int, like: Any) -> Any:  # pragma: no cover
    """Room for (rows, lanes) numbers of a type, which begins where a cache line does: vectors across two take
    twice the time.
    """
    size = rows * lanes * like.itemsize
    room = np.empty(size + BYTES, np.uint8)
    begin = -room.ctypes.data % BYTES
    return room[begin : begin + size].view(like.dtype).reshape(rows, lanes)


@inlined
def clear(numbers: Any) -> None:  # pragma: no cover
    """All of them, in one dimension, 0: in two, numba writes one by one."""
    numbers[:] = 0


@inlined
def find_starts(words: Any, unit: int, starts: Any) -> None:  # pragma: no cover
    """starts[j] <- how many of the inputs that `find_words` found lie before unit j.

    words: what it found. unit: inputs of a unit. starts: (units + 1,).
    """
    (bits, before), position = words, np.uint64(0)
    for j in range(len(starts)):
        word, inside = position >> np.uint64(6), position & np.uint64(63)
        starts[j] = before[word] + count_bits(bits[word] & ((np.uint64(1) << inside) - np.uint64(1)))
        position += np.uint64(unit)


@inlined
def sum_listed(
    sums: Any, index: Any, ranges: Any, counts: Any, lists: int, weight: Any, values: Any, binary: int
) -> None:  # pragma: no cover
    """sums <- rows of weights of the events that each list's ranges name, times their values."""
    if binary:
        sum_rows(sums, index, ranges, counts, lists, weight, values)
    else:
        sum_valued_rows(sums, index, ranges, counts, lists, weight, values)


@inlined
def sum_widely(
    total: Any, sums: Any, index: Any, ranges: Any, count: int, weight: Any, values: Any, binary: int,
    most: int, one: Any,
) -> None:  # pragma: no cover
    """total <- the same sums of one list in 32 bits; those of 16 bits take in `most` events each.

    one: scratch, a range and its number.
    """
    part, single = one
    clear(total[0])
    for r in range(count):
        begin, part[0, 2] = ranges[r, 0], ranges[r, 2]
        while begin < ranges[r, 1]:
            part[0, 0], part[0, 1] = begin, min(ranges[r, 1], begin + most)
            sum_listed(sums, index, part, single, 1, weight, values, binary)
            for k in range(total.shape[1]):
                total[0, k] += sums[0, k]
            begin += most


@uncounted
def run_places(
    layer: Any, events: Any, u: Any, busy: Any, before: Any, rules: Any, fired: Any, outputs: int,
    scratch: Any,
) -> None:  # pragma: no cover
    """One step of all places from the listed events, a few places at a time.

    A place without events, whose last step without events changed nothing, is not computed again. events:
    index, starts, values. busy: uint8 (places or more, 64 at least), whether a place must be computed even
    so. scratch: see `make_scratch`.
    """
    (index, starts, values), (sums, total, ranges, counts, active, moved, one) = events, scratch
    weight, segment_of, seen, offsets = layer.weight, layer.segment_of, layer.seen, layer.offsets
    lanes, binary, at = layer.lanes, rules[BINARY], (index, ranges, counts)
    single, lists, filled = (1, outputs, lanes, 0), 0, np.uint64(0)
    moved[:] = 0
    for place in range(np.uint64(len(layer.resting))):
        first, n = filled, 0
        for s in range(segment_of[place], segment_of[place + np.uint64(1)]):
            begin, end = starts[seen[s, 0]], starts[seen[s, 1]]
            ranges[filled, 0], ranges[filled, 1], ranges[filled, 2] = begin, end, offsets[s]
            n += end - begin
            filled += np.uint64(end > begin)
        if n == 0 and not busy[place]:
            continue
        wide = n > layer.narrow_rows
        if wide and lists > 0:
            run_few(layer, at, values, u, busy, before, rules, fired, (lists, outputs, lanes, 0), scratch)
            lists = 0
        active[lists], counts[lists] = place, filled - first
        if wide:
            for r in range(filled - first):
                for column in range(3):
                    ranges[r, column] = ranges[first + r, column]
            count = filled - first
            sum_widely(total, sums, index, ranges, count, weight, values, binary, layer.wide_rows, one)
            step_places(total, u, before, layer.wide, rules, fired, active, moved, single)
            busy[place] = 1
            filled = np.uint64(0)
            continue
        lists += 1
        if lists == TOGETHER:
            run_few(layer, at, values, u, busy, before, rules, fired, (lists, outputs, lanes, 0), scratch)
            lists, filled = 0, np.uint64(0)
    if lists > 0:
        run_few(layer, at, values, u, busy, before, rules, fired, (lists, outputs, lanes, 0), scratch)


@uncounted
def run_few(
    layer: Any, at: Any, values: Any, u: Any, busy: Any, before: Any, rules: Any, fired: Any, sizes: Any,
    scratch: Any,
) -> None:  # pragma: no cover
    """The places that are listed, in 16 bits."""
    (index, ranges, counts), (sums, _, _, _, active, moved, _) = at, scratch
    sum_listed(sums, index, ranges, counts, sizes[0], layer.weight, values, rules[BINARY])
    step_places(sums, u, before, layer.narrow, rules, fired, active, moved, sizes)
    for i in range(sizes[0]):
        busy[active[i]] = moved[active[i]] or counts[i] > 0


@uncounted
def run_scattered(
    layer: Any, events: Any, found: int, u: Any, busy: Any, before: Any, rules: Any, fired: Any, outputs: int,
    scratch: Any,
) -> None:  # pragma: no cover
    """`run_places` where few inputs reach a place: each event is added to the places that it reaches."""
    (index, _, values), (_, _, _, _, active, moved, _), sums = events, scratch[0], scratch[1]
    one, binary, places = np.uint64(1), rules[BINARY], len(layer.resting)
    clear(sums.reshape(sums.size))
    touched = moved  # for now
    touched[:] = 0
    for i in range(np.uint64(found)):
        position, value = np.uint64(index[i]), np.int16(1) if binary else values[i]
        unit = np.uint64(layer.unit_of[position])
        for k in range(np.uint64(layer.targets_of[unit]), np.uint64(layer.targets_of[unit + one])):
            place = np.uint64(layer.targets[k, 0])
            touched[place] = 1
            add_row(sums, place, layer.table, position + np.uint64(layer.targets[k, 1]), value, outputs)
    for place in range(places):
        busy[place] |= touched[place]
    lists = find_events(busy, places, active)
    for place in range(places):
        busy[place] = touched[place]
    touched[:] = 0
    step_places(sums, u, before, layer.narrow, rules, fired, active, moved, (lists, outputs, layer.lanes, 1))
    for place in range(places):
        busy[place] |= moved[place]


@inlined
def make_scratch(layer: Any) -> Any:  # pragma: no cover
    """Sums of few places in 16 bits and of one in 32, ranges and their numbers, places, whether these moved,
    one range.
    """
    lanes, single, places = layer.lanes, np.ones(1, np.int64), len(layer.resting)
    return (
        aligned(TOGETHER, lanes, layer.narrow), aligned(1, lanes, layer.wide),
        np.empty(((TOGETHER + 1) * layer.room + 1, 3), np.int64), np.empty(TOGETHER, np.int64),
        np.zeros(max(TOGETHER, places) + BYTES, np.int32), np.zeros(places, np.uint8),
        (np.empty((1, 3), np.int64), single),
    )  # fmt: skip


@inlined
def sum_counted(
    scratch: Any, index: Any, ranges: Any, groups: int, weight: Any, most: int, none: Any
) -> None:  # pragma: no cover
    """total <- sums of the rows of events, times their counts: one product for all events of a count.

    ranges: (begin, end, count); sums of 16 bits take in `most` rows each. scratch: the total is its second.
    none: no values.
    """
    sums, total, _, _, _, _, (one, single) = scratch
    one[0, 2] = 0
    clear(total[0])
    for r in range(groups):
        begin, end, count = ranges[r, 0], ranges[r, 1], np.int32(ranges[r, 2])
        while begin < end:
            one[0, 0], one[0, 1] = begin, min(end, begin + most)
            sum_rows(sums, index, one, single, 1, weight, none)
            for k in range(total.shape[1]):
                total[0, k] += count * sums[0, k]
            begin = one[0, 1]


@uncounted
def step_counts(
    x: Any, events: Any, layer: Any, rules: Any, spikes: Any, membrane: Any, buffers: Any
) -> int:  # pragma: no cover
    """All steps of one sample of `run_counted`; the number of nonzero inputs, -1 if one is too large."""
    rows, listed, sizes = events
    index, ordered, found_counts, ranges, u, none, no_values, scratch = buffers
    weight, lanes, size, outputs = layer.weight, layer.lanes, len(layer.unit_of), membrane.shape[2]
    before, found, peak = none, 0, 0
    if len(rows) == 0:
        peak = largest_byte(x)
        if peak > rules[MOST]:
            return -1
    for t in range(spikes.shape[0]):
        if starts_anew(t, rules):
            u[:] = 0
            before = none
        if len(rows):
            begin, end = rows[t], rows[t + 1]
            if begin < end and sizes[end - 1] > rules[MOST]:
                return -1
            n, groups = end - begin, find_ranges(sizes, begin, end, ranges)
            sum_counted(scratch, listed, ranges, groups, weight, layer.unit_rows, no_values)
        else:
            n = find_counts(x[t], size, index, found_counts)
            groups = sort_by_count(found_counts, index, n, peak, ordered, ranges)
            sum_counted(scratch, ordered, ranges, groups, weight, layer.unit_rows, no_values)
        found += n
        fired = spikes[t]
        step_places(
            scratch[1], u, before, layer.wide, rules, fired, scratch[4], scratch[5], (1, outputs, lanes, 0)
        )
        fired[outputs:] = 0
        before = fired
        for k in range(outputs if len(membrane) else 0):
            membrane[0, t, k] = u[k]
    return found


@compiled(error_model="numpy")
def run_counted(
    x: Any, events: Any, fields: Any, rules: Any, spikes: Any, counts: Any, membrane: Any
) -> int:  # pragma: no cover
    """`run_lanes` of a dense layer whose inputs are counts, from frames or from lists of events.

    events: starts (samples * T + 1,), index and count as EventFrames has them, for which x is not looked at,
    or without rows.
    """
    layer, (rows, listed, sizes) = Lanes(*fields), events
    (samples, steps), lanes, size = spikes.shape[:2], layer.lanes, len(layer.unit_of)
    buffers = (
        np.empty(size + BYTES, layer.listed.dtype), np.empty(size + BYTES, layer.listed.dtype),
        np.zeros(size + BYTES, np.uint8), np.empty((256, 3), np.int64), np.empty(lanes, layer.state.dtype),
        np.zeros(spikes.shape[2], np.uint8), np.empty(0, np.int16), make_scratch(layer),
    )  # fmt: skip
    few, found = np.empty(counts.shape[1] + BYTES, np.uint8), 0
    for sample in range(samples):
        dense = x[sample if len(rows) == 0 else 0]
        here = (rows[sample * steps : (sample + 1) * steps + 1], listed, sizes)
        trace = membrane[sample : sample + 1]
        n = step_counts(dense, here, layer, rules, spikes[sample], trace, buffers)
        if n < 0:
            return -1
        found += n
        count_spikes(spikes[sample], layer.channels, few, counts[sample])
    return found


@uncounted
def step_events(
    x: Any, layer: Any, rules: Any, spikes: Any, membrane: Any, buffers: Any
) -> int:  # pragma: no cover
    """All steps of one sample of `run_lanes`; the number of nonzero inputs, -1 if one is too large."""
    (index, starts, words, values, u, none, busy, scratch), resting = buffers, layer.resting
    lanes, places, outputs = layer.lanes, len(resting), membrane.shape[2] // len(resting)
    size, reached = len(layer.unit_of), len(layer.targets)
    if rules[MOST] < UNCHECKED and largest_byte(x) > rules[MOST]:
        return -1
    before, found, listed = none, 0, (index, starts, values)
    for t in range(spikes.shape[0]):
        if starts_anew(t, rules):
            u[:] = 0
            for place in range(places):
                busy[place] = 1 - resting[place]
            before = none
        if layer.units == 1:
            events = find_events(x[t], size, index)
            starts[0], starts[1] = 0, events
        else:
            events = find_words(x[t], size, index, words[0], words[1])
        for i in range(0 if rules[BINARY] else events):
            values[i] = x[t, index[i]]
        fired = spikes[t]
        fired[:] = 0
        if reached > 0 and events * reached <= FEW_EVENTS * places * layer.units:
            run_scattered(layer, listed, events, u, busy, before, rules, fired, outputs, scratch)
        else:
            if layer.units > 1:
                find_starts(words, size // layer.units, starts)
            run_places(layer, listed, u, busy, before, rules, fired, outputs, scratch[0])
        found += events
        before = fired
        for place in range(places if len(membrane) else 0):
            for k in range(outputs):
                membrane[0, t, place * outputs + k] = u[place * lanes + k]
    return found


@compiled(error_model="numpy")
def run_lanes(
    x: Any, fields: Any, rules: Any, spikes: Any, counts: Any, membrane: Any
) -> int:  # pragma: no cover
    """`run_spiking` of layers that vectors of 16 and 32 bits hold.

    x: (samples, T, size or more), at least 64 bytes a step. fields: those of `Lanes` as a plain tuple, which
    numba tells the type of at once.
    """
    layer = Lanes(*fields)
    room, places = len(layer.unit_of) + BYTES, len(layer.resting)
    words = room // BYTES + 1
    few_places = places if len(layer.targets_of) > 0 else 0
    buffers = (
        np.empty(room, layer.listed.dtype), np.empty(layer.units + 1, np.int64),
        (np.empty(words, np.uint64), np.empty(words, np.int64)), np.empty(room, np.int16),
        np.empty(places * layer.lanes, layer.state.dtype), np.zeros(spikes.shape[2], np.uint8),
        np.zeros(places + BYTES, np.uint8),
        (make_scratch(layer), aligned(few_places, layer.lanes, layer.narrow)),
    )  # fmt: skip
    few, found = np.empty(counts.shape[1] + BYTES, np.uint8), 0
    for sample in range(x.shape[0]):
        trace = membrane[sample : sample + 1]
        n = step_events(x[sample], layer, rules, spikes[sample], trace, buffers)
        if n < 0:
            return -1
        found += n
        count_spikes(spikes[sample], layer.channels, few, counts[sample])
    return found


@compiled(error_model="numpy")
def run_given(
    given: Any, fields: Any, rules: Any, spikes: Any, counts: Any, membrane: Any
) -> int:  # pragma: no cover
    """`run_lanes` from weighted sums, int32 (samples, T, places * lanes)."""
    layer = Lanes(*fields)
    samples, steps = given.shape[:2]
    lanes, places, outputs = layer.lanes, len(layer.resting), counts.shape[1] // len(layer.resting)
    u, none = np.empty(places * lanes, layer.state.dtype), np.zeros(spikes.shape[2], np.uint8)
    active, moved = np.arange(places).astype(np.int32), np.empty(places, np.uint8)
    few = np.empty(places * outputs + BYTES, np.uint8)
    for sample in range(samples):
        before = none
        for t in range(steps):
            if starts_anew(t, rules):
                u[:] = 0
                before = none
            fired = spikes[sample, t]
            fired[:] = 0
            sizes = (places, outputs, lanes, 0)
            step_places(given[sample, t], u, before, layer.wide, rules, fired, active, moved, sizes)
            before = fired
            for place in range(places if len(membrane) else 0):
                for k in range(outputs):
                    membrane[sample, t, place * outputs + k] = u[place * lanes + k]
        count_spikes(spikes[sample], layer.channels, few, counts[sample])
    return 0


@compiled(error_model="numpy")
def copy_seen(x: Any, segment_of: Any, segments: Any, unit: int, rows: Any) -> None:  # pragma: no cover
    """rows[(sample T + t) places + place] <- what the place sees of x (samples, T, size or more)."""
    places, row = len(segment_of) - 1, 0
    for sample in range(x.shape[0]):
        for t in range(x.shape[1]):
            for place in range(places):
                for s in range(segment_of[place], segment_of[place + 1]):
                    offset = segments[s, 2]
                    for j in range(segments[s, 0] * unit, segments[s, 1] * unit):
                        rows[row, j + offset] = x[sample, t, j]
                row += 1


@inlined
def starts_anew(t: int, rules: Any) -> Any:  # pragma: no cover
    """Whether membranes are 0 and nothing fired before step t."""
    return t == 0 or (rules[INTERVAL] > 0 and t % rules[INTERVAL] == rules[OFFSET])


@inlined
def count_spikes(spikes: Any, channels: int, few: Any, counts: Any) -> None:  # pragma: no cover
    """counts (C H W) <- sums over the steps of spikes (T, H W C or more). few: scratch, uint8, 64 more."""
    size, steps = len(counts), spikes.shape[0]
    pixels = size // channels
    if steps <= MOST_BYTES and min(channels, pixels) >= SQUARE:
        sum_bytes(few, spikes, 0, steps, size)
        transpose_bytes(counts, few, pixels, channels)
        return
    counts[:] = 0
    for first in range(0, steps, MOST_BYTES):
        sum_bytes(few, spikes, first, min(first + MOST_BYTES, steps), size)
        for c in range(np.uint64(channels)):
            for pixel in range(np.uint64(pixels)):
                counts[c * np.uint64(pixels) + pixel] += few[pixel * np.uint64(channels) + c]
