"""The loop of fine-tuning: what it chooses, writes, refuses and resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sast_deploy.base.errors import CheckpointError, CompileError, TrainingError, UsageError
from sast_deploy.base.text import percent
from sast_deploy.cli import run as run_command
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.quantize import clipping_points
from sast_deploy.data.split import stratified_split
from sast_deploy.engines.reference import run_reference
from sast_deploy.finetuning import FINETUNE, FineRecipe, finetune
from sast_deploy.finetuning.clipping import EVERY, ClippingMemory
from sast_deploy.finetuning.trainer import FineTrainer
from sast_deploy.program.profile import load_profile, parse_profile
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint, to_float_network
from sast_deploy.training.loop import TrainResult
from sast_deploy.training.network.network import NetworkSpec
from sast_deploy.training.recipes import BEST, PAPER
from sast_deploy.training.state import TrainingInterruptedError
from sast_deploy.training.train import train
from tests.tinydata import SHAPE, tiny_set

INT2 = parse_profile(load_profile("loihi-int4").text.replace("bits = 4 ", "bits = 2 "), "test")
QUICK = FINETUNE.recipe(PAPER).replace(epochs=4, lr=0.01, batch=16, ema=0.5)
ALL_OPTIONS = QUICK.replace(
    rho=0.05, label_smoothing=0.1, weight_decay=0.01, weight_limit=3, shift=1, drop=0.1, synops=0.1, k_start=2
)  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that has begun to learn the stripes."""
    path = tmp_path_factory.mktemp("start") / "ckpt.pt"
    plan = PAPER.replace(epochs=2, lr=0.02, batch=16, rho=0)
    train(NetworkSpec("fc", SHAPE, (12, 8), 3), plan, tiny_set(90), path, validation=0.3)
    return path


def run(start: Path, out: Path, plan: FineRecipe = QUICK, **options: Any) -> TrainResult:
    options = {"profile": INT2, "data": tiny_set(), **options}
    return finetune(load_checkpoint(start), recipe=plan, out=out, **options)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.with_name("metrics.jsonl").read_text().splitlines()]


def same(a: Checkpoint, b: Checkpoint) -> bool:
    return all(np.array_equal(a.state[key], b.state[key]) for key in a.state)


def test_it_gains_at_two_bits_and_says_where_it_comes_from(start: Path, tmp_path: Path) -> None:
    out = tmp_path / "stripes" / "ckpt.pt"
    result = run(start, out, QUICK.replace(epochs=8), source="abc")
    found, history = load_checkpoint(result.path), lines(out)
    metrics, origin = found.metrics, found.metrics["finetuned"]
    assert [line["epoch"] for line in history] == list(range(9))
    assert metrics["validation_integer_accuracy"] > origin["validation_integer_accuracy"] + 0.1
    assert metrics["validation_integer_accuracy"] == max(line["integer_accuracy"] for line in history)
    assert (origin["name"], origin["digest"], origin["profile"]) == (start.parent.name, "abc", INT2.name)
    assert (origin["profile_text"], origin["recipe"]["name"]) == (INT2.text, "paper+")
    assert (found.name, found.recipe.name, found.seeds) == (
        "stripes",
        "finetune+",
        {"train": 0, "finetune": 0},
    )
    assert (metrics["training_samples"], metrics["validation_samples"]) == (63, 27)
    assert sorted(p.name for p in out.parent.iterdir()) == ["ckpt.pt", "metrics.jsonl"]


def test_compiling_the_result_gives_the_program_that_was_chosen(start: Path, tmp_path: Path) -> None:
    """The reference, on what the compiler makes of the file, scores what the loop wrote down."""
    data = tiny_set()
    found = load_checkpoint(run(start, tmp_path / "ckpt.pt").path)
    program = compile_network(to_float_network(found), INT2, "x").program
    _, held = stratified_split(data.train.labels, 0.3, 0)
    for frames, labels, accuracy in (
        (data.train.frames[held], data.train.labels[held], found.metrics["validation_integer_accuracy"]),
        (data.test.frames, data.test.labels, found.metrics["test"]["integer"]),
    ):
        assert (run_reference(program, frames).predictions == labels).mean() == accuracy
    compile_network(to_float_network(found), load_profile("loihi-int8"), "x")  # any other profile, too


