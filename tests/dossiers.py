"""Dossiers made by hand in a moment: a small compiled network, every section filled, any names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import sast_deploy as sast
from sast_deploy.reports import dossier as facts
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.dossier import (
    HARD,
    INTEGERS,
    TRAINED,
    Curve,
    Dossier,
    EngineCheck,
    Histogram,
    LayerMargins,
    LayerRow,
    LayerSaturation,
    LayerWeights,
    Manifest,
    NetworkFacts,
    Point,
    Recording,
    Rung,
)
from sast_deploy.reports.suggestions import Suggestion, Suggestions
from sast_deploy.studies.dossier.choice import choose

STEPS, CLASSES = 4, 2
FRAMES = np.random.default_rng(0).integers(0, 2, (6, STEPS, 2, 3, 3))


def network() -> sast.Net:
    """Two layers on 2 x 3 x 3 inputs."""
    rng = np.random.default_rng(1)
    layers = [sast.FloatDense(rng.normal(size=(5, 18)), leak=0.5), sast.FloatReadout(rng.normal(size=(2, 5)))]
    return sast.compile(sast.FloatNetwork(layers, (2, 3, 3), steps=STEPS), name="small")


NET = network()
COST = sast.cost(NET, FRAMES)
INSPECTION = sast.inspect(NET)
TRACE = sast.trace(NET, FRAMES, sample=1)


def suggestions(accuracy: Accuracy | None = None) -> Suggestions:
    """A change that mends everything, and one that loses more."""
    share = accuracy or Accuracy(88, 100)
    tried = tuple(
        Suggestion(change, f"compile ckpt.pt {change}", ("reset",), "fits", True, 2, share, lost, 0.5, "")
        for change, lost in (("reset to zero", -4.0), ("Loihi 2 instead", 0.0))
    )
    return Suggestions("loihi1", "does not fit", False, 2, ("reset: it subtracts",), share, 100, tried, ())


def histograms() -> tuple[Histogram, ...]:
    """Of what was trained and of the integers."""
    edges = np.arange(5, dtype=np.float64) - 2
    return tuple(Histogram(of, edges, np.arange(4, dtype=np.int64)) for of in (TRAINED, INTEGERS))


def network_facts(name: str = "small", *, correct: int = 90, **changes: Any) -> NetworkFacts:
    """Facts of NET, of 100 samples of which so many are right; `changes`: of any field."""
    accuracy = Accuracy(correct, 100)
    curve = Curve("drop", INTEGERS, 100, 3, (Point(0.0, 0.9, 0.9, 0.9), Point(0.1, 0.8, 0.7, 0.85)))
    made = NetworkFacts(
        name=name, source="small.net", profile="loihi-int8", weight_bits=8, steps=STEPS,
        kind=facts.SIMULATED, data="SIMULATED: noise", samples=100, accuracy=accuracy,
        classes=("left", "right"),
        ladder=(Rung(HARD, Accuracy(92, 100)), Rung("INT8", accuracy, reported=True)),
        checks=tuple(EngineCheck(name, "known answers", 4, 100) for name in ("reference", "fast")),
        unseen=(),
        layers=(
            LayerRow("0", "dense", (5,), 5, 90, 80, 0.25, 70.0, 60.0, 360, 800, 1),
            LayerRow("1", "readout", (2,), 2, 10, 9, None, 10.0, 9.0, 40, 90, 1),
        ),
        inspection=INSPECTION, cost=COST,
        manifest=Manifest(
            (("network", "small.net", "0" * 64),), {"python": "3"}, {"samples": "100 of 100"},
            ("sast-deploy verify small.net",),
        ),
        suggestions=suggestions(), confusion=np.array([[45, 5], [5, 45]]), right=np.arange(100) < correct,
        mistakes=(Recording("sample 3", "left", "right", 7, np.arange(18).reshape(2, 3, 3)),),
        traces=(TRACE, replace(TRACE, what="another", label=0)),
        weights=(LayerWeights("layer 0 (dense)", 0.1, 0.02, -128, 127, histograms()),),
        margins=(LayerMargins("layer 0 (dense)", {TRAINED: 0.1, INTEGERS: 0.2}, histograms()),),
        saturation=(LayerSaturation("layer 0 (dense)", 3, 100, 2, 5),), looked_at=100,
        curves=(curve, replace(curve, kind="noise"), replace(curve, of=TRAINED)),
    )  # fmt: skip
    return replace(made, **changes)


def several(*correct: int) -> Dossier:
    """Networks a, b, ... of which the first costs least, each with so many right of 100."""
    networks = [
        network_facts(chr(ord("a") + number), correct=count, traces=(), layers=tuple(
            replace(layer, synops=layer.synops * (number + 1)) for layer in network_facts().layers
        ))
        for number, count in enumerate(correct)
    ]  # fmt: skip
    return Dossier(tuple(networks), choose(networks))
