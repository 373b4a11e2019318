from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sast_deploy.base.errors import DataError
from sast_deploy.cli import run
from sast_deploy.studies.sweep.choices import DataChoice, NetworkChoice, RecipeChoice
from sast_deploy.studies.tables.accuracy import controls
from sast_deploy.studies.tables.build import make_tables
from sast_deploy.studies.tables.groups import Group, baseline_of, data_label, group, recipe_label
from sast_deploy.studies.tables.plots import pictures
from sast_deploy.studies.tables.records import Record, _to_dict, load_records
from sast_deploy.studies.tables.table import MISSING, NOTHING, Table, markdown
from sast_deploy.training.recipes import PAPER

INFO = {
    "dataset": "nmnist", "simulated": False, "n_train": 1000, "n_test": 100, "holdout": None,
    "frame_digest": "a" * 64, "root": "/somewhere/nmnist",
    "provenance": "real N-MNIST from /somewhere/nmnist",
}  # fmt: skip


def record(
    seed: int = 0, hard: float | None = 0.9, *, name: str = "paper", info: dict[str, Any] = INFO,
    k: float = 25.0, kind: str = "fc", **recipe: Any,
) -> Record:  # fmt: skip
    """A run with `hard` as its accuracy, 2 points below its surrogate; None: planned only."""
    made = RecipeChoice(name, PAPER.replace(**{"rho": 0.0, **recipe}))
    network = NetworkChoice(kind, kind, values=(("k", k),))
    data = DataChoice(info["dataset"], info["dataset"])
    config = {
        "data": data.to_dict(), "network": network.to_dict(), "recipe": made.to_dict(),
        "seed": seed, "validation": 0.1,
    }  # fmt: skip
    extra = "-".join(f"{key}{value}" for key, value in {"k": k, **recipe}.items())
    title = f"{info['dataset']}-{kind}-{name}-{extra}-seed{seed}"
    if hard is None:
        return Record(title, config)
    return Record(
        title, config, info,
        train={"seconds": 10.0, "step_ms": 50.0 * (2 if made.recipe.rho else 1), "peak_memory_mb": 300.0},
        float={"surrogate": hard + 0.02, "hard": hard, "gap": 0.02, "hard_rates": [0.2, 0.1],
               "surrogate_rates": [0.25, 0.12], "samples": 100},
    )  # fmt: skip


def clipped(each: Record, clip: int) -> Record:
    """On frames of another clip, which have another digest and, as in a study, another name."""
    data = {**each.config["data"], "name": f"clip{clip}"}
    data["options"] = {**data["options"], "clip": clip}
    return replace(
        each, name=f"clip{clip}-{each.name}", config={**each.config, "data": data},
        data={**each.data, "frame_digest": f"{clip:064}"},
    )  # fmt: skip


def with_profile(each: Record, accuracy: float, first: float, hidden: float) -> Record:
    layers = [{"synops": first}, {"synops": hidden}]
    found = {"accuracy": accuracy, "synops": first + hidden, "layers": layers}
    return replace(each, profiles={"loihi-int4 calibrated": found})


def renamed(each: Record, subject: str) -> Record:
    """With its one profile under another name."""
    return replace(each, profiles={subject: next(iter(each.profiles.values()))})


def table(records: list[Record], title: str) -> Table:
    (found,) = [each for each in make_tables(tuple(records)) if each.title.startswith(title)]
    return found


def row(found: Table, number: int) -> dict[str, str]:
    return dict(zip(found.columns, found.rows[number], strict=True))


def test_mean_spread_and_paired_difference_beside_the_papers() -> None:
    base = [record(seed, hard) for seed, hard in enumerate((0.90, 0.92, 0.94))]
    sast = [record(seed, hard, rho=0.3) for seed, hard in enumerate((0.93, 0.94, 0.98))]
    found = table(base + sast, "Swap-only")
    assert found.title.endswith("N-MNIST, real recordings, 1,000 + 100 samples")
    first, second = row(found, 0), row(found, 1)
    assert (first["ρ"], first["seeds"], first["hard %"], first["gap"]) == (
        "0",
        "3",
        "92.00 ± 2.00",
        "2.00 ± 0.00",
    )
    assert first["hard against baseline"] == NOTHING
    assert second["hard %"] == "95.00 ± 2.65"
    # d = 3, 2, 4: mean 3, sd 1, standard error 1 / sqrt(3); t(0.975, 2) = 4.3027; t = 5.196
    assert second["hard against baseline"] == "+3.00 [+0.52, +5.48] p 0.035, W 0.250"
    assert second["paper N-MNIST sur. / hard / gap"] == "97.21 ± 0.12 / 94.73 ± 4.62 / 2.48"
    assert row(found, 0)["paper N-MNIST sur. / hard / gap"] == "96.06 ± 0.33 / 65.72 ± 9.74 / 30.34"


