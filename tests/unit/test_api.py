"""The front door: what `import sast_deploy` offers is lazy, silent, typed, and has examples that run."""

from __future__ import annotations

import ast
import doctest
import inspect
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sast_deploy as sast
from sast_deploy.base.children import child_environment
from sast_deploy.training.checkpoint import save_checkpoint, to_float_network
from tests.stockfiles import dense, write_stock
from tests.tinydata import tiny_set
from tests.tinynets import random_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = [name for name in sast.__all__ if name != "__version__"]
USER_SCRIPT = '''
import numpy as np
import sast_deploy as sast

rng = np.random.default_rng(0)
hidden = sast.FloatDense(rng.normal(size=(32, 64)), threshold=1.0, leak=rng.choice([0.5, 0.75], 32))
network = sast.FloatNetwork([hidden, sast.FloatReadout(rng.normal(size=(4, 32)))], 64, steps=10)
frames = (rng.random((100, 10, 64)) < 0.1).astype(np.uint8)
net = sast.compile(network, "loihi-int8").save("mine.net", overwrite=True)
run = sast.simulate(net, frames, labels=rng.integers(0, 4, 100))
assert run.accuracy is not None and run.accuracy.samples == 100 and run.synops > 0
assert sast.verify(sast.load("mine.net"), frames, engines=["fast"]).ok
'''


@pytest.fixture
def net() -> sast.Net:
    layers = [sast.FloatDense([[0.5, -0.5], [1.0, 0.25]], leak=0.5), sast.FloatReadout(np.eye(2))]
    return sast.compile(sast.FloatNetwork(layers, 2, steps=4))


FRAMES = np.array([[[1, 0]] * 4, [[0, 1]] * 4, [[1, 1]] * 4])
SEEN = np.array(
    [(0, 0, 5, 1), (1, 2, 6, 0), (5, 3, 9, 1)], [("x", int), ("y", int), ("t", int), ("p", int)]
)
EVENTS = np.array([(0, 0, 5, 1)], [("x", int), ("y", int), ("t", int), ("p", int)])


def own_network() -> sast.FloatNetwork:
    return sast.FloatNetwork([sast.FloatDense([[0.5, -0.5], [1.0, 0.25]], leak=0.5)], 2, steps=4)


def test_type_checkers_see_what_there_is() -> None:
    """Every name of `__all__` is imported for type checkers as itself, from the module that gives it."""
    tree = ast.parse((ROOT / "sast_deploy" / "__init__.py").read_text())
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    (block,) = [node for node in blocks if "TYPE_CHECKING" in ast.unparse(node.test)]
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.name == alias.asname
            seen[alias.name] = node.module
    assert sorted(seen) == sorted(PUBLIC)
    for name, module in seen.items():
        assert sast._HOMES[name] == str(module).removeprefix("sast_deploy.")
        assert getattr(import_module(f"sast_deploy.{sast._HOMES[name]}"), name) is getattr(sast, name)
    assert set(PUBLIC) <= set(dir(sast))


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'complie'"):
        _ = sast.complie  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A checkpoint's file, and what docs/api.md says that examples use; frozen all, made once for all."""
    trained, path = random_checkpoint(), tmp_path_factory.mktemp("examples") / "ckpt.pt"
    save_checkpoint(path, trained)
    layers = [sast.FloatDense(np.eye(2), leak=0.5), sast.FloatReadout(np.eye(2))]
    network = sast.FloatNetwork(layers, 2, steps=4)
    return path, {
        "sast": sast, "np": np, "Path": Path, "network": network, "net": sast.compile(network),
        "trained": trained, "data": tiny_set(), "framed": sast.compile(trained),
    }  # fmt: skip


