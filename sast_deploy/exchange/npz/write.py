"""`--to npz`: a network as NumPy arrays and one JSON of rules, with a runner that needs NumPy alone."""

from __future__ import annotations

import io
import json
from importlib.resources import files
from typing import Any

import numpy as np

from sast_deploy.base.text import filled
from sast_deploy.exchange.artefacts import Artefacts, Part
from sast_deploy.exchange.c.widths import widths_of
from sast_deploy.exchange.subject import Subject
from sast_deploy.program.program import Program, Readout, layer_label


def write_npz(subject: Subject) -> Artefacts:
    """network.npz, run.py and README.md. Raises CompileError where int64 does not hold a value."""
    program, answers = subject.program, subject.answers
    widths_of(program)  # the runner computes in int64
    arrays: dict[str, Any] = {"rules": np.array(json.dumps(rules_of(program), indent=1))}
    parts = []
    for number, layer in enumerate(program.layers):
        own = {f"layer{number}_{name}": value for name, value in arrays_of(layer).items()}
        parts.append(Part(layer_label(number, layer), sum(value.nbytes for value in own.values()), 0))
        arrays |= own
    for name in ("frames", "membranes", "spikes", "logits"):
        arrays[f"known_{name}"] = getattr(answers, name)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    here = files(__package__)
    made = {
        "network.npz": buffer.getvalue(),
        "run.py": (here / "run.py").read_bytes(),
        "README.md": filled((here / "README.md").read_text("utf-8"), {"DIGEST": program.digest()}).encode(),
    }
    return Artefacts(made, tuple(parts), "python run.py")


def arrays_of(layer: Any) -> dict[str, Any]:
    """The arrays of a layer by the names of their fields, int32."""
    return {name: value for name, value in vars(layer).items() if isinstance(value, np.ndarray)}


def rules_of(program: Program) -> dict[str, Any]:
    """All of a program that is no array, for JSON."""
    rules, last = program.arithmetic, program.layers[-1]
    layers = []
    for layer, shape in zip(program.layers, program.shapes()[1:], strict=True):
        plain = {name: value for name, value in vars(layer).items() if isinstance(value, int | str | tuple)}
        layers.append({"kind": layer.kind, "out_shape": shape, "arrays": list(arrays_of(layer)), **plain})
    return {
        "name": program.name, "digest": program.digest(), "input_shape": program.input_shape,
        "input_min": program.input_min, "input_max": program.input_max, "steps": program.steps,
        "classes": program.classes, "reset_interval": program.reset_interval,
        "state_bits": rules.state.bits, "state_fraction_bits": rules.state.fraction_bits,
        "weight_bits": rules.weight_bits, "overflow": rules.overflow, "leak_rounding": rules.leak_rounding,
        "shift_rounding": rules.shift_rounding, "comparison": rules.comparison, "reset": rules.reset,
        "reset_order": rules.reset_order,
        "decoding": last.decoding if isinstance(last, Readout) else "count", "layers": layers,
    }  # fmt: skip
