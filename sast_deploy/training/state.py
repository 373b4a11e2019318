"""The state of an unfinished training, and the files that let it be resumed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sast_deploy.base.errors import Exit, TrainingError
from sast_deploy.base.files import lock_folder, output_target, write_text
from sast_deploy.base.outputs import Kind, Origin, check_output
from sast_deploy.base.reading import Expected, read_bytes
from sast_deploy.base.reading.documents import parse_json
from sast_deploy.base.reading.torchfile import holds_format, read_torch
from sast_deploy.base.rules import (
    AMOUNT,
    COUNT,
    FRACTION,
    Items,
    Maybe,
    Number,
    Problem,
    Rule,
    Table,
    bounded,
    is_text,
    known,
    refuse,
    shown,
)
from sast_deploy.base.text import encodable
from sast_deploy.data import FrameSet
from sast_deploy.training.checkpoint import FORMAT as CHECKPOINT_FORMAT, save_plain, state_problems
from sast_deploy.training.network.network import ADDED_LATER as NETWORK_ADDED, NetworkSpec, state_shapes
from sast_deploy.training.network.neurons import LEARNED
from sast_deploy.training.prune import narrowed_spec
from sast_deploy.training.recipes import ADDED_LATER as RECIPE_ADDED

FORMAT = "sast-deploy-resume"
FORMAT_VERSION = 1
OWNER = "output"  # name of the checkpoint's file; resume.pt has it since two outputs shared a folder
METRICS_BYTES = 64 << 20
MOST_STEPS = 1 << 24  # float32, in which torch counts them, goes no further
EXPECTED = Expected("an unfinished training", TrainingError, "start again with --overwrite")
# What decides which epoch was best: of a training, of a fine-tuning.
_ANY = Number(-math.inf, math.inf)
JUDGED: tuple[Mapping[str, Rule], ...] = (
    {"surrogate_accuracy": FRACTION, "hard_accuracy": FRACTION, "hard_loss": _ANY},
    {"integer_accuracy": FRACTION, "integer_loss": Maybe(_ANY)},
)
RESUME = Table({
    "setting": known({}), "epoch": COUNT, "best_epoch": COUNT, "seconds": AMOUNT,
    "history": Items(known({"step_ms": AMOUNT}), 0, 100_001),
})  # fmt: skip


def _metrics_ours(path: Path) -> bool | None:
    """Whether every whole line is one of an epoch's; None where there is none."""
    try:
        *lines, _ = read_bytes(path, EXPECTED, METRICS_BYTES).decode().split("\n")
        found = [parse_json(line, path, EXPECTED) for line in lines]
    except (TrainingError, UnicodeDecodeError):
        return False
    judged = [{"epoch", "seconds", *fields} for fields in JUDGED]
    ours = (isinstance(each, dict) and any(each.keys() >= keys for keys in judged) for each in found)
    return all(ours) if found else None


REWRITTEN: Origin = {}  # epoch by epoch: any of the kind is no loss, once the training may begin
APART = "give each a folder of its own, -o FOLDER/ckpt.pt"
_TORCH = rb"PK\x03\x04.*data\.pkl"
CHECKPOINT = Kind("checkpoint", _TORCH, partial(holds_format, form=CHECKPOINT_FORMAT))
_TODO = f"a training writes it: {APART}"
UNFINISHED = Kind("unfinished training", _TORCH, partial(holds_format, form=FORMAT), _TODO)
METRICS = Kind("training's metrics", rb'\{"epoch": \d+, ', _metrics_ours, _TODO)

State = dict[str, Tensor]
Setting = dict[str, Any]
Line = dict[str, Any]  # an epoch's of metrics.jsonl


class TrainingInterruptedError(TrainingError):
    """Ctrl-C: the finished epochs are on the disk."""

    exit_code = Exit.INTERRUPTED


@dataclass
class Unfinished:
    """What changes from epoch to epoch: everything that the next epoch depends on, weights included.

    No random state is among it: every epoch draws from generators keyed by (seed, epoch).
    """

    epoch: int = 0  # finished epochs
    seconds: float = 0.0
    weights: State = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    mean: State = field(default_factory=dict)  # running mean of the weights, empty without `ema`
    best: State = field(default_factory=dict)
    best_epoch: int = 0
    history: list[Line] = field(default_factory=list)  # from the first epoch, or from a start called 0

    @property
    def best_line(self) -> Line:
        """The best epoch's line."""
        first: int = self.history[0]["epoch"]
        return self.history[self.best_epoch - first]


