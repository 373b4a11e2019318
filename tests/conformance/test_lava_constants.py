"""Numbers of stock Lava that we repeat: asked of the installed Lava itself."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.program import lava_constants as ours

pytestmark = pytest.mark.slow


ROOT = Path(__file__).resolve().parents[2]


def test_stock_lava_has_these_numbers():
    """In a child, since Lava changes the process that imports it."""
    child = "from sast_deploy.engines.lava import shim; shim.prepare(); from {0} import check; check()"
    command = [sys.executable, "-c", child.format("tests.conformance.test_lava_constants")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def check():
    from lava.lib.dl.netx.hdf5 import Network
    from lava.proc.conv.models import PyConvModelFixed
    from lava.proc.lif.models import PyLifModelBitAcc
    from lava.utils.weightutils import SignMode, clip_weights, truncate_weights

    model = PyLifModelBitAcc({})
    assert (model.uv_bitwidth, model.decay_unity) == (ours.UV_BITS, ours.DECAY_UNITY)
    assert model.act_shift == model.vth_shift == ours.MANTISSA_SHIFT
    assert (1 << PyLifModelBitAcc.vth.precision) - 1 == ours.VTH_MANT_MAX
    bias = np.iinfo(PyLifModelBitAcc.bias_mant.d_type)
    assert (bias.min, bias.max) == (ours.BIAS_MANT_MIN, ours.BIAS_MANT_MAX)
    assert np.iinfo(PyConvModelFixed.stride.d_type).max == ours.GEOMETRY_MAX
    far = np.array([[-999, 999]])
    clipped = clip_weights(far, SignMode.MIXED, num_bits=ours.WEIGHT_BITS)
    ends = truncate_weights(clipped, SignMode.MIXED, num_weight_bits=ours.WEIGHT_BITS)
    assert ends.tolist() == [[ours.WEIGHT_MIN, ours.WEIGHT_MAX]]
    dense, given = inspect.getsource(Network.create_dense), inspect.getsource(Network.create_input)
    assert f"a_max={ours.SYNAPSE_DELAY_MAX}" in dense
    assert "'vThMant': 1 << 18 - 1" in dense
    assert ours.NEVER_FIRES == 1 << 18 - 1
    assert f"weight = {ours.PIXEL_WEIGHT}" in given
    assert f"'bias_exp': {ours.MANTISSA_SHIFT}" in inspect.getsource(Network.get_neuron_params)
