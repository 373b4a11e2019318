from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import TrainingError, UsageError
from sast_deploy.base.eventframes import EventFrames
from sast_deploy.base.progress import observe
from sast_deploy.data import FrameSet
from sast_deploy.show.terminal import Terminal
from sast_deploy.training.batches import BatchFeeder, EventFeeder, fitting_threads, minibatches, pick_device
from sast_deploy.training.checkpoint import load_checkpoint
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.loop import TrainResult
from sast_deploy.training.network.network import Network, NetworkSpec
from sast_deploy.training.network.sparse import EventInput
from sast_deploy.training.recipes import PAPER, Recipe
from sast_deploy.training.state import TrainingInterruptedError
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer, limit_weights
from tests.tinydata import SHAPE, tiny_set

SPEC = NetworkSpec("fc", SHAPE, (12, 8), 3)
QUICK = PAPER.replace(epochs=4, lr=0.02, batch=16, rho=0.05)
ALL_OPTIONS = QUICK.replace(
    k_start=3, label_smoothing=0.1, weight_decay=0.01, weight_limit=3, ema=0.9, shift=1, rotate=5, scale=0.1,
    shear=0.1, drop=0.1,
)  # fmt: skip


def run(out: Path, plan: Recipe = QUICK, data: FrameSet | None = None, **options: Any) -> TrainResult:
    return train(SPEC, plan, data or tiny_set(), out, **options)


def weights(path: Path) -> dict[str, np.ndarray]:
    return load_checkpoint(path).state


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)


