"""Networks of unmodified stock Lava processes, run in a child process of their own: `run_witness`.

The child is `python -m tests.conformance.witness_child RUN_DIR PARENT_PID`, supervised like every Lava run.
RUN_DIR/job.npz names a witness below and holds its arguments; RUN_DIR/found.npz is what it returns.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np

from sast_deploy.engines.lava.supervisor import Limits, Watch

ROOT = Path(__file__).resolve().parents[2]


def run_witness(name, monkeypatch, **arguments):
    """Run a witness; arguments and results are arrays."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with tempfile.TemporaryDirectory(prefix="sast-witness-") as folder:
        np.savez(Path(folder) / "job.npz", witness=name, **arguments)
        for _ in Watch(__spec__.name, Path(folder), 1, Limits(60, 60)):
            pass
        with np.load(Path(folder) / "found.npz") as found:
            return {key: found[key] for key in found.files}


def _run(network, steps, tag):
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    network.run(condition=RunSteps(steps), run_cfg=Loihi2SimCfg(select_tag=tag))


def graded_reset(activation, alpha_numerator, vth):
    """u = floor(u * alpha) + a - vth * s of the step before, from GradedVec, a memoryless LIF and Dense.

    activation: int (neurons, steps). alpha: alpha_numerator / 128. vth: int (neurons,).
    """
    from lava.proc.dense.process import Dense
    from lava.proc.graded.process import GradedVec
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.lif.process import LIF

    neurons, steps = activation.shape
    eye = np.eye(neurons, dtype=int)
    source = Source(data=activation)
    state = GradedVec(shape=(neurons,), vth=0)
    compare = LIF(shape=(neurons,), du=4095, dv=4096, vth=vth - 1)
    leak = Dense(weights=eye * int(alpha_numerator), weight_exp=-7, num_message_bits=24, num_weight_bits=8)
    reset = Dense(weights=-eye * vth[:, None], num_weight_bits=8)
    membranes, spikes = (Sink(shape=(neurons,), buffer=steps) for _ in range(2))
    source.s_out.connect(state.a_in)
    state.s_out.connect(compare.a_in)
    state.s_out.connect(leak.s_in)
    leak.a_out.connect(state.a_in)
    compare.s_out.connect(reset.s_in)
    reset.a_out.connect(state.a_in)
    state.s_out.connect(membranes.a_in)
    compare.s_out.connect(spikes.a_in)
    _run(state, steps, "fixed_pt")
    found = {"membranes": membranes.data.get(), "spikes": spikes.data.get()}
    state.stop()
    return found


def refractory_reset(activation, vth):
    """ATRLIF in floating point: v - r with r = r / 2 + 2 vth at a spike, which takes vth one step later.

    activation: float (neurons, steps). vth: one number.
    """
    from lava.proc.atrlif.process import ATRLIF
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source
    from lava.proc.monitor.process import Monitor

    neurons, steps = activation.shape
    theta = float(vth)
    source, spikes = Source(data=activation), Sink(shape=(neurons,), buffer=steps)
    atrlif = ATRLIF(
        shape=(neurons,), delta_i=1, delta_v=0.5, delta_r=0.5, delta_theta=0.0, theta=theta, theta_0=theta,
        theta_step=0,
    )  # fmt: skip
    source.s_out.connect(atrlif.a_in)
    atrlif.s_out.connect(spikes.a_in)
    monitors = [Monitor(), Monitor()]
    monitors[0].probe(atrlif.v, steps)
    monitors[1].probe(atrlif.r, steps)
    _run(atrlif, steps, "floating_pt")
    v, r = (monitor.get_data()[atrlif.name][name].T for monitor, name in zip(monitors, "vr", strict=True))
    found = {"spikes": spikes.data.get(), "v": v, "r": r}
    atrlif.stop()
    return found


def weights(seed, cases):
    """The stock weight functions against `stock_weights`, on random matrices: how many of each outcome."""
    from sast_deploy.netx.foreign.altered_weights import stock_weights

    rng, outcomes = np.random.default_rng(int(seed)), {"exact": 0, "altered": 0, "refused": 0, "wrong": 0}
    for _ in range(int(cases)):
        parts = _random_weights(rng)
        expected = _stock_sums(parts, rng)
        try:
            used = stock_weights(*parts)
        except ValueError as error:
            right = expected is None if "cannot load" in str(error) else expected is not None
            outcomes["refused" if right else "wrong"] += 1
            continue
        right = expected is not None and all(
            np.array_equal(part @ x, sums) for part, (x, sums) in zip(used, expected, strict=True)
        )
        same = all(np.array_equal(a, b) for a, b in zip(used, parts, strict=True))
        outcomes["wrong" if not right else "exact" if same else "altered"] += 1
    return outcomes


RANGES = [
    (-128, 127), (-256, 254), (-8, 7), (0, 255), (0, 300), (-300, 300), (-127, -1), (-128, -1), (-256, -1),
    (-300, -1), (-5, 0), (0, 1), (-256, 0), (-129, 100), (-100, 200), (-300, 5), (-128, -128), (0, 0),
]  # fmt: skip


def _random_weights(rng):
    (low, high), step = RANGES[rng.integers(len(RANGES))], rng.choice([1, 1, 2, 4])
    rows, columns = rng.integers(1, 5, 2)
    shapes = [(rows, columns), (rows, rows)][: rng.integers(1, 3)]
    return [(rng.integers(low, high + 1, shape) // step * step).astype(np.int64) for shape in shapes]


def _stock_sums(parts, rng):
    """(inputs, what the stock synapse sends for them) of each matrix, or None where NetX cannot load it."""
    from lava.lib.dl.netx.utils import optimize_weight_bits
    from lava.utils.weightutils import clip_weights, determine_sign_mode, truncate_weights

    with np.errstate(all="ignore"):
        try:
            scaled, bits, exponent, _ = optimize_weight_bits(np.hstack(parts))
        except OverflowError:
            return None
    found = []
    for part in np.split(scaled, [parts[0].shape[1]], axis=1)[: len(parts)]:
        mode = determine_sign_mode(part)
        used = truncate_weights(clip_weights(part, mode, num_bits=8), mode, bits)
        x = rng.integers(0, 4, used.shape[1])
        sums = used.astype(np.int64) @ x
        found.append((x, sums << exponent if exponent > 0 else sums >> -exponent))
    return found


def main(run_dir):
    from sast_deploy.engines.lava import shim

    shim.prepare()
    with np.load(run_dir / "job.npz") as job:
        arguments = {key: job[key] for key in job.files}
    found = globals()[str(arguments.pop("witness"))](**arguments)
    np.savez(run_dir / "found.npz", **found)


if __name__ == "__main__":
    from sast_deploy.engines.lava import child

    child.main(main)
