"""Trainings with the options that change the step: forward, pairing, sharpness, init, synops, prune."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import TrainingError, UsageError
from sast_deploy.compiler import compile_network
from sast_deploy.engines.fast import FastEngine
from sast_deploy.program.profile import load_profile
from sast_deploy.training.checkpoint import load_checkpoint, to_float_network
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.loop import TrainResult
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import ADDED_LATER, Recipe
from sast_deploy.training.state import TrainingInterruptedError, Unfinished, differences
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer
from tests.tinydata import SHAPE, tiny_set
from tests.unit.test_train import ALL_OPTIONS, QUICK, SPEC, InterruptAt, same

CONV = NetworkSpec("conv", SHAPE, (4, 5), 3, strides=(2, 1))
PRUNED = ALL_OPTIONS.replace(epochs=6, prune=0.5, sharpness="asam")


def run(out: Path, plan: Recipe, spec: NetworkSpec = SPEC, **options: Any) -> TrainResult:
    return train(spec, plan, tiny_set(), out, **options)


@pytest.mark.parametrize(
    ("plan", "losses", "size"),
    [
        (QUICK, [1.1104264, 1.0322273, 0.8903490, 0.8008301], 3.7739806),
        (ALL_OPTIONS, [1.1195762, 1.0577565, 0.9925932, 0.9506459], 4.9024854),
    ],
    ids=["plain", "all older options"],
)
def test_todays_defaults_train_as_they_always_did(
    tmp_path: Path, plan: Recipe, losses: list[float], size: float
) -> None:
    """Figures of the trainer from before any of the newer options.

    Processors round differently, and with k = 25 that grows: first weights times 1 + 1e-7 change these losses
    by 6e-7, 6e-4, 0.03 and 0.03 of themselves. So the first epoch, a handful of steps, is held to its digits.
    """
    state = run(tmp_path / "ckpt.pt", plan).checkpoint.state
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    for line, loss, tolerance in zip(lines, losses, (1e-5, 5e-3, 0.1, 0.1), strict=True):
        assert line["loss"] == pytest.approx(loss, rel=tolerance)
    assert float(np.linalg.norm(state["layers.0.weight"])) == pytest.approx(size, rel=0.1)


OPTIONS: list[dict[str, float | str]] = [
    {"sharpness": "asam"}, {"pairing": "same"}, {"forward": "hard"}, {"init": "lsuv"}, {"synops": 0.5},
    {"prune": 0.5},
]  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    out = tmp_path_factory.mktemp("plain") / "ckpt.pt"
    return run(out, QUICK.replace(epochs=12, drop=0.1, shift=0.5)).checkpoint.state


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_changes_the_training_and_it_still_learns(
    tmp_path: Path, plain: dict[str, np.ndarray], options: dict[str, float | str]
) -> None:
    plan = QUICK.replace(epochs=12, drop=0.1, shift=0.5)
    changed = run(tmp_path / "ckpt.pt", plan.replace(**options)).checkpoint
    assert not same(changed.state, plain)
    assert changed.metrics["validation_hard_accuracy"] > 0.6
    assert load_checkpoint(tmp_path / "ckpt.pt").recipe == plan.replace(**options)


def test_the_same_minibatch_twice_is_fetched_once() -> None:
    plan = QUICK.replace(pairing="same", drop=0.2)
    trainer = Trainer(SPEC, plan, tiny_set(), 0, 0.15, "cpu")
    fetched, seen = trainer.feeder.inputs, []
    trainer.feeder.inputs = lambda i, *rest: seen.append(list(i)) or fetched(i, *rest)  # type: ignore
    losses, original = [], trainer._loss
    trainer._loss = lambda fetch, k: losses.append(fetch()) or original(fetch, k)  # type: ignore
    trainer.epoch(0, lambda: None)
    assert sorted(i for part in seen for i in part) == sorted(trainer.fitted)
    assert all(a[0] is b[0] for a, b in zip(losses[::2], losses[1::2], strict=True))
    assert len(losses) == 2 * trainer.steps


def test_without_a_climb_the_pairing_is_nothing(tmp_path: Path) -> None:
    plan = QUICK.replace(rho=0.0, drop=0.1)
    results = [
        run(tmp_path / pairing / "ckpt.pt", plan.replace(pairing=pairing)).checkpoint.state
        for pairing in ("independent", "same")
    ]
    assert same(*results)


def test_straight_through_trains_the_network_that_is_deployed() -> None:
    """The loss of a step is that of hard spikes, and the first layer still gets a gradient."""
    trainer = Trainer(SPEC, QUICK.replace(forward="hard", init="lsuv"), tiny_set(), 0, 0.15, "cpu")
    x, y = trainer.feeder.batch(trainer.fitted)
    loss = trainer._loss(lambda: (x, y), 25.0)
    with torch.no_grad():
        hard = torch.nn.functional.cross_entropy(trainer.network(x, hard=True), y)
    assert float(loss.detach()) == float(hard)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(trainer.network.layers[0].weight.grad.norm()) > 0.0


@pytest.mark.slow
def test_the_penalty_lowers_the_rates(tmp_path: Path) -> None:
    rates = [
        evaluate(
            run(tmp_path / str(weight) / "c.pt", QUICK.replace(epochs=12, synops=weight)).checkpoint,
            tiny_set().test,
        ).hard_rates
        for weight in (0.0, 3.0)
    ]  # fmt: skip
    assert sum(rates[1]) < 0.8 * sum(rates[0])


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "small"), [(SPEC, (6, 8)), (CONV, (2, 5))], ids=["fc", "conv"])
def test_pruned_neurons_are_gone_from_the_checkpoint(
    tmp_path: Path, spec: NetworkSpec, small: tuple[int, ...]
) -> None:
    result = run(tmp_path / "ckpt.pt", PRUNED, spec)
    checkpoint = load_checkpoint(result.path)
    assert checkpoint.network == replace(spec, hidden=small)
    assert checkpoint.state["layers.0.weight"].shape[0] == checkpoint.state["theta_0"].shape[0] == small[0]
    assert to_float_network(checkpoint).layers[0].weight.shape[0] == small[0]
    assert checkpoint.metrics["epoch"] >= 3  # cut at the start of epochs 2 and 3 of 6
    assert run(tmp_path / "ckpt.pt", PRUNED, spec, resume=True).already_finished
    result = evaluate(checkpoint, tiny_set().test)
    assert checkpoint.metrics["test"]["hard"] == result.hard_accuracy


def test_an_epoch_before_the_last_cut_is_never_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = iter(np.linspace(0.9, 0.1, 6))
    monkeypatch.setattr(
        Trainer,
        "validate",
        lambda _: {"surrogate_accuracy": 0.0, "hard_accuracy": next(falling), "hard_loss": 1.0},
    )
    checkpoint = run(tmp_path / "ckpt.pt", PRUNED).checkpoint
    assert (checkpoint.metrics["epoch"], checkpoint.network.hidden) == (3, (6, 8))


def test_a_cut_leaves_running_mean_and_moments_of_the_rest_as_they_were() -> None:
    trainer = Trainer(SPEC, PRUNED, tiny_set(), 0, 0.15, "cpu")
    trainer.epoch(0, lambda: None)
    before = {name: value.clone() for name, value in trainer.mean.items()}
    moment = trainer.optimizer.state[trainer.network.readout.weight]["exp_avg"].clone()
    trainer._prune(1)  # 12 (1/2) (1 - (1 - 1/6)^3) = 2.5 neurons
    assert trainer.network.spec.hidden == (9, 8)
    assert {len(trainer.mean[f"layers.0.{part}"]) for part in ("weight", "bias")} == {9}
    for name in ("readout.weight", "readout.bias", "theta_1"):
        assert torch.equal(trainer.mean[name], before[name])
    assert not torch.equal(trainer.mean["readout.weight"], trainer.network.readout.weight)
    assert torch.equal(trainer.optimizer.state[trainer.network.readout.weight]["exp_avg"], moment)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "stop"), [(SPEC, 1), (SPEC, 2), (SPEC, 3), (CONV, 2)])
def test_pruned_interrupted_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: NetworkSpec, stop: int
) -> None:
    whole = run(tmp_path / "whole" / "ckpt.pt", PRUNED, spec).checkpoint
    out = tmp_path / "parts" / "ckpt.pt"
    with monkeypatch.context() as patch:
        InterruptAt(patch, stop)
        with pytest.raises(TrainingInterruptedError):
            run(out, PRUNED, spec)
    parts = run(out, PRUNED, spec, resume=True).checkpoint
    assert same(whole.state, parts.state)
    assert whole.metrics["epoch"] == parts.metrics["epoch"]


def test_pruning_needs_two_epochs() -> None:
    with pytest.raises(UsageError, match=r"prune = 0\.5 in one epoch"):
        QUICK.replace(epochs=1, prune=0.5)


@pytest.mark.slow
def test_reset_to_zero_trains_and_is_evaluated_as_such(tmp_path: Path) -> None:
    spec = replace(SPEC, reset="zero")
    checkpoint = load_checkpoint(run(tmp_path / "ckpt.pt", QUICK.replace(epochs=12), spec).path)
    assert checkpoint.network.reset == "zero"
    test = tiny_set().test
    zero = evaluate(checkpoint, test)
    other = evaluate(replace(checkpoint, network=SPEC), test)
    assert zero.hard_accuracy > 0.8
    assert zero.hard_rates != other.hard_rates
    with pytest.raises(TrainingError, match=r"reset = zero \(now subtract\)"):
        run(tmp_path / "ckpt.pt", QUICK.replace(epochs=12), SPEC, resume=True)


def test_a_reset_before_the_leak_trains_and_is_compiled_as_such(tmp_path: Path) -> None:
    """At INT8 the integers do what the trained network's hard spikes do, and the other order does not."""
    spec = replace(SPEC, alpha=0.75, reset_order="before-leak")
    checkpoint = load_checkpoint(run(tmp_path / "ckpt.pt", QUICK.replace(epochs=12), spec).path)
    assert checkpoint.network.reset_order == "before-leak"
    test = tiny_set().test
    found = evaluate(checkpoint, test)
    after = replace(checkpoint, network=replace(spec, reset_order="after-leak"))
    assert found.hard_accuracy > 0.8
    assert found.surrogate_rates != evaluate(after, test).surrogate_rates
    program = compile_network(to_float_network(checkpoint), load_profile("loihi-int8"), "x").program
    assert program.arithmetic.reset_order == "before-leak"
    record = FastEngine(program).run(np.asarray(test.frames[:]))
    assert (record.predictions == test.labels).mean() == pytest.approx(found.hard_accuracy, abs=0.05)
    with pytest.raises(TrainingError, match=r"reset_order = before-leak \(now after-leak\)"):
        run(tmp_path / "ckpt.pt", QUICK.replace(epochs=12), after.network, resume=True)


