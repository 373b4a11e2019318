"""What the circuit does not hold, by name."""

from __future__ import annotations

from collections.abc import Iterator

from sast_deploy.base.errors import CompileError
from sast_deploy.program.program import Dense, Program, Upsample, layer_label

WIDEST = 8


def check_supported(program: Program) -> None:
    """Raise CompileError that names everything of a program which the circuit does not hold."""
    if found := list(unsupported(program)):
        expected = "dense and convolutional layers, sum pools and a readout, weights of up to 8 bits"
        raise CompileError(f"the RTL has no {'; no '.join(found)}", where=program.name, expected=expected)


def unsupported(program: Program) -> Iterator[str]:
    """What the circuit does not hold, each in words."""
    if program.arithmetic.weight_bits > WIDEST:
        yield f"weights of {program.arithmetic.weight_bits} bits"
    for index, layer in enumerate(program.layers):
        name = layer_label(index, layer)
        if isinstance(layer, Upsample):
            yield f"upsampling: {name}"
        if isinstance(layer, Dense):
            if layer.recurrent is not None:
                yield f"recurrent weights: {name}"
            if layer.delay.ndim == 2 and (layer.delay != layer.delay[:1]).any():
                yield f"delay of each synapse: {name}"
