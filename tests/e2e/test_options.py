"""Every option of every command acts or is refused by name; values are checked before any data are read.

`ACTS` has for every option words that make a difference; `BAD` values that are refused; `IGNORED` command
lines in which an option would change nothing. An option that none of them names fails the first test.
"""

from __future__ import annotations

import importlib
import shutil
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from sast_deploy import cli
from sast_deploy.base.errors import Exit
from sast_deploy.commands import running, stock  # noqa: F401  # before anything they import is patched
from sast_deploy.commands.flags import FLAGS
from sast_deploy.studies.dossier import report  # noqa: F401  # as well
from tests.commandlines import COMMANDS, make_folder, working
from tests.stockfiles import FLATTEN, conv, dense, image, integers, write_stock

pytestmark = pytest.mark.slow

DATA: dict[str, list[str]] = {
    "--dataset": ["--dataset", "nmnist-simulated"],
    "--data-root": ["--data-root", "real"],
    "--holdout": ["--holdout", "0.3"],
    "--holdout-seed": ["--holdout", "0.3", "--holdout-seed", "4"],
    "--cache-dir": ["--cache-dir", "out/cache"],
    "--download": ["--download"],
}
FOLDER = ["--dataset", "folder:."]
# Options of recordings of one's own, in words behind FOLDER.
RECORDINGS: dict[str, list[str]] = {
    "--sensor": ["--sensor", "34", "34"], "--crop": ["--crop", "0", "0", "30", "30"],
    "--columns": ["--columns", "x,y,t,p"], "--time-unit": ["--time-unit", "ms"],
    "--polarity": ["--polarity", "signed"], "--unwrap": ["--unwrap", "23"], "--shift-time": ["--shift-time"],
    "--sort": ["--sort"], "--drop-outside": ["--drop-outside"], "--window-us": ["--window-us", "90000"],
    "--stride-us": ["--window-us", "90000", "--stride-us", "40000"], "--skip-bad": ["--skip-bad"],
}  # fmt: skip
EVERY = {**DATA, **{name: [*FOLDER, *words] for name, words in RECORDINGS.items()}}  # of a data set
FRAMES = {
    "--steps": ["--steps", "7"],
    "--binning": ["--binning", "count"],
    "--encoding": ["--encoding", "binary"],
    "--clip": ["--clip", "2"],
    "--size": ["--size", "17", "17"],
    "--duration-us": ["--duration-us", "1000"],
}
OVERWRITE = {"--overwrite": ["--overwrite"]}
COMPARED = ["data", "compare", "--real", "real", "--mnist-dir", "mnist", "-o", "out/a.png"]
OPEN = ["simulate", "open.net", "--input", "rows.npy", "-o", "out/a.npz"]
STOCK = ["simulate", "theirs.net", "--input", "theirs.npy"]
OWN = ["simulate", "own.net", "--input", "own.npy", "-o", "out/a.npz", "--report", "out/a.json"]
BANDS = ["--dataset", "nmnist", "--data-root", "bands"]
GRAPH = [
    "import", "graph.nir", "--dt", "1e-4", "--leak", "euler", "--reset", "subtract", "--reset-order",
    "after-leak", "--comparison", ">", "--steps", "9", "-o", "out/g.h5",
]  # fmt: skip
INTEGERS = [*GRAPH[:-1], "out/g.net"]
READ = {
    "--from": "snntorch", "--dt": "2e-4", "--leak": "exp", "--reset": "zero", "--reset-order": "before-leak",
    "--comparison": ">=", "--spikes": "single", "--lower-bound": "none", "--decoding": "max",
    "--gain": "plain", "--integrator-gain": "plain", "--current-gain": "plain",
    "--current-order": "before-leak", "--tau": "seconds",
}  # fmt: skip
CROSS = ["characterize", "--dataset", "nmnist", "--data-root", "bands", "--network", "fc", "--widths", "8"]
CROSS += ["--epochs", "1", "--seeds", "0", "-o", "out/crossed"]
CROSSED = {
    "--surrogate": "arctan", "--neuron": "lif,if", "--network": "conv", "--widths": "9", "--seeds": "0,1",
    "--epochs": "2", "--train": "9", "--test": "5", "--size": "17 17", "--profile": "loihi-int8",
}  # fmt: skip
# Command -> option -> words behind the working line (in place of it, where they begin with a command).
ACTS: dict[str, dict[str, list[str]]] = {
    "train": {
        **EVERY, **FRAMES,
        "--network": ["--network", "conv"], "--recipe": ["--recipe", "paper"], "--rho": ["--rho", "0.2"],
        "--epochs": ["--epochs", "2"], "--lr": ["--lr", "0.1"], "--batch": ["--batch", "7"],
        "--set": ["--set", "drop=0.1"], "--alpha": ["--alpha", "0.3", "0.5"],
        "--theta": ["--theta", "1", "2"],
        "--hidden": ["--hidden", "9", "8", "7"], "--channels": ["--network", "conv", "--channels", "4", "3"],
        "--k": ["--k", "9"],
        "--reset": ["--reset", "zero"], "--reset-order": ["--reset-order", "before-leak"],
        "--surrogate": ["--surrogate", "sigmoid"], "--neuron": ["--neuron", "if"],
        "--learn-alpha": ["--learn-alpha", "layer"], "--learn-theta": ["--learn-theta", "neuron"],
        "--current-leak": ["--neuron", "cuba", "--current-leak", "0.3", "0.4"],
        "--resistance": ["--neuron", "lapicque", "--resistance", "2"],
        "--capacitance": ["--neuron", "lapicque", "--capacitance", "3", "4"],
        "--time-step": ["--neuron", "lapicque", "--time-step", "0.5"],
        "--seed": ["--seed", "3"], "--validation": ["--validation", "0.3"],
        "--device": ["--device", "cpu"], "--resume": ["--resume"], "--overwrite": ["--overwrite"],
        "--output": ["-o", "out/other.pt"],
    },
    "finetune": {
        **EVERY,
        "--profile": ["--profile", "loihi-int8"], "--epochs": ["--epochs", "2"], "--lr": ["--lr", "0.1"],
        "--rho": ["--rho", "0.2"], "--batch": ["--batch", "7"], "--set": ["--set", "drop=0.3"],
        "--k": ["--k", "9"], "--clip": ["--clip", "2"], "--seed": ["--seed", "3"],
        "--device": ["--device", "cpu"], "--resume": ["--resume"], "--overwrite": ["--overwrite"],
        "--output": ["-o", "out/other.pt"],
    },
    "compile": {
        **OVERWRITE,
        "--profile": ["--profile", "loihi-int2"], "--output": ["-o", "out/other.net"],
        "--strict-reset": ["--strict-reset"], "--calibrate": ["--calibrate", "nmnist"],
        "--calibrate-steps": ["--calibrate", "nmnist", "--calibrate-steps", "rounding"],
        "--seed": ["--calibrate", "nmnist", "--seed", "5"],
        **{name: ["--calibrate", "nmnist", *words] for name, words in DATA.items() if name != "--dataset"},
        "--download": ["--calibrate", "nmnist", "--data-root", "bands", "--download"],
        **{name: ["--calibrate", FOLDER[1], *words] for name, words in RECORDINGS.items()},
    },
    "simulate": {
        **EVERY, **OVERWRITE,
        "--samples": ["--samples", "3"], "--check": ["--backend", "fast", "--check", "none"],
        "--backend": ["--backend", "fast"],
        "--batch": ["--batch", "2"], "--stall": ["--stall", "77"], "--timeout": ["--timeout", "88"],
        "--report": ["--report", "out/other.json"],
        "--chip": ["--chip", "loihi2"], "--table": ["--table", "davies2018"],
        "--input": [*STOCK[:2], "--input", "graded.npy", "-o", "out/a.npz"],
        "--steps": [*STOCK, "--steps", "5", "-o", "out/a.npz"],
        "--reset-interval": [*STOCK, "--reset-interval", "3", "-o", "out/a.npz"],
        "--message-bits": [*STOCK[:2], "--input", "graded.npy", "--message-bits", "4", "-o", "out/a.npz"],
        "--output": [*STOCK, "-o", "out/b.npz"],
        "--traces": [*STOCK, "--traces", "-o", "out/a.npz"],
        "--input-shape": [*OPEN, "--input-shape", "2,6,5"],
        "--labels": [*OWN, "--labels", "labels.npy"],
    },
    "inspect": {
        **OVERWRITE,
        "--samples": ["--samples", "2"], "--output": ["-o", "out/other.json"],
        "--fail-on-limits": ["--fail-on-limits"], "--chip": ["--chip", "loihi2"], "--suggest": ["--suggest"],
        **{name: ["--samples", "2", *words] for name, words in EVERY.items()},
    },
    "export": {
        **OVERWRITE,
        "--to": ["--to", "npz"], "--for": ["--to", "nir", "--for", "snntorch"],
        "--main": ["--main", "stdin"], "--output": ["-o", "out/other"],
        "--lanes": ["--to", "rtl", "--lanes", "2,2,2"], "--target": ["--to", "rtl", "--target", "ecp5-85k"],
    },
    "verify": {
        **EVERY,
        "--samples": ["--samples", "3"], "--backend": ["--backend", "fast"], "--stall": ["--stall", "77"],
        "--timeout": ["--timeout", "88"],
        "--known-answers-only": ["verify", "own.net", "--known-answers-only"],
        "--input": ["verify", "own.net", "--input", "own.npy"],
    },
    "classify": {
        "--backend": ["--backend", "reference"],
        **RECORDINGS,
    },
    "trace": {
        **EVERY, **OVERWRITE,
        "--sample": ["--sample", "2"], "--backend": ["--backend", "reference"],
        "--output": ["-o", "out/other.npz"], "--plot": ["--plot", "out/other.svg"],
        "--input": ["trace", "own.net", "--input", "own.npy"],
    },
    "cost": {
        **EVERY,
        "--samples": ["--samples", "3"], "--chip": ["--chip", "loihi2"], "--table": ["--table", "davies2018"],
        "--input": ["cost", "own.net", "--input", "own.npy"],
    },
    "latency": {
        **EVERY, **OVERWRITE,
        "--samples": ["--samples", "3"], "--lanes": ["--lanes", "3,2,1"], "--clock": ["--clock", "50"],
        "--target": ["--target", "ecp5-85k"], "--budget": ["--budget", "150,64"],
        "--plot": ["--plot", "out/b.svg"],
        "--input": ["latency", "own.net", "--input", "own.npy"],
    },
    "compare": {
        **EVERY,
        "--samples": ["--samples", "3"], "--sample": ["--sample", "2"],
        "--backend": ["--backend", "reference"],
        "--input": ["compare", "own.net", "own.net", "--input", "own.npy"],
        "--labels": ["compare", "own.net", "own.net", "--input", "own.npy", "--labels", "labels.npy"],
    },
    "report": {
        **EVERY, **OVERWRITE,
        "--samples": ["--samples", "3"], "--sample": ["--sample", "2"], "--seed": ["--seed", "7"],
        "--profile": ["report", "ckpt.pt", *BANDS, "-o", "out/a.html", "--profile", "loihi-int8"],
        "--chip": ["--chip", "loihi2"], "--table": ["--table", "horowitz-45nm"],
        "--output": ["-o", "out/other.html"],
        "--input": ["report", "own.net", "--input", "own.npy", "-o", "out/a.html"],
        "--labels": ["report", "own.net", "--input", "own.npy", "--labels", "labels.npy", "-o", "out/a.html"],
    },
    "import": {
        **{name: [*BANDS, *words] for name, words in {**DATA, **FRAMES}.items()},
        **{name: [*FOLDER, *words] for name, words in RECORDINGS.items()}, **OVERWRITE,
        **{name: [*GRAPH, name, value] for name, value in READ.items()},
        "--describe": ["--describe", "other.toml"], "--name": ["--name", "mine"],
        "--profile": [*INTEGERS, "--profile", "loihi-int4"], "--output": ["-o", "out/other.h5"],
    },
    "evaluate": {**EVERY, "--device": ["--device", "cpu"]},
    "analyse": {
        **EVERY, **OVERWRITE,
        "--parts": ["--parts", "noise"], "--samples": ["--samples", "3"], "--seed": ["--seed", "3"],
        "--device": ["--device", "cpu"], "--output": ["-o", "out/other.json"],
    },
    "sweep": {
        "--output": ["-o", "out/other"], "--jobs": ["--jobs", "2"], "--ray": ["--ray", "local"],
        "--data": ["--data", "nmnist"], "--data-root": ["--data-root", "real"], "--download": ["--download"],
        "--dry-run": ["sweep", "study.toml", "--dry-run"],
    },
    "characterize": {
        **OVERWRITE,
        "--output": ["-o", "out/other"], "--jobs": ["--jobs", "2"], "--ray": ["--ray", "local"],
        "--data-root": ["--data-root", "real"], "--download": ["--download"],
        "--dry-run": ["characterize", "study.toml", "--dry-run"], "--clock": ["--clock", "50"],
        "--plot": ["--plot", "out/other.svg"], "--dataset": [*CROSS, "--dataset", "nmnist-simulated"],
        **{name: [*CROSS, name, *value.split()] for name, value in CROSSED.items()},
    },
    "tables": {
        **OVERWRITE,
        "--markdown": ["--markdown"], "--output": ["-o", "out/other.json"],
        "--plots": ["--plots", "out/plots"],
    },
    "data info": {**EVERY, **FRAMES},
    "data simulate": {
        "--mnist-dir": ["--mnist-dir", "other"], "--output": ["-o", "out/other"], "--train": ["--train", "5"],
        "--test": ["--test", "2"], "--seed": ["--seed", "3"],
    },
    "data compare": {
        **OVERWRITE,
        "--real": ["--real", "bands"], "--simulated": ["--simulated", "../files/simulated"],
        "--mnist-dir": COMPARED,
        "--split": ["--split", "Test"], "--limit": ["--limit", "2"], "--output": ["-o", "out/other.png"],
        "--seed": [*COMPARED, "--seed", "5"],
    },
    "doctor": {},
    "completion": {},
}  # fmt: skip
# The line that an option's words are compared with, where that is not the working one.
BASE: dict[Any, list[str]] = {
    "--current-leak": ["--neuron", "cuba"],
    **{name: ["--neuron", "lapicque"] for name in ("--resistance", "--capacitance", "--time-step")},
    **dict.fromkeys(RECORDINGS, FOLDER),
    "--stride-us": [*FOLDER, "--window-us", "90000"],
    **{("import", name): BANDS for name in (*DATA, *FRAMES) if name != "--dataset"},
    ("import", "--holdout-seed"): [*BANDS, "--holdout", "0.3"], ("import", "--profile"): INTEGERS,
    **{("import", name): GRAPH for name in READ},
    **{("classify", name): [] for name in RECORDINGS},
    ("classify", "--stride-us"): ["--window-us", "90000"],
    "--holdout-seed": ["--holdout", "0.3"],
    "--calibrate-steps": ["--calibrate", "nmnist"],
    ("compile", "--seed"): ["--calibrate", "nmnist"],
    ("data compare", "--seed"): COMPARED,
    "--check": ["--backend", "fast"],
    "--input": [*STOCK, "-o", "out/a.npz"],
    "--reset-interval": [*STOCK, "-o", "out/a.npz"],
    ("simulate", "--steps"): [*STOCK, "-o", "out/a.npz"],
    "--message-bits": [*STOCK[:2], "--input", "graded.npy", "-o", "out/a.npz"],
    "--traces": [*STOCK, "-o", "out/a.npz"],
    "--input-shape": OPEN,
    "--labels": OWN,
    ("verify", "--input"): ["verify", "own.net"],
    ("trace", "--input"): ["trace", "own.net"],
    ("cost", "--input"): ["cost", "own.net"],
    ("latency", "--input"): ["latency", "own.net"],
    ("compare", "--input"): ["compare", "own.net", "own.net"],
    ("compare", "--labels"): ["compare", "own.net", "own.net", "--input", "own.npy"],
    ("characterize", "--dataset"): CROSS, **{("characterize", name): CROSS for name in CROSSED},
    ("report", "--input"): ["report", "own.net", "-o", "out/a.html"],
    ("report", "--labels"): ["report", "own.net", "--input", "own.npy", "-o", "out/a.html"],
    ("report", "--profile"): ["report", "ckpt.pt", *BANDS, "-o", "out/a.html"],
    ("export", "--lanes"): ["--to", "rtl"], ("export", "--target"): ["--to", "rtl"],
    ("simulate", "--output"): [*STOCK, "-o", "out/a.npz"],
    **{("inspect", name): ["--samples", "2"] for name in DATA},
    **{("compile", name): ["--calibrate", "nmnist"] for name in DATA},
    ("compile", "--download"): ["--calibrate", "nmnist", "--data-root", "bands"],
    **{("compile", name): ["--calibrate", FOLDER[1]] for name in RECORDINGS},
    ("compile", "--stride-us"): ["--calibrate", FOLDER[1], "--window-us", "90000"],
    **{("inspect", name): ["--samples", "2", *FOLDER] for name in RECORDINGS},
    ("inspect", "--stride-us"): ["--samples", "2", *FOLDER, "--window-us", "90000"],
    "--channels": ["--network", "conv"],
    ("inspect", "--holdout-seed"): ["--samples", "2", "--holdout", "0.3"],
    ("compile", "--holdout-seed"): ["--calibrate", "nmnist", "--holdout", "0.3"],
}