# The embedded recordings are made for load_frames's.
EXAMPLES = [pytest.param(name, marks=pytest.mark.slow if name == "load_frames" else ()) for name in PUBLIC]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_public_name_has_an_example_that_runs(
    name: str, used: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    thing = getattr(sast, name)
    text = inspect.getdoc(thing) or ""
    assert ">>> " in text, f"{name} has no example"
    path, shared = used
    shutil.copy(path, "ckpt.pt")
    frames = np.array([[[1, 0]] * 4, [[0, 1]] * 4])
    names = {**shared, "frames": frames, "labels": [0, 1], "seen": SEEN.copy()}
    test = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
    assert tried
    assert not failed


@pytest.mark.slow
def test_importing_is_fast_and_loads_nothing() -> None:
    script = (
        "import sys, time\nstart = time.process_time()\nimport sast_deploy\n"
        "print(time.process_time() - start, *sorted({'torch', 'numpy', 'numba', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True, check=True
    )
    seconds, *loaded = done.stdout.split()
    assert loaded == []
    assert float(seconds) < 0.1


@pytest.mark.slow
def test_a_users_script_is_typed_silent_and_needs_no_torch(tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(USER_SCRIPT + "import sys\nassert 'torch' not in sys.modules\n")
    command = [sys.executable, "-W", "error::UserWarning", str(script)]
    where: Any = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, env=child_environment(), **where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".cache" / "mypy"), str(script)],
        env={**child_environment(), "MYPYPATH": str(ROOT)}, **where,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout


def test_engines_give_the_same_simulation(net: sast.Net) -> None:
    one, other = (sast.simulate(net, FRAMES, engine=engine, trace=True) for engine in ("reference", "fast"))
    assert one.accuracy is None
    assert one.report.confusion is None
    np.testing.assert_array_equal(one.logits, other.logits)
    assert one.record.traces is not None
    assert other.record.traces is not None
    np.testing.assert_array_equal(one.record.traces[0].membrane, other.record.traces[0].membrane)
    assert one.synops == other.synops > 0
    assert other.report.to_dict()["data"]["dataset"] is None


def test_a_difference_stands_in_the_report(net: sast.Net, monkeypatch: pytest.MonkeyPatch) -> None:
    from sast_deploy.engines.fast import FastEngine

    run = FastEngine.run

    def wrong(*values: Any, **options: Any) -> Any:
        record = run(*values, **options)
        record.logits[1, 0] += 1
        return record

    assert sast.simulate(net, FRAMES, check=None).report.run.difference is None
    monkeypatch.setattr(FastEngine, "run", wrong)
    found = sast.simulate(net, FRAMES, check=None).report.run
    assert found.checked == 3
    assert found.difference is not None
    assert "sample 1, class 0: logit" in found.difference
    assert not sast.verify(net, FRAMES, engines=["fast"]).ok


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("frames", "labels", "says"),
    [
        (np.zeros((3, 4, 3)), None, r"frames: shape \(3, 4, 3\); expected \(samples, time, 2, 1, 1\)"),
        (np.zeros((3, 5, 2)), None, "frames: 5 time steps; expected 4"),
        (np.full((3, 4, 2), 0.5), None, "frames: numbers with fractions; expected counts of events"),
        (np.full((3, 4, 2), 2), None, "frames with values 0..2; expected 0..1"),
        (FRAMES, [0, 1], r"labels of int64 \(2,\); expected integers \(3,\)"),
        (FRAMES, [0, 1, 2], r"labels 0..2; expected 0..1"),
        (FRAMES, [0.0, 1, 1], "labels of float64"),
        (FRAMES[:0], None, "frames: no samples; expected at least one"),
        (np.full((3, 4, 2), np.nan), None, "frames: values that are not finite"),
        (np.full((3, 4, 2), 1e30), None, "frames: numbers with fractions"),
        (None, [0], "labels without frames"),
        (None, None, "no data set belongs to it"),
    ],
)
def test_frames_and_labels_that_do_not_fit_are_refused(
    net: sast.Net, frames: Any, labels: Any, says: str
) -> None:
    with pytest.raises(sast.SastError, match=says):
        sast.simulate(net, frames, labels)


