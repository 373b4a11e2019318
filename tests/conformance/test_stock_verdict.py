"""What `stock_verdict` says of a file, held against unmodified stock NetX on stock Lava.

A program without a named difference must give equal membranes, spikes and logits; one with a single named
difference must give others, or the name is idle; a refused file must not load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import h5py
import numpy as np
import pytest

from sast_deploy.base.errors import LavaError
from sast_deploy.netx.file import NetFile, read_net, write_net
from sast_deploy.netx.program_group import put
from sast_deploy.netx.stock_verdict import ZERO_RESET, stock_verdict
from sast_deploy.netx.stock_view import stock_layers
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Program, Readout, SumPool, Upsample, frozen_ints
from sast_deploy.proofs.bounds import prove
from tests.programs import conv, fc_program, random_frames, readout, stock_of, vectorised
from tests.stockruns import run_stock
from tools.stocklava import StockOptions

pytestmark = pytest.mark.slow

WIDE = Arithmetic(QFormat(18, 0), 8, "saturate-symmetric", "toward-zero", "floor", ">=", "zero")
STOCK = Arithmetic(QFormat(24, 6), 8, "saturate-symmetric", "toward-zero", "floor", ">", "zero")
NARROW = replace(WIDE, state=QFormat(6, 0))


def plain(rules: Arithmetic = WIDE, **change: object) -> Program:
    """40-9-6-3 without leak, on which nothing differs; change: of its first layer."""
    program = fc_program(np.random.default_rng(3), rules, steps=7, decay=0)
    return of_first(program, **change)


def of_first(program: Program, **change: object) -> Program:
    first, *rest = program.layers
    return replace(program, layers=(replace(first, **change), *rest))


def of_last(program: Program, **change: object) -> Program:
    *rest, last = program.layers
    return replace(program, layers=(*rest, replace(last, **change)))


def in_stock_units(rules: Arithmetic = STOCK) -> Program:
    """Leaks and filters, with stock Lava's own fractions: weight_exp 6, thresholds and biases in 64ths."""
    program = fc_program(np.random.default_rng(4), rules, steps=7, exponent=6, decay=900)
    layers = [
        replace(each, **{key: frozen_ints(getattr(each, key) * 64) for key in ("bias", "vth")}, weight_exp=6)
        for each in program.layers[:2]
    ]
    layers[0] = replace(layers[0], u_decay=frozen_ints([3000] * 9))
    last = replace(program.layers[2], bias=frozen_ints(program.layers[2].bias * 64))
    return replace(program, layers=(*layers, last))


def conv_plain(**change: object) -> Program:
    """A convolution and a readout."""
    rng = np.random.default_rng(2)
    first = replace(conv(rng, 2, 4), v_decay=frozen_ints([0, 4096, 0, 0]), **change)
    rows, columns = first.out_shape((2, 4, 4))[1:]
    return Program("c", (2, 4, 4), 3, 5, ("a", "b"), WIDE, (first, readout(rng, 4 * rows * columns, 2)))


def pooled(exponent: int = 0) -> Program:
    rng = np.random.default_rng(6)
    first = replace(conv(rng, 2, 4), v_decay=frozen_ints([0]))
    layers = (first, SumPool((2, 2), exponent), readout(rng, 16, 2))
    return Program("p", (2, 4, 4), 3, 5, ("a", "b"), WIDE, layers)


def loud() -> Program:
    """Weighted sums that a stock current does not hold."""
    change = {"weight": frozen_ints(np.full((9, 40), 7)), "vth": frozen_ints([100_000]), "weight_exp": 4}
    return replace(plain(replace(WIDE, state=QFormat(30, 0)), **change), input_max=255)


def long_sums() -> Program:
    """Every spike of 130 steps in sums of 254 each."""
    first, second, last = plain().layers
    always = replace(second, vth=frozen_ints([-100]))
    heavy = replace(last, weight=frozen_ints(np.full((3, 6), 127)), bias=frozen_ints([0] * 3), weight_exp=1)
    return replace(plain(), layers=(first, always, heavy), steps=130)


def late_readout() -> Program:
    """Spikes in the last step that would come too late."""
    first, second, last = plain().layers
    layers = (first, replace(second, vth=frozen_ints([-100])), replace(last, delay=frozen_ints([1])))
    return replace(plain(), layers=layers)