def test_differences_are_paired_by_seed_and_not_by_order() -> None:
    base = [record(seed, hard) for seed, hard in ((4, 0.94), (2, 0.90), (0, 0.2), (3, 0.92))]
    sast = [record(seed, hard, rho=0.3) for seed, hard in ((3, 0.94), (4, 0.98), (2, 0.93), (7, 0.1))]
    assert row(table(base + sast, "Swap-only"), 1)["hard against baseline"].startswith("+3.00 [+0.52, +5.48]")


def test_data_never_share_a_table() -> None:
    simulated = {**INFO, "dataset": "nmnist-simulated", "simulated": True, "frame_digest": "b" * 64}
    embedded = {**INFO, "dataset": "digits-saccade", "simulated": True, "frame_digest": "c" * 64}
    part = {**INFO, "frame_digest": "d" * 64}
    records = [record(0, info=info) for info in (INFO, simulated, embedded, part)]
    titles = [each.title for each in make_tables(tuple(records)) if each.title.startswith("Swap")]
    assert sorted(title.partition(". ")[2] for title in titles) == [
        "N-MNIST, real recordings, 1,000 + 100 samples (nmnist), frames aaaaaaaa",
        "N-MNIST, real recordings, 1,000 + 100 samples (nmnist), frames dddddddd",
        "N-MNIST, simulated, 1,000 + 100 samples",
        "digits-saccade, simulated from scikit-learn's digits, 1,000 + 100 samples",
    ]


def test_the_baseline_is_the_same_training_without_sam() -> None:
    groups = group((record(0), record(0, epochs=100), record(0, rho=0.3), record(0, rho=0.3, pairing="same"),
                    record(0, rho=0.3, lr=0.01), record(0, rho=0.3, k=5.0)))  # fmt: skip
    found = {}
    for each in groups:
        base = baseline_of(each, groups)
        found[recipe_label(each, groups), each.rho, each.epochs] = base and (base.rho, base.epochs)
    plain = "paper, lr 0.001, pairing independent, k 25.0"
    assert found[plain, 0.3, 200] == (0.0, 200)
    assert found["paper, lr 0.001, pairing same, k 25.0", 0.3, 200] == (0.0, 200)
    assert found["paper, lr 0.01, pairing independent, k 25.0", 0.3, 200] is None
    assert found["paper, lr 0.001, pairing independent, k 5.0", 0.3, 200] is None
    assert found[plain, 0.0, 200] is None


def test_no_baseline_is_taken_from_other_frames() -> None:
    groups = group((record(0, info={**INFO, "frame_digest": "e" * 64}), record(0, rho=0.3)))
    assert [baseline_of(each, groups) for each in groups] == [None, None]


def test_integers_and_synops() -> None:
    base = [with_profile(record(s, 0.92), 0.90 + s / 100, 300_000, 20_000) for s in (0, 1)]
    sast = [with_profile(record(s, 0.95, rho=0.3), 0.93 + s / 100, 300_000, 10_000) for s in (0, 1)]
    found = table(base + sast, "Hardware-aware")
    assert len(found.rows) == 2
    cells = dict(zip(found.columns, found.rows[1], strict=True))
    assert cells["profile"] == "loihi-int4 calibrated"
    assert cells["accuracy %"] == "93.50 ± 0.71"
    assert cells["lost to float"] == "1.50 ± 0.71"
    assert cells["paper % / kSynOps"] == "81.0 / 1,346.0"
    start = found.columns.index("kSynOps")
    assert found.rows[1][start : start + 4] == ("310.0 ± 0.0", "0.97", "10.0 ± 0.0", "0.50")
    assert found.rows[0][start : start + 4] == ("320.0 ± 0.0", NOTHING, "20.0 ± 0.0", NOTHING)