def test_a_fine_tuning_that_spoils_everything_returns_the_start(start: Path, tmp_path: Path) -> None:
    tuned = run(start, tmp_path / "tuned.pt", overwrite=True)
    result = run(tuned.path, tmp_path / "again" / "ckpt.pt", QUICK.replace(lr=10.0, ema=0.0, epochs=2))
    assert tuned.checkpoint.metrics["epoch"] > 0
    assert result.checkpoint.metrics["epoch"] == 0
    assert same(result.checkpoint, tuned.checkpoint)


def test_equal_accuracies_go_to_the_later_epoch(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accuracies = iter([0.4, 0.5, 0.5, 0.3])
    monkeypatch.setattr(FineTrainer, "start", lambda self: {"integer_accuracy": 0.5, "integer_loss": 1.0})
    monkeypatch.setattr(
        FineTrainer, "validate", lambda self: {"integer_accuracy": next(accuracies), "integer_loss": 1.0}
    )
    assert run(start, tmp_path / "ckpt.pt").checkpoint.metrics["epoch"] == 3


def test_weights_that_the_compiler_refuses_are_no_candidate(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = FineTrainer.validate, []

    def validate(self: FineTrainer) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise CompileError("the bias is 999 LSB")
        return original(self)

    monkeypatch.setattr(FineTrainer, "validate", validate)
    checkpoint = run(start, tmp_path / "ckpt.pt").checkpoint
    line = lines(tmp_path / "ckpt.pt")[2]
    assert (line["integer_accuracy"], line["integer_loss"], line["refused"]) == (
        0.0,
        None,
        "the bias is 999 LSB",
    )
    assert checkpoint.metrics["epoch"] != 2


@pytest.mark.slow
@pytest.mark.parametrize("plan", [QUICK, ALL_OPTIONS], ids=["plain", "all options"])
def test_interrupted_and_resumed_equals_uninterrupted(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: FineRecipe
) -> None:
    whole = run(start, tmp_path / "whole" / "ckpt.pt", plan)
    out, original = tmp_path / "parts" / "ckpt.pt", FineTrainer.epoch

    def epoch(self: FineTrainer, index: int, advance: Any) -> dict[str, float]:
        if index == 2:
            raise KeyboardInterrupt
        return original(self, index, advance)

    with monkeypatch.context() as patch:
        patch.setattr(FineTrainer, "epoch", epoch)
        with pytest.raises(TrainingInterruptedError, match=r"after 2 of 4 epochs.*--resume"):
            run(start, out, plan)
    with pytest.raises(TrainingError, match=r"lr = .* \(now 0\.5\)"):
        run(start, out, plan.replace(lr=0.5), resume=True)
    with pytest.raises(TrainingError, match="unfinished"):
        run(start, out, plan)
    resumed = run(start, out, plan, resume=True)
    assert same(resumed.checkpoint, whole.checkpoint)
    keys = ("integer_accuracy", "integer_loss")
    assert [[line.get(key) for key in keys] for line in lines(out)] == [
        [line.get(key) for key in keys] for line in lines(tmp_path / "whole" / "ckpt.pt")
    ]
    assert run(start, out, plan, resume=True).already_finished
    with pytest.raises(TrainingError, match="seed = 0"):
        run(start, out, plan, seed=1, resume=True)


def test_the_seed_orders_but_does_not_split(start: Path, tmp_path: Path) -> None:
    checkpoint, data = load_checkpoint(start), tiny_set()
    trainers = [FineTrainer(checkpoint, INT2, QUICK, data, seed, "cpu") for seed in (0, 1)]
    assert np.array_equal(trainers[0].held, trainers[1].held)
    assert np.array_equal(trainers[0].held, stratified_split(data.train.labels, 0.3, 0)[1])
    losses = [trainer.epoch(0, lambda: None)["loss"] for trainer in trainers]
    assert losses[0] != losses[1]


def test_the_test_split_decides_nothing(start: Path, tmp_path: Path) -> None:
    data = tiny_set()
    wrong = replace(data, test=replace(data.test, labels=(data.test.labels + 1) % 3))
    one, other = (run(start, tmp_path / d / "c.pt", data=x) for d, x in (("a", data), ("b", wrong)))
    assert same(one.checkpoint, other.checkpoint)
    assert one.checkpoint.metrics["test"]["integer"] + other.checkpoint.metrics["test"]["integer"] <= 1.0


def test_the_recipe_is_the_trained_one_but_for_what_fine_tuning_sets() -> None:
    tuning = FINETUNE.recipe(BEST.replace(batch=64, drop=0.3, prune=0.2))
    assert (tuning.k, tuning.clip) == (FINETUNE.k, FINETUNE.clip)
    found = tuning.training
    assert (found.name, found.batch, found.drop, found.label_smoothing) == ("finetune", 64, 0.3, 0.1)
    assert (found.epochs, found.lr, found.rho, found.ema) == (
        FINETUNE.epochs, FINETUNE.lr, FINETUNE.rho, FINETUNE.ema,
    )  # fmt: skip
    assert (found.k_start, found.prune, found.init, found.forward) == (0.0, 0.0, "torch", "hard")


def test_what_it_refuses(start: Path, tmp_path: Path) -> None:
    out, found = tmp_path / "ckpt.pt", load_checkpoint(start)
    with pytest.raises(UsageError, match=r"prune = 0.5.*expected 0"):
        QUICK.replace(prune=0.5)
    with pytest.raises(CheckpointError, match="validation part"):
        finetune(replace(found, metrics={}), INT2, tiny_set(), QUICK, out)
    data = tiny_set()
    with pytest.raises(UsageError, match="frames of shape"):
        run(start, out, data=replace(data, train=replace(data.train, frames=data.train.frames[:, :2])))
    for options, named in (({"seed": -1}, "seed -1"), ({"device": "tpu"}, "tpu")):
        with pytest.raises(UsageError, match=named):
            run(start, out, **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values", [{"k": float("nan")}, {"clip": float("nan")}, {"clip": float("inf")}, {"k": 0.0}], ids=str
)
def test_values_that_are_no_numbers_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=r"fine-tuning: k = .*expected k above 0"):
        replace(QUICK, **values)  # type: ignore[arg-type]


def test_the_resets_kind_becomes_the_profiles(start: Path, tmp_path: Path) -> None:
    begun = load_checkpoint(start)
    zero = replace(begun, network=replace(begun.network, reset="zero"))
    plan = QUICK.replace(epochs=1)
    found = finetune(zero, INT2, tiny_set(), plan, tmp_path / "ckpt.pt").checkpoint
    assert found.network.reset == "subtract"
    assert to_float_network(found).reset == "subtract"


BEFORE_INT2 = INT2.text.replace('kind = "subtract"', 'kind = "subtract"\norder = "before-leak"')


@pytest.mark.parametrize("order", ["after-leak", "before-leak"])
@pytest.mark.parametrize(
    ("profile", "decides"), [(INT2, False), (parse_profile(BEFORE_INT2, "test"), True)], ids=["open", "fixed"]
)
def test_the_resets_order_is_the_checkpoints_unless_the_profile_has_one(
    start: Path, tmp_path: Path, order: Any, profile: Any, decides: bool
) -> None:
    """The program of the best weights has it, and is right as often as the trainer said."""
    begun = load_checkpoint(start)
    before = replace(begun, network=replace(begun.network, alpha=0.75, reset_order=order))
    plan = QUICK.replace(epochs=1)
    found = finetune(before, profile, tiny_set(), plan, tmp_path / "ckpt.pt").checkpoint
    wanted = "before-leak" if decides else order
    assert found.network.reset_order == wanted
    assert found.metrics["finetuned"]["profile_digest"] == profile.digest
    test, program = tiny_set().test, compile_network(to_float_network(found), profile, "x").program
    assert program.arithmetic.reset_order == wanted
    record = run_reference(program, np.asarray(test.frames[:]))
    assert (record.predictions == test.labels).mean() == found.metrics["test"]["integer"]


def test_the_help_tells_the_defaults(capsys: Any) -> None:
    assert run_command(["finetune", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        f"default {FINETUNE.epochs}.", f"rate; default {FINETUNE.lr:g}.", f"default {FINETUNE.rho:g}, with",
        f"gradient; default {FINETUNE.k:g}.", f"error; default {FINETUNE.clip:g};",
    ):  # fmt: skip
        assert text in shown


def test_the_command(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sast_deploy.data.request.load_recorded", lambda *_, **__: tiny_set())
    (tmp_path / "int2.toml").write_text(INT2.text)
    out = tmp_path / "tuned" / "ckpt.pt"
    arguments = ["finetune", str(start), "--profile", str(tmp_path / "int2.toml"), "--epochs", "2"]
    assert run_command([*arguments, "--lr", "0.01", "--rho", "0.1", "--k", "5", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    metrics = load_checkpoint(out).metrics
    assert f"-> {percent(metrics['validation_integer_accuracy'])} (epoch" in printed
    assert f"-> {percent(metrics['test']['integer'])}" in printed
    assert metrics["setting"]["backward_k"] == 5.0
    assert metrics["setting"]["rho"] == 0.1
    assert len(metrics["finetuned"]["digest"]) == 64
    assert run_command([*arguments, "-o", str(start)]) == 2
    assert "is what this command reads" in capsys.readouterr().err


def test_weights_stay_within_the_clipping_points_of_the_start(start: Path) -> None:
    checkpoint, data = load_checkpoint(start), tiny_set()
    rows = checkpoint.state["layers.1.weight"].astype(np.float64)
    points = clipping_points(rows, INT2.weight_max, "mse")
    for clip, largest in ((1.5, 1.5 * points), (0.0, None)):
        trainer = FineTrainer(checkpoint, INT2, replace(QUICK, clip=clip), data, 0, "cpu")
        before = trainer.network.get_parameter("layers.1.weight").detach().numpy().copy()
        trainer.epoch(0, lambda: None)
        after = np.abs(trainer.network.get_parameter("layers.1.weight").detach().numpy())
        if largest is None:
            assert np.array_equal(before, checkpoint.state["layers.1.weight"])
            assert (after.max(axis=1) > 1.5 * points).any()
        else:
            assert (after <= largest[:, None] * (1 + 1e-6)).all()
            assert np.allclose(np.abs(before).max(axis=1), np.minimum(np.abs(rows).max(axis=1), largest))


def test_remembered_clipping_points_are_searched_anew_now_and_then() -> None:
    """Between two searches a point is the same share of the largest weight; an epoch starts with a search."""
    profile, rng, memory = replace(INT2, clipping="mse"), np.random.default_rng(0), ClippingMemory()
    first, second = rng.normal(size=(2, 3, 50))
    searched = [clipping_points(weights, INT2.weight_max, "mse") for weights in (first, second)]
    found = [np.abs(memory.clamp(0, profile, False, first)).max(axis=1)]
    found += [np.abs(memory.clamp(0, profile, False, second)).max(axis=1) for _ in range(EVERY)]
    share = searched[0] / np.abs(first).max(axis=1)
    assert np.allclose(found[0], searched[0])
    assert np.allclose(found[1], share * np.abs(second).max(axis=1))
    assert np.allclose(found[EVERY - 1], found[1])
    assert np.allclose(found[EVERY], searched[1])
    memory.forget()
    assert np.allclose(np.abs(memory.clamp(0, profile, False, first)).max(axis=1), searched[0])
    assert np.allclose(np.abs(memory.clamp(1, profile, True, first)).max(), clipping_points(
        first.reshape(1, -1), INT2.weight_max, "mse"
    ))  # fmt: skip


def test_a_profile_that_searches_its_clipping_points(start: Path, tmp_path: Path) -> None:
    profile = replace(INT2, clipping="mse")
    found = run(start, tmp_path / "ckpt.pt", profile=profile).checkpoint
    program = compile_network(to_float_network(found), profile, "x").program
    accuracy = (run_reference(program, tiny_set().test.frames).predictions == tiny_set().test.labels).mean()
    assert found.metrics["epoch"] > 0
    assert accuracy == found.metrics["test"]["integer"]
