"""Epochs as a GPU runs them: the same steps, here one by one, there as CUDA graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sast_deploy.base.errors import TrainingError
from sast_deploy.training import replay as replay_module
from sast_deploy.training.augment import apply_changes, draw_changes, network_input
from sast_deploy.training.batches import BatchFeeder, fitting_threads
from sast_deploy.training.kernels.membranes import Dynamics
from sast_deploy.training.network import lif as lif_module
from sast_deploy.training.network.lif import _LIF
from sast_deploy.training.network.network import Network, NetworkSpec
from sast_deploy.training.recipes import BEST, PAPER, Recipe
from sast_deploy.training.replay import Draws, Replay
from sast_deploy.training.resident import ResidentFeeder, change_numbers, changed, scaled
from sast_deploy.training.state import Unfinished
from sast_deploy.training.train import train
from sast_deploy.training.trainer import Trainer
from tests.tinydata import CLIP, SHAPE, STEPS, tiny_set

FC = NetworkSpec("fc", SHAPE, (12, 8), 3)
CONV = NetworkSpec("conv", SHAPE, (5, 4), 3, strides=(2, 1))
QUICK = PAPER.replace(epochs=4, lr=0.02, batch=16, rho=0.05)
EVERYTHING = QUICK.replace(
    k_start=3, label_smoothing=0.1, weight_decay=0.01, weight_limit=3, ema=0.9, shift=1, rotate=5, scale=0.1,
    shear=0.1, drop=0.3, synops=0.1, prune=0.3, init="lsuv",
)  # fmt: skip
RECIPES = {
    "baseline": QUICK.replace(rho=0),
    "sam": QUICK,
    "asam on the same minibatch": QUICK.replace(sharpness="asam", pairing="same", drop=0.2, shift=1),
    "hard spikes": QUICK.replace(forward="hard", ema=0.98),
    "everything": EVERYTHING,
}
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


class Replayed(Trainer):
    """Trains as on a GPU, wherever it is."""

    _stepped = Trainer._replayed  # type: ignore[assignment]


class Fused(Replayed):
    """With the optimizer of a GPU, too."""

    def _use(self, network: Network) -> None:
        self.replays = True
        super()._use(network)


def on_device(trainer: Trainer) -> Trainer:
    frames = torch.from_numpy(np.asarray(trainer.data.train.frames)).to(trainer.device)
    trainer.feeder = ResidentFeeder(**vars(trainer.feeder), resident=frames)
    return trainer


def run(trainer: Trainer, *epochs: int) -> list[dict[str, Any]]:
    lines = [{**trainer.epoch(index, lambda: None), **trainer.judged(index)} for index in epochs]
    return [{key: value for key, value in line.items() if key != "step_ms"} for line in lines]


def assert_same(a: Trainer, b: Trainer) -> None:
    for ours, theirs in ((a.network.state_dict(), b.network.state_dict()), (a.mean, b.mean)):
        assert ours.keys() == theirs.keys()
        for key, value in ours.items():
            assert torch.equal(value, theirs[key]), key
    assert all(torch.equal(*pair) for pair in zip(a._moments(), b._moments(), strict=True))


@pytest.fixture
def three_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for the frames of three steps of both streams, on a device that has more."""
    monkeypatch.setattr(replay_module, "device_room", lambda _: 3 * 2 * 14 * STEPS * int(np.prod(SHAPE)))


@pytest.mark.slow
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
@pytest.mark.parametrize("plan", RECIPES.values(), ids=RECIPES.keys())
def test_it_is_the_training_of_the_processor_bit_for_bit(
    spec: NetworkSpec, plan: Recipe, three_steps: None
) -> None:
    made = [kind(spec, plan, tiny_set(), 0, 0.1, "cpu") for kind in (Trainer, Replayed, Replayed)]
    trainers = made[0], on_device(made[1]), made[2]
    lines = [run(trainer, 0, 1, 2) for trainer in trainers]
    assert lines[0] == lines[1] == lines[2]
    assert trainers[2].replay is not None
    assert trainers[2].replay.window == (3 if plan.rho and plan.pairing == "independent" else 6)
    for trainer in trainers[1:]:
        assert_same(trainers[0], trainer)


