"""The written .net file in unmodified stock NetX on stock Lava processes: an independent witness."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from sast_deploy.base.errors import LavaError
from sast_deploy.netx.file import NetFile, write_net
from sast_deploy.program.fixedpoint import Arithmetic, QFormat
from sast_deploy.program.program import Program, frozen_ints
from tests.programs import conv, dense, fc_program, random_frames, readout, vectorised
from tests.stockruns import run_stock

pytestmark = pytest.mark.slow

SUBTRACT = Arithmetic(QFormat(24, 6), 8, "saturate", "toward-zero", "half-up", ">=", "subtract")
ZERO = dataclasses.replace(SUBTRACT, reset="zero")


def written(tmp_path, program, **options):
    path = tmp_path / "stock.net"
    write_net(path, NetFile(program, "", **options))
    return path


def aligned(run, samples, steps):
    """Stock spikes as (samples, time, neurons) but for the readout: stock layer l lags l + 1 steps."""
    found = []
    for layer, spikes in enumerate(run.spikes[:-1]):
        wanted = spikes[:, layer + 1 : layer + 1 + samples * steps]
        found.append(wanted.T.reshape(samples, steps, -1))
    return found


@pytest.mark.parametrize("rules", [ZERO, SUBTRACT], ids=["zero", "subtract"])
def test_stock_loads_exact_weights_and_resets_to_zero(rules, tmp_path):
    """Without leak stock neurons round nothing, so a program that resets to zero must give equal spikes,
    and one that resets by subtraction is silently run as if it reset to zero.
    """
    rng = np.random.default_rng(3)
    program = fc_program(rng, rules, steps=7, exponent=1, decay=0)
    frames = random_frames(rng, program, 6)
    run = run_stock(written(tmp_path, program), frames, record=True)
    for weight, layer in zip(run.weights, program.layers, strict=True):
        assert np.array_equal(weight, layer.weight << layer.weight_exp)
    resetting = dataclasses.replace(program, arithmetic=ZERO)
    expected = vectorised(resetting, frames).traces
    found = aligned(run, len(frames), program.steps)
    for stock, trace in zip(found, expected, strict=True):
        assert np.array_equal(stock, trace.spikes)
        assert 0 < stock.mean() < 1
    ours = vectorised(program, frames).traces
    same = all(np.array_equal(stock, trace.spikes) for stock, trace in zip(found, ours, strict=True))
    assert same == (rules.reset == "zero")


def test_stock_convolutions_agree(tmp_path):
    rng = np.random.default_rng(2)
    layers = (
        conv(rng, 2, 4, kernel=(3, 2), stride=(2, 1), padding=(1, 0)),
        conv(rng, 4, 6, dilation=(1, 2), padding=(1, 2), groups=2),
        dense(rng, 6 * 5 * 7, 5),
    )
    layers = (*(dataclasses.replace(layer, v_decay=frozen_ints([0])) for layer in layers), readout(rng, 5, 3))
    program = Program("conv", (2, 9, 8), 3, 4, ("a", "b", "c"), ZERO, layers)
    frames = random_frames(rng, program, 3)
    run = run_stock(written(tmp_path, program), frames, record=True)
    for weight, layer in zip(run.weights, layers, strict=True):
        assert np.array_equal(weight, layer.weight)
    expected = vectorised(program, frames).traces
    for stock, trace in zip(aligned(run, 3, 4), expected, strict=True):
        assert np.array_equal(stock, trace.spikes)
        assert 0 < stock.mean() < 1


def test_stock_convolutions_of_more_than_127_channels_run(tmp_path):
    rng = np.random.default_rng(6)
    wide = dataclasses.replace(conv(rng, 2, 130, kernel=(1, 1), padding=(0, 0)), v_decay=frozen_ints([0]))
    program = Program("wide", (2, 2, 2), 3, 3, ("a", "b"), ZERO, (wide, readout(rng, 520, 2)))
    frames = random_frames(rng, program, 2)
    run = run_stock(written(tmp_path, program), frames, record=True)
    expected = vectorised(program, frames).traces
    assert np.array_equal(aligned(run, 2, 3)[0], expected[0].spikes)
    assert 0 < expected[0].spikes.mean() < 1


def test_stock_refuses_a_strict_file(tmp_path):
    program = fc_program(np.random.default_rng(3), SUBTRACT)
    frames = random_frames(np.random.default_rng(4), program, 1)
    with pytest.raises(LavaError, match="AttributeError"):
        run_stock(written(tmp_path, program, strict_reset=True), frames)
