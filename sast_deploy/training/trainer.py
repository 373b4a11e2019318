"""One training in memory: network, optimizer, the two parts of the training split, and one epoch of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sast_deploy.base.errors import TrainingError, UsageError
from sast_deploy.base.progress import say
from sast_deploy.base.text import percent
from sast_deploy.base.versions import package_versions
from sast_deploy.data import FrameSet
from sast_deploy.data.split import split_by_recording
from sast_deploy.training.augment import draw_changes
from sast_deploy.training.batches import Indices, minibatches, pick_device
from sast_deploy.training.checkpoint import Checkpoint
from sast_deploy.training.evaluate import evaluate, score
from sast_deploy.training.initialise import scale_layers
from sast_deploy.training.network.network import Network, NetworkSpec, cross_entropy
from sast_deploy.training.network.sparse import Input
from sast_deploy.training.penalty import hidden_operations
from sast_deploy.training.prune import least_important, narrowed, narrowed_moments, narrowed_spec
from sast_deploy.training.recipes import Recipe
from sast_deploy.training.replay import Draws, Fetch, Replay
from sast_deploy.training.resident import make_feeder
from sast_deploy.training.sam import SAM
from sast_deploy.training.state import Line, State, Unfinished

CLIMB, DESCEND, INIT, PRUNE = range(4)  # separate streams of random numbers: B and B' are independent
SAMPLE = 256  # training samples that decide initial scales and what is pruned

Values = NDArray[np.float64]  # (steps, 2): loss and norm of the gradient


class Trainer:
    """Trains on a part of `data.train` and validates on the rest; only `test` looks at `data.test`.

    Everything random is drawn from generators keyed by (seed, epoch, stream), so an epoch depends on the
    weights and moments it starts from and on nothing else. On a GPU an epoch is a row of replays of one
    captured step (replay.py).

    Raises UsageError: a validation share outside (0, 1), a negative seed, an unknown device.
    """

    kind = "training"
    capturable = True  # a step needs nothing from the processor

    def __init__(
        self, spec: NetworkSpec, recipe: Recipe, data: FrameSet, seed: int, validation: float, device: str
    ) -> None:
        if not 0.0 < validation < 1.0:
            found = f"validation share {validation}"
            raise UsageError(found, where="--validation", expected="between 0 and 1")
        if seed < 0:
            raise UsageError(f"seed {seed}", where="--seed", expected="an integer of 0 or more")
        self.recipe = recipe
        self.data = data
        self.seed = seed
        self.device = pick_device(device)
        self.fitted, self.held = self._parts(validation)
        self.replays = self.capturable and self.device.type == "cuda"
        if self.device.type == "cuda" and not self.capturable:
            say(f"{self.kind} starts every step from Python: the processor has a part in it")
        self.feeder = make_feeder(data.train, data.options.clip, self.device, spec)
        self.steps = -(-len(self.fitted) // recipe.batch)  # per epoch
        self.mean: State = {}
        self.width = spec.hidden[0]  # before pruning
        self._start(spec)

    def _parts(self, validation: float) -> tuple[Indices, Indices]:
        """Which training samples are fitted, and which are held out."""
        return split_by_recording(self.data.train.labels, self.data.train.ids, validation, self.seed)

    def _start(self, spec: NetworkSpec) -> None:
        """Use the network that training begins with."""
        self._use(Network(spec, self.seed))
        if self.recipe.init == "lsuv":
            scale_layers(self.network, self._sample(0, INIT))

    def _use(self, network: Network) -> None:
        """Train `network` from here on, with an optimizer of its own."""
        recipe, lr = self.recipe, self.recipe.lr
        self.network = network.to(self.device)
        learning = [each for each in network.parameters() if each.requires_grad]
        graph = {"lr": torch.tensor(lr, device=self.device), "capturable": True}
        options: dict[str, Any] = graph if self.replays else {"lr": lr}
        self.optimizer = torch.optim.AdamW(
            learning, weight_decay=recipe.weight_decay, fused=True, **options
        )
        self.optimizer.register_step_pre_hook(_align_gradients)
        self.replay: Replay | None = None
        self.sam = SAM(learning, self.optimizer, recipe.rho, adaptive=recipe.sharpness == "asam")

    def begin(self, state: Unfinished) -> None:
        """Of a training nothing is known before the first epoch."""

    def epoch(self, index: int, advance: Callable[[], None]) -> Line:
        """Epoch `index` (from 0); calls `advance` after every step.

        Returns the means of loss and gradient norm, and the median of a step's wall time in milliseconds.
        """
        self._prune(index)
        self._set_rate(self.recipe.learning_rate(index))
        start = time.perf_counter()
        values, median = self._replayed(index, advance) if self.replays else self._stepped(index, advance)
        if median is None:
            median = (time.perf_counter() - start) / self.steps
        loss, norm = values.sum(0) / self.steps
        return {"loss": float(loss), "grad_norm": float(norm), "step_ms": round(1e3 * median, 3)}

    def _stepped(self, index: int, advance: Callable[[], None]) -> tuple[Values, float]:
        """An epoch step by step: every step's loss and norm, and the median of its wall time in seconds."""
        k = self.recipe.slope(index, self.network.spec.k)
        values, times = np.zeros((self.steps, 2)), np.zeros(self.steps)
        for number, pair in enumerate(self._pairs(index)):
            start = time.perf_counter()
            found = self._step(pair, k, self._share(index * self.steps + number))
            values[number] = [float(value) for value in found]
            _check_finite(index, values[number])
            times[number] = time.perf_counter() - start
            advance()
        return values, float(np.median(times))

    def _replayed(self, index: int, advance: Callable[[], None]) -> tuple[Values, None]:
        """The same on a GPU, which tells no step from the next."""
        if self.replay is None:
            self._settle()
            self.replay = Replay(self.feeder, self._step, self._changing)
        both = self.recipe.rho and self.recipe.pairing == "independent"
        draws = [self._draws(index, stream) for stream in ((CLIMB, DESCEND) if both else (DESCEND,))]
        shares = [self._share(number) for number in range(index * self.steps, (index + 1) * self.steps)]
        values = self.replay.run(draws, self.recipe.slope(index, self.network.spec.k), shares, advance)
        _check_finite(index, values)
        return values, None

    def _settle(self) -> None:
        """Make what the optimizer and the running mean would only make in their first step."""
        if self.recipe.ema and not self.mean:
            self.mean = _copy(self.network.state_dict(), self.device)
        if not self.optimizer.state:
            before = _copy(self.network.state_dict(), self.device)
            for parameter in self.network.parameters():
                parameter.grad = torch.zeros_like(parameter)
            self.optimizer.step()
            self.network.load_state_dict(before)
            for moment in self._moments():
                moment.zero_()

    def _moments(self) -> list[Tensor]:
        return [value for each in self.optimizer.state.values() for value in each.values()]

    def _changing(self) -> list[Tensor]:
        """All that a step changes."""
        return [*self.network.parameters(), *self.mean.values(), *self._moments()]

    def _set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):  # which a graph reads
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def _step(self, pair: Sequence[Fetch], k: float | Tensor, share: float | Tensor) -> tuple[Tensor, Tensor]:
        """One optimizer step on the first and the last of `pair`; its loss and its gradient's norm.

        share: the weight of the new weights in their running mean.
        """
        found = self.sam.step(partial(self._loss, pair[0], k), partial(self._loss, pair[-1], k))
        self._after_step(share)
        return found

    def _pairs(self, index: int) -> Iterator[Sequence[Fetch]]:
        """What fetches the minibatches of SAM's two passes, B and B', step by step."""
        if self.recipe.pairing == "same":
            for fetch in self._batches(index, DESCEND):
                yield [cache(fetch)]  # the same augmentation as well
        else:
            yield from zip(self._batches(index, CLIMB), self._batches(index, DESCEND), strict=True)

    def _batches(self, index: int, stream: int) -> Iterator[Fetch]:
        rng = np.random.default_rng((self.seed, index, stream))
        for indices in minibatches(self.fitted, self.recipe.batch, rng):
            yield partial(self.feeder.inputs, indices, self.recipe, rng)

    def _draws(self, index: int, stream: int) -> Draws:
        """What `_batches` would draw, all of it at once."""
        recipe, rng = self.recipe, np.random.default_rng((self.seed, index, stream))
        parts = minibatches(self.fitted, recipe.batch, rng)
        changes = [draw_changes(recipe, len(part), rng) for part in parts] if recipe.augments else None
        return Draws(parts, changes)

    def _loss(self, fetch: Fetch, k: float | Tensor) -> Tensor:
        """Cross-entropy, and the penalty on synaptic operations where the recipe asks for it."""
        (x, labels), recipe = fetch(), self.recipe
        spikes, logits = self._forward(x, k)
        loss = cross_entropy(logits, labels, recipe.label_smoothing)
        return loss + recipe.synops * hidden_operations(self.network.spec, spikes) if recipe.synops else loss

    def _forward(self, x: Input, k: float | Tensor) -> tuple[list[Tensor], Tensor]:
        """Every layer's spikes, and the logits."""
        spikes = self.network.spikes(x, hard=self.recipe.forward == "hard", k=k)
        return spikes, self.network.logits(spikes[-1])

    def _sample(self, index: int, stream: int) -> Tensor:
        """Network input of some fitted samples, the same ones for the same seed, epoch and stream."""
        rng = np.random.default_rng((self.seed, index, stream))
        chosen = rng.permutation(self.fitted)[:SAMPLE]
        return self.feeder.batch(chosen)[0]

    def _prune(self, index: int) -> None:
        """Remove the neurons of the first layer that the recipe wants gone by this epoch."""
        network = self.network
        wanted = self.width - round(self.recipe.pruned(index) * self.width)
        surplus = network.spec.hidden[0] - max(wanted, 1)
        if surplus <= 0:
            return
        cut = least_important(network, self._sample(index, PRUNE), surplus)
        names = [name for name, _ in network.named_parameters()]
        moments = narrowed_moments(self.optimizer.state_dict(), names, network.spec, cut)
        self.mean = narrowed(self.mean, network.spec, cut) if self.mean else {}
        self._load(narrowed(network.state_dict(), network.spec, cut), moments)

    def _load(self, weights: State, optimizer: dict[str, Any]) -> None:
        """Put in these weights, of a narrower first layer perhaps, and the optimizer's moments."""
        width = len(weights["theta_0"])
        if width != self.network.spec.hidden[0]:
            self._use(Network(narrowed_spec(self.network.spec, width)))
        self.network.load_state_dict(weights)
        # Its settings are the recipe's: a file says no more than the moments.
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": optimizer["state"]})
        for parameter, moments in self.optimizer.state.items():
            moments.update({key: _laid(value, parameter) for key, value in moments.items()})
        self.replay = None  # its graphs know the old ones' places in memory

    def _share(self, step: int) -> float:
        """Weight of the weights after `step`, from 0, in their running mean."""
        decay = min(self.recipe.ema, (1 + step) / (10 + step))  # a short memory while the weights travel
        return 1.0 - decay if step else 1.0

    @torch.no_grad()
    def _after_step(self, share: float | Tensor) -> None:
        """Clip outlying weights and advance the running mean, where the recipe asks for it."""
        if self.recipe.weight_limit:
            for name, parameter in self.network.named_parameters():
                if name.endswith("weight"):
                    limit_weights(parameter, self.recipe.weight_limit)
        if self.recipe.ema:
            current = self.network.state_dict()
            self.mean = self.mean or _copy(current, self.device)
            for key, value in current.items():
                self.mean[key].lerp_(value, share)

    def judged(self, index: int) -> Line:
        """`validate` after epoch `index`, with that epoch's slope factor and learning rate."""
        k = self.recipe.slope(index, self.network.spec.k)
        return {**self.validate(), "k": k, "lr": self.recipe.learning_rate(index)}

    def validate(self) -> Line:
        """Accuracies and hard-spike loss, on the held samples, of the weights that would be saved."""
        current = _copy(self.network.state_dict(), self.device)
        self.network.load_state_dict(self.mean or current)
        soft, hard = (score(self.network, self.feeder, self.held, hard=h) for h in (False, True))
        self.network.load_state_dict(current)
        return {"surrogate_accuracy": soft[0], "hard_accuracy": hard[0], "hard_loss": hard[1]}

    def rank(self, line: Line) -> tuple[float, ...]:
        """The hard-spike accuracy decides, then its loss."""
        return line["hard_accuracy"], -line["hard_loss"]

    def describe(self, state: Unfinished) -> str:
        """The last epoch's loss and accuracies."""
        line = state.history[-1]
        return (
            f"epoch {state.epoch}/{self.recipe.epochs}  loss {line['loss']:.3f}  validation: surrogate "
            f"{percent(line['surrogate_accuracy'])}, hard {percent(line['hard_accuracy'])} "
            f"(best: epoch {state.best_epoch})"
        )

    def saved_weights(self) -> State:
        """A copy of what validation judges: the running mean where there is one, else the weights."""
        return _copy(self.mean or self.network.state_dict(), torch.device("cpu"))

    def capture(self, state: Unfinished) -> None:
        """Copy everything that the next epoch depends on into `state`."""
        state.weights = _copy(self.network.state_dict(), torch.device("cpu"))
        state.mean = _copy(self.mean, torch.device("cpu"))
        state.optimizer = _plain(self.optimizer.state_dict())

    def restore(self, state: Unfinished) -> None:
        """The inverse of `capture`."""
        self._load(state.weights, state.optimizer)
        self.mean = _copy(state.mean, self.device)

    def checkpoint(self, name: str, state: Unfinished, metrics: dict[str, Any]) -> Checkpoint:
        """The best epoch's weights and where they come from."""
        weights = {key: value.numpy() for key, value in state.best.items()}
        return Checkpoint(
            name=name, network=self.network.spec, state=weights, recipe=self.recipe,
            frames=self.data.options, data=self.data.info, seeds={"train": self.seed},
            metrics=metrics, packages=package_versions(),
        )  # fmt: skip

    def test(self, found: Checkpoint) -> dict[str, Any]:
        """Accuracies and rates on the test split, with smooth and with hard spikes."""
        result = evaluate(found, self.data.test, device=self.device.type)
        return {
            "samples": result.samples,
            "surrogate": result.surrogate_accuracy,
            "hard": result.hard_accuracy,
            "surrogate_rates": list(result.surrogate_rates),
            "hard_rates": list(result.hard_rates),
        }


