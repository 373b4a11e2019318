"""SANA-FE runs the networks it is told of: `python sanafe_runner.py JOB.json FOUND.json`.

Nothing of ours is imported. Needs an interpreter that has `sanafe` (2.2.9; GPL-3.0, so it stays in a process
of its own). Energies and times per operation, and the mesh, are those of the wheel's own Loihi description.

JOB.json: {"networks": [network, ...]} with, in each,
    steps: T, of every sample. timing: "simple" or "detailed". traces: whether potentials are asked for.
    inputs: [core, ...], one an input. layers: [layer, ...], the last one too a layer of LIF neurons.
    samples: one list a sample, [step][..] = the inputs that spike.
with a core as [tile, core of the tile], and a layer of
    weight [neuron][input], and recurrent [neuron][neuron] of its own spikes of the step before, or null;
    pairs: "all" of them are synapses, or those of weights that are "nonzero". synapse: the name of the unit
    that has their price. bias, threshold (a neuron fires above it), decay (in 1/4096 a step) and core: one a
    neuron. reset: "hard" or "soft". fired, or null: [sample][step] = the neurons that fire, whatever arrives.
Weights, biases and thresholds are integers; the unit of SANA-FE's fixed-point potential is 1/64.

FOUND.json: {"version": .., "networks": [[sample, ...], ...]} with, in each sample and one value a step of
the chip (T + number of layers of them: layer l, from 0, runs step t of the sample at step t + l + 1),
    energy: {"synapse", "soma", "network", "dendrite", "total"} in J. time in s. messages. hops: [east or
    west, north or south]. spikes [layer][..]: the neurons that fire. potentials [layer][..], after reset, in
    the integers' unit.
Outside its T steps a layer has no bias and cannot fire, so that it computes what a layer that runs without
a pipeline does; its neurons are updated, and priced, at every step all the same.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

UNIT = 64  # of SANA-FE's potential
NEVER = 1 << 30  # a threshold that nothing reaches
TILES = 32
PARTS = ("synapse", "soma", "network", "dendrite", "total")


def architecture(sanafe, inputs):
    """The wheel's Loihi, with as many input units in the cores of each tile as `inputs` wants there.

    It has 1,024 in each of 128 cores, which takes seconds to build. An input neuron needs a unit of its own,
    and is none of the 1,024 neurons that a core may have: inputs are on no core of a mapping.
    """
    text = (Path(sanafe.__file__).parent / "examples" / "loihi.yaml").read_text()
    start = text.index("    - name: loihi_tile[")
    wanted = [0] * TILES
    for tile, core in inputs:
        wanted[tile] = max(wanted[tile], inputs.count([tile, core]))
    tiles = [_tile(text[start:], tile, max(units, 1)) for tile, units in enumerate(wanted)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "architecture.yaml"
        path.write_text(text[:start] + "".join(tiles))
        return sanafe.load_arch(path)


def _tile(text, tile, units):
    text = re.sub(r"loihi_tile\[[^]]*\]", f"loihi_tile[{tile}]", text)
    text = re.sub(r"(?<=max_neurons_supported: )\d+", lambda most: str(int(most[0]) + units), text)
    return re.sub(r"loihi_inputs\[[^]]*\]", f"loihi_inputs[0..{units - 1}]", text).rstrip() + "\n"


class Network:
    """One network on a chip; `run` takes a sample."""

    def __init__(self, sanafe, job):
        self.job, self.layers = job, job["layers"]
        arch = architecture(sanafe, job["inputs"])
        net = sanafe.Network()
        groups = [net.create_neuron_group("a", len(job["inputs"]), log_spikes=True)]
        for number, layer in enumerate(self.layers):
            logs = {"log_spikes": True, "log_potential": job["traces"]}
            groups.append(net.create_neuron_group(chr(ord("b") + number), len(layer["core"]), **logs))
        self._place(arch, groups)
        self._connect(groups)
        self.chip = sanafe.SpikingChip(arch)
        self.chip.load(net)
        self.neurons = [self.chip.mapped_neuron_groups[group.get_name()] for group in groups]

    def _place(self, arch, groups):
        used = {}
        for neuron, (tile, core) in zip(groups[0], self.job["inputs"], strict=True):
            unit = used[tile, core] = used.get((tile, core), -1) + 1
            neuron.set_attributes(soma_hw_name=f"loihi_inputs[{unit}]")
            neuron.map_to_core(arch.tiles[tile].cores[core])
        for group, layer in zip(groups[1:], self.layers, strict=True):
            for neuron, (tile, core), decay in zip(group, layer["core"], layer["decay"], strict=True):
                rules = {"leak_decay": (4096 - decay) / 4096, "input_decay": 0.0, "force_update": True}
                rules |= {"reset_mode": layer["reset"], "threshold": NEVER / UNIT}
                neuron.set_attributes(
                    soma_hw_name="loihi_lif",
                    dendrite_hw_name="loihi_dendrites",
                    default_synapse_hw_name=layer["synapse"],
                    model_attributes=rules,
                )
                neuron.map_to_core(arch.tiles[tile].cores[core])

    def _connect(self, groups):
        for source, target, layer in zip(groups[:-1], groups[1:], self.layers, strict=True):
            every = layer["pairs"] == "all"
            for group, rows in ((source, layer["weight"]), (target, layer["recurrent"] or [])):
                synapses = [(j, i, w) for i, row in enumerate(rows) for j, w in enumerate(row) if every or w]
                weights = {"weight": [w / UNIT for _, _, w in synapses]}
                group.connect_neurons_sparse(target, weights, [(j, i) for j, i, _ in synapses])

    def run(self, number):
        """FOUND.json's values of the sample of that number."""
        sample = self.job["samples"][number]
        self.chip.reset()
        for neurons in self.neurons[1:]:
            self._silence(neurons)
        trains = [[] for _ in self.job["inputs"]]
        for t, spiking in enumerate(sample):
            for j in spiking:
                trains[j] += [0] * (t - len(trains[j])) + [1]
        for neuron, train in zip(self.neurons[0], trains, strict=True):
            neuron.set_attributes(model_attributes={"spikes": train})
        steps = [self._step(number, step) for step in range(self.job["steps"] + len(self.layers))]
        found = {key: [step[key] for step in steps] for key in ("time", "messages", "hops")}
        found["energy"] = {part: [step["energy"][part] for step in steps] for part in PARTS}
        for key in ("spikes", "potentials"):
            found[key] = [list(layer) for layer in zip(*(step[key] for step in steps), strict=True)]
        return found

    def _step(self, sample, step):
        for number, (layer, neurons) in enumerate(zip(self.layers, self.neurons[1:], strict=True)):
            if layer["fired"] is not None and 0 <= step - number - 1 < self.job["steps"]:
                fire = set(layer["fired"][sample][step - number - 1])
                ends = [-NEVER if neuron in fire else NEVER for neuron in range(len(neurons))]
                self._set(neurons, ends, [0] * len(neurons))
            elif step == number + 1:
                self._set(neurons, layer["threshold"], layer["bias"])
            if step == number + 1 + self.job["steps"]:
                self._silence(neurons)
        traces = {"spike_trace": True, "message_trace": True, "potential_trace": self.job["traces"]}
        found = self.chip.sim(1, timing_model=self.job["timing"], processing_threads=1, **traces)
        messages = [message for message in found["message_trace"][0] if not message["placeholder"]]
        hops = [sum(abs(m[f"src_{axis}"] - m[f"dest_{axis}"]) for m in messages) for axis in "xy"]
        kept = {"energy": found["energy"], "time": found["sim_time"], "messages": len(messages), "hops": hops}
        return kept | self._traced(found)

    def _silence(self, neurons):
        self._set(neurons, [NEVER] * len(neurons), [0] * len(neurons))

    @staticmethod
    def _set(neurons, thresholds, biases):
        for neuron, threshold, bias in zip(neurons, thresholds, biases, strict=True):
            neuron.set_attributes(model_attributes={"threshold": threshold / UNIT, "bias": bias / UNIT})

    def _traced(self, found):
        fired = [[] for _ in self.neurons]
        for address in found["spike_trace"][0]:
            fired[ord(address.group_name) - ord("a")].append(address.neuron_offset)
        potentials = [[] for _ in self.layers]
        if self.job["traces"]:
            values = [round(value * UNIT) for value in found["potential_trace"][0]]
            for number, layer in enumerate(self.layers):
                size = len(layer["core"])
                potentials[number], values = values[:size], values[size:]
        return {"spikes": [sorted(layer) for layer in fired[1:]], "potentials": potentials}


def main(job, found):
    """Run the networks of the file `job`; write the file `found`."""
    import sanafe

    networks = []
    for described in json.loads(Path(job).read_text())["networks"]:
        network = Network(sanafe, described)
        networks.append([network.run(number) for number in range(len(described["samples"]))])
    Path(found).write_text(json.dumps({"version": version("sanafe"), "networks": networks}))


if __name__ == "__main__":
    os.dup2(2, 1)  # SANA-FE reports its progress
    main(*sys.argv[1:])
