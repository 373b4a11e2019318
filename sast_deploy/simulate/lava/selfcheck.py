"""`python -m sast_deploy.simulate.lava.selfcheck`: does Lava run on this Python? One line, exit code 0 if so.

One stock neuron with threshold 3 adds 1 per step. Stock LIF fires strictly above its threshold and then
resets to zero, so it fires at every fourth step.
"""

from __future__ import annotations

import time

import numpy as np

from sast_deploy.simulate.lava import shim

STEPS = 8
EXPECTED = [0, 0, 0, 1, 0, 0, 0, 1]


def run_neuron() -> list[int]:
    """Spikes of a stock LIF neuron, bias 1, threshold 3, no leak, over STEPS steps."""
    shim.prepare()
    from lava.lib.dl.netx import hdf5  # noqa: F401  the check covers NetX's import too
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer
    from lava.proc.lif.process import LIF

    # Stock LIF compares v with vth * 64; a bias of 1 * 2^6 is one unit of vth.
    neuron = LIF(shape=(1,), vth=3, du=4095, dv=0, bias_mant=1, bias_exp=6)
    sink = RingBuffer(shape=(1,), buffer=STEPS)
    neuron.s_out.connect(sink.a_in)
    neuron.run(condition=RunSteps(STEPS), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    spikes = np.asarray(sink.data.get())[0].astype(int).tolist()
    neuron.stop()
    return list(spikes)


def main() -> None:
    """Run the neuron and compare. Raises SystemExit with a message where it fires otherwise."""
    start = time.perf_counter()
    spikes = run_neuron()
    if spikes != EXPECTED:
        raise SystemExit(f"a stock LIF neuron fires {spikes}, expected {EXPECTED}")
    print(f"a stock neuron and NetX, in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
