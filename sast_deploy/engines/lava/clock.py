"""Which samples and which time step of theirs a Lava time step stands for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchClock:
    """`samples` samples of `steps` steps each, `batch` samples at once."""

    samples: int
    steps: int
    batch: int

    @property
    def lava_steps(self) -> int:
        """How many Lava time steps the whole run takes; the last batch may be partly empty."""
        return -(-self.samples // self.batch) * self.steps

    def at(self, time_step: int) -> tuple[slice, int]:
        """The samples and their step (0..steps-1) at a Lava time step, which counts from 1."""
        batch, step = divmod(time_step - 1, self.steps)
        first = batch * self.batch
        return slice(first, min(first + self.batch, self.samples)), step
