"""The best gather-add kernel known for a processor: rows of int8 weights summed in registers.

    python benchmarks/gather.py [--lanes 192] [--rows 2312] [--list 179] [--asm]

prints additions a second and cycles an event on one core, from the first-level cache and from the second,
beside what the processor's units allow; --asm prints the machine code of the loop over events.

It shares nothing with the fast engine, so that the engine can be measured against it. How it adds:

    Two int8 lanes are read as one 16-bit word, w = 256 h + l, the even lane stored as l = weight + 128. Over
    n rows two sums are kept a word, modulo 2^16:  S = sum w  and  H = sum (w >> 8), an arithmetic shift.
    Then sum of h = H, and sum of the even weights = S - 256 H - 128 n, exact wherever int16 holds the result,
    whatever overflowed on the way.

So 64 lanes cost one load, one shift and two additions an event, where sign-extending them costs two
conversions and two additions. The lanes of a row are stored in such an order that the even lanes of a vector
are its first half. 192 lanes are six accumulators of 512 bits, which LLVM turns into twelve of 256 (AVX2) or
twenty-four of 128 (NEON). The tables begin on cache lines: across lines a load costs two.

An event of 192 lanes is 3 loads of 64 bytes, 3 shifts and 6 additions, and about 5 scalar instructions for
its index and address: the loop is bound by the vector units, 9 operations at two a cycle, so 4.5 cycles with
512-bit units (AVX512BW), where rows come from the first-level cache; from the second it is bound by the 192
bytes, at 32 bytes a cycle (Zen 4) 6 cycles, at 64 (Intel since Skylake-X) 3.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from figures import deliver, takes_figures
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LINE = 64  # bytes of a cache line, and lanes of a whole block
AHEAD = 16  # events between the prefetch of a row and its addition
OFFSET = 128  # added to the even lanes as they are stored
NEAR = 24 << 10  # bytes of a table that stays in the first-level cache, for which a prefetch is in the way
BYTE, HALF, WORD = ir.IntType(8), ir.IntType(16), ir.IntType(64)


class Table(NamedTuple):
    """Rows of weights as the kernel reads them: uint8 (rows, stored lanes), on cache lines."""

    rows: np.ndarray
    lanes: int


class Lists(NamedTuple):
    """Which rows each sum takes, one list after the other: sum k takes rows[starts[k]:starts[k + 1]]."""

    rows: np.ndarray  # uint16
    starts: np.ndarray  # int64

    @classmethod
    def of(cls, nonzero: np.ndarray) -> Lists:
        """Of a matrix (sums, rows): where it is not 0; sums without any are left out."""
        rows = np.nonzero(nonzero)[1].astype(np.uint16)
        lengths = np.count_nonzero(nonzero, axis=1)
        starts = np.concatenate([[0], np.cumsum(lengths[lengths > 0])])
        return cls(np.append(rows, np.zeros(AHEAD, np.uint16)), starts)


def table(weight: np.ndarray) -> Table:
    """Of weights (rows, lanes), int8. Rows fill whole cache lines: what lies across two is loaded twice."""
    count, lanes = weight.shape
    parts = vectors(lanes)
    padded = np.zeros((count, sum(parts)), np.uint8)
    padded[:, :lanes] = weight.view(np.uint8)
    rows = aligned((count, -(-lanes // LINE) * LINE), np.uint8)
    for at, size in zip(starts_of(parts), parts, strict=True):
        rows[:, at : at + size : 2] = padded[:, at : at + size // 2] + np.uint8(OFFSET)
        rows[:, at + 1 : at + size : 2] = padded[:, at + size // 2 : at + size]
    return Table(rows, lanes)


def vectors(lanes: int) -> list[int]:
    """The lanes of each vector: cache lines, the last one a half or a quarter of one where that will do."""
    whole, rest = divmod(lanes, LINE)
    return [LINE] * whole + [size for size in (16, 32, LINE) if size >= rest > 0][:1]


def starts_of(parts: list[int]) -> list[int]:
    return [sum(parts[:k]) for k in range(len(parts))]


def aligned(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Zeros that begin on a cache line."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + LINE, np.uint8)
    begin = -raw.ctypes.data % LINE
    return raw[begin : begin + size].view(kind).reshape(shape)


def sums(weights: Table, lists: Lists) -> Callable[[], np.ndarray]:
    """A call that adds up every list: int16 (lists, stored lanes), of which the first `lanes` count."""
    out = aligned((len(lists.starts) - 1, weights.rows.shape[1]), np.int16)
    add = kernel(tuple(vectors(weights.lanes)), weights.rows.nbytes > NEAR)

    def run() -> np.ndarray:
        add(weights.rows, lists.rows, lists.starts, out)
        return out

    return run


@cache
def kernel(parts: tuple[int, ...], prefetch: bool) -> Any:
    """The compiled loop over lists, for rows of vectors of so many lanes."""
    most = 6 if binding.get_host_cpu_features().get("avx512bw") else 3  # what the registers hold
    first, *others = [adder(parts, at, at + most, prefetch) for at in range(0, len(parts), most)]
    if len(others) > 1:
        raise ValueError(f"{sum(parts)} lanes take more than the two passes that are written out here")
    second, several = (others or [first])[0], bool(others)

    @numba.njit(nogil=True, error_model="numpy")
    def run(table, rows, starts, out):
        for k in range(len(starts) - 1):
            first(table, rows, starts[k], starts[k + 1], out[k])
            if several:
                second(table, rows, starts[k], starts[k + 1], out[k])

    return run


def adder(parts: tuple[int, ...], first: int, last: int, prefetch: bool) -> Any:
    """An intrinsic: the sums over rows[begin:end] of each row's vectors first to last, in registers."""
    chosen = list(zip(starts_of(parts), parts, strict=True))[first:last]
    stride = -(-sum(parts) // LINE) * LINE

    @intrinsic
    def add(typing, table, rows, begin, end, out):
        def emit(context, builder, signature, arguments):
            arrays = [
                cgutils.create_struct_proxy(kind)(context, builder, value).data
                for kind, value in zip(signature.args, arguments, strict=True)
                if isinstance(kind, types.Array)
            ]
            emit_sums(builder, *arrays, *arguments[2:4], chosen, stride, prefetch)
            return context.get_dummy_value()

        return types.void(table, rows, begin, end, out), emit

    return add


def emit_sums(b, table, rows, out, begin, end, chosen, stride, prefetch) -> None:
    """The loop over events, then the sums of the lanes from those of the words."""
    entry, head, body, done = b.block, *(b.append_basic_block(name) for name in ("head", "body", "done"))
    b.branch(head)
    b.position_at_end(head)
    i = b.phi(WORD)
    i.add_incoming(begin, entry)
    kept = [(b.phi(words_of(size)), b.phi(words_of(size))) for _, size in chosen]
    for each in (phi for pair in kept for phi in pair):
        each.add_incoming(ir.Constant(each.type, None), entry)
    b.cbranch(b.icmp_signed("<", i, end), body, done)
    b.position_at_end(body)
    if prefetch:
        emit_prefetch(b, row_of(b, table, rows, b.add(i, WORD(AHEAD)), stride), chosen)
    row = row_of(b, table, rows, i, stride)
    for (at, size), (words, highs) in zip(chosen, kept, strict=True):
        word = b.load(b.bitcast(b.gep(row, [WORD(at)]), words.type.as_pointer()))
        word.align = size
        words.add_incoming(b.add(words, word), body)
        highs.add_incoming(b.add(highs, b.ashr(word, eight(word.type))), body)
    i.add_incoming(b.add(i, WORD(1)), body)
    b.branch(head)
    b.position_at_end(done)
    offset = b.mul(b.trunc(b.sub(end, begin), HALF), HALF(OFFSET))
    for (at, size), (words, highs) in zip(chosen, kept, strict=True):
        even = b.sub(b.sub(words, b.shl(highs, eight(words.type))), spread(b, offset, words.type))
        for lane, value in ((at, even), (at + size // 2, highs)):
            b.store(value, b.bitcast(b.gep(out, [WORD(lane)]), value.type.as_pointer())).align = size


def emit_prefetch(b, row, chosen) -> None:
    number = ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), number, number, number])
    prefetch = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    for at, _ in chosen:
        b.call(prefetch, [b.gep(row, [WORD(at)]), number(0), number(3), number(1)])