def test_what_it_is_told_of_steps_and_finds(three_steps: None) -> None:
    trainer, told = Replayed(FC, QUICK, tiny_set(), 0, 0.1, "cpu"), []
    line = trainer.epoch(0, lambda: told.append(1))
    assert len(told) == trainer.steps == 6
    assert line["step_ms"] > 0
    assert set(line) == {"loss", "grad_norm", "step_ms"}


@pytest.mark.slow
def test_a_resumed_epoch_finds_everything_as_it_was(three_steps: None) -> None:
    whole, first, second = (Replayed(FC, EVERYTHING, tiny_set(), 0, 0.1, "cpu") for _ in range(3))
    run(whole, 0, 1, 2)
    run(first, 0, 1)
    state = Unfinished()
    first.capture(state)
    run(first, 2)  # what was captured does not change with it
    second.restore(state)
    run(second, 2)
    assert_same(whole, second)


@pytest.mark.parametrize("spec", [FC, CONV, NetworkSpec("conv", SHAPE, (1, 4), 3, strides=(2, 1))])
def test_a_fused_optimizer_is_given_everything_as_its_parameters_lie(spec: NetworkSpec) -> None:
    """Moments come in other layouts from pruning and from files, gradients perhaps from a backward pass."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for kind in (Trainer, Fused):
        trainer = kind(spec, QUICK, tiny_set(), 0, 0.1, "cpu")
        trainer._settle()
        parameters = list(trainer.network.parameters())
        generator.manual_seed(1)
        shapes = [each.shape for each in parameters]
        grads, means, squares = ([torch.rand(shape, generator=generator) for shape in shapes] for _ in "gms")
        moments = {
            index: {"step": torch.tensor(9.0), "exp_avg": mean, "exp_avg_sq": square}
            for index, (mean, square) in enumerate(zip(means, squares, strict=True))
        }
        trainer._load(trainer.network.state_dict(), {"state": moments})
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = backwards(grad) if kind is Fused else grad
        trainer.optimizer.step()
        found.append(trainer)
    for ours, theirs in zip(*(each.network.parameters() for each in found), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    for parameter, state in found[1].optimizer.state.items():
        beside = parameter.grad, state["exp_avg"], state["exp_avg_sq"]
        assert all(each.stride() == parameter.stride() for each in beside)


def backwards(value: torch.Tensor) -> torch.Tensor:
    """The same values, the first dimension closest together in memory."""
    return value.permute(*reversed(range(value.ndim))).contiguous().permute(*reversed(range(value.ndim)))


@pytest.mark.slow
def test_a_pruned_and_resumed_training_keeps_to_the_layout(three_steps: None) -> None:
    def step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for parameter, state in optimizer.state.items():
            beside = parameter.grad, state["exp_avg"], state["exp_avg_sq"]
            wrong.extend(each for each in beside if each.stride() != parameter.stride())
            steps.append(parameter)

    class Seen(Fused):
        def _use(self, network: Network) -> None:
            super()._use(network)
            self.optimizer.register_step_pre_hook(step)

    steps, wrong = list[Any](), list[Any]()
    plan = QUICK.replace(rho=0, prune=0.3)
    first, second = (Seen(CONV, plan, tiny_set(), 0, 0.1, "cpu") for _ in range(2))
    run(first, 0, 1)
    assert first.network.spec.hidden[0] < CONV.hidden[0]
    state = Unfinished()
    first.capture(state)
    for each in state.optimizer["state"].values():
        each.update({key: value.contiguous() for key, value in each.items()})  # as a file keeps them
    second.restore(state)
    run(first, 2)
    run(second, 2)
    assert_same(first, second)
    assert len(steps) > 100
    assert not wrong


def test_a_loss_that_is_not_finite_is_found_at_the_end_of_its_epoch(three_steps: None) -> None:
    trainer = Replayed(FC, QUICK, tiny_set(), 0, 0.1, "cpu")
    with torch.no_grad():
        trainer.network.readout.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"^the loss is nan and its gradient's norm nan in epoch 3; "):
        trainer.epoch(2, lambda: None)


def test_nothing_that_is_stepped_to_warm_up_remains() -> None:
    """The counter neither: a size that only the last step has is warmed up on that step's row."""
    data = tiny_set()
    feeder = BatchFeeder(data.train.frames, data.train.labels, CLIP, torch.device("cpu"))
    weight = torch.ones(3)

    def step(fetches: Any, k: torch.Tensor, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, labels = fetches[0]()
        weight.add_(len(labels) * k)
        return x.sum(), labels.float().sum()

    steps = Replay(feeder, step, lambda: [weight], room=1 << 20)
    draws = Draws([np.array([5, 7, 9]), np.array([2, 4])], None)
    values = steps.run([draws], 2.0, [1.0, 1.0], lambda: None)
    frames, labels = data.train.frames, data.train.labels
    assert values.tolist() == [
        [pytest.approx(frames[part].sum() / CLIP), labels[part].sum()] for part in ([5, 7, 9], [2, 4])
    ]
    assert weight.tolist() == [11.0] * 3
    steps.at.fill_(1)
    with steps._as_before():
        steps._step(2)
        assert (weight.tolist(), steps.at.tolist()) == ([15.0] * 3, [2])
    assert (weight.tolist(), steps.at.tolist()) == ([11.0] * 3, [1])


def test_minibatches_on_the_device_are_those_of_the_processor() -> None:
    data = tiny_set().train
    feeder = BatchFeeder(data.frames, data.labels, CLIP, torch.device("cpu"))
    resident = ResidentFeeder(**vars(feeder), resident=torch.from_numpy(data.frames))
    indices = np.array([3, 80, 5, 5])
    rng = (np.random.default_rng(1) for _ in range(2))
    for plan in (None, BEST):
        both = [each.batch(indices, plan, next(rng) if plan else None) for each in (feeder, resident)]
        assert all(torch.equal(*pair) for pair in zip(*both, strict=True))
    whole = [list(each.in_order(np.arange(90))) for each in (feeder, resident)]
    assert all(torch.equal(*pair) for pair in zip(whole[0][0], whole[1][0], strict=True))
    assert scaled(torch.from_numpy(data.frames[:4]), CLIP).is_contiguous()


@pytest.mark.parametrize("clip", [1, 4, 8, 5])
def test_augmentation_on_the_device_is_that_of_the_processor(clip: int) -> None:
    """To the last bit where count / clip is exact, which sums of it then are, too."""
    rng = np.random.default_rng(clip)
    frames = (rng.binomial(clip, 0.3, (6, 3, 2, 11, 9)) * rng.binomial(1, 0.4, (6, 3, 2, 11, 9))).astype("u1")
    plan = BEST.replace(shift=2, rotate=40, scale=0.4, shear=0.4, drop=0.7)
    changes = draw_changes(plan, len(frames), rng)
    changes.drop[0] = 0.0
    numbers = [torch.from_numpy(each) for each in change_numbers(changes)]
    ours = scaled(changed(torch.from_numpy(frames), *numbers, clip), clip)
    theirs = torch.from_numpy(apply_changes(frames, changes, clip))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0 if clip != 5 else 1e-6)
    assert not np.array_equal(theirs.numpy(), network_input(frames, clip))
    assert ((ours > 0).sum() > 50).item()