class InterruptAt:
    """Makes `Trainer.epoch` raise KeyboardInterrupt at the start of epoch `index`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, index: int) -> None:
        original = Trainer.epoch

        def epoch(trainer: Trainer, number: int, advance: Any) -> dict[str, float]:
            if number == index:
                raise KeyboardInterrupt
            return original(trainer, number, advance)

        monkeypatch.setattr(Trainer, "epoch", epoch)


def test_it_learns_and_writes_what_it_says(tmp_path: Path) -> None:
    result = run(tmp_path / "stripes" / "ckpt.pt", QUICK.replace(epochs=12))
    lines = [json.loads(line) for line in (tmp_path / "stripes" / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    accuracies = {"surrogate_accuracy", "hard_accuracy", "hard_loss"}
    assert set(lines[0]) == {"epoch", "loss", "grad_norm", "step_ms", "k", "lr", "seconds"} | accuracies
    assert lines[-1]["loss"] < lines[0]["loss"] / 2
    checkpoint = load_checkpoint(result.path)
    assert checkpoint.name == "stripes"
    assert checkpoint.metrics["validation_hard_accuracy"] > 0.8
    assert (checkpoint.metrics["training_samples"], checkpoint.metrics["validation_samples"]) == (81, 9)
    assert checkpoint.metrics["step_ms"] == pytest.approx(
        np.median([line["step_ms"] for line in lines]), abs=2e-3
    )
    assert checkpoint.metrics["step_ms"] > 0 < checkpoint.metrics["peak_memory_mb"] < 100_000
    assert not {"step_ms", "peak_memory_mb"} & set(checkpoint.metrics["setting"])
    assert (checkpoint.recipe.epochs, checkpoint.seeds, checkpoint.data) == (
        12,
        {"train": 0},
        tiny_set().info,
    )
    assert sorted(p.name for p in result.path.parent.iterdir()) == ["ckpt.pt", "metrics.jsonl"]


def test_the_checkpoint_is_the_epoch_with_the_best_hard_accuracy(tmp_path: Path) -> None:
    metrics = run(tmp_path / "ckpt.pt", QUICK.replace(epochs=12)).checkpoint.metrics
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    best = max(lines, key=lambda line: (line["hard_accuracy"], -line["hard_loss"], line["epoch"]))
    assert metrics["epoch"] == best["epoch"]
    assert metrics["validation_hard_accuracy"] == best["hard_accuracy"]


@pytest.mark.parametrize(
    ("validated", "best"),
    [
        ([(0.5, 0.9), (0.9, 0.8), (0.8, 0.1), (0.7, 0.1)], 2),  # the accuracy decides
        ([(0.9, 0.3), (0.9, 0.1), (0.9, 0.2), (0.8, 0.0)], 2),  # then the loss
        ([(0.9, 0.3), (0.9, 0.1), (0.9, 0.1), (0.9, 0.2)], 3),  # then the later epoch
    ],
)
def test_ties_go_to_the_lower_loss_and_then_to_the_later_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, validated: list[tuple[float, float]], best: int
) -> None:
    seen = []

    def validate(trainer: Trainer) -> dict[str, float]:
        accuracy, loss = validated[len(seen)]
        seen.append(trainer.saved_weights())
        return {"surrogate_accuracy": 0.0, "hard_accuracy": accuracy, "hard_loss": loss}

    monkeypatch.setattr(Trainer, "validate", validate)
    checkpoint = run(tmp_path / "ckpt.pt").checkpoint
    assert checkpoint.metrics["epoch"] == best
    assert same(checkpoint.state, {key: value.numpy() for key, value in seen[best - 1].items()})


@pytest.mark.slow
@pytest.mark.parametrize("plan", [QUICK, ALL_OPTIONS], ids=["plain", "all options"])
def test_the_seed_decides_everything(tmp_path: Path, plan: Recipe) -> None:
    torch.manual_seed(1)
    run(tmp_path / "a.pt", plan, seed=3)
    torch.manual_seed(2)
    run(tmp_path / "b" / "b.pt", plan, seed=3)
    run(tmp_path / "c" / "c.pt", plan, seed=4)
    assert same(weights(tmp_path / "a.pt"), weights(tmp_path / "b" / "b.pt"))
    assert not same(weights(tmp_path / "a.pt"), weights(tmp_path / "c" / "c.pt"))


@pytest.mark.slow
def test_rho_zero_is_plain_adam(tmp_path: Path) -> None:
    """The same trajectory as a loop with torch's own Adam over the same minibatches, bit for bit."""
    data, plan = tiny_set(), QUICK.replace(rho=0, epochs=2)
    ours, plain = (Trainer(SPEC, plan, data, 0, 0.15, "cpu") for _ in range(2))
    adam = torch.optim.Adam(plain.network.parameters(), plan.lr, fused=True)
    for epoch in range(2):
        ours.epoch(epoch, lambda: None)
        adam.param_groups[0]["lr"] = plan.learning_rate(epoch)
        for indices in minibatches(plain.fitted, plan.batch, np.random.default_rng((0, epoch, 1))):
            x, y = plain.feeder.batch(indices)
            adam.zero_grad()
            torch.nn.functional.cross_entropy(plain.network(x), y).backward()  # type: ignore[no-untyped-call]
            adam.step()
    for a, b in zip(ours.network.parameters(), plain.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_climb_and_the_descent_see_independent_minibatches() -> None:
    """Both passes see every fitted sample once an epoch, in unrelated orders."""
    orders = [
        np.concatenate(minibatches(np.arange(90), 16, np.random.default_rng((0, 5, s)))) for s in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(90))
    assert (orders[0] == orders[1]).sum() < 8
    seen: list[list[int]] = []
    trainer = Trainer(SPEC, QUICK, tiny_set(), 0, 0.15, "cpu")
    original = trainer.feeder.inputs
    trainer.feeder.inputs = lambda i, *rest: seen.append(list(i)) or original(i, *rest)  # type: ignore
    trainer.epoch(0, lambda: None)
    climbed, descended = (sorted(i for batch in part for i in batch) for part in (seen[::2], seen[1::2]))
    assert climbed == descended == sorted(trainer.fitted)
    assert all(a != b for a, b in zip(seen[::2], seen[1::2], strict=True))


def test_the_test_split_decides_nothing_and_is_measured_once(tmp_path: Path) -> None:
    data = tiny_set()
    wrong = replace(data, test=replace(data.test, labels=(data.test.labels + 1) % 3))
    right, misled = run(tmp_path / "a" / "ckpt.pt", data=data), run(tmp_path / "b" / "ckpt.pt", data=wrong)
    for key, value in right.checkpoint.state.items():
        assert np.array_equal(value, misled.checkpoint.state[key])
    measured = right.checkpoint.metrics["test"]
    assert measured["samples"] == len(data.test)
    assert measured["hard"] == evaluate(right.checkpoint, data.test).hard_accuracy
    assert measured["hard"] + misled.checkpoint.metrics["test"]["hard"] <= 1.0


def test_fitted_and_held_are_apart_and_stratified() -> None:
    data = tiny_set()
    trainer = Trainer(SPEC, QUICK, data, 0, 0.2, "cpu")
    assert not set(trainer.fitted) & set(trainer.held)
    assert np.bincount(data.train.labels[trainer.held]).tolist() == [6, 6, 6]


def test_minibatches_are_even() -> None:
    sizes = [len(b) for b in minibatches(np.arange(100), 32, np.random.default_rng(0))]
    assert sizes == [25, 25, 25, 25]


def test_interrupted_and_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "whole" / "ckpt.pt", ALL_OPTIONS)
    out = tmp_path / "parts" / "ckpt.pt"
    with monkeypatch.context() as patch:
        InterruptAt(patch, 2)
        with pytest.raises(TrainingInterruptedError, match=r"after 2 of 4 epochs.*--resume") as caught:
            run(out, ALL_OPTIONS)
    assert caught.value.exit_code == 130
    assert sorted(p.name for p in out.parent.iterdir()) == ["metrics.jsonl", "resume.pt"]
    torch.manual_seed(99)
    run(out, ALL_OPTIONS, resume=True)
    assert same(weights(out), weights(tmp_path / "whole" / "ckpt.pt"))
    assert not out.with_name("resume.pt").exists()
    assert len(out.with_name("metrics.jsonl").read_text().splitlines()) == 4


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with monkeypatch.context() as patch:
        InterruptAt(patch, 2)
        with pytest.raises(TrainingInterruptedError):
            run(tmp_path / "ckpt.pt")
    return tmp_path / "ckpt.pt"


