from __future__ import annotations

import numpy as np
import pytest

from sast_deploy.training.augment import Changes, apply_changes, draw_changes, network_input
from sast_deploy.training.recipes import PAPER

IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def changes(affine: list[list[float]], drop: float = 0.0, batch: int = 1, seed: int = 0) -> Changes:
    seeds = np.arange(seed, seed + batch, dtype=np.uint64)
    return Changes(np.tile(np.array(affine), (batch, 1, 1)), np.full(batch, drop), seeds)


def random_frames(batch: int = 3, clip: int = 4, shape: tuple[int, ...] = (5, 2, 7, 6)) -> np.ndarray:
    return np.random.default_rng(0).binomial(clip, 0.2, (batch, *shape)).astype(np.uint8)


def test_network_input_is_time_first_and_scaled() -> None:
    frames = random_frames()
    x = network_input(frames, 4)
    assert (x.shape, x.dtype, x.flags.c_contiguous) == ((5, 3, 84), np.float32, True)
    assert x[3, 2].tolist() == (frames[2, 3].reshape(-1) / 4).tolist()


def test_the_identity_changes_nothing() -> None:
    frames = random_frames()
    assert np.array_equal(apply_changes(frames, changes(IDENTITY, batch=3), 4), network_input(frames, 4))


def test_shift_moves_right_and_down_and_loses_what_leaves() -> None:
    frames = random_frames(1)
    moved = apply_changes(frames, changes([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]), 4).reshape(5, 2, 7, 6)
    assert np.array_equal(moved[:, :, 1:, 2:], frames[0][:, :, :-1, :-2] / np.float32(4))
    assert moved[:, :, 0].sum() == moved[:, :, :, :2].sum() == 0


def test_a_quarter_turn_is_numpys() -> None:
    """(x, y) -> (-y, x) with y down turns clockwise on the screen."""
    frames = random_frames(1, shape=(2, 2, 5, 5))
    turned = apply_changes(frames, changes([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]), 4).reshape(2, 2, 5, 5)
    assert np.array_equal(turned, np.rot90(frames[0], -1, axes=(2, 3)) / np.float32(4))


def test_counts_that_meet_add_up_to_the_clip() -> None:
    frames = np.zeros((1, 1, 1, 1, 5), np.uint8)
    frames[0, 0, 0, 0] = [1, 1, 0, 3, 4]
    squeezed = apply_changes(frames, changes([[0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]), 4)
    # x - 2 = -2 -1 0 1 2 halves to -1 -.5 0 .5 1, rounded half up to -1 0 0 1 1
    assert squeezed.ravel().tolist() == [0.0, 0.25, 0.25, 1.0, 0.0]


def test_drop_keeps_the_right_share_and_depends_on_the_seed_alone() -> None:
    frames = np.full((1, 10, 2, 34, 34), 4, np.uint8)
    kept = [apply_changes(frames, changes(IDENTITY, drop=0.3, seed=s), 4) for s in (1, 1, 2)]
    assert np.array_equal(kept[0], kept[1])
    assert not np.array_equal(kept[0], kept[2])
    events = 4 * frames.size // 4 * 4
    assert kept[0].sum() * 4 == pytest.approx(0.7 * events, abs=5 * (events * 0.21) ** 0.5)


def test_drawn_changes_stay_within_the_recipes_limits() -> None:
    plan = PAPER.replace(shift=2, rotate=10, scale=0.1, shear=0.2, drop=0.3)
    drawn = draw_changes(plan, 5000, np.random.default_rng(0))
    assert 1.99 < np.abs(drawn.affine[:, :, 2]).max() <= 2
    assert 0 <= drawn.drop.min() < 0.001
    assert 0.299 < drawn.drop.max() <= 0.3
    # det(zoom rotation shear) = zoom_x zoom_y
    area = np.linalg.det(drawn.affine[:, :, :2])
    assert 0.81 <= area.min() < area.max() <= 1.21


def test_only_rotation_is_a_rotation() -> None:
    drawn = draw_changes(PAPER.replace(rotate=10), 100, np.random.default_rng(0)).affine[:, :, :2]
    assert np.allclose(drawn @ drawn.swapaxes(1, 2), np.eye(2))
    assert np.abs(np.rad2deg(np.arcsin(drawn[:, 1, 0]))).max() <= 10
