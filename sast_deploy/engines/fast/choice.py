"""How a layer is run: by its events or as a product, whichever is faster at their density on this machine.

That is measured, once for a layer's shape and density (base/measured.py), and changes no number. Importing
torch takes longer than many a run, so a product is thought of only where it would save more than that.
"""

from __future__ import annotations

import sys
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sast_deploy.base.compiled import source_digest
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.measured import fastest
from sast_deploy.base.text import percent_given
from sast_deploy.engines.fast import lanekernels as kernels
from sast_deploy.engines.fast.neurons import BINARY
from sast_deploy.engines.fast.plan import SpikingPlan
from sast_deploy.engines.fast.product import exact_here, product_sums
from sast_deploy.engines.fast.tables import Array, stored_size

Out = tuple[Array, Array, Array, Array]  # rules, spikes, counts, membrane: what every kernel takes last
SPARSEST = 0.05  # share of nonzero inputs below which no product was ever the faster one
NEAR = 0.05  # to which densities are rounded
WORTH_ASKING, WORTH_IMPORTING = 1e10, 1e12  # additions that take about a tenth of a second, and ten
STEPS, ROWS = 10, 640  # of what is measured
NO_ENTRIES = np.empty((1, 0, 0), np.uint8)
NO_ENTRIES.flags.writeable = False


def run_events(plan: SpikingPlan, x: Array | EventFrames, out: Out) -> int:
    """Run a layer of whole vectors by its events, by count or by place; the number of nonzero inputs."""
    assert plan.lanes is not None
    if isinstance(x, EventFrames):
        return int(kernels.run_counted(NO_ENTRIES, (x.starts, x.index, x.count), plan.fields, *out))
    if plan.counted:
        return int(kernels.run_counted(x, plan.no_events, plan.fields, *out))
    return int(kernels.run_lanes(x, plan.fields, *out))


def prefers_product(plan: SpikingPlan, density: float, steps: int) -> bool:
    """Whether `steps` more steps of inputs of such density are faster as a product."""
    if density < SPARSEST or plan.lanes is None or plan.groups > 1:
        return False
    work = density * steps * plan.places * plan.synapses.weight.size
    worth = WORTH_ASKING if "torch" in sys.modules else WORTH_IMPORTING
    return work > worth and exact_here() and _faster(plan, density)


def _faster(plan: SpikingPlan, density: float) -> bool:
    """What the clock says of a layer of this shape at this density, or said before."""
    assert plan.lanes is not None
    (inputs, lanes), kind = plan.synapses.weight.shape, "spikes" if plan.rules[BINARY] else "counts"
    share = round(round(density / NEAR) * NEAR, 2)
    question = f"engine.layer {inputs - 1} x {lanes}, {plan.places} places, {percent_given(share)} {kind}"
    samples = max(1, ROWS // (STEPS * plan.places))
    x, out = _inputs(plan, samples, share), _room(plan, samples)

    def by_product() -> None:
        kernels.run_given(product_sums(plan, x), plan.fields, *out)

    candidates = {"events": lambda: run_events(plan, x, out), "product": by_product}
    return fastest(question, candidates, source_digest(Path(__file__).parent)) == "product"


def _inputs(plan: SpikingPlan, samples: int, density: float) -> npt.NDArray[np.uint8]:
    size = prod(plan.in_shape)
    x = np.zeros((samples, STEPS, stored_size(size)), np.uint8)
    x[:, :, :size] = np.random.default_rng(0).random((samples, STEPS, size)) < density
    x.flags.writeable = False
    return x


def _room(plan: SpikingPlan, samples: int) -> Out:
    size = prod(plan.out_shape)
    spikes = np.zeros((samples, STEPS, stored_size(size)), np.uint8)
    membrane = np.empty((0, STEPS, size), plan.vectors.dtype)
    return plan.rules, spikes, np.empty((samples, size), np.int32), membrane
