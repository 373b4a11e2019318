from __future__ import annotations

from pathlib import Path

import pytest

from sast_deploy.base.errors import ProfileError, UsageError
from sast_deploy.studies.sweep.measures import CIRCUIT_SAMPLES
from sast_deploy.studies.sweep.study import Study, load_study

HEAD = '[study]\nname = "s"\n'
GRID = '[[grid]]\ndata = "digits-saccade"\n'


def study(tmp_path: Path, text: str, **options: object) -> Study:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return load_study(path, **options)  # type: ignore[arg-type]


def names(tmp_path: Path, text: str) -> list[str]:
    return [run.name for run in study(tmp_path, HEAD + text).runs]


def test_the_smallest_study(tmp_path: Path) -> None:
    found = study(tmp_path, HEAD + GRID)
    (run,) = found.runs
    assert (found.name, found.device, found.check) == ("s", "auto", 10)
    assert run.name == "digits-saccade-fc-paper-rho0.30-seed0"
    assert (run.data.dataset, run.network.kind, run.seed, run.validation) == ("digits-saccade", "fc", 0, 0.1)
    assert (run.recipe.recipe.name, run.recipe.recipe.epochs, run.passes) == ("paper", 200, 400)
    assert [stage.key for stage in run.stages] == ["float"]


def test_lists_are_multiplied_out_all_of_the_first_seed_first(tmp_path: Path) -> None:
    text = GRID + 'recipe = ["paper", "best"]\nrho = [0, 0.125]\nseed = [1, 0]\nepochs = 2\n'
    assert names(tmp_path, text) == [
        f"digits-saccade-fc-{recipe}-rho{rho}-epochs2-seed{seed}"
        for seed in (0, 1) for recipe in ("paper", "best") for rho in ("0.00", "0.125")
    ]  # fmt: skip


def test_axes_of_the_network_and_of_the_recipe_reach_them(tmp_path: Path) -> None:
    (run,) = study(tmp_path, HEAD + GRID + 'k = 5\nlr = 0.01\npairing = "same"\nreset = "zero"\n').runs
    (before,) = study(tmp_path, HEAD + GRID + 'reset_order = "before-leak"\n').runs
    assert before.name == "digits-saccade-fc-paper-rho0.30-reset_order-before-leak-seed0"
    assert before.network.spec((2, 34, 34), 10).reset_order == "before-leak"
    assert run.name == "digits-saccade-fc-paper-rho0.30-lr0.01-pairing-same-k5-reset-zero-seed0"
    spec = run.network.spec((2, 34, 34), 10)
    assert (spec.k, spec.reset, spec.hidden) == (5.0, "zero", (168, 64))
    assert (run.recipe.recipe.lr, run.recipe.recipe.pairing) == (0.01, "same")
    assert repr(run.config["network"]["k"]) == "5.0"  # by which results are found again


def test_leaks_and_thresholds_of_each_layer(tmp_path: Path) -> None:
    """A list within the list of an axis; one that says no more than a number is that number's run."""
    runs = study(tmp_path, HEAD + GRID + "alpha = [0.5, [0.9, 0.25], [0.7, 0.7]]\n").runs
    assert [run.name.removeprefix("digits-saccade-fc-paper-rho0.30-") for run in runs] == [
        "alpha0.5-seed0", "alpha0.9+0.25-seed0", "alpha0.7+0.7-seed0",
    ]  # fmt: skip
    assert [run.network.spec((2, 34, 34), 10).alphas for run in runs] == [(0.5, 0.5), (0.9, 0.25), (0.7, 0.7)]
    (plain,) = study(tmp_path, HEAD + GRID).runs
    assert runs[0].config == plain.config
    assert runs[2].config["network"]["alpha"] == 0.7
    table = "[network.deep]\nkind = 'fc'\nhidden = [9, 8, 7]\nalpha = [0, 0.5, 1e-3]\ntheta = 2\n"
    (named,) = study(tmp_path, HEAD + table + GRID + "network = 'deep'\n").runs
    assert named.network.spec((2, 34, 34), 10).alphas == (0.0, 0.5, 0.001)
    assert repr(named.config["network"]["theta"]) == "2.0"
    assert named.name == "digits-saccade-deep-paper-rho0.30-seed0"