def row_of(b, table, rows, at, stride: int):
    index = b.zext(b.load(b.gep(rows, [at])), WORD)
    return b.gep(table, [b.mul(index, WORD(stride))])


def words_of(lanes: int) -> ir.VectorType:
    return ir.VectorType(HALF, lanes // 2)


def eight(kind: ir.VectorType) -> ir.Constant:
    return ir.Constant(kind, [8] * kind.count)


def spread(b, value, kind: ir.VectorType):
    """The value in every lane."""
    number = ir.IntType(32)
    seed = b.insert_element(ir.Constant(kind, None), value, number(0))
    return b.shuffle_vector(seed, seed, ir.Constant(ir.VectorType(number, kind.count), None))


# ---- what it does here ---------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lanes", type=int, default=192)
    parser.add_argument("--rows", type=int, default=2312, help="of the table")
    parser.add_argument("--list", type=int, default=179, help="events of a list")
    parser.add_argument("--asm", action="store_true", help="print the loop's machine code")
    takes_figures(parser)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    weights = table(rng.integers(-127, 128, (options.rows, options.lanes)).astype(np.int8))
    stored, hertz = weights.rows.shape[1], clock()
    print(f"{options.lanes} lanes, stored as {stored}; lists of {options.list} events; {hertz / 1e9:.2f} GHz")
    figures = {}
    for name, count in (("additions", options.rows), ("additions-l1", NEAR // stored)):
        part = Table(weights.rows[:count], options.lanes)
        lists = random_lists(rng, len(part.rows), options.list)
        seconds = best(sums(part, lists)) / lists.starts[-1]
        rate = options.lanes / seconds / 1e9
        print(f"{len(part.rows):5} rows {rate:7.1f} G additions/s, {seconds * hertz:5.2f} cycles an event")
        figures[f"gather.{name}@cpu"] = rate
    bits = 3 * 8 * sum(vectors(options.lanes))
    print(f"3 operations a vector, {bits} bits an event: {bits / 1024:.2f} cycles where 2 x 512 go at a time")
    if options.asm:
        print(loop(kernel(tuple(vectors(options.lanes)), weights.rows.nbytes > NEAR)))
    deliver(options.figures, figures)


def random_lists(rng: np.random.Generator, rows: int, length: int, count: int = 2000) -> Lists:
    chosen = np.sort(rng.integers(0, rows, (count, length)), axis=1).astype(np.uint16)
    padding = np.zeros(AHEAD, np.uint16)
    return Lists(np.append(chosen.ravel(), padding), np.arange(count + 1, dtype=np.int64) * length)


def loop(compiled: Any) -> str:
    """The machine code between the label of the loop with most vector additions and its jump."""
    (code,) = compiled.inspect_asm().values()
    pieces = re.split(r"(?m)^(?=\.LBB\w+:)", code)
    return max(pieces, key=lambda piece: len(re.findall(r"vpaddw|add\s+v\d+\.8h", piece)))


def clock() -> float:
    """Cycles a second, from a chain of six dependent one-cycle instructions."""
    turns = 5_000_000
    return 6 * turns / best(lambda: chain(turns))


@numba.njit(nogil=True)
def chain(turns):
    x = np.uint64(88172645463325252)
    for _ in range(turns):  # Marsaglia's xorshift
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


def best(act: Callable[[], object], repeat: int = 7) -> float:
    """Processor seconds of this thread, the least of several turns."""
    act()
    times = []
    for _ in range(repeat):
        began = time.thread_time()
        act()
        times.append(time.thread_time() - began)
    return min(times)


if __name__ == "__main__":
    main()