def test_without_a_baseline_of_its_own_against_the_papers() -> None:
    papers = [with_profile(record(s, 0.92, epochs=20), 0.90 + s / 100, 300_000, 20_000) for s in (0, 1)]
    papers += [record(s, 0.5, epochs=100) for s in (0, 1)]
    best = [record(s, 0.98 - s / 100, name="best", rho=0.1, k_start=3.0, epochs=20) for s in (0, 1)]
    best = [renamed(with_profile(each, 0.97, 200_000, 10_000), "loihi-int4 finetuned") for each in best]
    papers[:2] = [renamed(each, "loihi-int4") for each in papers[:2]]
    swap = row(table(papers + best, "Swap-only"), 0)
    assert swap["hard against baseline"].startswith("+5.50 ")
    assert swap["hard against baseline"].endswith(" *")
    found = table(papers + best, "Hardware-aware")
    start = found.columns.index("kSynOps")
    assert found.rows[0][start : start + 4] == ("210.0 ± 0.0", "0.66 *", "10.0 ± 0.0", "0.50 *")
    assert found.rows[0][found.columns.index("against baseline")].startswith("+6.50 ")


def test_a_setting_that_came_later_splits_no_group() -> None:
    old, new = record(0), record(1)
    config = json.loads(json.dumps(old.config))
    del config["recipe"]["prune"], config["network"]["reset"]
    (each,) = group((replace(old, config=config), new))
    assert set(each.runs) == {0, 1}


def test_equal_compute_pairs_passes_not_epochs() -> None:
    records = [record(s, 0.6 + s / 50, epochs=100) for s in (0, 1)]
    records += [record(s, 0.9 + s / 50, epochs=48, rho=0.3) for s in (0, 1)]
    records += [record(s, 0.9, epochs=100, rho=0.3) for s in (0, 1)]
    found = table(records, "Equal compute")
    assert [(row(found, i)["epochs"], row(found, i)["passes"], row(found, i)["paper"]) for i in (0, 1)] == [
        ("100", "100", "65.7 (100 epochs)"), ("48", "96", "93.9 (48 epochs)"),
    ]  # fmt: skip
    assert len(found.rows) == 2
    assert row(found, 1)["against baseline"].startswith("+30.00 ")


def test_controls_differ_in_one_setting_from_the_papers() -> None:
    records = [record(0, rho=0.3), record(0, rho=0.3, name="same", pairing="same"), record(0, rho=0.3, k=5.0)]
    records += [record(0, rho=0.3, pairing="same", sharpness="asam"), record(0, rho=0.1, sharpness="asam")]
    found = [(key, reference.rho) for reference, _, key in controls(group(tuple(records)))]
    assert sorted(found) == [
        ("network.k", 0.3), ("recipe.pairing", 0.3), ("recipe.sharpness", 0.3), ("recipe.sharpness", 0.3),
    ]  # fmt: skip
    shown = table(records[:2], "Controls")
    assert shown.rows[0][1:3] == ("pairing = same", "independent")
    asam = [record(0, rho=0.3), record(0, rho=0.5), record(0, rho=1.0, sharpness="asam")]
    shown = table(asam, "Controls")
    assert [cells[1:4] for cells in shown.rows] == [("sharpness = asam", "sam, ρ 0.3", "1")]


def test_event_drop_with_the_papers_in_brackets() -> None:
    levels = [
        {"amount": 0.0, "hard": 0.95, "surrogate": 0.96},
        {"amount": 0.4, "hard": 0.8, "surrogate": 0.9},
    ]
    dropped = replace(record(0, rho=0.3), analysis={"drop": {"levels": levels}})
    found = table([dropped, record(1, 0.9, rho=0.3)], "Event drop")
    assert row(found, 0)["p = 0"] == "95.00 (n = 1)"
    assert row(found, 0)["p = 0.4"] == "80.00 (n = 1) (96.1)"


def test_membranes_thresholds_and_cost() -> None:
    analysis = {
        "margins": {"surrogate_share": 0.05, "hard_share": 0.04},
        "contraction": {"states": {"gamma": 8.4, "above_one": 0.01}},
        "thresholds": {"tried": 40, "test_before": {"accuracy": 0.9}, "test_after": {"accuracy": 0.92}},
    }
    records = [replace(record(s, 0.9), analysis=analysis) for s in (0, 1)] + [record(0, 0.9, rho=0.3)]
    found = row(table(records, "Membranes"), 0)
    assert (found["within ±0.2, smooth %"], found["paper %"], found["γ̂"]) == (
        "5.00 ± 0.00",
        "4.8",
        "8.40 ± 0.00",
    )
    assert found["rate of layer 1, hard"] == "0.100 ± 0.000"
    tuned = row(table(records, "Control: thresholds"), 0)
    assert (tuned["hard, thresholds tuned %"], tuned["settings tried, at most"]) == ("92.00 ± 0.00", "40")
    assert tuned["gain"].startswith("+2.00 [–] p –, W 0.500")
    assert row(table(records, "Cost"), 1)["× baseline"] == "2.00"
    for each in records[:2]:
        each.train["step_ms"] = 0.0  # type: ignore[index]
    assert row(table(records, "Cost"), 1)["× baseline"] == "–"