def test_named_tables(tmp_path: Path) -> None:
    text = """
[data.part]
dataset = "nmnist"
root = "/somewhere"
steps = 5
encoding = "binary"
train = 100
holdout = 0.2
[network.small]
kind = "conv"
hidden = [4, 8]
[recipe.long]
base = "best"
epochs = 7
[[grid]]
data = "part"
network = "small"
recipe = "long"
"""
    (run,) = study(tmp_path, HEAD + text).runs
    assert run.name == "part-small-long-rho0.10-seed0"
    assert (run.data.root, run.data.train, run.data.test, run.data.holdout) == (
        Path("/somewhere"), 100, None, 0.2,
    )  # fmt: skip
    assert (run.data.options.steps, run.data.options.clip) == (5, 1)
    spec = run.network.spec((2, 34, 34), 4)
    assert (spec.kind, spec.hidden, spec.strides) == ("conv", (4, 8), (2, 2))
    assert (run.recipe.recipe.epochs, run.recipe.recipe.k_start) == (7, 3.0)
    assert run.config["recipe"]["base"] == "best"
    assert "root" not in run.config["data"]


def test_grids_that_ask_for_the_same_run_are_united(tmp_path: Path) -> None:
    text = GRID + 'profiles = ["loihi-int8"]\n' + GRID + 'profiles = ["loihi-int4", "loihi-int8"]\n'
    (run,) = study(tmp_path, HEAD + text).runs
    assert [stage.key for stage in run.stages] == ["float", "profile loihi-int8", "profile loihi-int4"]
    assert [stage.file_name for stage in run.stages][1] == "profile-loihi-int8.json"


def test_ways_of_compiling(tmp_path: Path) -> None:
    text = "[finetune.qat]\nepochs = 3\nrho = 0.1\n" + GRID
    text += 'profiles = "loihi-int4 qat"\nanalyses = ["drop"]\nablations = ["loihi-int4"]\n'
    (run,) = study(tmp_path, HEAD + text).runs
    _, tuned, drop, ablation = run.stages
    assert (tuned.profile, tuned.way) == ("loihi-int4", "qat")
    assert tuned.inputs["finetune"]["epochs"] == 3
    assert (drop.key, ablation.key) == ("analysis drop", "ablation loihi-int4")
    assert len(ablation.inputs["profile"]) == 64


def test_circuits_of_profiles_and_their_ways(tmp_path: Path) -> None:
    text = GRID + 'profiles = "loihi-int4"\ncircuits = ["loihi-int4", "loihi-int4 calibrated"]\n'
    (run,) = study(tmp_path, HEAD + text).runs
    _, profile, plain, calibrated = run.stages
    assert (plain.key, calibrated.key) == ("circuit loihi-int4", "circuit loihi-int4 calibrated")
    assert plain.file_name == "circuit-loihi-int4.json"
    assert plain.inputs == {**profile.inputs, "samples": CIRCUIT_SAMPLES}
    with pytest.raises(UsageError, match="circuits = 'loihi-int4 none'"):
        study(tmp_path, HEAD + GRID + 'circuits = "loihi-int4 none"\n')