def test_resume_with_other_options_names_them(interrupted: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"lr = 0\.02 \(now 0\.01\), .*rho = 0\.05 \(now 0\.3\)"
    ) as caught:
        run(interrupted, QUICK.replace(lr=0.01, rho=0.3), resume=True)
    assert "\n" not in str(caught.value)
    assert interrupted.with_name("resume.pt").exists()


@pytest.mark.parametrize("options", [{"seed": 1}, {"validation": 0.3}, {"data": tiny_set(digest="1" * 64)}])
def test_resume_with_another_seed_split_or_data_is_refused(
    interrupted: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(TrainingError, match="was started with"):
        run(interrupted, resume=True, **options)


def test_resume_with_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="nothing to resume"):
        run(tmp_path / "ckpt.pt", resume=True)


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04"])
def test_resume_from_a_damaged_file(interrupted: Path, content: bytes) -> None:
    interrupted.with_name("resume.pt").write_bytes(content)
    with pytest.raises(TrainingError, match=r"resume\.pt"):
        run(interrupted, resume=True)


def test_resume_from_a_file_without_its_keys(interrupted: Path) -> None:
    resume = interrupted.with_name("resume.pt")
    values = torch.load(resume, weights_only=True)
    for key in ("weights", "setting"):
        torch.save({k: v for k, v in values.items() if k != key}, resume)
        with pytest.raises(TrainingError, match=r"no unfinished training|of version"):
            run(interrupted, resume=True)


