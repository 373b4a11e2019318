"""What to change so that a chip holds a network: each change made, laid out on cores, and run on samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sast_deploy import api
from sast_deploy.base.errors import DataError, SastError
from sast_deploy.base.progress import Task, task
from sast_deploy.compiler import compile_network
from sast_deploy.data.request import DataRequest
from sast_deploy.engines.registry import run_engine
from sast_deploy.program.narrowing import importance, without
from sast_deploy.program.profile import load_profile, profile_names
from sast_deploy.program.program import Dense, Program
from sast_deploy.program.record import SpikeRecord
from sast_deploy.proofs.chips import CHIPS, INPUT_AXONS, Chip, chip_of
from sast_deploy.proofs.limits import broken_limits, check_limits, verdict
from sast_deploy.proofs.mapping import Mapping, map_program
from sast_deploy.reports.accuracy import Accuracy, McNemar, mcnemar
from sast_deploy.reports.inputs import Inputs, some_of
from sast_deploy.reports.suggestions import Suggestion, Suggestions
from sast_deploy.studies.trained import float_network, trained_of

TRIED = 1000  # samples
UNTRAINED = "without training again"
Change = Callable[[Program], Program]


def suggest(
    net: api.Net,
    frames: npt.ArrayLike | Inputs | None = None,
    labels: npt.ArrayLike | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = TRIED,
    chip: str = "loihi1",
) -> Suggestions:
    """Try the smallest changes that let a chip hold a network, or save it a core, and measure each.

    Resets to zero where the chip has no other, narrower profiles where the checkpoint is at hand, as few
    neurons less as save a core, the other chip; and what mends everything, together. Without labelled samples
    changes are laid out but not measured. The rest as in `simulate`.

    >>> [each.change for each in sast.suggest(net, frames, labels).tried][0]
    'reset to zero'
    """
    notes: list[str] = []
    given = _given(net, frames, labels, data, samples, notes)
    with task("suggestions") as under_way:
        under_way.tell("as it is")
        trials = _Trials(net.program, chip_of(chip), given)
        tried = list(_tried(net, trials, under_way, notes))
    base = trials.base
    mended = {limit for each in tried for limit in each.mends}
    left = dict.fromkeys(check.limit for check in base.broken if check.limit not in mended)
    if left:
        notes.append(f"nothing that is tried here mends {', '.join(left)}: another profile, or training")
    broken = tuple(f"{check.limit}: {check.why}" for check in base.broken)
    return Suggestions(
        chip, base.verdict, not base.broken, base.mapping.cores, broken, trials.accuracy(base),
        0 if given is None else len(given.frames), tuple(tried), tuple(notes),
    )  # fmt: skip


def _given(
    net: api.Net, frames: npt.ArrayLike | Inputs | None, labels: npt.ArrayLike | None,
    data: DataRequest | None, samples: int | None, notes: list[str],
) -> Inputs | None:  # fmt: skip
    if frames is None and data in (None, DataRequest()) and not net.file.data:
        notes.append("no data set belongs to the network: nothing was measured, and no neuron was left out")
        return None
    try:
        return some_of(api.inputs(net, frames, labels, data=data, samples=samples), samples)
    except DataError as error:
        if frames is not None or data not in (None, DataRequest()):
            raise
        notes.append(f"its data are not at hand, so nothing was measured: {error.what}")
        return None


@dataclass(frozen=True, eq=False)
class _Trial:
    """A program laid out on the chip, and its run."""

    program: Program
    mapping: Mapping
    broken: tuple[Any, ...]
    verdict: str
    record: SpikeRecord | None


class _Trials:
    """Trials of changes to one program on the same samples."""

    def __init__(self, program: Program, chip: Chip, given: Inputs | None) -> None:
        self.chip, self.given = chip, given
        self.base = self.of(program)

    def of(self, program: Program) -> _Trial:
        """Lay out and run."""
        mapping = map_program(program, self.chip)
        checks = check_limits(program, mapping=mapping)
        record = None if self.given is None else run_engine("fast", program, self.given.frames)
        return _Trial(program, mapping, broken_limits(checks), verdict(checks, self.chip), record)

    def right(self, trial: _Trial) -> npt.NDArray[np.bool_] | None:
        """(samples,): which are classified correctly; None where nothing says."""
        if trial.record is None or self.given is None or self.given.labels is None:
            return None
        return np.asarray(trial.record.predictions == self.given.labels)

    def accuracy(self, trial: _Trial) -> Accuracy | None:
        """Of the samples."""
        right = self.right(trial)
        return None if right is None else Accuracy(int(right.sum()), len(right))

    def suggestion(self, change: str, how: str, program: Program, note: str) -> Suggestion | None:
        """None where it neither mends a limit nor saves a core."""
        found, base = self.of(program), self.base
        left = {(check.layer, check.limit) for check in found.broken}
        mends = dict.fromkeys(check.limit for check in base.broken if (check.layer, check.limit) not in left)
        if not mends and found.mapping.cores >= base.mapping.cores:
            return None
        one, other = self.right(found), self.right(base)
        test: McNemar | None = None if one is None or other is None else mcnemar(one, other)
        return Suggestion(
            change, how, tuple(mends), found.verdict, not found.broken, found.mapping.cores,
            self.accuracy(found), None if test is None else 100 * test.difference,
            None if test is None else test.p, note,
        )  # fmt: skip


def _tried(net: api.Net, trials: _Trials, under_way: Task, notes: list[str]) -> Iterator[Suggestion]:
    """Every change by itself, then the least that mends everything."""
    resets: list[Suggestion] = []
    sizes: list[tuple[Suggestion, Program]] = []
    for change, how, program, note in _changes(net, trials, notes):
        under_way.tell(change)
        found = trials.suggestion(change, how, program, note)
        if found is None:
            continue
        yield found
        if change == RESET:
            resets.append(found)
        else:
            sizes.append((found, program))
    if resets and not resets[0].fits:
        under_way.tell("together")
        yield from _together(trials, resets[0], sizes)
    yield from _other_chip(trials)


RESET = "reset to zero"


def _changes(net: api.Net, trials: _Trials, notes: list[str]) -> Iterator[tuple[str, str, Program, str]]:
    """(change, how, the changed program, what its figure is of), smallest first."""
    program = net.program
    if any(check.limit == "reset" for check in trials.base.broken):
        bits = program.arithmetic.weight_bits
        how = f'train --reset zero; compile --profile COPY.toml, {bits}-bit weights and reset.kind = "zero" '
        how += "(loihi-stock is that of 8 bits)"
        yield RESET, how, _reset_to_zero(program), UNTRAINED
    yield from _fewer_inputs(trials)
    yield from _profiles(net, notes)
    yield from _pruned(trials, notes)


def _reset_to_zero(program: Program) -> Program:
    return replace(program, arithmetic=replace(program.arithmetic, reset="zero", reset_order="after-leak"))


def _fewer_inputs(trials: _Trials) -> Iterator[tuple[str, str, Program, str]]:
    """Where neurons of the first layer, a dense one, have more inputs than a core takes: without the least
    important of them, by the weights behind each and the deviation of its values.
    """
    base, given = trials.base, trials.given
    first, layer = base.mapping.layers[0], base.program.layers[0]
    if given is None or INPUT_AXONS not in first.beyond or not isinstance(layer, Dense):
        return
    surplus = int(layer.weight.any(axis=0).sum()) - trials.chip.capacities[INPUT_AXONS]
    frames = np.asarray(given.frames).reshape(-1, layer.weight.shape[1])
    worth = np.sqrt((layer.weight.astype(np.float64) ** 2).sum(axis=0)) * frames.std(axis=0)
    order = np.argsort(np.where(layer.weight.any(axis=0), worth, np.inf), kind="stable")
    weight = layer.weight.copy()
    weight[:, order[:surplus]] = 0
    program = replace(base.program, layers=(replace(layer, weight=weight), *base.program.layers[1:]))
    change = f"leave out {surplus:,} of {len(order):,} inputs of {first.name}"
    yield change, "train on smaller frames, --size H W", program, UNTRAINED


def _profiles(net: api.Net, notes: list[str]) -> Iterator[tuple[str, str, Program, str]]:
    """Compiled again from its own checkpoint, for every shipped profile of fewer bits, the next first."""
    trained, path, why = trained_of(net.file.checkpoint)
    if trained is None:
        notes.append(f"narrower profiles were not tried: {why}")
        return
    network = float_network(trained)
    bits = net.program.arithmetic.weight_bits
    profiles = [load_profile(name) for name in profile_names()]
    narrower = [each for each in profiles if each.arithmetic.weight_bits < bits]
    for profile in sorted(narrower, key=lambda each: -each.arithmetic.weight_bits):
        try:
            program = compile_network(network, profile, net.program.name).program
        except SastError as error:
            notes.append(f"profile {profile.name}: {error.what}")
            continue
        how = f"compile {path} --profile {profile.name} --calibrate {net.file.data.get('dataset', 'DATASET')}"
        yield f"profile {profile.name}", how, program, "without calibration"


def _pruned(trials: _Trials, notes: list[str]) -> Iterator[tuple[str, str, Program, str]]:
    """As few neurons less of the layer with most cores as save a core, or as bring it onto the chip."""
    base, record = trials.base, trials.base.record
    if record is None or base.mapping.cores == len(base.mapping.layers):
        return
    program, spiking = base.program, [index for index, _ in base.program.spiking()]
    layers = [layer for layer in base.mapping.layers if layer.index in spiking]
    largest = max(layers, key=lambda layer: layer.cores)
    if largest.cores == 1:
        return
    index, channels = largest.index, largest.shape[0]
    counts = record.counts[spiking.index(index)].reshape(len(record.logits), channels, -1)
    rates = counts.mean(axis=(0, 2)) / program.steps
    goal = min(base.mapping.cores - 1, trials.chip.cores)

    def cores(narrower: Program) -> int:
        return map_program(narrower, trials.chip).cores

    try:
        order = np.argsort(importance(program, index, rates), kind="stable")
        least = _fewest(channels, lambda n: cores(without(program, index, order[:n], rates)) <= goal)
    except ValueError as error:
        notes.append(f"{largest.name} was not pruned: {error}")
        return
    if least is None:
        notes.append(f"no pruning of {largest.name} alone brings the program to {goal} cores")
        return
    share, what = f"{least / channels:.2g}", "neurons" if len(largest.shape) == 1 else "channels"
    change = f"prune {share} of {largest.name}: {least} of {channels} {what} less"
    how = f"train --set prune={share}" if index == spiking[0] else "train with fewer of them"
    note = f"{UNTRAINED}, chosen on these samples"
    yield change, how, without(program, index, order[:least], rates), note


def _fewest(most: int, enough: Callable[[int], bool]) -> int | None:
    """The smallest number below `most` that is enough, where more are so, too."""
    low, high = 1, most - 1
    if high < low or not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _together(
    trials: _Trials, reset: Suggestion, sizes: list[tuple[Suggestion, Program]]
) -> Iterator[Suggestion]:
    """With a reset to zero, the change of size that loses least among those with which everything fits."""
    found = []
    for each, program in sizes:
        both = trials.suggestion(
            f"{reset.change}, {each.change}", f"{reset.how}; {each.how}", _reset_to_zero(program), UNTRAINED
        )
        if both is not None and both.fits:
            found.append(both)
    yield from sorted(found, key=lambda each: -(each.difference or 0.0))[:1]


def _other_chip(trials: _Trials) -> Iterator[Suggestion]:
    """The network as it is on the other chip, where this one does not hold it."""
    if not trials.base.broken:
        return
    for name, chip in CHIPS.items():
        if name == trials.chip.name:
            continue
        mapping = map_program(trials.base.program, chip)
        checks = check_limits(trials.base.program, mapping=mapping)
        if not broken_limits(checks):
            mends = tuple(dict.fromkeys(check.limit for check in trials.base.broken))
            accuracy = trials.accuracy(trials.base)
            yield Suggestion(
                f"{chip.title} instead", f"--chip {name}", mends, verdict(checks, chip), True, mapping.cores,
                accuracy, None if accuracy is None else 0.0, None if accuracy is None else 1.0,
                "the same integers",
            )  # fmt: skip