@dataclass(frozen=True)
class RunFiles:
    """The files of one training: the checkpoint, and beside it the metrics and the unfinished state."""

    checkpoint: Path

    def __post_init__(self) -> None:
        """Refuse a folder before anything is trained."""
        if os.path.isdir(self.checkpoint):
            raise TrainingError("is a folder", where=self.checkpoint, expected="the checkpoint's file name")
        if self.checkpoint in (self.metrics, self.resume):
            raise TrainingError("is the name of another file of a training", where=self.checkpoint)

    @property
    def name(self) -> str:
        """What exports are named after: "sast" for runs/sast/ckpt.pt, "x" for x.pt."""
        stem = self.checkpoint.stem
        return encodable(self.checkpoint.resolve().parent.name if stem == "ckpt" else stem)

    @property
    def metrics(self) -> Path:
        """JSON lines, one per epoch."""
        return self.checkpoint.with_name("metrics.jsonl")

    @property
    def resume(self) -> Path:
        """Exists exactly while the training is unfinished."""
        return self.checkpoint.with_name("resume.pt")

    @contextmanager
    def claim(self, *, resume: bool, overwrite: bool, inputs: Iterable[Path] = ()) -> Iterator[None]:
        """Hold these files against other trainings, once it is certain that they can be written.

        inputs: files that the training starts from.

        Raises:
            TrainingError: a training lives here, or none to resume. BusyError: another process is at work
                here. OutputError: as `outputs.check_output`.
        """
        check_output(self.checkpoint, CHECKPOINT, inputs=inputs, overwrite=resume or overwrite)
        for path, kind in ((self.metrics, METRICS), (self.resume, UNFINISHED)):
            check_output(path, kind, REWRITTEN, inputs=inputs, overwrite=resume or overwrite)
        if resume and not (self.resume.exists() or self.checkpoint.exists()):
            raise TrainingError("nothing to resume", where=self.resume, todo="start without --resume")
        with ExitStack() as held:
            written = (self.resume, output_target(self.checkpoint))  # which may be in another folder
            for folder in sorted({path.parent.resolve() for path in written}):
                held.enter_context(lock_folder(folder))
            if resume or overwrite:
                self.refuse_another()
            else:
                self.refuse_overwriting()
            yield

    def refuse_other_owner(self) -> None:
        """Raise TrainingError if the unfinished training here is another output's."""
        if (owner := self._owner()) not in (None, self.checkpoint.name):
            first = self.checkpoint.with_name(str(owner))
            raise TrainingError(
                f"is the unfinished training of {first}", where=self.resume,
                todo=f"finish that with --resume -o {first}, or {APART}",
            )  # fmt: skip

    def refuse_another(self) -> None:
        """Raise TrainingError if a training of another output lives in this folder."""
        self.refuse_other_owner()
        if self.metrics.exists() and not self.resume.exists() and not self.checkpoint.exists():
            raise TrainingError("is another training's", where=self.metrics, todo=APART)

    def _owner(self) -> str | None:
        """Whose name resume.pt says that it is of; None where it does not, as older ones, or is damaged."""
        try:
            found = read_torch(self.resume, EXPECTED) if self.resume.exists() else {}
        except TrainingError:
            return None
        owner = found.get(OWNER) if isinstance(found, dict) else None
        return owner if isinstance(owner, str) else None

    def refuse_overwriting(self) -> None:
        """Raise TrainingError if any training, finished or not, lives in this folder."""
        self.refuse_another()
        if self.resume.exists():
            raise TrainingError(
                "an unfinished training is here", where=self.resume,
                todo="continue it with --resume, replace it with --overwrite, or choose another -o",
            )  # fmt: skip
        if self.checkpoint.exists():
            todo = "replace it with --overwrite, or choose another -o"
            raise TrainingError("exists already", where=self.checkpoint, todo=todo)

    def remove(self) -> None:
        """Forget an unfinished training (the checkpoint stays until a new one replaces it)."""
        self.resume.unlink(missing_ok=True)

    def begin(self) -> None:
        """Forget an unfinished training with its metrics: none is here any more."""
        if self.resume.exists():
            self.metrics.unlink(missing_ok=True)
        self.remove()


def data_setting(data: FrameSet) -> Setting:
    """What a result depends on of the data, as flat plain values."""
    frames = {f"frames.{key}": value for key, value in data.options.to_dict().items()}
    return {**frames, "data": data.info.dataset, "data.digest": data.info.frame_digest}


def save_unfinished(files: RunFiles, state: Unfinished, setting: Setting) -> None:
    """Write the state after an epoch; a reader sees the last epoch's or this one's. Raises OutputError."""
    about = {"format": FORMAT, "version": FORMAT_VERSION, OWNER: files.checkpoint.name}
    values = {**about, "setting": dict(setting), **vars(state)}
    save_plain(files.resume, values)
    write_metrics(files, state)


def write_metrics(files: RunFiles, state: Unfinished) -> None:
    """Write the history as JSON lines. Rewritten whole, so it never disagrees with the state."""
    write_text(files.metrics, "".join(json.dumps(line) + "\n" for line in state.history))


