"""The frames of a run: the data set, or a stratified part of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache

from sast_deploy.base.errors import DataError
from sast_deploy.data import FrameSet, FrameSplit, load_frames, stratified_split
from sast_deploy.data.options import MAX_CLIP
from sast_deploy.studies.sweep.choices import DataChoice

PART_SEED = 0  # which samples a part consists of is the same for every run


@lru_cache(maxsize=3)
def load_choice(choice: DataChoice) -> FrameSet:
    """The frames that `choice` names; those loaded last are kept, as every run of a study uses them.

    Raises DataError: what `load_frames` refuses, or fewer samples than asked for.
    """
    data = load_frames(
        choice.dataset, choice.options, data_root=choice.root, holdout=choice.holdout,
        holdout_seed=choice.holdout_seed, recordings=choice.recordings,
    )  # fmt: skip
    if choice.train is None and choice.test is None:
        return data
    return part_of(data, choice.train, choice.test, choice.name)


def unclipped_choice(choice: DataChoice) -> DataChoice:
    """The same frames with counts up to 255: what an event drop starts from."""
    return replace(choice, options=replace(choice.options, encoding="count", clip=MAX_CLIP))


def unclipped_test(choice: DataChoice) -> FrameSplit:
    """The test split of `choice`, the same samples, with unclipped counts. Raises DataError."""
    counts = load_choice(unclipped_choice(choice)).test
    if counts.ids != load_choice(choice).test.ids:
        raise DataError("the recordings have changed", where=choice.dataset, todo="run again")
    return counts


def part_of(data: FrameSet, train: int | None, test: int | None, name: str = "") -> FrameSet:
    """`data` with so many samples of each split, every class in proportion; its digest says so.

    Raises DataError, naming the table [data.NAME]: more samples than there are.
    """
    where = f"[data.{name}]"
    fit, score = _part(data.train, train, "train", where), _part(data.test, test, "test", where)
    label = f"{len(fit)} of {len(data.train)} training and {len(score)} of {len(data.test)}"
    digest = hashlib.sha256(f"{data.info.frame_digest} {label} {PART_SEED}".encode()).hexdigest()
    info = replace(
        data.info, n_train=len(fit), n_test=len(score), frame_digest=digest,
        provenance=f"{data.info.provenance}; a part: {label} test samples",
    )  # fmt: skip
    return replace(data, train=fit, test=score, info=info)


def _part(split: FrameSplit, count: int | None, name: str, where: str) -> FrameSplit:
    if count is None or count == len(split):
        return split
    if count > len(split):
        raise DataError(f"{name} = {count}", where=where, expected=f"at most {len(split)} samples")
    _, held = stratified_split(split.labels, count / len(split), PART_SEED)
    return split.part(held)
