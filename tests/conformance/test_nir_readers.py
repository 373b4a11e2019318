"""Files for other frameworks, read and run by these themselves; skipped where they are not installed."""

from __future__ import annotations

import contextlib
import io

import nir
import numpy as np
import pytest

from sast_deploy.engines.reference import run_reference
from sast_deploy.exchange.nir import export_nir
from tests.unit.test_nir_export import frames_for, program

pytestmark = pytest.mark.slow


def in_snntorch(path):
    import snntorch.import_nir

    net = snntorch.import_nir.import_from_nir(nir.read(path))

    def step(x, state):
        found = net(x[None], state)
        return found if isinstance(found, tuple) else (found, None)

    return step


def in_spikingjelly(path):
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    net = import_from_nir(path)
    return lambda x, state: net(x[None], state)


def in_norse(path):
    from norse.torch.utils.import_nir import from_nir

    return from_nir(nir.read(path))  # takes no axis of samples


READERS = {"snntorch": in_snntorch, "spikingjelly": in_spikingjelly, "norse": in_norse}


@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("target", READERS)
def test_every_spike_is_the_frameworks_own(tmp_path, target, conv):
    """Leaks that keep all or nothing, so that integers have nothing to round."""
    pytest.importorskip(target)
    pytest.importorskip("nirtorch")
    torch = pytest.importorskip("torch")
    for decay in (0,) if target == "spikingjelly" else (0, 4096):
        made, path = program(2, decay, conv), tmp_path / f"{decay}.nir"
        assert export_nir(made, path, target) == ()
        frames = frames_for(made)[:1]
        wanted = run_reference(made, frames, trace=True).traces[-1].spikes[0]
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            step, state, found = READERS[target](path), None, []
            for x in torch.tensor(frames[0], dtype=torch.float32):
                spikes, state = step(x if conv else x.ravel(), state)
                found.append(spikes.numpy().ravel())
        assert np.array_equal(found, wanted)
        assert 0.05 < wanted.mean() < 0.95
