"""Networks trained elsewhere: their tensors, their descriptions, and the file that an import writes."""

from __future__ import annotations

import h5py
import numpy as np

from sast_deploy.base.errors import SastError
from sast_deploy.exchange.network import ROOT, load_network
from sast_deploy.exchange.statedict import from_state_dict
from sast_deploy.netx.file import DIGEST, read_net, sast_digest
from tools.fuzzing.inputs import Input, Place
from tools.fuzzing.judge import ACCEPTED, REFUSED, command, refusal
from tools.fuzzing.trained import compiled
from tools.fuzzing.values import Rng, pick

STATE, TOML = "state.pt", "describe.toml"


def mend_imported(rng: Rng, made: Input, place: Place) -> None:
    """Mostly, make the digest right."""
    if made.forbidden or made.final or rng.random() < 0.2 or not made.path.is_file():
        return
    try:
        with h5py.File(made.path, "r+") as file:
            del file[f"{ROOT}/{DIGEST}"]
            file[f"{ROOT}/{DIGEST}"] = np.bytes_(sast_digest(file[ROOT]))
            made.labels.append("digest right")
    except Exception:
        made.labels.append("digest wrong")


def probe_imported(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read what an import wrote."""
    profile = pick(rng, ("loihi-int4", "loihi-int8"))
    if rng.random() < 0.3:
        out = place.out / "x.net"
        words = ["compile", "--profile", profile, "-o", str(out), "--", str(made.path)]
        ended = command(words, (made.path.name, profile))
        if ended.code == 0:
            read_net(out)
        return ACCEPTED if ended.code == 0 else REFUSED
    try:
        network = load_network(made.path).network
    except SastError as error:
        return refusal(error, made.path.name)
    return compiled(rng, network, profile)


def probe_state(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read tensors, which a good description fits."""
    description = place.folder / TOML
    description.write_bytes(place.seeds.files["describe"][TOML])
    if rng.random() < 0.3:
        words = ["import", "--describe", str(description), "-o", str(place.out / "x.h5")]
        ended = command([*words, "--", str(made.path)], (made.path.name, TOML))
        return ACCEPTED if ended.code == 0 else REFUSED
    try:
        network = from_state_dict(made.path, description).network
    except SastError as error:
        return refusal(error, (made.path.name, TOML))
    return compiled(rng, network, "loihi-int8")


def probe_description(rng: Rng, made: Input, place: Place) -> str:
    """Ask the product to read a description of good tensors."""
    state = place.folder / STATE
    state.write_bytes(place.seeds.files["state"][STATE])
    try:
        network = from_state_dict(state, made.path).network
    except SastError as error:
        return refusal(error, (made.path.name, STATE))
    return compiled(rng, network, "loihi-int8")
