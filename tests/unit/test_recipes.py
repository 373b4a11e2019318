from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from sast_deploy.base.errors import UsageError
from sast_deploy.training.recipes import ADDED_LATER, BEST, PAPER, RECIPES, Recipe, recipe


def test_paper_is_the_published_recipe() -> None:
    assert (PAPER.epochs, PAPER.batch, PAPER.lr, PAPER.rho) == (200, 128, 1e-3, 0.3)
    extras = (
        "k_start",
        "label_smoothing",
        "weight_decay",
        "ema",
        "shift",
        "rotate",
        "scale",
        "shear",
        "drop",
    )
    assert all(getattr(PAPER, key) == 0.0 for key in extras)
    assert not PAPER.augments
    assert BEST.augments


def test_names() -> None:
    assert set(RECIPES) == {"paper", "best", "best-conv"}
    assert recipe("best") is BEST
    with pytest.raises(UsageError, match=r"no recipe 'bset'.*paper or best or best-conv"):
        recipe("bset")


def test_replace_marks_the_name_once_and_ignores_none_and_equal_values() -> None:
    changed = PAPER.replace(rho=0.1, epochs=None)
    assert (changed.name, changed.rho, changed.epochs) == ("paper+", 0.1, 200)
    assert changed.replace(epochs=3).name == "paper+"
    assert PAPER.replace(rho=0.3, lr=None) is PAPER


def test_choices_are_replaced_like_numbers() -> None:
    changed = PAPER.replace(sharpness="asam", pairing="same", forward="hard", init="lsuv")
    assert (changed.sharpness, changed.pairing, changed.forward, changed.init) == (
        "asam", "same", "hard", "lsuv",
    )  # fmt: skip
    assert changed.name == "paper+"
    with pytest.raises(UsageError, match=r"init = 'lsv'; expected torch or lsuv"):
        PAPER.replace(init="lsv")


def test_misspelt_values_are_refused() -> None:
    with pytest.raises(UsageError, match="no such value: epoch; expected epochs, batch"):
        PAPER.replace(epoch=3)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0}, {"epochs": 2.5}, {"batch": 0}, {"lr": 0.0}, {"lr": float("nan")}, {"rho": -0.1},
        {"rho": float("inf")}, {"ema": 1.0}, {"label_smoothing": 1.0}, {"drop": 1.0}, {"scale": 1.0},
        {"shift": -1}, {"anneal": 1.1}, {"k_start": -3.0}, {"synops": -1.0}, {"prune": 1.0}, {"drop": "x"},
        {"sharpness": "sharp"}, {"pairing": "both"}, {"forward": 1.0}, {"init": "lsv"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_values_are_refused(change: dict[str, float | str]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        PAPER.replace(**change)


def test_cosine_annealing() -> None:
    plan = PAPER.replace(epochs=4, lr=0.8)
    rates = [plan.learning_rate(epoch) for epoch in range(5)]
    assert rates == pytest.approx([0.8, 0.4 + 0.4 * 0.5**0.5, 0.4, 0.4 - 0.4 * 0.5**0.5, 0.0])


def test_slope_annealing_is_geometric_and_ends_at_k() -> None:
    plan = PAPER.replace(epochs=10, k_start=4.0, anneal=0.4)
    assert [plan.slope(epoch, 64.0) for epoch in range(6)] == pytest.approx([4, 8, 16, 32, 64, 64])
    assert [PAPER.slope(epoch, 25.0) for epoch in (0, 199)] == [25.0, 25.0]


def test_recipes_survive_json() -> None:
    assert Recipe.from_dict(json.loads(json.dumps(BEST.to_dict()))) == BEST
    with pytest.raises(UsageError, match="key"):
        Recipe.from_dict({"name": "x"})


def test_recipes_of_older_files_take_the_defaults_of_what_came_later() -> None:
    assert {f.name: f.default for f in fields(Recipe) if f.name in ADDED_LATER} == ADDED_LATER
    old = {key: value for key, value in BEST.to_dict().items() if key not in ADDED_LATER}
    assert len(old) == 16
    assert Recipe.from_dict(old) == replace(BEST, **ADDED_LATER)
    for wrong in ({**old, "colour": 1}, {key: value for key, value in old.items() if key != "drop"}):
        with pytest.raises(UsageError, match=r"(unknown|missing) key"):
            Recipe.from_dict(wrong)


def test_the_best_recipe_for_convolutions_makes_deep_maps_fire() -> None:
    found = recipe("best-conv")
    assert (found.forward, found.init, found.rho) == ("hard", "lsuv", 0.0)
    assert [round(found.slope(epoch, 25.0), 2) for epoch in (0, 20, 40)] == [5.0, 11.18, 25.0]
    assert found.replace(lr=BEST.lr).name == "best-conv+"