def test_ablation_rows_gain_against_the_first() -> None:
    def ablated(seed: int, gain: float) -> Record:
        rows = [
            {"name": "one scale a layer", "test": {"accuracy": 0.8}},
            {"name": "+ search", "test": {"accuracy": 0.8 + gain}},
        ]
        return replace(
            record(seed), ablations={"loihi-int4": {"rows": rows}, "loihi-int2": {"rows": rows[:1]}}
        )

    found = table([ablated(0, 0.1), ablated(1, 0.12)], "Compiler options")
    assert found.columns[1:] == ("loihi-int4", "loihi-int2", "loihi-int4, gain", "loihi-int2, gain")
    assert found.rows[0] == ("one scale a layer", "80.00 ± 0.00", "80.00 ± 0.00", NOTHING, NOTHING)
    assert found.rows[1][:3] == ("+ search", "91.00 ± 1.41", MISSING)
    assert found.rows[1][3].startswith("+11.00 ")


def test_what_is_planned_and_missing_is_shown() -> None:
    records = [record(0, 0.9, rho=0.3), record(1, None, rho=0.3), record(2, None, rho=0.3)]
    (each,) = group(tuple(records))
    assert (each.values(lambda run: 1.0), len(each.runs)) == ({0: 1.0, 1: 1.0, 2: 1.0}, 3)
    assert row(table(records, "Swap-only"), 0)["seeds"] == "1 of 3"
    assert table(records, "Missing").rows == (("nmnist-fc-paper-k25.0-rho0.3", "1, 2"),)
    (bare,) = group((record(0, None),))
    assert data_label(bare) == "N-MNIST (nmnist), no run has begun"
    assert row(table([record(0, None)], "Swap-only"), 0)["hard %"] == MISSING


def write(folder: Path, each: Record) -> None:
    values = {
        "format": "sast-deploy-run", "name": each.name, "config": each.config,
        "manifest": {"data": each.data, "code": {}}, "train": each.train, "float": each.float,
        "profiles": each.profiles, "analysis": each.analysis, "ablations": each.ablations,
    }  # fmt: skip
    (folder / each.name).mkdir(parents=True)
    (folder / each.name / "results.json").write_text(json.dumps(values))


