"""What every test gets: a cache of its own, few threads, and the real recordings where there are any."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

DATA_VARIABLE = "SAST_TEST_DATA"
THREADS = "2"

# Before any test module imports NumPy, numba or torch: their thread pools read these once. Threads of torch
# that wait for each other sleep, and NumPy's products have no second thread, since it cannot but spin: on a
# busy machine that was a third of the processor time of what multiplies much, and half of a training's.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["MPLBACKEND"] = "Agg"

# A shell without job control starts what runs in the background deaf to Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# New examples in every run, in CI too, where hypothesis would repeat the same ones for ever; a failure prints
# the line that repeats it, and is tried first in the next run (.hypothesis/). A shared machine may be slow at
# any moment; a test is not wrong for that.
settings.register_profile(
    "sast",
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(Path(__file__).resolve().parents[1] / ".hypothesis" / "examples"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sast")


# Of processor time, children included: a busy machine makes no test slow. The first that uses a package
# pays for its import.
QUICK_SECONDS, ALL_QUICK_SECONDS = 3.0, 60.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take long begins first, so that nobody waits for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Note what a test without the marker `slow` took."""
    before = sum(os.times()[:4])
    yield
    if item.get_closest_marker("slow") is None:
        item.user_properties.append(("processor seconds", sum(os.times()[:4]) - before))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the tests that are slow and do not say so, and say it where too many are nearly so."""
    took = {
        report.nodeid: dict(report.user_properties).get("processor seconds", 0.0)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
    }
    late = sorted((seconds, name) for name, seconds in took.items() if seconds > QUICK_SECONDS)
    total = sum(took.values())
    if late or total > ALL_QUICK_SECONDS:
        terminalreporter.section(f"tests without @pytest.mark.slow: {total:.0f} s of processor time")
    for seconds, name in reversed(late):
        terminalreporter.line(f"{seconds:.1f} s of processor time: {name}")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine the threads of tiny products wait for each other longer than they work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give the session an empty $SAST_CACHE_DIR, no $SAST_DATA_ROOT and no network; yields the cache folder.

    One cache for the whole session: what takes seconds to build (digits-saccade) is built once.
    """
    cache = tmp_path_factory.mktemp("sast-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAST_CACHE_DIR", str(cache))
        patch.delenv("SAST_DATA_ROOT", raising=False)
        # Data that is looked for in vain must not be downloaded, in child processes neither.
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        for name in ("no_proxy", "NO_PROXY"):
            patch.delenv(name, raising=False)
        yield cache


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder $SAST_TEST_DATA: nmnist_small10/, nmnist_6789/, mnist/ and netx_conformance/, unpacked."""
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        pytest.skip(f"{DATA_VARIABLE} is not set: it names the folder with the unpacked real recordings")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"{DATA_VARIABLE}={value} is no folder")
    return folder
