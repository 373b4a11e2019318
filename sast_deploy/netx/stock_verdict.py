"""What stock NetX makes of a file of ours: it refuses it, runs it otherwise, or computes the same; and why.

Stock membranes have 24 bits, 64ths of a weight's LSB, rounded toward zero and clipped to +-(2**23 - 1);
currents have as many, which wrap. `lava_constants.py` names the sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sast_deploy.netx.file import NetFile
from sast_deploy.netx.program_group import narrow
from sast_deploy.netx.stock_view import (
    REFUSED_LAYERS,
    STATE,
    STOCK_NEURON,
    ignored,
    stock_layers,
    stock_unit,
)
from sast_deploy.program.lava_constants import MANTISSA_SHIFT
from sast_deploy.program.program import CURRENT, NO_DECAY_FILTER, Program, Readout, SpikingLayer, layer_label
from sast_deploy.program.sums import leaky_reach, weighted_layers
from sast_deploy.proofs.bounds import LayerProof

ZERO_RESET = "resets to ZERO where this program subtracts"


@dataclass(frozen=True)
class StockVerdict:
    """What unmodified stock NetX does with a file.

    refused: what it would run otherwise, and so cannot load; empty where it loads the file. differences: what
    it runs otherwise where it loads the file, one line each; where there is none, every membrane potential
    and spike is the program's, layer l in step l + 1. call: how to load it for samples one after the other.
    """

    refused: tuple[str, ...]
    differences: tuple[str, ...]
    call: str

    @property
    def loads(self) -> bool:
        """Whether it loads the file, with whatever results."""
        return not self.refused


def stock_verdict(net: NetFile, proofs: Sequence[LayerProof]) -> StockVerdict:
    """What stock NetX does with a file of `net`. proofs: its program's, of every weighted layer."""
    program = net.program
    lines = [
        f"{layer_label(index, layer)}: {line}"
        for index, layer in enumerate(program.layers)
        for line in ignored(program, index)
    ]
    subtracts = program.arithmetic.reset == "subtract" and any(program.spiking())
    if subtracts:
        lines.append(ZERO_RESET)
    call = _call(program)
    if _refuses(net):
        return StockVerdict(tuple(lines), (), call)
    if net.earlier:
        lines += _narrow_states(net)
    for (_, layer), proof in zip(weighted_layers(program), proofs, strict=True):
        found = _of_sums(program, layer, proof) if isinstance(layer, Readout) else _of(program, layer, proof)
        lines += [f"{proof.name}: {line}" for line in found]
    return StockVerdict((), tuple(lines), call)


def _refuses(net: NetFile) -> bool:
    layers = stock_layers(net.program, net.strict_reset, net.earlier)
    kinds = (layer.get("neuron/type", STOCK_NEURON) != STOCK_NEURON for layer in layers)
    return any(kinds) or any(layer["type"] in REFUSED_LAYERS for layer in layers)


def _call(program: Program) -> str:
    largest = max(program.input_max, -program.input_min)
    bits = "" if (program.input_min, largest) == (0, 1) else f", input_message_bits={largest.bit_length()}"
    return f"hdf5.Network(NET{bits}, reset_interval={program.steps}, reset_offset=1)"


def _narrow_states(net: NetFile) -> Iterator[str]:
    """Earlier versions stored small numbers of many neurons in 8 bits; stock Lava computes in their type."""
    for index, layer in enumerate(stock_layers(net.program, net.strict_reset, net.earlier)):
        if any(name in layer and narrow(layer[name]) for name in STATE):
            yield f"/layer/{index}: thresholds or decays are held in 8 bits and wrap"


def _of(program: Program, layer: SpikingLayer, proof: LayerProof) -> Iterator[str]:
    rules, scale = program.arithmetic, 1 << (stock_unit(layer, program) + MANTISSA_SHIFT)
    yield from _unrounded_sums(layer)
    rounds = any(((d > 0) & (d < NO_DECAY_FILTER)).any() for d in (layer.v_decay, layer.u_decay))
    if rounds and (scale, rules.leak_rounding) != (1, "toward-zero"):
        grid = f"1/{scale} of a membrane LSB" if scale > 1 else "a membrane LSB"
        yield f"leaks are rounded toward-zero to {grid} instead of {rules.leak_rounding} to one"
    limit, form = CURRENT.high // scale, rules.state
    most, ours = max(map(abs, proof.membrane)), (form.lowest(rules.overflow), form.high)
    same = ours == (-limit, limit) and rules.overflow == "saturate-symmetric"
    if not same and (most > limit or proof.membrane[0] < ours[0] or proof.membrane[1] > ours[1]):
        yield f"membranes clip at +-{limit} instead of {ours[0]}..{ours[1]} ({rules.overflow})"
    kept = max(abs(proof.low), abs(proof.high)) * _weight_lsb(layer, program)
    decay = int(layer.u_decay.min())
    reach = kept if decay == NO_DECAY_FILTER else leaky_reach(kept, decay, program.steps)
    if reach << MANTISSA_SHIFT > CURRENT.high:
        yield f"currents may reach {reach} weight LSBs and wrap beyond {CURRENT.high >> MANTISSA_SHIFT}"


def _of_sums(program: Program, layer: Readout, proof: LayerProof) -> Iterator[str]:
    """Of a readout that stock NetX loads: sums over all steps in a register of 24 bits."""
    yield from _unrounded_sums(layer)
    bias = int(np.abs(layer.bias.astype(np.int64)).max()) << max(stock_unit(layer, program), 0)
    arriving = max(abs(proof.low), abs(proof.high)) * _weight_lsb(layer, program)
    reach = (arriving + bias) * program.steps
    if reach << MANTISSA_SHIFT > CURRENT.high:
        yield f"sums over time may reach {reach} weight LSBs and wrap beyond {CURRENT.high >> MANTISSA_SHIFT}"


def _unrounded_sums(layer: SpikingLayer | Readout) -> Iterator[str]:
    if layer.weight_exp < 0 and (layer.weight & ((1 << -layer.weight_exp) - 1)).any():
        yield f"weighted sums keep the {-layer.weight_exp} bits that this program rounds off"


def _weight_lsb(layer: SpikingLayer | Readout, program: Program) -> int:
    """What a weight of 1 is in the file."""
    return 1 << max(layer.weight_exp + min(stock_unit(layer, program), 0), 0)
