"""Checkpoints, unfinished trainings, and the profiles that checkpoints are compiled for."""

from __future__ import annotations

import io
import json
import shutil

import torch

from sast_deploy.base.errors import SastError
from sast_deploy.compiler import compile_network
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.netx.file import read_net
from sast_deploy.program.profile import load_profile
from sast_deploy.training.checkpoint import load_checkpoint, to_float_network
from tools.fuzzing import archives
from tools.fuzzing.inputs import Input, Place
from tools.fuzzing.judge import ACCEPTED, REFUSED, Failed, check_program, command, refusal
from tools.fuzzing.seeds import RESUMED, TRAIN
from tools.fuzzing.values import Rng, change_tree, pick


def change_archive(rng: Rng, made: Input, place: Place) -> None:
    """One mutation of such a file."""
    content = made.path.read_bytes()
    if rng.random() < 0.6:
        tree = torch.load(io.BytesIO(content), weights_only=True)
        what = change_tree(rng, tree, archives.tensor_or_leaf)
        new = io.BytesIO()
        torch.save(tree, new)
        made.path.write_bytes(new.getvalue())
        made.did(what)
        return
    changed, what, forbidden = archives.change_archive(rng, content)
    made.path.write_bytes(changed)
    made.did(what, forbidden)


def probe_checkpoint(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read it."""
    way = rng.random()
    profile = pick(rng, ("loihi-int4", "loihi-int8", "loihi-stock"))
    if way < 0.15:
        ended = command(["evaluate", "--device", "cpu", "--", str(made.path)], (made.path.name, "data"))
        return ACCEPTED if ended.code == 0 else REFUSED
    if way < 0.3:
        out = place.out / "x.net"
        ended = command(
            ["compile", "--profile", profile, "-o", str(out), "--", str(made.path)], (made.path.name, profile)
        )
        if ended.code == 0:
            read_net(out)
        return ACCEPTED if ended.code == 0 else REFUSED
    try:
        checkpoint = load_checkpoint(made.path)
    except SastError as error:
        return refusal(error, made.path.name)
    return compiled(rng, to_float_network(checkpoint), profile)


def compiled(rng: Rng, network: FloatNetwork, profile: str) -> str:
    """Compile a network that was accepted, and check its program."""
    try:
        compilation = compile_network(network, load_profile(profile), "x")
    except SastError as error:
        return refusal(error, "")
    return check_program(rng, compilation.program, compiled=True)


def probe_resume(rng: Rng, made: Input, place: Place) -> str:
    """The file as the unfinished training that the command continues."""
    folder = place.out / "run"
    folder.mkdir()
    shutil.move(made.path, folder / "resume.pt")
    words = [*TRAIN, *RESUMED[made.seed], "--resume", "-o", str(folder / "ckpt.pt")]
    ended = command(words, ("resume.pt", "ckpt.pt", "epoch"))
    if ended.code == 0:
        load_checkpoint(folder / "ckpt.pt")
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        if [json.loads(line).get("epoch") for line in lines] != [1, 2]:
            raise Failed("accepted: another number of epochs", str(lines))
    return ACCEPTED if ended.code == 0 else REFUSED