@pytest.mark.filterwarnings("error")  # of NumPy's, on the way to our own
@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda net: sast.simulate("mine.net", FRAMES), "net = 'mine.net'; expected a Net; sast.load"),
        (lambda net: sast.inspect("mine.net"), "expected a Net"),
        (lambda net: sast.verify(None), "expected a Net"),
        (lambda net: sast.simulate(net, FRAMES, samples=0), "samples = 0; expected an integer from 1"),
        (lambda net: sast.verify(net, FRAMES, samples=2.5), "samples = 2.5; expected an integer"),
        (lambda net: sast.simulate(net, FRAMES, check=-1), "check = -1; expected an integer from 0"),
        (lambda net: sast.simulate(net, FRAMES, check="all"), "check = 'all'; expected an integer"),
        (lambda net: sast.simulate(net, FRAMES, engine="quick"), "one of reference, vectorised, fast, lava"),
        (lambda net: sast.simulate(net, FRAMES, lava={"batch": 3}), "lava = dict of 1; expected"),
        (lambda net: sast.simulate(net, FRAMES, stock=sast.StockUse(steps=3)), "is for stock NetX files"),
        (lambda net: sast.verify(net, FRAMES, engines=[]), "engines = .*; expected a list of 1 to"),
        (lambda net: sast.verify(net, FRAMES, engines="fast"), "engines = 'fast'; expected a list"),
        (lambda net: sast.verify(net, FRAMES, engines=5), "engines = 5; expected a list"),
        (lambda net: sast.verify(net, FRAMES, engines=None), "engines = None; expected a list"),
        (lambda net: sast.verify(net, FRAMES, known_answers_only=True), "frames with known_answers_only"),
        (lambda net: net.save("a.net", overwrite="no"), "overwrite = 'no'; expected"),
        (lambda net: sast.simulate(net, sast.inputs(net, FRAMES), [0, 1, 1]), "labels with Inputs"),
        (lambda net: sast.verify(net, FRAMES[:0], engines=["fast"]), "frames: no samples"),
        (lambda net: sast.compile(42), "network = 42; expected a Checkpoint or FloatNetwork"),
        (lambda net: sast.compile(own_network(), name="a\0"), "name = .*; expected a text"),
        (lambda net: sast.compile(own_network(), seed=1.5), "seed = 1.5; expected an integer"),
        (lambda net: sast.compile(own_network(), steps=["rounding"]), "steps without calibrate"),
        (lambda net: sast.compile(own_network(), steps=5, calibrate=(FRAMES, [0])), "steps = 5; expected"),
        (lambda net: sast.compile(own_network(), calibrate=5), "without a checkpoint"),
        (lambda net: sast.compile(own_network(), calibrate=(FRAMES, [0, 1, 7])), "labels 0..7; expected"),
        (lambda net: sast.compile(own_network(), calibrate=(FRAMES, [0, 1, np.nan])), "labels of float64"),
        (lambda net: sast.compile(own_network(), calibrate=(FRAMES, [0], [1])), "calibration on 3 arrays"),
        (lambda net: sast.load(None), "path = None; expected a str or PathLike"),
        (lambda net: net.save(None), "path = None; expected a str or PathLike"),
        (lambda net: sast.frames_from_events(EVENTS, (0, 4)), r"sensor\[0\] = 0; expected an integer from 1"),
        (lambda net: sast.frames_from_events(EVENTS, 4), "sensor = 4; expected a list of 2"),
        (lambda net: sast.frames_from_events(EVENTS, (4, 4), {}), "options = an empty dict; expected a"),
    ],
)  # fmt: skip
def test_arguments_of_another_kind_are_refused_in_one_line(net: sast.Net, call: Any, says: str) -> None:
    with pytest.raises(sast.SastError, match=says) as refused:
        call(net)
    assert "\n" not in str(refused.value)


def test_objects_that_cannot_be_are_refused_where_they_are_made() -> None:
    for make in (lambda: sast.LavaOptions(batch=0), lambda: sast.LavaOptions(stall=-1.0),
                 lambda: sast.StockUse(message_bits=40), lambda: sast.StockUse(steps=-5),
                 lambda: sast.FloatNetwork(None, 2, 4)):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            make()


def test_integers_of_numpy_will_do_for_a_network_and_an_altered_reset_is_told() -> None:
    layers = [sast.FloatDense([[0.5, -0.5], [1.0, 0.25]], leak=0.5)]
    network = sast.FloatNetwork(layers, np.array([2]), np.int64(4), input_max=FRAMES.max(), reset="zero")
    assert (network.input_shape, type(network.steps), type(network.input_max)) == ((2, 1, 1), int, int)
    net = sast.compile(network, "loihi-int8")
    assert any("reset" in note for note in net.warnings)
    assert set(net.warnings) <= set(sast.inspect(net).notes)