def load_unfinished(files: RunFiles, setting: Setting) -> Unfinished:
    """The state of the unfinished training that `setting` describes.

    Raises TrainingError: nothing to resume, a damaged file, another setting (names what differs).
    """
    path = files.resume
    if not path.exists():
        raise TrainingError("nothing to resume", where=path, todo="start without --resume")
    values = read_torch(path, EXPECTED)
    same = isinstance(values, dict) and set(values) - {OWNER} == {
        "format", "version", "setting", *vars(Unfinished()),
    }  # fmt: skip
    if not same or not is_text(values["format"], FORMAT) or type(values["version"]) is not int:
        EXPECTED.refuse("is no unfinished training of this version", path)
    if values["version"] != FORMAT_VERSION:
        EXPECTED.refuse(f"is an unfinished training of version {shown(values['version'])}", path)
    owner, name = values.get(OWNER, files.checkpoint.name), files.checkpoint.name
    if not is_text(owner, name):
        EXPECTED.refuse(f"is the unfinished training of {shown(owner)}, not of {name}", path)
    refuse(bounded(RESUME, {key: values[key] for key in RESUME.fields}), path, TrainingError)
    different = differences(values["setting"], setting)
    if different:
        raise TrainingError(
            f"was started with {different}",
            where=path,
            todo="resume with the same options, or use --overwrite",
        )
    refuse(_problems(values, setting), path, TrainingError, EXPECTED.todo)
    return Unfinished(**{key: _tensors(values[key]) for key in vars(Unfinished())})


def _problems(values: Mapping[str, Any], setting: Setting) -> Iterator[Problem]:
    """What does not fit the training that `setting` describes: the history, weights, moments."""
    epoch, best, integers = values["epoch"], values["best_epoch"], "profile" in setting
    if not 1 <= epoch <= setting["epochs"] or not 1 - integers <= best <= epoch:
        yield Problem("", f"best epoch {best} of {epoch}", f"at most {setting['epochs']} epochs")
    if len(values["history"]) != epoch + integers:  # fine-tuning's begins with the start
        yield Problem("", f"a history of {len(values['history'])} lines", f"{epoch + integers}")
    for number, line in enumerate(values["history"], start=1 - integers):
        yield from Table(JUDGED[integers], open=True).problems(line, "history")
        if isinstance(line, dict) and line.get("epoch") != number:
            yield Problem("history", f"epoch {shown(line.get('epoch'))}", f"epoch {number}")
    spec = NetworkSpec.from_dict({each.name: setting[each.name] for each in fields(NetworkSpec)})
    wanted = _state_shapes(values["weights"], spec, setting)
    for key in ("weights", "best", "mean"):
        shapes = _state_shapes(values[key], spec, setting) if key == "best" else wanted
        empty = isinstance(values[key], dict) and not values[key]
        if key != "mean" or not empty:
            yield from state_problems(values[key], shapes, f"{key}.")
    fixed = ("theta_", *(LEARNED if integers else ()))
    parameters = [shape for name, shape in wanted.items() if not name.startswith(fixed)]
    yield from _moment_problems(values["optimizer"], parameters)


def _state_shapes(state: Any, spec: NetworkSpec, setting: Setting) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of such a network, whose first layer pruning has made as narrow as theirs."""
    width = getattr(state.get("theta_0"), "size", 0) if isinstance(state, dict) else 0
    narrow = setting["prune"] and 1 <= width <= spec.hidden[0]
    return state_shapes(narrowed_spec(spec, width) if narrow else spec)


def _moment_problems(optimizer: Any, shapes: list[tuple[int, ...]]) -> Iterator[Problem]:
    """What is wrong with the `state_dict()` of an Adam over parameters of these shapes."""
    state = optimizer.get("state") if isinstance(optimizer, dict) else None
    if not isinstance(state, dict) or set(state) != set(range(len(shapes))):
        yield Problem("optimizer.state", shown(state), f"the moments of {len(shapes)} parameters")
        return
    for index, shape in enumerate(shapes):
        wanted = {"step": (), "exp_avg": shape, "exp_avg_sq": shape}
        name = f"optimizer.state.{index}."
        problems = list(state_problems(state[index], wanted, name))
        yield from problems
        if not problems:
            step, square = float(state[index]["step"]), state[index]["exp_avg_sq"]
            if step != int(step) or not 1 <= step <= MOST_STEPS:
                yield Problem(f"{name}step", f"{step:g}", f"a number of steps, 1 to {MOST_STEPS}")
            if (square < 0).any():
                yield Problem(f"{name}exp_avg_sq", f"{float(square.min()):g}", "no mean square below 0")


def _tensors(value: Any) -> Any:
    """Arrays as tensors in memory of torch's own; everything else as it is."""
    if isinstance(value, dict):
        return {key: _tensors(each) for key, each in value.items()}
    return torch.from_numpy(value).clone() if isinstance(value, np.ndarray) else value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """'epochs = 3 (now 4), ...' for the values that differ; '' for none.

    A setting from before an option was there equals one with its default.
    """
    old = {**RECIPE_ADDED, **NETWORK_ADDED, **old} if old else old
    keys = sorted(set(old) | set(new))
    changed = [k for k in keys if old.get(k) != new.get(k)]
    return ", ".join(f"{k} = {old.get(k)!s:.99} (now {new.get(k)!s:.99})" for k in changed[:9])