def test_an_unfinished_run_is_not_overwritten_by_accident(interrupted: Path) -> None:
    before = interrupted.with_name("resume.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"unfinished.*--resume.*--overwrite"):
        run(interrupted)
    assert interrupted.with_name("resume.pt").read_bytes() == before
    with pytest.raises(TrainingError, match=r"is the unfinished training of .*ckpt\.pt"):
        run(interrupted.with_name("another.pt"), overwrite=True)
    assert interrupted.with_name("resume.pt").read_bytes() == before
    run(interrupted, overwrite=True)
    assert interrupted.exists()


def test_a_finished_run_is_not_overwritten_by_accident(tmp_path: Path) -> None:
    out = tmp_path / "ckpt.pt"
    run(out)
    before = out.read_bytes()
    with pytest.raises(TrainingError, match=r"exists already.*--overwrite"):
        run(out)
    assert out.read_bytes() == before
    run(out, overwrite=True, seed=1)
    assert out.read_bytes() != before


def test_resuming_a_finished_run_returns_it(tmp_path: Path) -> None:
    out = tmp_path / "ckpt.pt"
    run(out)
    before = out.read_bytes()
    again = run(out, resume=True)
    assert again.already_finished
    assert out.read_bytes() == before
    with pytest.raises(TrainingError, match=r"was trained with epochs = 4 \(now 5\)"):
        run(out, QUICK.replace(epochs=5), resume=True)


def test_overwriting_keeps_the_old_checkpoint_until_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "ckpt.pt"
    run(out)
    before = out.read_bytes()
    InterruptAt(monkeypatch, 1)
    with pytest.raises(TrainingInterruptedError):
        run(out, overwrite=True, seed=1)
    assert out.read_bytes() == before


def test_a_loss_that_is_not_finite_stops_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"norm .* in epoch \d+; expected finite.*--lr"):
        run(
            tmp_path / "ckpt.pt", QUICK.replace(lr=10, rho=100, epochs=1).replace(batch=2), data=huge_inputs()
        )
    assert not (tmp_path / "ckpt.pt").exists()


def huge_inputs() -> FrameSet:
    """Frames that no data layer makes, so that the weights run away: the guard must see it."""
    data = tiny_set()
    frames = data.train.frames.astype(np.float32) * np.float32(np.nan)
    return replace(data, train=replace(data.train, frames=frames))