def test_frames_and_a_data_set_are_one_too_many(net: sast.Net) -> None:
    with pytest.raises(sast.SastError, match="frames and a data set; expected one of them"):
        sast.simulate(net, FRAMES, data=sast.DataRequest("nmnist"))


def test_one_sample_floats_and_truth_values_will_do(net: sast.Net) -> None:
    wanted = sast.simulate(net, FRAMES).logits
    for frames in (FRAMES.astype(bool), FRAMES.astype(np.float32), FRAMES.reshape(3, 4, 2, 1, 1)):
        np.testing.assert_array_equal(sast.simulate(net, frames).logits, wanted)
    np.testing.assert_array_equal(sast.simulate(net, FRAMES[1]).logits, wanted[1:2])
    assert len(sast.simulate(net, FRAMES, samples=2).logits) == 2


def test_saved_loaded_and_never_replaced_by_another(net: sast.Net, tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    saved = net.save(path)
    assert saved.path == path
    assert sast.load(path).program.digest() == net.program.digest() == saved.program.digest()
    net.save(path)  # the same again is no loss
    other = sast.compile(sast.FloatNetwork([sast.FloatDense([[1.0]], leak=0.5)], 1, steps=2))
    with pytest.raises(sast.SastError, match=r"holds a \.net file of"):
        other.save(path)
    assert sast.load(path).program.digest() == net.program.digest()
    other.save(path, overwrite=True)
    assert sast.load(path).program.digest() == other.program.digest()


def test_a_checkpoint_compiles_as_the_command_does(tmp_path: Path) -> None:
    from sast_deploy.cli import run
    save_checkpoint(tmp_path / "ckpt.pt", random_checkpoint())
    assert run(["compile", str(tmp_path / "ckpt.pt"), "-o", str(tmp_path / "a.net")]) == 0
    theirs, ours = sast.load(tmp_path / "a.net"), sast.compile(tmp_path / "ckpt.pt")
    assert theirs.program.digest() == ours.program.digest()
    assert theirs.file.checkpoint == ours.file.checkpoint
    assert theirs.file.data == ours.file.data


def test_calibration_on_arrays_and_on_the_own_data() -> None:
    data, trained = tiny_set(), random_checkpoint()
    net = sast.compile(trained, "loihi-int2", calibrate=data)
    assert net.calibrated is not None
    assert net.file.calibration["data"]["frame_digest"] == data.info.frame_digest
    network = to_float_network(trained)
    arrays = np.asarray(data.train.frames), data.train.labels
    net = sast.compile(network, "loihi-int2", calibrate=arrays, steps=["rounding"])
    assert [step["name"] for step in net.file.calibration["steps"]] == ["rounding"]
    assert net.file.calibration["data"]["dataset"] == "arrays"
    with pytest.raises(sast.SastError, match="calibration on a data set, without a checkpoint"):
        sast.compile(network, calibrate=sast.DataRequest("nmnist"))
    for wrong in (5, "nmnist"):
        with pytest.raises(sast.SastError, match=f"calibrate = {wrong!r}; expected a DataRequest"):
            sast.compile(trained, calibrate=wrong)  # type: ignore[arg-type]
    short = replace(data, train=replace(data.train, frames=data.train.frames[:, :1]))
    with pytest.raises(sast.SastError, match=r"calibration: frames of shape \(1, .*; expected \(4, "):
        sast.compile(trained, calibrate=short)
    with pytest.raises(sast.SastError, match="calibration: 1 time steps; expected 4"):
        sast.compile(network, calibrate=(arrays[0][:, :1], arrays[1]))


def test_events_become_frames_as_a_data_sets_do() -> None:
    fields = [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]
    events = np.array([(0, 0, 10, True), (3, 1, 11, False), (3, 1, 19, False)], fields)
    frames = sast.frames_from_events(events, (2, 4), sast.FrameOptions(steps=2, clip=1, encoding="binary"))
    assert frames.dtype == np.uint8
    assert frames.shape == (2, 2, 2, 4)
    assert np.argwhere(frames).tolist() == [[0, 0, 1, 3], [0, 1, 0, 0], [1, 0, 1, 3]]
    for bad, says in (
        (events[:0], "has no events"),
        (events[["x", "y", "t"]], "fields x, y, t; expected one row of x, y, t, p"),
        (events[::-1], "time runs backwards"),
    ):
        with pytest.raises(sast.SastError, match=says):
            sast.frames_from_events(bad, (2, 4))
    outside = events.copy()
    outside["x"][0] = -1
    with pytest.raises(sast.SastError, match="x = -1"):
        sast.frames_from_events(outside, (2, 4))


def test_work_tells_an_observer_and_nobody_else(net: sast.Net, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Any] = []

    class Listener(sast.Observer):
        def begin(self, what: str, total: int | None) -> str:
            heard.append((what, total))
            return what

        def advance(self, task: str, steps: int) -> None:
            heard.append(steps)

    sast.simulate(net, FRAMES)
    assert heard == []
    with sast.observe(Listener()):
        sast.simulate(net, FRAMES, check=2)
    checks = ("vectorised check", 2), 1, 1, ("reference check", 2), 1, 1
    assert heard == [("fast", 3), 1, 1, 1, *checks]
    assert capsys.readouterr() == ("", "")


def test_somebody_elses_network_is_loaded_and_run_as_stock_lava_does(tmp_path: Path) -> None:
    path = tmp_path / "theirs.net"
    write_stock(path, [dense(np.full((3, 4), 20)), dense(np.eye(3, dtype=int) * 90)])
    net, frames = sast.load(path), (np.random.default_rng(0).random((5, 6, 4)) < 0.5).astype(np.uint8)
    how: dict[str, Any] = {"labels": [0] * 5, "trace": True}
    one, other = (sast.simulate(net, frames, engine=name, **how) for name in ("reference", "fast"))
    np.testing.assert_array_equal(one.logits, other.logits)
    np.testing.assert_array_equal(one.record.counts[0], other.record.counts[0])
    assert one.logits.any()
    assert one.accuracy is not None
    assert one.accuracy.samples == 5
    assert one.synops == other.synops > 0
    assert one.record.traces is not None
    assert one.record.traces[1].membrane.shape == (5, 6 + 2, 3)  # its latency is two steps
    assert "stock NetX" in sast.inspect(net).summary["origin"]
    for wrong in (lambda: sast.simulate(net), lambda: sast.verify(net), lambda: net.save(tmp_path / "a.net")):
        with pytest.raises(sast.SastError, match=r"theirs\.net: a stock NetX file"):
            wrong()
    calls: list[tuple[str, Callable[[], object]]] = [
        (r"labels of int64 \(2,\)", lambda: sast.simulate(net, frames, [0, 1])),
        ("samples with a stock NetX file", lambda: sast.simulate(net, frames, samples=2)),
        ("check with a stock NetX file", lambda: sast.simulate(net, frames, check=2)),
        ("frames with a stock NetX file", lambda: sast.inspect(net, frames)),
        ("stock = StockUse", lambda: sast.simulate(net, frames, stock=sast.StockUse(steps=3))),
        ("expected numbers, a sample at least", lambda: sast.simulate(net, frames[:0])),
        ("expected numbers, a sample at least", lambda: sast.simulate(net, frames.astype(str))),
    ]
    for says, call in calls:
        with pytest.raises(sast.SastError, match=says):
            call()


def test_counts_beyond_a_byte_have_no_known_answers_and_run_all_the_same(tmp_path: Path) -> None:
    layers = [sast.FloatDense(np.eye(2) * 0.01, leak=0.5)]
    net = sast.compile(sast.FloatNetwork(layers, 2, steps=3, input_max=1000)).save(tmp_path / "a.net")
    assert sast.load(tmp_path / "a.net").file.known is None
    frames = np.full((2, 3, 2), 1000)
    assert sast.simulate(net, frames, check=None).report.run.difference is None
    assert sast.verify(net, frames, engines=["fast"]).ok
    with pytest.raises(sast.SastError, match="holds no known answers"):
        sast.verify(net)
