"""Options of one or more values, as people write them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from sast_deploy.cli import run
from sast_deploy.commands.several import several, spread
from tests.commandlines import COMMANDS


@click.command()
@several("--hidden", type=int)
@several("--alpha", "-a", type=float, default=(0.5,))
@click.option("--seed", type=int)
@click.option("--quiet", is_flag=True)
def plain(**values: Any) -> None: ...


def parsed(words: str) -> dict[str, Any]:
    return plain.make_context("plain", spread(plain.params, words.split())).params


@pytest.mark.parametrize(
    ("words", "hidden", "alpha"),
    [
        ("", (), (0.5,)),
        ("--hidden 256", (256,), (0.5,)),
        ("--hidden 256 128 64 --seed 3", (256, 128, 64), (0.5,)),
        ("--seed 3 --hidden 256 --hidden 128", (256, 128), (0.5,)),
        ("--hidden=256 128 --quiet --hidden 64", (256, 128, 64), (0.5,)),
        ("--alpha 0.9 .8 --hidden 7 7", (7, 7), (0.9, 0.8)),
        ("-a 0.9 1e-3", (), (0.9, 1e-3)),
    ],
)
def test_all_values_arrive(words: str, hidden: tuple[int, ...], alpha: tuple[float, ...]) -> None:
    found = parsed(words)
    assert (found["hidden"], found["alpha"]) == (hidden, alpha)


@pytest.mark.parametrize(
    "words", ["--hidden", "--seed 3 4", "--quiet 7", "7 --hidden 8", "--hidden 256,128", "--hidden 3 -4"]
)
def test_other_words_are_no_values(words: str) -> None:
    with pytest.raises(click.UsageError):
        parsed(words)


def test_train_takes_them() -> None:
    words = "--hidden 32 16 --alpha 0.9 0.8 --theta 2 --reset-order before-leak -o out/a.pt"
    found = COMMANDS["train"].make_context("train", words.split()).params
    assert (found["hidden"], found["alpha"], found["theta"]) == ((32, 16), (0.9, 0.8), (2.0,))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--hidden 9 8 --alpha 0.5 0.4 0.3", "3 values of alpha for 2 LIF layers; expected one, or 2"),
        ("--network conv --channels 9 --theta 1 2", "2 values of theta for 1 LIF layer; expected one, or 1"),
        ("--network conv --hidden 9", "--hidden with --network conv; give --channels"),
        ("--channels 9", "--channels with --network fc; give --hidden"),
        ("--hidden 9 x", "'x' is not a valid integer"),
    ],
)
def test_wrong_ones_are_refused_in_a_line(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--dataset", "nmnist", "--data-root", "nowhere", *words.split()]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