def test_the_small_json_gives_the_same_tables_and_names_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [with_profile(record(s, 0.92), 0.90 + s / 100, 300_000, 20_000) for s in (0, 1)]
    base[0] = replace(base[0], analysis={"margins": {"surrogate_share": 0.05, "histogram": list(range(160))}})
    for each in base:
        write(tmp_path / "runs", each)
    plan = {"runs": {each.name: each.config for each in (*base, record(2, None))}}
    (tmp_path / "runs" / "study.json").write_text(json.dumps(plan))
    raw = tmp_path / "raw.json"
    assert run(["tables", str(tmp_path / "runs"), "-o", str(raw), "--plots", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "2 of 3" in said.out
    assert "wrote" in said.err
    assert len(raw.read_text()) < 5000
    assert "somewhere" not in raw.read_text()
    again = make_tables(load_records([raw]))
    known = make_tables(tuple(base))
    assert again == known
    assert run(["tables", str(raw), "--markdown"]) == 0
    assert capsys.readouterr().out == "".join(markdown(each) + "\n" for each in again)


def test_markdown() -> None:
    shown = markdown(Table("Title", ("a", "b", "c"), (("1", "2|3", "4"),), ("a note",)))
    assert shown == "**Title**\n\n| a | b | c |\n| --- | --- | ---: |\n| 1 | 2/3 | 4 |\n\na note.\n"


@pytest.mark.slow
def test_pictures(tmp_path: Path) -> None:
    levels = [{"amount": p, "hard": 0.95 - p} for p in (0.0, 0.2, 0.4)]
    records = [replace(record(s, 0.9, rho=rho), analysis={"drop": {"levels": levels}})
               for s in (0, 1) for rho in (0.0, 0.3)]  # fmt: skip
    paths = [write(None) for write in pictures(tuple(records), tmp_path).values()]
    assert [path.name.partition("-")[0] for path in paths] == ["rho", "drop"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("content", [None, "nonsense", "[]", '{"format": "other"}'])
def test_files_that_are_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=r"x\.json"):
        load_records([path])


def test_folders_without_runs_and_the_same_run_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no runs of a sweep"):
        load_records([tmp_path])
    one = record(0)
    write(tmp_path / "a", replace(one, analysis={"drop": {"levels": []}}))
    write(tmp_path / "b", replace(one, analysis={"noise": {"levels": []}}))
    (joined,) = load_records([tmp_path / "a", tmp_path / "b"])
    assert (set(joined.analysis), joined.float) == ({"drop", "noise"}, one.float)
    write(tmp_path / "c", record(0, 0.8))
    with pytest.raises(DataError, match=r"/c: two runs are called .* with other figures \(float\)"):
        load_records([tmp_path / "a", tmp_path / "c"])


def test_equal_names_of_other_frames_or_configurations_are_other_runs(tmp_path: Path) -> None:
    other = replace(record(0, info={**INFO, "frame_digest": "b" * 64}), name=record(0).name)
    longer = replace(record(0, 0.7, epochs=7), name=record(0).name)
    for folder, each in {"a": record(0), "b": other, "c": longer}.items():
        write(tmp_path / folder, each)
    found = load_records([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert sorted(each.float["hard"] for each in found if each.float) == [0.7, 0.9, 0.9]
    assert len(group(found)) == 3


@pytest.mark.slow
def test_the_results_in_the_repository_make_tables_together(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(map(str, (Path(__file__).parents[2] / "benchmarks" / "results").glob("*.json")))
    assert len(files) >= 5
    assert run(["tables", *files]) == 0
    out = capsys.readouterr().out
    for title in ("Swap-only", "Hardware-aware", "Controls", "The gap over clip"):
        assert f"{title}" in out


RAW = {"format": "sast-deploy-runs", "version": 1, "runs": []}
ONE = _to_dict(record(0))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"format": RAW["format"], "runs": []}, "version"),
        *(({**RAW, "version": version}, "version") for version in (99, 2, 0, "1", True, None, [])),
        *(({**RAW, "runs": runs}, "run") for runs in (3, None, {}, [3], ["x"], [{}], [[]])),
        *(({**RAW, "runs": [{**ONE, key: value}]}, key.split(".")[0])
          for key in ONE for value in (3, "x", [1]) if (key, value) != ("name", "x")),
        ({**RAW, "runs": [{**ONE, "config": {}}]}, "seed"),
    ],
)  # fmt: skip
def test_files_of_other_versions_or_built_otherwise_are_refused(
    tmp_path: Path, content: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content))
    assert run(["tables", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert said in line
    assert "internal error" not in line


def test_a_group_knows_no_figure_that_is_not_there() -> None:
    each = Group({}, {0: record(0), 1: record(1, None)})
    assert each.mean(lambda found: None) is None


def test_the_gap_over_a_frame_option_brings_data_together_that_other_tables_keep_apart() -> None:
    runs = [clipped(record(seed, hard), clip) for clip, hard in ((40, 0.5), (4, 0.9)) for seed in (0, 1)]
    sast = [clipped(record(0, 0.8, rho=0.3), clip) for clip in (4, 40)]
    alone = clipped(record(0, 0.7, lr=0.01), 40)  # on no other clip
    found = table([*runs, *sast, alone], "The gap over clip")
    assert found.title == "The gap over clip. N-MNIST, real recordings, 1,000 + 100 samples"
    shown = [tuple(row(found, n)[key] for key in ("clip", "ρ", "seeds", "hard %")) for n in range(4)]
    assert shown == [
        ("4", "0", "2", "90.00 ± 0.00"),
        ("40", "0", "2", "50.00 ± 0.00"),
        ("4", "0.3", "1", "80.00"),
        ("40", "0.3", "1", "80.00"),
    ]
    assert len(found.rows) == 4
    assert (row(found, 2)["gap"], row(found, 2)["tails %"]) == ("2.00", "20.0")
    assert row(found, 0)["rate of layer 0, smooth / hard"] == "0.250 ± 0.000 / 0.200 ± 0.000"


def test_no_gap_over_frames_without_frames_that_differ() -> None:
    other = {**INFO, "frame_digest": "b" * 64, "n_train": 500}
    records = (record(0), clipped(record(0, info=other), 40))  # other recordings as well
    assert not [each for each in make_tables(records) if each.title.startswith("The gap over")]


def test_a_picture_of_the_gap_over_clip(tmp_path: Path) -> None:
    records = tuple(clipped(record(seed), clip) for clip in (4, 12, 40) for seed in (0, 1))
    paths = [write(None) for write in pictures(records, tmp_path).values()]
    assert [path.name for path in paths] == [
        f"gap-{axis}-n-mnist-real-recordings-1-000-100-samples.png" for axis in ("clip", "tails")
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
