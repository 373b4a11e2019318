"""Energy and time of spiking networks on a mesh of cores, in closed form: what `sanafe_runner.py` is to find.

Every core is numbered 4 * tile + core; tile i lies at column i // 4 and row i % 4 of the mesh. Population 0
is the inputs, which cost messages only; population l + 1 is layer l. In a step of the chip every neuron is
updated, and every spike goes as one message to each core that has a synapse of it; it is there for the next
step. The prices are SANA-FE 2.2.9's for Loihi, in pJ and ns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CORES = 128
UPDATE, SPIKE, MESSAGE, HOPS = 51.2 + 21.6, 69.3, 111.0, (3.0, 4.2)
UPDATE_TIME, SPIKE_TIME, SEND_TIME, RECEIVE_TIME, HOP_TIMES = 6.0 + 3.7, 30.0, 5.1, 16.0, (4.1, 6.5)
SYNAPSES = {
    "loihi_dense_synapse": (35.5, 3.8),
    "loihi_sparse_synapse": (33.6, 4.7),
    "loihi_conv_synapse": (24.0, 3.1),
}
SYNC = {1: 600.0, 2: 1000.0, 4: 1400.0, 29: 1800.0}  # from so many used tiles on


@dataclass(frozen=True)
class Mesh:
    """cores: (neurons,) of each population. fanout: (neurons, CORES), its synapses in each core.

    synapse: name of their kind, one for all.
    """

    cores: list[np.ndarray]
    fanout: list[np.ndarray]
    synapse: str

    def energy(self, fired):
        """{part: (steps,)} in J, from the spikes, bool (steps, neurons) of each population."""
        hops = self.hops(fired)
        neurons = sum(map(len, self.cores[1:]))
        spikes = sum(s.sum(1) for s in fired[1:])
        events = sum((s @ fan).sum(1) for s, fan in zip(fired, self.fanout, strict=True))
        parts = {
            "synapse": events * SYNAPSES[self.synapse][0],
            "soma": neurons * UPDATE + spikes * SPIKE,
            "network": self.messages(fired) * MESSAGE + hops @ HOPS,
            "dendrite": 0 * events,
        }
        parts["total"] = sum(parts.values())
        return {name: picojoules * 1e-12 for name, picojoules in parts.items()}

    def messages(self, fired):
        """(steps,)."""
        return sum(s @ (fan > 0).sum(1) for s, fan in zip(fired, self.fanout, strict=True))

    def hops(self, fired):
        """(steps, 2): between columns, and between rows, of tiles."""
        populations = zip(fired, self.fanout, self.cores, strict=True)
        return sum(s @ ((fan > 0)[:, :, None] * _hops(cores)).sum(1) for s, fan, cores in populations)

    def times(self, fired):
        """(steps, cores) in s: the longer of what a core sends and what it receives, and the synchronisation.

        The time of a step is that of its slowest core.
        """
        receives = sum(s @ self._processing(fan) for s, fan in zip(fired, self.fanout, strict=True))
        sends = 0
        for number, (s, fan, cores) in enumerate(zip(fired, self.fanout, self.cores, strict=True)):
            sends = sends + self._sending(number, s, fan) @ (cores[:, None] == np.arange(CORES))
        return (np.maximum(receives, sends) + self.synchronisation) * 1e-9

    def queued(self, fired):
        """(steps,): as if each message set out when its core is so far, and waited for the core it goes to.

        Routes are free. SANA-FE's "detailed" slows messages on a busy route down; it equals this where no
        spike goes to more than one core.
        """
        steps = range(len(fired[0]))
        return np.array([self._queue([s[step] for s in fired]) for step in steps]) * 1e-9

    @property
    def synchronisation(self):
        tiles = len({int(core) // 4 for cores in self.cores for core in cores})
        return SYNC[max(least for least in SYNC if least <= tiles)]

    def _processing(self, fan):
        return (fan > 0) * RECEIVE_TIME + fan * SYNAPSES[self.synapse][1]

    def _sending(self, number, s, fan):
        soma = (UPDATE_TIME + SPIKE_TIME * s) * (number > 0)
        return soma + SEND_TIME * s * (fan > 0).sum(1)

    def _queue(self, fired):
        sent, clock = [], np.zeros(CORES)
        for number, (s, fan, cores) in enumerate(zip(fired, self.fanout, self.cores, strict=True)):
            hops, takes = _hops(cores) @ HOP_TIMES, self._processing(fan)
            for i, core in enumerate(cores):
                clock[core] += (number > 0) * (UPDATE_TIME + SPIKE_TIME * s[i])
                for target in np.flatnonzero(fan[i]) if s[i] else ():
                    clock[core] += SEND_TIME
                    sent.append((clock[core], target, hops[i, target], takes[i, target]))
        free = np.zeros(CORES)
        for at, target, travels, takes in sorted(sent, key=lambda message: message[0]):
            free[target] = max(free[target], at + travels) + takes
        return max(free.max(), clock.max()) + self.synchronisation


def _hops(cores):
    """(neurons, CORES, 2) from the core of each neuron to every core."""
    here, there = (np.stack(np.divmod(at // 4, 4), axis=-1) for at in (cores, np.arange(CORES)))
    return np.abs(here[:, None] - there)
