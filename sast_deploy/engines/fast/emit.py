"""LLVM's vectors, as the kernels' own instructions are built of them: the same on AVX-512, AVX2 and NEON.

What numba's loops do not reach is emitted: sums that stay in registers over a whole list of events (rows.py),
positions of nonzero bytes without a branch for each (listing.py), neurons in 16 bits (steps.py). All of it
works on whole vectors; rows of weights and states of neurons are padded to them, see plan.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.extending import intrinsic


def _features() -> dict[str, bool]:
    """What the processor has that code is made for: this one, unless numba is told of another."""
    config: Any = numba.config
    told = config.CPU_FEATURES
    if config.CPU_NAME and told is not None:
        return {name[1:]: name[0] == "+" for name in told.split(",")}
    return dict(llvm.get_host_cpu_features())


LANES = 32  # of a vector
BYTES = 64  # of inputs looked at together
FEATURES = _features()
REGISTERS = 12 if FEATURES.get("avx512bw") else 6  # vectors of 32 sums that stay in registers
# One instruction packs the lanes that a mask selects, and LLVM has a name for it.
COMPRESSES = bool(FEATURES.get("avx512vbmi2")) and llvm.llvm_version_info[0] >= 19

BIT, BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
Builder = Any
Value = Any
tools: Any = cgutils  # of building code


def emitted(typed: Callable[..., Any]) -> Any:
    """A function of kernels whose code is what it builds. typed(typing context, types of its arguments) gives
    its signature and generate(context, builder, signature, arguments), which emits the code.
    """
    return intrinsic(typed)


def vector(kind: Any, lanes: int = LANES) -> Any:
    """The type of a vector."""
    return ir.VectorType(kind, lanes)


def constant(kind: Any, value: int, lanes: int = LANES) -> Value:
    """The same number in every lane."""
    return ir.Constant(vector(kind, lanes), [value] * lanes)


def splat(b: Builder, scalar: Value, lanes: int = LANES) -> Value:
    """A value in every lane."""
    kind = vector(scalar.type, lanes)
    first = b.insert_element(ir.Constant(kind, ir.Undefined), scalar, INT(0))
    return b.shuffle_vector(first, ir.Constant(kind, ir.Undefined), constant(INT, 0, lanes))


def load(b: Builder, pointer: Value, kind: Any) -> Value:
    """What lies there, aligned or not."""
    return b.load(b.bitcast(pointer, kind.as_pointer()), align=1)


def store(b: Builder, value: Value, pointer: Value) -> None:
    """Put it there, aligned or not."""
    b.store(value, b.bitcast(pointer, value.type.as_pointer()), align=1)


def data_of(context: Any, b: Builder, kind: Any, array: Value) -> Value:
    """A pointer to the bytes of an array."""
    return b.bitcast(context.make_array(kind)(context, b, array).data, BYTE.as_pointer())


def after(b: Builder, pointer: Value, elements: Value, kind: Any) -> Value:
    """The pointer to bytes, so many elements of that integer type further."""
    return b.gep(pointer, [b.mul(elements, LONG(kind.width // 8))])


def call(b: Builder, name: str, result: Any, arguments: Sequence[Value]) -> Value:
    """Call one of LLVM's own functions."""
    function = b.module.globals.get(name) or ir.Function(
        b.module, ir.FunctionType(result, [each.type for each in arguments]), name
    )
    return b.call(function, arguments)


def function_of(b: Builder, name: str, result: Any, arguments: Sequence[Any]) -> tuple[Any, bool]:
    """The module's function of that name, and whether it is new and still needs its body."""
    if name in b.module.globals:
        return b.module.globals[name], False
    function = ir.Function(b.module, ir.FunctionType(result, arguments), name)
    function.linkage = "internal"
    function.attributes.add("noinline")  # one copy, however many places call it
    return function, True


POINTER = BYTE.as_pointer()
