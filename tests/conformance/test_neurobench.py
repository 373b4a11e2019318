"""NeuroBench 2.3.0 beside us: it measures programs as torch modules, in a process of its own Python."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from sast_deploy.engines.reference import run_reference
from sast_deploy.engines.vectorised import run_vectorised
from sast_deploy.program.program import Dense, Readout, frozen_ints
from sast_deploy.reports.costs.neurobench import neurobench
from tests.anyprogram import Seeded, any_frames, any_program
from tests.programs import conv_program, decoder_program, fc_program, random_frames, rich_program
from tests.witness.cases import VARIABLE, interpreter

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        interpreter("neurobench") is None, reason=f"no Python with neurobench: {VARIABLE} names one"
    ),
]
RUNNER = Path(__file__).parents[1] / "witness" / "neurobench_runner.py"
PROGRAMS, SAMPLES, STEPS = 30, 7, 20
BATCHES = (7, 1, 3)  # all together, each for itself, and with a rest
STORED = ("weight", "recurrent", "bias", "vth")  # as parameters and buffers
SCALARS = (
    "kind", "weight_exp", "stride", "padding", "dilation", "groups", "reset_offset", "decoding", "kernel",
    "exponent", "factors",
)  # fmt: skip


def several_delays(program):
    """Whether synapses of one input have different delays, which takes several modules."""
    return any(getattr(layer, "delay", np.zeros(1)).ndim == 2 for layer in program.layers)


def any_cases():
    """(program, frames) of every kind, of few steps; their inputs are binary, graded and empty."""
    found, seed = [], 0
    while len(found) < PROGRAMS:
        choose, seed = Seeded(13, seed), seed + 1
        program = any_program(choose, upsamples=True, orders=True, integrates=seed % 2 == 0)
        if program.steps <= STEPS and not several_delays(program):
            found.append((program, any_frames(choose, program, SAMPLES)))
    return found


def made_cases():
    """FC networks, the large one as it is deployed, convolutions, upsamplings, a recurrence with delays."""
    rng = np.random.default_rng(13)
    large = fc_program(rng, shape=(2, 34, 34), hidden=(168, 64), classes=10, steps=10, exponent=-3)
    rich = rich_program(rng)
    layers = [
        replace(layer, delay=layer.delay[0]) if layer.kind == "dense" and layer.delay.ndim == 2 else layer
        for layer in rich.layers
    ]
    rich = replace(rich, layers=tuple(layers))
    wide = fc_program(rng)
    last = replace(wide.layers[-1], bias=frozen_ints([-1715, 1527, 8]))  # beyond the 8 bits of a state
    wide = replace(wide, layers=(*wide.layers[:-1], last))
    programs = [fc_program(rng), large, wide, conv_program(rng), decoder_program(rng), rich]
    return [(program, random_frames(rng, program, SAMPLES, 0.1)) for program in programs]


def stored(values, bits):
    """In the narrowest integers of so many bits that hold them."""
    kinds = [np.dtype(f"int{size}") for size in (8, 16, 32) if size >= bits]
    return next(values.astype(kind) for kind in kinds if np.array_equal(values.astype(kind), values))


def described(number, program, frames):
    """A network for the runner, and its arrays by name."""
    rules, arrays, layers = program.arithmetic, {f"{number}.frames": frames}, []
    for index, layer in enumerate(program.layers):
        has = {name: getattr(layer, name) for name in (*STORED, *SCALARS, "v_decay", "u_decay", "delay")
               if getattr(layer, name, None) is not None}  # fmt: skip
        layers.append({name: value for name, value in has.items() if name in SCALARS})
        for name in has.keys() - layers[-1].keys():
            bits = rules.weight_bits if name in STORED[:2] else rules.state.bits
            values = stored(has[name], bits) if name in STORED else has[name].astype(np.int64)
            arrays[f"{number}.{index}.{name}"] = values
    words = {**asdict(rules), "state_bits": rules.state.bits}
    network = {
        "rules": words, "reset_interval": program.reset_interval, "layers": layers, "batches": BATCHES
    }  # fmt: skip
    return network, arrays


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """[(program, frames, what the runner found)]; one process for all."""
    cases, folder = made_cases() + any_cases(), tmp_path_factory.mktemp("neurobench")
    jobs = [described(number, *case) for number, case in enumerate(cases)]
    arrays = {name: values for _, each in jobs for name, values in each.items()}
    np.savez(folder / "job.npz", networks=json.dumps([network for network, _ in jobs]), **arrays)
    command = [interpreter("neurobench"), RUNNER, folder / "job.npz", folder / "found.json"]
    ran = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    results = json.loads((folder / "found.json").read_text())
    return [(*case, result) for case, result in zip(cases, results, strict=True)]


def test_the_modules_are_the_programs(found):
    """So that what NeuroBench measures is measured of ours."""
    for program, frames, result in found:
        run = run_vectorised if program.name == "fc" else run_reference
        record = run(program, frames)
        assert record.logits.tolist() == result["logits"]
        assert [count.tolist() for count in record.counts] == result["counts"]


def test_every_metric_is_neurobenchs(found):
    """Equal; of activation sparsity NeuroBench sums each batch's share, and so rounds it."""
    for program, frames, result in found:
        for batch, theirs in zip(BATCHES, result["results"], strict=True):
            ours = neurobench(program, frames, batch=batch).results()
            sparsity = theirs.pop("ActivationSparsity")
            assert ours.pop("ActivationSparsity") == pytest.approx(sparsity, rel=1e-12)
            assert ours == theirs


def test_without_a_batch_the_operations_are_as_many(found):
    for program, frames, result in found:
        ours = neurobench(program, frames)
        for theirs in result["results"]:
            operations = theirs["SynapticOperations"]
            total = operations["Effective_MACs"] + operations["Effective_ACs"]
            assert ours.effective_macs + ours.effective_acs == pytest.approx(total, rel=1e-12)


def test_the_cases_are_of_every_kind(found):
    """Among them those in which the batch decides between MACs and ACs, and what counts beside weights."""
    programs = [program for program, _, _ in found]
    kinds = {layer.kind for program in programs for layer in program.layers}
    assert kinds == {"dense", "conv", "pool", "upsample", "readout"}
    operations = [
        [each["SynapticOperations"]["Effective_MACs"] for each in result["results"]] for _, _, result in found
    ]
    assert sum(len(set(macs)) > 1 for macs in operations) > 2
    assert any(program.reset_interval and program.steps > program.reset_interval for program in programs)
    assert any(not isinstance(program.layers[-1], Readout) for program in programs)
    hidden = [layer for program in programs for layer in program.layers if isinstance(layer, Dense)]
    assert any(layer.recurrent is not None for layer in hidden)
    assert any(layer.delay.any() for layer in hidden)
