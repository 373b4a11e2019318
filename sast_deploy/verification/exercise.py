"""Which samples of a check the reference replays, too: those that exercise most of what the rules say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy.program.program import Program
from sast_deploy.program.record import evenly_spread

Array = npt.NDArray[Any]
FEW = 5  # samples that the reference replays where it is quick
STATES = 100_000  # membrane potentials in them together, about half a second; or one sample
SIDES: tuple[tuple[str, np.ufunc, int], ...] = (("highest", np.maximum, 1), ("lowest", np.minimum, -1))


class Exercise:
    """What every sample of a run did; the `watch` of `run_vectorised`.

    Of each spiking layer: its spikes, most and fewest, and those of the last step, whose reset must not reach
    the next sample; the highest and the lowest membrane potential, and how many neurons came to either end of
    their range; the largest and the smallest weighted sum.
    """

    def __init__(self, program: Program, samples: int) -> None:
        rules, neurons = program.arithmetic, (program.shapes()[index + 1] for index, _ in program.spiking())
        self.ends = {"highest": rules.state.high, "lowest": rules.state.lowest(rules.overflow)}
        states = program.steps * sum(map(math.prod, neurons))
        self.samples, self.most = samples, max(1, min(FEW, samples, STATES // max(1, states)))
        self.facts: dict[tuple[int, str], Array] = {}

    def __call__(self, number: int, samples: slice, sums: Array, membranes: Array, spikes: Array) -> None:
        """Some steps of a layer, (time, neurons, samples); see `Watch`."""
        for side, most, sign in SIDES:
            # Over time first: those are whole planes, and a step's worth is left.
            u, a = most.reduce(membranes), most.reduce(sums)
            self._add(number, f"at the {side}", samples, np.count_nonzero(u == self.ends[side], axis=0))
            for name, reached in ((f"{side} membrane", u), (f"{side} sum", a)):
                found = self._of(number, name, -np.inf)
                found[samples] = np.maximum(found[samples], sign * most.reduce(reached))
        fired = spikes.sum(axis=0, dtype=np.int32).sum(axis=0)
        self._add(number, "spikes", samples, fired)
        self._add(number, "silence", samples, -fired)
        self._of(number, "at the end")[samples] = spikes[-1].sum(axis=0, dtype=np.int32)

    def _of(self, number: int, name: str, start: float = 0.0) -> Array:
        """float64 (samples,): of sums that it does not hold exactly, the order is good enough."""
        return self.facts.setdefault((number, name), np.full(self.samples, start))

    def _add(self, number: int, name: str, samples: slice, values: Array) -> None:
        self._of(number, name)[samples] += values

    def few(self, suspects: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
        """int64, increasing: so few samples as are affordable, with as many of the extremes as they can have.

        Each is the one with most of the extremes that those before it have not; the first suspect is before
        them all. Where nothing is left to exercise, the others are evenly spread.
        """
        differing = [fact for fact in self.facts.values() if fact.min() < fact.max()]
        extreme = np.array([fact == fact.max() for fact in differing]).reshape(-1, self.samples)
        chosen = [] if suspects is None else suspects[:1].tolist()
        while len(chosen) < self.most:
            extreme = extreme[~extreme[:, chosen].any(axis=1)]
            if not len(extreme):
                break
            chosen.append(int(extreme.sum(axis=0).argmax()))
        rest = [n for n in evenly_spread(self.samples, self.most).tolist() if n not in chosen]
        return np.array(sorted([*chosen, *rest[: self.most - len(chosen)]]), np.int64)
