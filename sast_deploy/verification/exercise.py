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


class Exercise:
    """What every sample of a run did; the `watch` of `run_vectorised`.

    Of each spiking layer: its spikes, most and fewest, and those of the last step, whose reset must not reach
    the next sample; the highest and the lowest membrane potential, and how many lay at either end of their
    range; the largest and the smallest weighted sum.
    """

    def __init__(self, program: Program, samples: int) -> None:
        rules, neurons = program.arithmetic, (program.shapes()[index + 1] for index, _ in program.spiking())
        self.ends = {"at the top": rules.state.high, "at the bottom": rules.state.lowest(rules.overflow)}
        states = program.steps * sum(map(math.prod, neurons))
        self.samples, self.most = samples, max(1, min(FEW, samples, STATES // max(1, states)))
        self.facts: dict[tuple[int, str], Array] = {}

    def __call__(self, number: int, samples: slice, sums: Array, membranes: Array, spikes: Array) -> None:
        """Some steps of a layer, (time, neurons, samples); see `Watch`."""
        each, count = (0, 1), np.count_nonzero
        for name, values in (("membrane", membranes), ("sum", sums)):
            for kind, reached in (("highest", values.max(axis=each)), ("lowest", -values.min(axis=each))):
                found = self._of(number, f"{kind} {name}", -np.inf)
                found[samples] = np.maximum(found[samples], reached)
        for name, end in self.ends.items():
            self._of(number, name)[samples] += count(membranes == end, axis=each)
        self._of(number, "spikes")[samples] += count(spikes, axis=each)
        self._of(number, "silence")[samples] -= count(spikes, axis=each)
        self._of(number, "at the end")[samples] = count(spikes[-1], axis=0)

    def _of(self, number: int, name: str, start: float = 0.0) -> Array:
        """float64 (samples,): of sums that it does not hold exactly, the order is good enough."""
        return self.facts.setdefault((number, name), np.full(self.samples, start))

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
