"""How much of a layer's activity is the surrogate's tail: what a network loses when its spikes become hard.

A neuron far below its threshold still emits sigma(u - theta) ~ 1 / (pi k (theta - u)) while it is trained,
and a layer above can add up hundreds of these. Hard spikes have none of it. Where this share is large, so is
the gap between smooth and hard spikes (docs/sast-study.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from sast_deploy.base.text import percent
from sast_deploy.training.recipes import Recipe

LARGE = 0.15  # networks with a gap of several points have more of it, others less than 0.1


def tail_shares(smooth: Sequence[float], hard: Sequence[float]) -> tuple[float, ...]:
    """1 - hard / smooth for each LIF layer, of its mean spikes per neuron and step; at least 0."""
    return tuple(max(0.0, 1.0 - h / s) if s > 0 else 0.0 for s, h in zip(smooth, hard, strict=True))


def tail_warning(recipe: Recipe, smooth: Sequence[float], hard: Sequence[float]) -> str | None:
    """One line that names the layers with a `LARGE` share; None where there are none.

    A network that was trained with hard spikes forward never used the tails.
    """
    if recipe.forward == "hard":
        return None
    found = [
        f"layer {index} ({percent(share)}: {h:.4f} hard spikes per neuron and step, {s:.4f} smooth)"
        for index, (share, h, s) in enumerate(zip(tail_shares(smooth, hard), hard, smooth, strict=True))
        if share > LARGE
    ]
    if not found:
        return None
    return (
        f"WARNING: the surrogate's tails, which hard spikes do not have, are much of {', '.join(found)}; "
        "train with --set init=lsuv, whose neurons fire from the start, or with --set forward=hard"
    )