@torch.no_grad()
def limit_weights(weight: Tensor, limit: float) -> None:
    """Clip each neuron's weights, in place, to +-limit times their own root mean square."""
    fan_in = tuple(range(1, weight.ndim))
    bound = limit * weight.square().mean(fan_in, keepdim=True).sqrt()
    weight.clamp_(-bound, bound)


def _align_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for parameter in (each for group in optimizer.param_groups for each in group["params"]):
        if parameter.grad is not None:
            parameter.grad = _laid(parameter.grad, parameter)


def _laid(value: Tensor, parameter: Tensor) -> Tensor:
    """Laid out in memory as `parameter`, unless of another shape.

    Fused optimizers go by place: with other strides, those of a lone element included, CUDA's refuses and the
    processor's computes something else.
    """
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter).copy_(value)


def _copy(state: State, device: torch.device) -> State:
    return {key: value.detach().to(device, copy=True) for key, value in state.items()}


def _plain(optimizer: dict[str, Any]) -> dict[str, Any]:
    """A copy of an optimizer's `state_dict()` as one on the processor has it."""
    groups = [{**group, "lr": float(group["lr"])} for group in optimizer["param_groups"]]
    state = {key: _copy(each, torch.device("cpu")) for key, each in optimizer["state"].items()}
    return {"state": state, "param_groups": groups}


def _check_finite(index: int, values: Values) -> None:
    """Raise TrainingError if any loss or norm, (..., 2), of epoch `index` is not finite."""
    found = values.reshape(-1, 2)
    wrong = found[~np.isfinite(found).all(1)]
    if len(wrong):
        loss, norm = wrong[0]
        raise TrainingError(
            f"the loss is {loss} and its gradient's norm {norm} in epoch {index + 1}",
            expected="finite numbers",
            todo="try a smaller --lr or --rho",
        )
