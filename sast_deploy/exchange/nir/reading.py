"""What a NIR graph leaves open: how its continuous time becomes steps, and what each framework means by it.

A graph has differential equations, thresholds and weights. How long a step is, how a time constant becomes a
leak, what a spike does to the membrane potential and whether a threshold that is met fires, it does not say:
each framework has its own way, and some write the same graph for networks that spike differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base.errors import ExchangeError, UsageError
from sast_deploy.base.rules import Choice, Maybe, Number
from sast_deploy.base.settings import Settings
from sast_deploy.program.fixedpoint import COMPARISONS, RESET_ORDERS, RESETS
from sast_deploy.program.program import DECODINGS

Float64Array = npt.NDArray[np.float64]

LEAKS = ("euler", "exp")
GAINS = ("normalised", "plain", "decayed")
INTEGRATOR_GAINS = GAINS[:2]
TIMES = ("seconds", "times-dt")
SPIKES = ("single", "multi")
BOUNDS = ("none", "some")


@dataclass(frozen=True)
class Reading(Settings, called="reading of a NIR graph", error=UsageError, partial=True):
    """How a graph is read; None: not known.

    dt: seconds of one step. tau: whether time constants are in "seconds", or were multiplied by dt too
    ("times-dt"). leak: of a time constant, "euler", 1 - dt / tau, or "exp", exp(-dt / tau).
    gain: of what reaches a leaky membrane, R times 1 - leak ("normalised"), times 1 ("plain"), or times
    dt / (tau leak) ("decayed"); integrator_gain: of one without leak, R times dt or 1; current_gain: of what
    reaches a filtered current, as gain, with w_in for R. current_order: whether what arrives is added after
    the current's leak, c = d c + I, or before it, c = d (c + I).
    reset, reset_order, comparison: as in FloatNetwork. spikes: whether a neuron fires once a step at most.
    lower_bound: whether the membrane potential has one. decoding: of a last layer that does not spike.
    """

    dt: Annotated[float | None, Maybe(Number(0, 1e9, above=True))] = None
    tau: Annotated[str | None, Maybe(Choice(TIMES))] = None
    leak: Annotated[str | None, Maybe(Choice(LEAKS))] = None
    gain: Annotated[str | None, Maybe(Choice(GAINS))] = None
    integrator_gain: Annotated[str | None, Maybe(Choice(INTEGRATOR_GAINS))] = None
    current_gain: Annotated[str | None, Maybe(Choice(INTEGRATOR_GAINS))] = None
    current_order: Annotated[str | None, Maybe(Choice(RESET_ORDERS))] = None
    reset: Annotated[str | None, Maybe(Choice(RESETS))] = None
    reset_order: Annotated[str | None, Maybe(Choice(RESET_ORDERS))] = None
    comparison: Annotated[str | None, Maybe(Choice(COMPARISONS))] = None
    spikes: Annotated[str | None, Maybe(Choice(SPIKES))] = None
    lower_bound: Annotated[str | None, Maybe(Choice(BOUNDS))] = None
    decoding: Annotated[str | None, Maybe(Choice(DECODINGS))] = None

    def kept(self, tau: Float64Array) -> Float64Array:
        """The share that a step keeps, for each time constant; may be outside 0 to 1."""
        assert self.dt is not None
        real = tau / self.dt if self.tau == "times-dt" else tau
        with np.errstate(all="ignore"):
            ratio = self.dt / real
            return np.exp(-ratio) if self.leak == "exp" else 1.0 - ratio

    def scaled(self, kind: str | None, tau: Float64Array, kept: Float64Array) -> Float64Array:
        """What one unit of input adds in a step, for R = 1."""
        if kind == "plain":
            return np.ones_like(kept)
        if kind == "decayed":
            assert self.dt is not None
            with np.errstate(all="ignore"):
                return self.dt / (tau * kept)
        return 1.0 - kept


# What the equations of NIR themselves say; the rest is the reader's to choose.
EQUATIONS = Reading(
    tau="seconds", gain="normalised", integrator_gain="normalised", current_gain="normalised",
    current_order="after-leak", spikes="single", lower_bound="none",
)  # fmt: skip


@dataclass(frozen=True)
class Framework:
    """What a framework's own exporter means. reading: None is what its files leave open, too. usual: what the
    framework does unless told otherwise, for people. source: where that stands.
    """

    title: str
    reading: Reading
    usual: Mapping[str, str]
    source: str


FRAMEWORKS: Mapping[str, Framework] = {
    "snntorch": Framework(
        "snnTorch",
        replace(EQUATIONS, dt=1e-4, leak="euler", integrator_gain="plain", reset_order="after-leak",
                comparison=">"),
        {"reset": "subtract"},
        "snnTorch 1.0.0, export_nir.py (dt = 1e-4, r = tau / dt), Leaky (u = a u + I - theta s, u > theta)",
    ),
    "norse": Framework(
        "Norse",
        replace(EQUATIONS, dt=1e-3, tau="times-dt", leak="euler", integrator_gain="plain",
                current_gain="plain", reset_order="before-leak", comparison=">"),
        {"reset": "zero"},
        "Norse 1.1.0, export_nir.py (tau = dt * tau, issue #411) and functional/lif_box.py",
    ),
    "spikingjelly": Framework(
        "SpikingJelly",
        replace(EQUATIONS, dt=1e-4, leak="euler", reset="zero", reset_order="before-leak", comparison=">="),
        {},
        "SpikingJelly 2.0.0, nir_exchange/to_nir.py (dt = 1e-4; a soft reset is not exported)",
    ),
    "sinabs": Framework(
        "sinabs",
        replace(EQUATIONS, dt=1.0, leak="exp", gain=None, integrator_gain="plain", current_gain=None,
                current_order=None, reset_order="before-leak", comparison=">=", spikes=None,
                lower_bound=None),
        {"reset": "subtract", "spikes": "multi", "gain": "normalised (norm_input)", "lower_bound": "none"},
        "sinabs 3.1.3, nir.py (tau in steps) and layers/lif.py (exp(-1 / tau))",
    ),
    "rockpool": Framework(
        "rockpool",
        replace(EQUATIONS, dt=1e-3, leak="exp", gain="decayed", current_gain="plain",
                current_order="before-leak", reset="subtract", reset_order="before-leak", comparison=">=",
                spikes=None),
        {"spikes": "multi"},
        "rockpool 3.1.0, nn/modules/torch/nir.py (r = tau / dt * exp(-dt / tau)) and lif_torch.py",
    ),
}  # fmt: skip

# What follows from each fact that a graph may leave open: what would differ.
OPEN: Mapping[str, str] = {
    "dt": "dt, the seconds of a step, which makes leaks of time constants",
    "tau": 'tau "seconds" or "times-dt"',
    "leak": 'leak "euler" (1 - dt / tau) or "exp" (exp(-dt / tau))',
    "gain": 'gain "normalised" (inputs times 1 - leak) or "plain" (as they are)',
    "integrator_gain": 'integrator_gain "normalised" (inputs times dt) or "plain" (as they are)',
    "current_gain": 'current_gain "normalised" (times 1 - leak) or "plain" (as they are)',
    "current_order": 'current_order "after-leak" (c = d c + I) or "before-leak" (c = d (c + I))',
    "reset": 'reset "subtract" (a spike takes the threshold off) or "zero" (of the membrane potential)',
    "reset_order": 'reset_order "after-leak" (u = a u - theta s) or "before-leak" (u = a (u - theta s))',
    "comparison": 'comparison ">" or ">=", which decides where a threshold is met exactly',
    "spikes": 'spikes "single" (one a step at most) or "multi"',
    "lower_bound": 'lower_bound "none", or "some" where the membrane potential has one',
}


def settled(framework: str | None, given: Mapping[str, Any], needed: frozenset[str], where: str) -> Reading:
    """How a graph that needs these facts is read.

    framework: a name in FRAMEWORKS, or None: `given` alone. given: facts of Reading; they go before the
    framework's. Raises UsageError: a name or fact that there is not. ExchangeError: facts that neither says,
    each with what would differ; or such as cannot be expressed.
    """
    if framework is not None and framework not in FRAMEWORKS:
        raise UsageError(f"framework = {framework!r}", expected=f"one of {', '.join(FRAMEWORKS)}")
    row = FRAMEWORKS[framework] if framework is not None else None
    own = Reading.from_dict({name: value for name, value in given.items() if value is not None})
    told = {each.name: getattr(own, each.name) for each in fields(own)}
    base = EQUATIONS if row is None else row.reading
    reading = replace(base, **{name: value for name, value in told.items() if value is not None})
    _expressible(reading, where)
    wanted = needed - ({"reset_order"} if reading.reset == "zero" else set())
    if missing := [name for name in OPEN if name in wanted and getattr(reading, name) is None]:
        raise ExchangeError(
            f"NIR does not say {', '.join(missing)}{_usual(row, missing)}",
            where=where,
            expected="; ".join(OPEN[name] for name in missing),
            todo=_say(missing, row),
        )
    return reading


def _say(missing: list[str], row: Framework | None) -> str:
    options = ", ".join(f"--{name.replace('_', '-')}" for name in missing)
    whose = "" if row is not None else f", or --from, one of {', '.join(FRAMEWORKS)}"
    return f"say so by {options}{whose} (in Python by arguments of the same names)"


def _usual(row: Framework | None, missing: list[str]) -> str:
    if row is None:
        return ""
    usual = [f"{name} {row.usual[name]}" for name in missing if name in row.usual]
    said = f", and {row.title}'s files do not either"
    return f"{said} ({row.title}'s own default: {', '.join(usual)})" if usual else said


def _expressible(reading: Reading, where: str) -> None:
    if reading.spikes == "multi":
        raise ExchangeError(
            'its neurons fire several times a step (spikes "multi")', where=where,
            expected="one spike a step at most, all that a Program has",
            todo="train it with one: sinabs' SingleSpike, rockpool's max_spikes_per_dt=1",
        )  # fmt: skip
    if reading.lower_bound == "some":
        raise ExchangeError(
            "its membrane potentials have a lower bound", where=where,
            expected="none: a Program's go as low as their format", todo="train it without: min_v_mem=None",
        )  # fmt: skip