BAD_DATA = ["--holdout nan", "--holdout 0", "--holdout 1", "--holdout 2", "--holdout-seed -1"]
BAD_FRAMES = [
    "--steps 0", "--binning space", "--encoding colour", "--clip 0", "--clip 256", "--size 0 0",
    "--duration-us 0", "--duration-us -1",
]  # fmt: skip
BAD_RECIPE = [
    "--epochs 0", "--lr nan", "--lr 0", "--lr inf", "--rho -1", "--rho nan", "--batch 0", "--set drop=nan",
    "--set drip=1", "--set drop", "--set drop=x", "--set epochs=3", "--seed -1", "--device tpu",
]  # fmt: skip
BAD_LAVA = ["--stall nan", "--stall 0", "--timeout nan", "--timeout inf", "--timeout -1"]
BAD: dict[str, list[str]] = {
    "train": [
        *BAD_DATA, *BAD_FRAMES, *BAD_RECIPE, "--alpha nan", "--alpha 1", "--alpha -1", "--k inf", "--k 0",
        "--k nan", "--validation 0", "--validation 2", "--validation nan", "--recipe worst", "--reset never",
        "--reset-order late", "--hidden 0", "--hidden 9 x", "--hidden 9.5", "--network conv --channels 0",
        "--alpha 0.5 0.4 0.3", "--alpha 0.5 1", "--hidden 9 8 7 --theta 1 2", "--theta 0", "--theta 1e39",
        "--network deep", "--surrogate step", "--neuron izhikevich", "--learn-alpha yes",
        "--learn-theta yes", "--alpha 0 --learn-alpha layer", "--neuron cuba --current-leak 1",
        "--neuron cuba --current-leak 0", "--neuron lapicque --time-step 2.5",
        "--neuron lapicque --resistance 0", "--neuron lapicque --capacitance nan",
        "--hidden 9 8 7 --neuron lapicque --capacitance 2 3", "--neuron lapicque --time-step 0",
    ],
    "finetune": [*BAD_DATA, *BAD_RECIPE, "--k nan", "--k 0", "--clip nan", "--clip -1", "--profile none"],
    "compile": [
        "--profile none", "--seed -1", "--calibrate=", "--calibrate nmnist --calibrate-steps none",
        *(f"--calibrate nmnist {words}" for words in BAD_DATA),
    ],
    "simulate": [
        *BAD_DATA, *BAD_LAVA, "--samples 0", "--check some", "--check -1", "--batch 0", "--backend x",
        "--chip loihi3", "--table none",
        *(f"--input-shape {shape}" for shape in ("2,6", "2,6,5,1", "0,6,5", "-2,6,5", "2,6,x", "2,6,")),
    ],
    "verify": [*BAD_DATA, *BAD_LAVA, "--samples 0", "--backend x"],
    "inspect": ["--samples 0", "--chip loihi3", *(f"--samples 2 {words}" for words in BAD_DATA)],
    "classify": ["--backend x", "--sensor 0 0", "--window-us 0", "--stride-us 5", "--polarity no"],
    "trace": [*BAD_DATA, "--sample -1", "--backend x"],
    "cost": [*BAD_DATA, "--samples 0", "--chip loihi3", "--table none", "--chip loihi2 --table davies2018"],
    "latency": [*BAD_DATA, "--samples 0", "--lanes 8", "--lanes 8,x", "--lanes 0,1,1",
                "--lanes 999,8,8", "--clock 0",
                "--target ice40", "--budget 3", "--budget 1,1", "--plot out/a.txt"],
    "compare": [*BAD_DATA, "--samples 0", "--sample -1", "--backend x"],
    "report": [*BAD_DATA, "--samples 0", "--sample -1", "--seed -1", "--chip loihi3", "--table none"],
    "export": [
        "--to vhdl", "--main both", "--to nir --for nobody", "--to rtl --lanes 8,x", "--to rtl --lanes 0,8",
        "--to rtl --target ice40",
    ],
    "evaluate": [*BAD_DATA, "--device tpu"],
    "analyse": [*BAD_DATA, "--device tpu", "--parts none", "--parts ,", "--samples 0", "--seed -1"],
    "sweep": ["--jobs 0", "--data nothing"],
    "characterize": ["--jobs 0", "--surrogate none", "--neuron lif,", "--seeds -1", "--widths 0", "--clock 0",
                     "--network rnn", "--epochs 0", "--size 0 9", "--plot out/a.txt", "--dataset nmnist"],
    "data info": [*BAD_DATA, *BAD_FRAMES],
    "data simulate": ["--train 0", "--test 0", "--seed -1"],
    "data compare": ["--split Both", "--limit 0", "--seed -1"],
}  # fmt: skip