def differs(program: Program, path, samples: int = 4) -> bool:
    """Whether stock NetX, called as the verdict says, gives any other membrane, spike or logit."""
    frames = random_frames(np.random.default_rng(9), program, samples, 0.6)
    if program.input_min < 0:
        frames = frames.astype(np.int32) * np.where(frames % 2, 1, -1)
    largest = max(program.input_max, -program.input_min)
    bits = 0 if (program.input_min, largest) == (0, 1) else largest.bit_length()
    run = run_stock(path, frames, record=True, options=StockOptions(message_bits=bits))
    ours, steps = vectorised(program, frames), program.steps
    scale = 1 if program.arithmetic.state == STOCK.state else 64
    assert len(run.spikes) == len(ours.traces) + isinstance(program.layers[-1], Readout)
    for layer, trace in enumerate(ours.traces):
        now = slice(layer + 1, layer + 1 + samples * steps)
        spikes = run.spikes[layer][:, now].T.reshape(trace.spikes.shape)
        membranes = run.membranes[layer][:, now].T.reshape(trace.spikes.shape)
        wanted = scale * np.where(trace.spikes, 0, trace.membrane).astype(np.int64)
        if not np.array_equal(spikes, trace.spikes) or not np.array_equal(membranes, wanted):
            return True
    if not isinstance(program.layers[-1], Readout):
        return False
    last = len(ours.traces) + np.arange(1, samples + 1) * steps
    return not np.array_equal(run.membranes[-1][:, last].T, scale * ours.logits)


def written(program: Program, tmp_path, **flags: bool):
    write_net(tmp_path / "a.net", NetFile(program, "", **flags))
    return tmp_path / "a.net"


FAITHFUL: dict[str, Callable[[], Program]] = {
    "plain": plain,
    "exponent 1": lambda: plain(weight_exp=1),
    "strictly above": lambda: plain(replace(WIDE, comparison=">")),
    "rounding that has nothing to round": lambda: plain(replace(WIDE, leak_rounding="floor")),
    "no leak, all leak, each neuron its own": lambda: plain(v_decay=frozen_ints([0, 4096, 0] * 3)),
    "a current that stays, some neurons' only": lambda: plain(u_decay=frozen_ints([4096, 0, 4096] * 3)),
    "one threshold, one bias": lambda: plain(vth=frozen_ints([9]), bias=frozen_ints([2])),
    "narrow states that are not left": lambda: plain(replace(WIDE, state=QFormat(14, 0))),
    "thresholds of many neurons": lambda: fc_program(
        np.random.default_rng(3), WIDE, steps=5, hidden=(1100, 6), decay=0
    ),
    "leaks and filters in stock units": in_stock_units,
    "convolution": conv_plain,
    "convolution, strides": lambda: conv_plain(stride=(2, 1), padding=(0, 3)),
    "pool before the readout": pooled,
    "interval as long as a sample": lambda: replace(plain(), reset_interval=7),
    "inputs of both signs": lambda: replace(plain(), input_min=-4),
    "no readout": lambda: replace(plain(), layers=plain().layers[:2], classes=tuple("abcdef")),
    "a readout alone": lambda: replace(plain(), layers=(readout(np.random.default_rng(1), 40, 3),)),
    "spikes 0 and 1": lambda: replace(plain(), input_max=1),
}


@pytest.mark.parametrize("case", FAITHFUL)
def test_what_has_no_named_difference_is_computed_the_same(case, tmp_path):
    program = FAITHFUL[case]()
    assert stock_of(program).differences == stock_of(program).refused == ()
    assert not differs(program, written(program, tmp_path))