@pytest.mark.parametrize(
    ("options", "named"),
    [({"validation": 0.0}, "validation"), ({"validation": 1.0}, "validation"), ({"seed": -1}, "seed"),
     ({"device": "tpu"}, "tpu")],
)  # fmt: skip
def test_nonsense_options_are_refused(tmp_path: Path, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        run(tmp_path / "ckpt.pt", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_network_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="10 classes"):
        train(NetworkSpec("fc", (2, 34, 34), (5,), 10), QUICK, tiny_set(), tmp_path / "c.pt")


def test_plain_lines_when_piped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(SPEC, QUICK, tiny_set(), tmp_path / "silent" / "ckpt.pt")
    assert capsys.readouterr() == ("", "")
    with observe(Terminal()):
        train(SPEC, QUICK, tiny_set(), tmp_path / "ckpt.pt")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch 1/4  loss ")
    assert "hard" in lines[0]


def test_limit_weights_by_hand() -> None:
    weight = torch.tensor([[3.0, -4.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])  # root mean squares 2.5 and 1
    limit_weights(weight, 1.4)
    assert weight.tolist() == [[3.0, -3.5, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]
    kernel = torch.tensor([3.0, -4.0, 0.0, 0.0]).reshape(1, 2, 1, 2).repeat(3, 1, 1, 1)
    stored = kernel.contiguous(memory_format=torch.channels_last)  # as convolutions keep their weights
    limit_weights(stored, 1.4)
    assert stored.tolist() == [[[[3.0, -3.5]], [[0.0, 0.0]]]] * 3


@pytest.mark.slow
def test_the_running_mean_is_what_is_validated_and_saved() -> None:
    trainer = Trainer(SPEC, QUICK.replace(ema=0.5), tiny_set(), 0, 0.15, "cpu")
    steps: list[torch.Tensor] = []
    trainer.epoch(0, lambda: steps.append(trainer.network.readout.bias.detach().clone()))
    mean = steps[0]
    for number, value in enumerate(steps):
        decay = min(0.5, (1 + number) / (10 + number))
        mean = decay * mean + (1 - decay) * value
    torch.testing.assert_close(trainer.saved_weights()["readout.bias"], mean)
    before = trainer.network.readout.bias.detach().clone()
    trainer.validate()
    assert torch.equal(trainer.network.readout.bias, before)


def test_feeder_reads_a_memory_map(tmp_path: Path) -> None:
    data = tiny_set().train
    np.save(tmp_path / "frames.npy", data.frames)
    mapped = np.load(tmp_path / "frames.npy", mmap_mode="r")
    feeders = [BatchFeeder(f, data.labels, 4, torch.device("cpu")) for f in (mapped, data.frames)]
    (x, y), (x2, y2) = (f.batch(np.array([5, 1, 7])) for f in feeders)
    assert torch.equal(x, x2)
    assert torch.equal(y, y2)
    assert y.tolist() == [2, 1, 1]
    assert x[2, 1].tolist() == (data.frames[1, 2].reshape(-1) / 4).tolist()


@pytest.mark.parametrize("plan", [PAPER, ALL_OPTIONS], ids=["as it is", "changed"])
@pytest.mark.parametrize("stored", ["array", "mapped", "listed"])
def test_a_list_of_events_is_the_same_input(tmp_path: Path, plan: Recipe, stored: str) -> None:
    """From frames in every form, changed by the same random numbers, down to the order of additions."""
    data, chosen = tiny_set().train, np.array([5, 1, 7, 1])
    np.save(tmp_path / "frames.npy", data.frames)
    frames = {
        "array": data.frames, "mapped": np.load(tmp_path / "frames.npy", mmap_mode="r"),
        "listed": EventFrames.from_dense(data.frames),
    }[stored]  # fmt: skip
    plain, events = (kind(frames, data.labels, 4, torch.device("cpu")) for kind in (BatchFeeder, EventFeeder))
    x, y = plain.batch(chosen, plan, np.random.default_rng(3))
    listed, labels = events.inputs(chosen, plan, np.random.default_rng(3))
    assert isinstance(listed, EventInput)
    assert torch.equal(listed.dense(), x)
    assert torch.equal(labels, y)
    assert x.max() == 1.0
    network = Network(SPEC)
    for each, other in zip(network.spikes(x), network.spikes(listed), strict=True):
        assert torch.equal(each, other)
    assert torch.equal(events.batch(chosen, plan, np.random.default_rng(3))[0], x)


def test_who_is_fed_with_events() -> None:
    data, conv = tiny_set(), NetworkSpec("conv", SHAPE, (4,), 3, strides=(1,))
    assert isinstance(Trainer(SPEC, QUICK, data, 0, 0.15, "cpu").feeder, EventFeeder)
    assert type(Trainer(conv, QUICK, data, 0, 0.15, "cpu").feeder) is BatchFeeder


def test_one_torch_thread_for_fc_on_the_cpu_and_the_number_comes_back() -> None:
    before, conv = torch.get_num_threads(), NetworkSpec("conv", SHAPE, (4,), 3, strides=(1,))
    torch.set_num_threads(3)
    try:
        for spec, inside in ((SPEC, 1), (conv, 3)):
            with suppress(KeyError), fitting_threads(spec, torch.device("cpu")):
                assert torch.get_num_threads() == inside
                raise KeyError
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_auto_device() -> None:
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for options in ({}, {"overwrite": True}, {"resume": True}):
        with pytest.raises(TrainingError, match="is a folder"):
            run(tmp_path, **options)
    assert not list(tmp_path.iterdir())