def test_another_data_set_and_root_for_the_whole_grid(tmp_path: Path) -> None:
    own = '[data.there]\ndataset = "nmnist"\nroot = "own"\n'
    text = HEAD + own + '[data.bare]\ndataset = "nmnist"\n' + GRID + '[[grid]]\ndata = ["there", "bare"]\n'
    roots = {run.data.name: run.data.root for run in study(tmp_path, text, data_root=Path("r")).runs}
    assert roots == {"digits-saccade": None, "there": Path("own"), "bare": Path("r")}
    with pytest.raises(UsageError, match="--data-root names a folder that no run"):
        study(tmp_path, HEAD + GRID, data_root=Path("r"))
    (only,) = study(tmp_path, text, data="nmnist-simulated").runs
    assert only.name == "nmnist-simulated-fc-paper-rho0.30-seed0"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[stduy]\n", r"sweep\.toml: missing key grid .*; unknown key stduy \(expected study\)"),
        ("x = ", "not valid TOML"),
        ("", "missing key study .*; missing key grid"),
        (HEAD + "grid = []\n", "unknown key grid"),
        ("grid = []\n" + HEAD, "grid = .*expected at least one \\[\\[grid\\]\\] table"),
        ('[study]\nname = "a b"\n' + GRID, r"\[study\]: name = 'a b'"),
        ("[study]\n" + GRID, r"\[study\]: missing key name"),
        (HEAD + "validaton = 1\n" + GRID, r"\[study\]: unknown key validaton; expected validation"),
        (HEAD + "[[grid]]\n", r"\[\[grid\]\] 1: no data"),
        (HEAD + GRID + GRID + "rhos = 1\n", r"\[\[grid\]\] 2: unknown key rhos; expected rho"),
        (HEAD + GRID + 'rho = ["a"]\n', r"\[\[grid\]\] 1: rho = 'a'; expected a number"),
        (HEAD + GRID + "rho = -1\n", r"\[\[grid\]\] 1: rho = -1; expected a number from 0 to 100"),
        (HEAD + GRID + "seed = [-1]\n", "seed = -1"),
        (HEAD + GRID + "seed = true\n", "seed = True"),
        (HEAD + GRID + 'recipe = "bets"\n', "recipe = 'bets'.*paper, best"),
        (HEAD + GRID + 'profiles = ["loihi-int5"]\n', "loihi-int5"),
        (HEAD + GRID + 'profiles = ["loihi-int4 calibarted"]\n', "calibarted.*calibrated"),
        (HEAD + GRID + 'analyses = "drops"\n', "drops.*drop"),
        (HEAD + '[data.x]\ndataset = "auto"\n' + GRID, r"\[data\.x\]: dataset = 'auto'; expected nmnist, nm"),
        (HEAD + '[data.x]\ndataset = "foo"\n' + GRID, r"\[data\.x\]: dataset = 'foo'; expected nmnist, nm"),
        (HEAD + GRID + "alpha = 1.5\n", r"\[\[grid\]\] 1: alpha = 1\.5"),
        (HEAD + GRID + "alpha = [[0.5, 0.4, 0.3]]\n", r"\[\[grid\]\] 1: .*3 values of alpha for 2 LIF"),
        (HEAD + "[network.fc]\nalpha = [0.5, 0.4, 0.3]\n" + GRID, r"\[network\.fc\]: .*3 values of alpha"),
        (HEAD + GRID + "k = [5.0, -5.0]\n", r"\[\[grid\]\] 1: k = -5\.0"),
        (HEAD + GRID + "seed = 99999999999999999999\n", r"\[\[grid\]\] 1: seed = 9999.*to 922337203"),
        (HEAD + GRID + "rho = []\n", r"\[\[grid\]\] 1: rho = \[\]; expected at least one value"),
        (HEAD + "check = -2\n" + GRID, r"\[study\]: check = -2"),
        (HEAD + "[data.x]\nstep = 3\n" + GRID, r"\[data\.x\]: unknown key step \(expected steps\); \["),
        (HEAD + '[data.x]\ndataset = "nmnist"\nsteps = 0\n' + GRID, r"\[data\.x\]: steps = 0"),
        (HEAD + '[data.x]\ndataset = "nmnist"\ntrain = 0\n' + GRID, r"\[data\.x\]: train = 0"),
        (HEAD + '[data."a/b"]\n' + GRID, "name 'a/b'"),
        (HEAD + "[network.x]\n" + GRID, r"\[network\.x\]: kind = 'x'; expected fc or conv"),
        (HEAD + "[network.fc]\nalpha = 2.0\n" + GRID, r"\[network\.fc\]: alpha = 2\.0"),
        (HEAD + "[recipe.x]\nepoch = 3\n" + GRID, r"\[recipe\.x\]: unknown key epoch; expected epochs"),
        (HEAD + "[recipe.x]\nepochs = 1.5\n" + GRID, r"\[recipe\.x\]: epochs = 1\.5; expected an integer"),
        (HEAD + "recipe = 3\n" + GRID, "unknown key recipe"),
        (HEAD + GRID + "[recipe]\nx = 3\n", r"recipe = .*tables \[recipe\.NAME\]"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_table(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises((UsageError, ProfileError), match=named) as caught:
        study(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    text = HEAD + "chekc = 3\n[recipe.x]\nepochs = 1.5\n[network.a]\n" + GRID + "rho = [0, -1]\nseed = true\n"
    with pytest.raises(UsageError) as caught:
        study(tmp_path, text)
    assert str(caught.value).partition("sweep.toml: ")[2] == (
        "[study]: unknown key chekc (expected check); "
        "[recipe.x]: epochs = 1.5 (expected an integer from 1 to 100000); "
        "[network.a]: kind = 'a' (expected fc or conv); "
        "[[grid]] 1: rho = -1 (expected a number from 0 to 100); and 1 more"
    )


def test_two_different_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    tables = '[data.a]\ndataset = "nmnist"\n[data.a-fc]\ndataset = "nmnist"\n[network.fc-fc]\nkind = "fc"\n'
    grids = '[[grid]]\ndata = "a"\nnetwork = "fc-fc"\n[[grid]]\ndata = "a-fc"\n'
    with pytest.raises(UsageError, match=r"\[\[grid\]\] 2: two different runs are called a-fc-fc-paper"):
        study(tmp_path, HEAD + tables + grids)


def test_the_same_recipe_reached_in_two_ways_is_the_same_run(tmp_path: Path) -> None:
    text = "[recipe.paper]\nrho = 0.5\n" + GRID + "rho = 0.3\n"
    (changed_back,), (plain,) = (study(tmp_path, HEAD + each).runs for each in (text, GRID))
    assert changed_back.config == plain.config


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_study(tmp_path / "none.toml")