def test_a_training_from_before_the_newer_options_can_be_resumed() -> None:
    new = {**SPEC.to_dict(), **QUICK.to_dict()}
    old = {key: value for key, value in new.items() if key not in {*ADDED_LATER, "reset", "reset_order"}}
    assert differences(old, new) == ""
    assert differences(old, {**new, "prune": 0.5}) == "prune = 0.0 (now 0.5)"


def test_moments_lie_in_memory_as_the_weights_do() -> None:
    """The fused AdamW walks through memory: moments of another layout would belong to other weights."""
    trainers = [Trainer(CONV, QUICK.replace(rho=0.0), tiny_set(), 0, 0.15, "cpu") for _ in range(2)]
    trainers[0].epoch(0, lambda: None)
    state = Unfinished()
    trainers[0].capture(state)
    moments = {
        index: {key: value.contiguous().clone() for key, value in entry.items()}
        for index, entry in state.optimizer["state"].items()
    }
    state.optimizer = {**state.optimizer, "state": moments}
    trainers[1].restore(state)
    for trainer in trainers:
        trainer.epoch(1, lambda: None)
    assert not trainers[1].network.layers[1].weight.is_contiguous()
    assert same(*({k: v.numpy() for k, v in t.network.state_dict().items()} for t in trainers))