DIFFERING: dict[str, tuple[Callable[[], Program], str]] = {
    "subtraction": (lambda: plain(replace(WIDE, reset="subtract")), ZERO_RESET),
    "before the leak": (
        lambda: plain(replace(WIDE, reset="subtract", reset_order="before-leak")), ZERO_RESET
    ),
    "leak": (
        lambda: plain(v_decay=frozen_ints([900])),
        "layer 0 (dense): leaks are rounded toward-zero to 1/64 of a membrane LSB instead of toward-zero to",
    ),
    "leak of a current": (
        lambda: plain(u_decay=frozen_ints([900])),
        "layer 0 (dense): leaks are rounded toward-zero to 1/64 of a membrane LSB instead of toward-zero to",
    ),
    "leak rounded otherwise": (
        lambda: in_stock_units(replace(STOCK, leak_rounding="floor")),
        "layer 0 (dense): leaks are rounded toward-zero to a membrane LSB instead of floor to one",
    ),
    "shift": (
        lambda: plain(weight_exp=-2),
        "layer 0 (dense): weighted sums keep the 2 bits that this program rounds off",
    ),
    "shift of a readout": (
        lambda: of_last(plain(), weight_exp=-2),
        "layer 2 (readout): weighted sums keep the 2 bits that this program rounds off",
    ),
    "narrow states": (
        lambda: plain(NARROW), "layer 0 (dense): membranes clip at +-131071 instead of -31..31 (saturate-symm"
    ),
    "states that wrap": (
        lambda: plain(replace(NARROW, overflow="wrap")),
        "layer 0 (dense): membranes clip at +-131071 instead of -32..31 (wrap)",
    ),
    "currents": (loud, "layer 0 (dense): currents may reach 1142400 weight LSBs and wrap beyond 131071"),
    "sums over time": (
        long_sums, "layer 2 (readout): sums over time may reach 198120 weight LSBs and wrap beyond 131071"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERING)
def test_what_is_named_differs(case, tmp_path):
    make, line = DIFFERING[case]
    program = make()
    found = stock_of(program)
    assert found.loads
    assert any(each.startswith(line) for each in found.differences), found.differences
    assert differs(program, written(program, tmp_path))


REFUSED: dict[str, tuple[Callable[[], Program], str]] = {
    "delays": (lambda: plain(delay=frozen_ints([2])), "layer 0 (dense): delays are ignored"),
    "delay of a convolution": (
        lambda: conv_plain(delay=frozen_ints([1])), "layer 0 (conv): delays are ignored"
    ),
    "delay of a readout": (late_readout, "layer 2 (readout): delays are ignored"),
    "recurrence": (
        lambda: plain(recurrent=frozen_ints(np.full((9, 9), 3))),
        "layer 0 (dense): recurrent weights are ignored",
    ),
    "interval": (
        lambda: replace(plain(), reset_interval=3), "layer 0 (dense): states are not cleared every 3 steps"
    ),
    "late interval": (
        lambda: of_first(replace(plain(), reset_interval=7), reset_offset=4),
        "layer 0 (dense): states are not cleared every 7 steps",
    ),
    "negative weights": (
        lambda: plain(weight=frozen_ints(np.arange(-128, 232)[:360].reshape(9, 40) % 128 - 128)),
        "layer 0 (dense): weights -128..-1 are clipped",
    ),
    "averaging pool": (
        lambda: pooled(-2), "layer 2 (readout): sums of the pool before it are not shifted by -2 bits"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_be_ignored_is_refused_and_an_earlier_file_is_told_apart(case, tmp_path):
    """The earlier file loads, gives other results, is read, and is said to load."""
    make, line = REFUSED[case]
    program = make()
    assert line in stock_of(program).refused
    path = written(program, tmp_path)
    assert not read_net(path).earlier
    with pytest.raises(LavaError):
        differs(program, path)
    as_before(path, program)
    found = read_net(path)
    assert found.earlier
    assert line in stock_verdict(found, prove(program)).differences
    assert differs(program, path)


def as_before(path, program: Program) -> None:
    """Give a file the stock view of earlier versions."""
    with h5py.File(path, "r+") as file:
        del file["layer"]
        for index, layer in enumerate(stock_layers(program, False, earlier=True)):
            for name, value in layer.items():
                put(file, f"layer/{index}/{name}", value)


LOUD: dict[str, tuple[Callable[[], Program], str]] = {
    "no weights": (
        lambda: plain(weight=frozen_ints(np.zeros((9, 40)))), "layer 0 (dense): all weights are 0, which"
    ),
    "one bias": (
        lambda: conv_plain(bias=frozen_ints([1])),
        "layer 0 (conv): one bias for several channels cannot be loaded",
    ),
    "strides": (
        lambda: conv_plain(stride=(200, 1)), "layer 0 (conv): strides, padding and dilation above 127 wrap"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LOUD)
def test_what_cannot_be_loaded_is_refused(case, tmp_path):
    make, line = LOUD[case]
    program = make()
    assert any(each.startswith(line) for each in stock_of(program).refused)
    with pytest.raises(LavaError):
        differs(program, written(program, tmp_path))


def test_an_upsampling_is_refused_where_stock_netx_skipped_it(tmp_path):
    """A kernel that takes one row of a map, whether it has 4 rows or 8."""
    rng = np.random.default_rng(5)
    first = replace(conv(rng, 2, 4, stride=(8, 1)), v_decay=frozen_ints([0]))
    layers = (Upsample((2, 1)), first, readout(rng, 4 * 1 * 4, 2))
    program = Program("up", (2, 4, 4), 3, 5, ("a", "b"), WIDE, layers)
    path, line = written(program, tmp_path), "layer 0 (upsample): it has no upsamplings"
    assert stock_of(program).refused == (line,)
    with pytest.raises(LavaError, match="NotImplementedError"):
        differs(program, path)
    as_before(path, program)
    assert stock_verdict(read_net(path), prove(program)).differences == (line,)
    assert differs(program, path)


def test_thresholds_of_many_neurons_were_held_in_8_bits(tmp_path):
    program = FAITHFUL["thresholds of many neurons"]()
    path = written(program, tmp_path)
    as_before(path, program)
    found = read_net(path)
    assert found.earlier
    (line,) = stock_verdict(found, prove(program)).differences
    assert line == "/layer/2: thresholds or decays are held in 8 bits and wrap"
    assert differs(program, path)


def test_strict_files_are_refused_only_where_the_reset_differs(tmp_path):
    """It was said of every strict file."""
    assert stock_of(plain(), strict_reset=True).loads
    assert not differs(plain(), written(plain(), tmp_path, strict_reset=True))
    assert stock_of(plain(replace(WIDE, reset="subtract")), strict_reset=True).refused == (ZERO_RESET,)