def test_the_slope_may_be_a_tensor() -> None:
    """Bit for bit the number's result, which an epoch of other slopes is compared with."""
    generator = torch.Generator().manual_seed(0)
    current, theta = torch.randn(5, 3, 4, generator=generator), torch.rand(4, generator=generator)
    found = []
    for k in (7.3, torch.tensor(7.3, dtype=torch.float64)):
        x = current.clone().requires_grad_()
        s = _LIF.apply(x, theta, None, Dynamics(0.5), k, False)  # type: ignore[no-untyped-call]
        found.append((s.detach(), *torch.autograd.grad(s.square().sum(), x)))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


# ---- on a GPU -----------------------------------------------------------------


@cuda
@pytest.mark.parametrize(
    "dynamics", [Dynamics(0.5), Dynamics(0.7, order="before-leak"), Dynamics(0.5, "zero")], ids=str
)
@pytest.mark.parametrize("hard", [False, True], ids=["smooth", "hard"])
@pytest.mark.parametrize(
    ("shape", "thresholds"), [((10, 5, 33), (33,)), ((4, 3, 2, 5, 5), (2, 1, 1)), ((1, 128, 168), (168,))]
)
def test_one_kernel_is_the_recursion(
    shape: tuple[int, ...], thresholds: tuple[int, ...], hard: bool, dynamics: Dynamics
) -> None:
    pytest.importorskip("triton")
    generator = torch.Generator().manual_seed(0)
    current, weight = (1.2 * torch.randn(shape, generator=generator) for _ in range(2))
    theta = 0.6 + torch.rand(thresholds, generator=generator)
    found = []
    for device in ("cuda", "cpu"):
        x = current.to(device).requires_grad_()
        s = lif_module.lif(x, theta.to(device), dynamics, 7.3, hard=hard)
        (gradient,) = torch.autograd.grad((s * weight.to(device)).sum(), x)
        found.append((s.detach().cpu(), gradient.cpu()))
    torch.testing.assert_close(*(s for s, _ in found), rtol=0, atol=1e-5)
    torch.testing.assert_close(*(gradient for _, gradient in found), rtol=1e-3, atol=1e-4)