THEIRS = " ".join([*STOCK, "-o out/a.npz"])
# (command line, the option that its error names). Values are the defaults where an option has one.
IGNORED: list[tuple[str, str]] = [
    (" ".join([*working("train"), "--network conv --hidden 9"]), "--hidden"),
    (" ".join([*working("train"), "--channels 9"]), "--channels"),
    (" ".join([*working("train"), "--reset zero --reset-order after-leak"]), "--reset-order"),
    *(
        (" ".join([*working("train"), f"--neuron {neuron} {option} {value}"]), option)
        for neuron, option, value in (
            ("lif", "--current-leak", 0.5), ("lif", "--resistance", 1), ("lif", "--capacitance", 2),
            ("lif", "--time-step", 1), ("if", "--alpha", 0.5), ("if", "--learn-alpha", "none"),
            ("lapicque", "--alpha", 0.5), ("lapicque", "--current-leak", 0.5), ("cuba", "--resistance", 1),
        )
    ),
    *((f"{THEIRS} {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    (f"{THEIRS} --samples 3", "--samples"),
    (f"{THEIRS} --check 100", "--check"),
    (f"{THEIRS} --report out/r.json", "--report"),
    (f"{THEIRS} --batch 2", "--batch"),
    (f"{THEIRS} --chip loihi1", "--chip"),
    (f"{THEIRS} --table sana-fe-loihi", "--table"),
    (f"{THEIRS} --backend reference --stall 120", "--stall"),
    (f"{THEIRS} --backend fast --timeout 10", "--timeout"),
    (f"{THEIRS} --labels labels.npy", "--labels"),
    ("simulate own.net --labels labels.npy", "--labels"),
    ("simulate own.net --traces", "--traces"),
    ("simulate own.net -o out/a.npz", "--output"),
    *((f"simulate own.net --input own.npy {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    *((f"verify own.net --input own.npy {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    *((f"trace own.net --input own.npy {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    *((f"cost own.net --input own.npy {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    *((f"compare own.net own.net --input own.npy {' '.join(words[-2:])}", n) for n, words in DATA.items()),
    *(
        (f"{line} {' '.join(words)}", words[0])
        for line in ("simulate own.net --input own.npy", "verify own.net --known-answers-only")
        for words in RECORDINGS.values()
    ),
    ("trace own.net bands/Test/6/00001.bin --dataset nmnist", "--dataset"),
    ("compare own.net own.net --labels labels.npy", "--labels"),
    *((f"report own.net --input own.npy -o out/a.html {' '.join(words[-2:])}", name)
      for name, words in DATA.items()),
    ("report own.net --labels labels.npy -o out/a.html", "--labels"),
    ("report own.net own.net --sample 0 -o out/a.html", "--sample"),
    ("report own.net own.net --seed 0 -o out/a.html", "--seed"),
    ("report own.net --profile loihi-int4 -o out/a.html", "--profile"),
    ("trace own.net --overwrite", "--overwrite"),
    ("verify own.net --known-answers-only --input own.npy", "--input"),
    ("simulate own.net --steps 5", "--steps"),
    ("simulate own.net --traces", "--traces"),
    ("simulate own.net --input-shape 2,34,34", "--input-shape"),
    ("simulate own.net --reset-interval 5", "--reset-interval"),
    ("simulate own.net --message-bits 0", "--message-bits"),
    ("simulate own.net -o out/a.npz", "--output"),
    ("simulate own.net --backend reference --check 100", "--check"),
    ("simulate own.net --backend reference --batch 2", "--batch"),
    ("simulate own.net --backend fast --stall 120", "--stall"),
    ("simulate own.net --backend fast --timeout 10", "--timeout"),
    ("verify own.net --known-answers-only --samples 20", "--samples"),
    *((f"verify own.net --known-answers-only {' '.join(words[-2:])}", n) for n, words in DATA.items()),
    ("verify own.net --backend fast --stall 120", "--stall"),
    ("verify own.net --backend reference --timeout 10", "--timeout"),
    *((f"inspect own.net {' '.join(words[-2:])}", name) for name, words in DATA.items()),
    *((f"compile ckpt.pt {' '.join(words[-2:])}", n) for n, words in DATA.items() if n != "--dataset"),
    ("compile ckpt.pt --calibrate-steps rounding", "--calibrate-steps"),
    ("compile ckpt.pt --seed 0", "--seed"),
    ("train --encoding binary --clip 1 -o out/a.pt", "--clip"),
    ("data info --encoding binary --clip 1", "--clip"),
    ("train --set sharpness=asam --rho 0 -o out/a.pt", "--set"),
    ("train --set pairing=same --rho 0 -o out/a.pt", "--set"),
    ("train --recipe paper --set anneal=0.5 -o out/a.pt", "--set"),
    ("finetune ckpt.pt --set k_start=3", "--set"),
    ("finetune ckpt.pt --set pairing=same", "--set"),
    ("train --resume --overwrite -o out/a.pt", "--overwrite"),
    ("finetune ckpt.pt --resume --overwrite", "--overwrite"),
    ("analyse ckpt.pt --parts margins,thresholds --seed 0", "--seed"),
    ("inspect own.net --overwrite", "--overwrite"),
    ("export own.net --to mem --main known -o out/a", "--main"),
    ("export own.net --to mem --for any -o out/a", "--for"),
    ("export own.net --to c --lanes 8 -o out/a", "--lanes"),
    ("export own.net --to c --target any -o out/a", "--target"),
    ("tables swept --overwrite", "--overwrite"),
    ("sweep study.toml --dry-run --jobs 1", "--jobs"),
    ("characterize study.toml --dry-run --clock 100", "--clock"),
    ("characterize study.toml --dry-run --ray local", "--ray"),
    ("characterize study.toml --overwrite", "--overwrite"),
    ("characterize study.toml --neuron lif", "--neuron"),
    ("characterize study.toml --profile loihi-int4", "--profile"),
    ("sweep study.toml --dry-run --download", "--download"),
    *(
        (f"{line} --download", "--download")
        for line in (
            "train -o out/a.pt", "data info --dataset digits-saccade", "data info --dataset folder:real",
        )
    ),
    ("sweep study.toml --dry-run --ray local", "--ray"),
    ("sweep study.toml --data digits-saccade --data-root bands", "--data-root"),
    ("data compare --real real --simulated simulated --seed 0", "--seed"),
    *(
        (f"{line} --dataset digits-saccade --data-root bands", "--data-root")
        for line in (
            "train -o out/a.pt", "finetune ckpt.pt", "evaluate ckpt.pt", "analyse ckpt.pt", "data info",
        )
    ),
    *(
        (f"{line} --holdout-seed 0", "--holdout-seed")
        for line in (
            "train -o out/a.pt", "finetune ckpt.pt", "evaluate ckpt.pt", "analyse ckpt.pt", "data info",
            "simulate own.net", "verify own.net", "trace own.net", "compare own.net own.net",
            "inspect own.net --samples 2",
            "compile ckpt.pt --calibrate nmnist",
        )
    ),
]  # fmt: skip

# What a command hands to the library: whether an option arrived. What is called goes on, ends, or is skipped.
ON, END, SKIP = "goes on", "ends the run", "returns nothing"
HANDED = {
    "sast_deploy.data.request.load_frames": ON,
    "sast_deploy.base.outputs.check_output": ON,
    "sast_deploy.commands.running.check_output": ON,
    "sast_deploy.commands.stock.check_output": ON,
    "sast_deploy.netx.export.check_output": ON,
    "sast_deploy.program.profile.load_profile": ON,
    "sast_deploy.training.train.train": END,
    "sast_deploy.finetuning.finetune": END,
    "sast_deploy.training.evaluate.evaluate": END,
    "sast_deploy.studies.analysis.study.measure": END,
    "sast_deploy.netx.export.Export": ON,
    "sast_deploy.exchange.statedict.from_state_dict": END,
    "sast_deploy.exchange.nir.from_nir": ON,
    "sast_deploy.api.compile": END,
    "sast_deploy.api.inputs": ON,
    "sast_deploy.api.simulate": END,
    "sast_deploy.api.verify": END,
    "sast_deploy.api.classifier": END,
    "sast_deploy.api.trace": END,
    "sast_deploy.api.cost": END,
    "sast_deploy.api.latency": END,
    "sast_deploy.api.inspect": ON,
    "sast_deploy.commands.running.chosen_table": ON,
    "sast_deploy.studies.suggestions.suggest": END,
    "sast_deploy.api.compare": END,
    "sast_deploy.api.export": END,
    "sast_deploy.studies.dossier.report.make": END,
    "sast_deploy.studies.characterize.tables.Clock": ON,
    "sast_deploy.studies.sweep.sweep.plan": ON,
    "sast_deploy.studies.sweep.sweep.sweep": END,
    "sast_deploy.studies.sweep.workers.LocalWorkers": ON,
    "sast_deploy.studies.sweep.raycluster.RayWorkers": END,
    "sast_deploy.studies.tables.table.markdown": ON,
    "sast_deploy.data.camera.saccade.simulate_mnist": END,
    "sast_deploy.data.camera.likeness.compare": ON,
    "sast_deploy.studies.tables.plots.pictures": ON,
}
READING = [
    "sast_deploy.data.request.load_frames", "sast_deploy.data.camera.saccade.simulate_mnist",
    "sast_deploy.data.camera.likeness.compare", "sast_deploy.studies.sweep.sweep.sweep",
    "sast_deploy.netx.foreign.frames.read_npy",
]  # fmt: skip


class EnoughError(Exception):
    """Ends a command once its values have arrived."""


@pytest.fixture(scope="module")
def files(chain: Path, bands: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_folder(tmp_path_factory.mktemp("options") / "files", chain, bands)
    rng = np.random.default_rng(0)
    layers = [conv(integers(rng, 30, 3, 2, 3, 3), (3, 4, 3), vThMant=40), FLATTEN]
    write_stock(folder / "theirs.net", [image(2, 6, 5), *layers, dense(integers(rng, 60, 8, 36))])
    write_stock(folder / "open.net", [*layers, dense(integers(rng, 60, 8, 36))])  # no input layer
    np.save(folder / "rows.npy", (rng.random((12, 60)) < 0.4).astype(np.uint8))
    np.save(folder / "theirs.npy", (rng.random((12, 2, 6, 5)) < 0.4).astype(np.uint8))
    np.save(folder / "own.npy", (rng.random((3, 10, 2, 34, 34)) < 0.1).astype(np.uint8))
    np.save(folder / "labels.npy", np.array([6, 7, 8]) - 6)
    np.save(folder / "graded.npy", rng.integers(0, 9, (12, 2, 6, 5)))
    return folder


@pytest.fixture
def here(files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(files)
    shutil.rmtree("out", ignore_errors=True)
    return files


def names_of(name: str) -> set[str]:
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option)]
    return {max(each.opts, key=len) for each in options} - {f"--{name}" for name in FLAGS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_in_the_table(name: str) -> None:
    assert names_of(name) == set(ACTS[name])


def test_every_bad_value_and_ignored_option_is_of_a_command() -> None:
    for name, lines in BAD.items():
        words = {word.partition("=")[0] for line in lines for word in line.split() if word.startswith("--")}
        assert words <= names_of(name)
    assert {option for _, option in IGNORED} <= set().union(*map(names_of, COMMANDS))


def plain(value: Any) -> Any:
    """A value that is equal for equal arguments, and names no address in memory."""
    if isinstance(value, np.ndarray):
        return value.shape
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if type(value).__name__ in ("FrameSet", "FrameSplit"):
        return len(getattr(value, "test", value))
    if type(value).__name__ == "NetFile":
        return value.strict_reset, value.program.digest()
    if isinstance(value, Path | str | int | float | bool | None) or is_dataclass(value):
        return repr(value)
    return type(value).__name__


def handed(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """What the library is given for this command line, and which files it leaves."""
    log: list[Any] = []
    shutil.rmtree("out", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        for target, then in HANDED.items():
            module, _, name = target.rpartition(".")
            original = getattr(importlib.import_module(module), name)

            def record(*values: Any, _of: Any = (target, then, original), **options: Any) -> Any:
                target, then, original = _of
                # What the guard is told of the run proves nothing of the run.
                said = [each for each in values if not isinstance(each, dict) or "check_output" not in target]
                log.append((target, plain(said), plain(options)))
                recorded = target.endswith("load_frames") and "folder:" in repr(options | {0: values})
                if then == END or recorded:
                    raise EnoughError(target)
                return original(*values, **options) if then == ON else []

            patch.setattr(target, record)
        code = cli.run(words)
    err = capsys.readouterr().err
    reasons = ("EnoughError", "own test split", "simulated", "nothing to resume", "--input-shape")
    checked = code == Exit.CHECK_FAILED and "--fail-on-limits" in words
    assert code == Exit.OK or checked or any(reason in err for reason in reasons), err
    results = [np.load(path) for path in sorted(Path("out").rglob("*.npz"))]
    arrays = [found[name].tolist() for found in results for name in found.files]
    return [*log, arrays, sorted(map(str, Path("out").rglob("*"))), int(code)]


def line_of(name: str, words: list[str]) -> list[str]:
    """The working line with more words, or the words themselves where they are a line."""
    return words if words[: len(name.split())] == name.split() else [*working(name), *words]


@pytest.fixture(scope="module")
def bases() -> dict[tuple[str, ...], list[Any]]:
    """What `handed` found of each line that options are compared with."""
    return {}


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in ACTS for option in ACTS[name]])
def test_every_option_acts(
    name: str, option: str, here: Path, bases: dict[tuple[str, ...], list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    words: list[str] = BASE.get((name, option), BASE.get(option, []))  # type: ignore[call-overload]
    base = tuple(line_of(name, words))
    if base not in bases:
        before = handed([*base], capsys)
        assert before == handed([*base], capsys), "what is compared must be the same twice"
        bases[base] = before
    assert bases[base] != handed(line_of(name, ACTS[name][option]), capsys)


def refuse_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("data were read")

    for target in READING:
        monkeypatch.setattr(target, read)


@pytest.mark.parametrize(("name", "words"), [(name, words) for name in BAD for words in BAD[name]])
def test_bad_values_are_refused_before_data_are_read(
    name: str, words: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_reading(monkeypatch)
    assert cli.run([*working(name), *words.split()]) == Exit.BAD_INPUT, capsys.readouterr().err
    assert not Path("out").exists()


WHOLE = [
    (name, max(each.opts, key=len), each.nargs)
    for name, command in COMMANDS.items()
    for each in command.params
    if isinstance(each, click.Option) and isinstance(each.type, click.IntRange | type(click.INT))
]


@pytest.mark.parametrize(("name", "option", "values"), WHOLE)
def test_no_whole_number_is_too_large_to_be_refused(
    name: str, option: str, values: int, here: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    refuse_reading(monkeypatch)
    base: list[str] = BASE.get((name, option), BASE.get(option, []))  # type: ignore[call-overload]
    assert cli.run([*line_of(name, base), option, *["1" * 30] * values]) == Exit.BAD_INPUT
    assert "1" * 30 in capsys.readouterr().err


@pytest.mark.parametrize(("line", "option"), IGNORED)
def test_ignored_options_are_refused_by_name(
    line: str, option: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_reading(monkeypatch)
    assert cli.run(line.split()) == Exit.BAD_INPUT, capsys.readouterr().err
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert f"{option} " in said
    assert not Path("out").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_debug_shows_the_traceback(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(COMMANDS[name], "callback", fail)
    for words, shown in (([], False), (["--debug"], True)):
        assert cli.run([*working(name), *words]) == Exit.INTERNAL
        assert ("Traceback" in capsys.readouterr().err) == shown


@pytest.mark.parametrize(("words", "warned"), [
    ("--surrogate triangular", True), ("--surrogate triangular --set init=lsuv", False),
    ("--surrogate sigmoid", False),
])  # fmt: skip
def test_train_says_where_a_surrogate_is_flat(
    words: str, warned: bool, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(*_: Any, **__: Any) -> None:
        raise EnoughError

    monkeypatch.setattr("sast_deploy.training.train.train", end)
    cli.run([*working("train"), *words.split()])
    said = capsys.readouterr()
    assert ("init=lsuv mends it" in said.out + said.err) is warned
