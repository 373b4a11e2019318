"""Networks trained elsewhere become a sweep's runs, which the sweep then only measures.

    python benchmarks/adopt.py examples/simulated-60k-200.toml OUT [-o runs/simulated-60k-200]
    sast-deploy sweep examples/simulated-60k-200.toml --data-root D
    sast-deploy tables runs/simulated-60k-200

OUT is what gpu_study.py wrote: checkpoints-<n>.tar and results.json. Each checkpoint goes to the study's run
of its network, recipe, seed, frames and share of validation, with the packages that trained it and its
accuracies on validation samples epoch by epoch. The sweep refuses it where the recordings are others.
"""

from __future__ import annotations

import argparse
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sast_deploy.base.files import write_bytes
from sast_deploy.studies.sweep.execute import training_facts
from sast_deploy.studies.sweep.folder import RunFolder, write_json
from sast_deploy.studies.sweep.measures import TRAINING
from sast_deploy.studies.sweep.study import Run, load_study
from sast_deploy.training.checkpoint import Checkpoint, load_checkpoint

HISTORY = ("surrogate_accuracy", "hard_accuracy")
DIGITS = 4


def trained(out: Path) -> Iterator[tuple[Checkpoint, bytes, dict[str, list[float]]]]:
    """The checkpoints of a folder, the files' content, and what was noted of their epochs."""
    runs = {run["name"]: run for run in json.loads((out / "results.json").read_text())["runs"]}
    with TemporaryDirectory() as folder:
        for archive in sorted(out.glob("checkpoints-*.tar")):
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
        for path in sorted(Path(folder).glob("*/ckpt.pt")):
            history = runs[path.parent.name]["history"]
            noted = {key: [round(value, DIGITS) for value in history[key]] for key in HISTORY}
            yield load_checkpoint(path), path.read_bytes(), noted


def is_of(run: Run, found: Checkpoint) -> bool:
    """Whether the run would have trained it."""
    size = run.data.options.size or found.frames.size
    return (
        run.data.dataset == found.data.dataset
        and replace(run.data.options, size=size) == found.frames
        and run.network.spec(found.network.input_shape, found.network.classes) == found.network
        and run.recipe.recipe == found.recipe
        and (run.seed, run.validation) == (found.seeds["train"], found.metrics["setting"]["validation"])
    )


def adopt(runs: Path, run: Run, found: Checkpoint, content: bytes, history: dict[str, Any]) -> None:
    """Put it where the sweep would have put it. Raises TrainingError, OutputError: another run is there."""
    folder = RunFolder(runs, run)
    with folder.lock():
        folder.refuse_another()
        code = {"version": found.packages["sast-deploy"], "source": None, "commit": None}
        write_json(folder.manifest, {
            "config": run.config, "data": found.data.to_dict(), "seeds": dict(found.seeds),
            "code": code, "packages": dict(found.packages),
        })  # fmt: skip
        write_bytes(folder.training.checkpoint, content)
        facts = {**training_facts(found.metrics), "history": history}
        folder.write_record(TRAINING, facts, found.metrics["seconds"])


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("-o", "--output", type=Path, help="folder of the runs; default: runs/<study's name>")
    options = parser.parse_args()
    study = load_study(options.study)
    runs = options.output or Path("runs") / study.name
    for found, content, history in trained(options.out):
        fitting = [run for run in study.runs if is_of(run, found)]
        if len(fitting) != 1:
            print(f"{found.name} is no run of {options.study}")
            continue
        adopt(runs, fitting[0], found, content, history)
        print(f"{found.name} is {runs / fitting[0].name}")


if __name__ == "__main__":
    main()