@cuda
@pytest.mark.parametrize("triton", [True, False], ids=["Triton", "torch"])
@pytest.mark.parametrize("spec", [FC, CONV], ids=["fc", "conv"])
@pytest.mark.parametrize("plan", RECIPES.values(), ids=RECIPES.keys())
def test_the_graph_is_the_training(
    spec: NetworkSpec, plan: Recipe, triton: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs are equal to the last bit, frames on the device or not; a processor rounds otherwise."""
    if not triton:
        monkeypatch.setattr(lif_module, "_fused", lambda: None)
    trainers = [Trainer(spec, plan, tiny_set(), 0, 0.1, "cuda") for _ in range(3)]
    feeder = trainers[2].feeder
    trainers[2].feeder = BatchFeeder(feeder.frames, feeder.labels, feeder.clip, feeder.device)
    with fitting_threads(spec, trainers[0].device):
        lines = [run(trainer, 0, 1, 2) for trainer in trainers]
    for trainer in trainers:
        assert trainer.replay is not None
        assert trainer.replay.graphs
        assert all(graph is not None for graph in trainer.replay.graphs.values())
    assert_same(trainers[0], trainers[1])
    assert_same(trainers[0], trainers[2])
    here = Trainer(spec, plan, tiny_set(), 0, 0.1, "cpu")
    first = run(here, 0)[0]
    assert lines[0][0]["loss"] == pytest.approx(first["loss"], rel=0.1)


@cuda
def test_one_epoch_on_a_gpu_is_close_to_the_processors() -> None:
    """Before rounding has grown: a small rate, smooth neurons."""
    plan = QUICK.replace(lr=1e-4, k_start=2.0, epochs=50)
    there, here = (Trainer(FC, plan, tiny_set(), 0, 0.1, device) for device in ("cuda", "cpu"))
    lines = [run(trainer, 0)[0] for trainer in (there, here)]
    for key in ("loss", "grad_norm"):
        assert lines[0][key] == pytest.approx(lines[1][key], rel=1e-4)
    for key, value in here.network.state_dict().items():
        assert float((there.network.state_dict()[key].cpu() - value).abs().mean()) < 2e-6


@cuda
@pytest.mark.parametrize("plan", [QUICK, EVERYTHING], ids=["sam", "everything"])
def test_resumed_on_a_gpu_equals_uninterrupted(
    plan: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(FC, plan, tiny_set(), tmp_path / "whole" / "ckpt.pt", device="cuda").checkpoint
    out, epoch = tmp_path / "parts" / "ckpt.pt", Trainer.epoch

    def interrupted(trainer: Trainer, index: int, advance: Any) -> Any:
        if index == 2:
            raise KeyboardInterrupt
        return epoch(trainer, index, advance)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "epoch", interrupted)
        with pytest.raises(TrainingError, match="after 2 of 4 epochs"):
            train(FC, plan, tiny_set(), out, device="cuda")
    parts = train(FC, plan, tiny_set(), out, device="cuda", resume=True).checkpoint
    assert all(np.array_equal(parts.state[key], value) for key, value in whole.state.items())
    assert whole.metrics["device"] == "cuda"
