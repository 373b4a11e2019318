"""The library's front door: a trained network becomes integers, runs on any engine, and is checked.

    compile   checkpoint, FloatNetwork -> Net              load      .net file -> Net
    simulate  Net, frames -> Simulation                    verify    Net -> Verification
    inspect   Net -> Inspection                            compare   Net, Net -> NetComparison
    trace     Net, one sample -> SampleTrace               classify  Net, recording -> Classification
    cost      Net, frames -> Cost                          export    Net -> files for C, hardware, NumPy
    latency   Net, frames -> CircuitLatency

Silent: who wants to hear how far it is observes (`base.progress`). Errors are SastErrors, one line each;
only an object that cannot be, such as a FloatDense with NaN among its weights, is a ValueError.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sast_deploy.base import rules
from sast_deploy.base.errors import CompileError, DataError, NetFileError, UsageError, about
from sast_deploy.base.files import file_digest
from sast_deploy.base.outputs import check_output
from sast_deploy.base.reading.files import FLOAT, STOCK, identify
from sast_deploy.base.versions import package_versions
from sast_deploy.compiler import Compilation, compile_network
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.data.frames import SENSOR, checked_events
from sast_deploy.data.options import RecordingOptions
from sast_deploy.data.request import DataRequest
from sast_deploy.engines import ENGINE_NAMES, INSTALLED, EngineName
from sast_deploy.engines.registry import LavaOptions, run_engine
from sast_deploy.engines.stockrun import run_in_chunks
from sast_deploy.exchange import DEVICE_NAMES, MAINS, READERS, TARGET_NAMES
from sast_deploy.exchange.network import ImportedNetwork, load_network
from sast_deploy.exchange.subject import Subject
from sast_deploy.exchange.targets import Export, export_program
from sast_deploy.netx.export import EXPORT, net_origin
from sast_deploy.netx.file import NetFile, profile_of, read_net, write_net
from sast_deploy.netx.foreign.frames import stock_frames
from sast_deploy.netx.foreign.reader import read_stock
from sast_deploy.netx.foreign.stocknet import StockNet, StockUse
from sast_deploy.netx.program_group import EXPECTED
from sast_deploy.program.profile import Profile, load_profile
from sast_deploy.program.program import Program
from sast_deploy.program.record import SpikeRecord
from sast_deploy.proofs.chips import CHIPS
from sast_deploy.reports.accuracy import Accuracy
from sast_deploy.reports.classifying import Classification, Classifier
from sast_deploy.reports.comparing import NetComparison, Side, check_same_samples, compare_sides
from sast_deploy.reports.costs.circuit import CircuitLatency, latency_of
from sast_deploy.reports.costs.cost import Cost, chosen_table, cost_of
from sast_deploy.reports.costs.lanes import Budget, device_budget, lane_space
from sast_deploy.reports.inputs import Inputs, checked_labels, net_inputs, some_of
from sast_deploy.reports.inspection import Inspection, count_saturated, inspect_net, inspect_stock
from sast_deploy.reports.run import Execution, Report, facts_of, facts_of_stock, make_report
from sast_deploy.reports.tracing import SampleTrace, trace_of
from sast_deploy.rtl.plan import LANES_MAX, plan_circuit
from sast_deploy.verification.comparison import (
    Verification,
    blind_spots,
    compare_engines,
    load_engines,
    replay,
    replay_known,
)
from sast_deploy.verification.vectors import make_known_answers

if TYPE_CHECKING:
    from sast_deploy.calibration import Calibrated
    from sast_deploy.calibration.data import CalibrationData
    from sast_deploy.training.checkpoint import Checkpoint

File = str | PathLike[str]
_ENGINE, _PATH, _Maybe = rules.Choice(ENGINE_NAMES), rules.Instance((str, PathLike)), rules.Maybe
_ARGUMENTS: dict[str, rules.Rule] = {
    "path": _PATH, "source": _Maybe(_PATH), "name": _Maybe(rules.Text(blank=False)), "seed": rules.SEED,
    "strict_reset": rules.Flag(), "trace": rules.Flag(), "known_answers_only": rules.Flag(),
    "known_answers": rules.Flag(),
    "data": _Maybe(rules.Instance((DataRequest,))), "steps": _Maybe(rules.Items(rules.Text())),
    "recordings": _Maybe(rules.Instance((RecordingOptions, Mapping))), "sensor": _Maybe(SENSOR),
    "sample": rules.COUNT,
    "samples": _Maybe(rules.Whole(1, rules.COUNT.high)), "check": _Maybe(rules.COUNT),
    "engine": _ENGINE, "engines": rules.Items(_ENGINE, fewest=1), "overwrite": rules.Flag(),
    "folder": _PATH, "to": rules.Choice(TARGET_NAMES), "main": _Maybe(rules.Choice(MAINS)),
    "reader": _Maybe(rules.Choice(READERS)), "target": _Maybe(rules.Choice(DEVICE_NAMES)),
    "budget": _Maybe(rules.Items(rules.COUNT, 2, 2)),
    "mhz": _Maybe(rules.Number(0, rules.FLOAT_MAX, above=True)), "table": _Maybe(_PATH),
    "lanes": _Maybe(rules.Items(rules.Whole(1, LANES_MAX), 1)), "chip": rules.Choice(tuple(CHIPS)),
    "lava": _Maybe(rules.Instance((LavaOptions,))), "stock": _Maybe(rules.Instance((StockUse,))),
}  # fmt: skip


def _check(**arguments: Any) -> None:
    """Refuse, as a UsageError, an argument that is not what all of these functions mean by its name."""
    for name, value in arguments.items():
        todo = "sast.load(path) makes one" if name == "net" else None
        rules.refuse(_ARGUMENTS[name].problems(value, name), None, UsageError, todo)


def _refuse_idle(why: str, **arguments: Any) -> None:
    """Refuse, as a UsageError, what is given (is not None) though nothing would come of it."""
    if given := [name for name, value in arguments.items() if value is not None]:
        raise UsageError(f"{' and '.join(given)} {why}", todo="leave it out")


def _listed(names: object) -> object:
    """A collection of names as a list; a text alone is none, and stays what it is."""
    return list(names) if isinstance(names, Collection) and not isinstance(names, str) else names


@dataclass(frozen=True, eq=False)
class Net:
    """A network in integers, ready to run.

    content: all that its .net file holds; a StockNet where that is a stock NetX file of somebody else's.
    path: that file; None until it is saved. compilation, calibrated: what `compile` established; None for a
    network that was loaded.

    >>> sast.compile(network).program.steps
    4
    """

    content: NetFile | StockNet
    path: Path | None = None
    compilation: Compilation | None = None
    calibrated: Calibrated | None = None

    @property
    def file(self) -> NetFile:
        """What a file of ours holds. Raises UsageError for somebody else's."""
        if isinstance(self.content, NetFile):
            return self.content
        what = "a stock NetX file that sast-deploy did not write: no data and no known answers belong to it"
        todo = f"run it on your own input, `sast-deploy simulate {self.path} --input ARRAY.npy`"
        raise UsageError(what, where=self.path, todo=todo)

    @cached_property
    def program(self) -> Program:
        """The integer program: layers, weights, rules; of a stock NetX file for one step of spikes."""
        return self.content.program if isinstance(self.content, NetFile) else self.content.program().program

    @property
    def name(self) -> str:
        """Its file, or what it was called when it was compiled."""
        return self.program.name if self.path is None else str(self.path)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the compiler had to say, one line each."""
        return () if self.compilation is None else self.compilation.warnings

    @cached_property
    def profile(self) -> Profile:
        """What it was compiled for. Raises NetFileError; UsageError where its integers were given."""
        found = profile_of(self.file, self.name)
        if found is None:
            raise UsageError("was compiled for no profile: its integers were given", where=self.name)
        return found

    @classmethod
    def from_program(cls, program: Program, *, known_answers: bool = True) -> Net:
        """Integers of your own as a network, exactly as they are: no profile and no compiler come into it.

        known_answers: find inputs and let the specifications answer them, which `verify` and the saved file
        need to check a machine without data; minutes for ten thousands of neurons and a thousand steps.

        >>> import dataclasses
        >>> mine = dataclasses.replace(net.program, name="mine", steps=9)
        >>> sast.Net.from_program(mine).save("mine.net").program.steps
        9
        """
        rules.refuse(rules.Instance((Program,)).problems(program, "program"), None, UsageError)
        _check(known_answers=known_answers)
        known = make_known_answers(program) if known_answers else None
        return cls(NetFile(program, profile_text="", created=package_versions(), known=known))

    def save(self, path: File, *, overwrite: bool = False) -> Net:
        """Write the .net file, whole or not at all; the network with its path.

        Raises OutputError: it cannot be written, or another network lies there and may not go.
        """
        _check(path=path, overwrite=overwrite)
        path = Path(path)
        check_output(path, EXPORT, net_origin(self.file), overwrite=overwrite, option="path")
        write_net(path, self.file)
        return replace(self, path=path)


_ARGUMENTS["net"] = rules.Instance((Net,))


def load(path: File) -> Net:
    """Read and check a .net file: ours, or somebody else's stock NetX file. Raises NetFileError.

    >>> sast.load(net.save("mine.net").path).program.digest() == net.program.digest()
    True
    """
    _check(path=path)
    path = Path(path)
    return Net(read_stock(path) if identify(path, EXPECTED) == STOCK else read_net(path), path)


def compile(
    network: Checkpoint | ImportedNetwork | FloatNetwork | File,
    profile: Profile | str = "loihi-int8",
    *,
    name: str | None = None,
    calibrate: CalibrationData | None = None,
    steps: Collection[str] | None = None,
    seed: int = 0,
    strict_reset: bool = False,
    source: File | None = None,
) -> Net:
    """Quantize a trained network for a hardware profile; floats end here.

    network: a checkpoint, a network that was imported, the path of either, or a FloatNetwork. profile: one
    that ships with the package, the path of a .toml, or a Profile. name: for people; default: the
    checkpoint's and the profile's.
    calibrate: data to choose the integers on: a DataRequest, the checkpoint's own FrameSet, or (frames,
    labels) as `simulate` takes them, counts up to 255, half of which judge what the other half proposes;
    `steps` of calibration, default all; `seed` draws them. strict_reset: write a neuron type that stock NetX,
    which resets to zero, refuses. source: where a Checkpoint was read from, for the record.

    What the compiler alters, as where profile and network reset differently, stands in the Net's `warnings`.

    Raises:
        CheckpointError, ProfileError, DataError: what was named cannot be used. CompileError: integers cannot
            represent the network: which layer, what, what to do.

    >>> own = sast.FloatNetwork([sast.FloatDense([[0.5, -0.5], [1.0, 0.25]], leak=0.5)], 2, steps=8)
    >>> sast.compile(own, "loihi-int4").program.layers[0].weight.tolist()
    [[7, -7], [7, 2]]
    """
    _check(name=name, seed=seed, strict_reset=strict_reset, source=source, steps=_listed(steps))
    if calibrate is None:
        _refuse_idle("without calibrate", steps=steps)
    trained, real, source = _trained(network, source)
    target = profile if isinstance(profile, Profile) else load_profile(str(profile))
    called = name or f"{'network' if trained is None else trained.name}-{target.name}"
    calibrated: Calibrated | None = None
    record: dict[str, Any] = {}
    with about(source, CompileError):
        if calibrate is None:
            compilation = compile_network(real, target, called)
        else:
            from sast_deploy.calibration.data import calibrate_on

            on = calibrate_on(calibrate, real, trained, target, called, steps=steps, seed=seed)
            calibrated, record = on
            compilation = calibrated.compilation
    file = NetFile(
        program=compilation.program,
        profile_text=target.text,
        **_origin(trained, source),
        calibration=record,
        strict_reset=strict_reset,
        known=make_known_answers(compilation.program),
    )
    return Net(file, None, compilation, calibrated)


def _trained(
    network: Checkpoint | ImportedNetwork | FloatNetwork | File, source: File | None
) -> tuple[Checkpoint | ImportedNetwork | None, FloatNetwork, Path | None]:
    """(what was trained, the network that the compiler reads, the file of it), as far as there are any."""
    if isinstance(network, FloatNetwork):
        return None, network, None
    if isinstance(network, str | PathLike):
        source, network = network, load_trained(network)
    path = None if source is None else Path(source)
    if isinstance(network, ImportedNetwork):
        return network, network.network, path
    from sast_deploy.training.checkpoint import Checkpoint, to_float_network

    kinds = rules.Instance((Checkpoint, FloatNetwork, str, PathLike))
    rules.refuse(kinds.problems(network, "network"), None, UsageError)
    assert isinstance(network, Checkpoint)
    return network, to_float_network(network), path


def load_trained(path: File) -> Checkpoint | ImportedNetwork:
    """What `train`, `finetune` or `import` wrote. Raises CheckpointError."""
    path = Path(path)
    if path.is_file() and identify(path) == FLOAT:
        return load_network(path)
    from sast_deploy.training.checkpoint import load_checkpoint

    return load_checkpoint(path)


def _origin(trained: Checkpoint | ImportedNetwork | None, source: Path | None) -> dict[str, Any]:
    """What a .net file says of how its network came about."""
    if trained is None:
        return {"created": package_versions()}
    file = {} if source is None else {"path": str(source), "digest": file_digest(source)}
    if isinstance(trained, ImportedNetwork):
        how = {"imported": dict(trained.source), "notes": list(trained.notes), "metrics": trained.metrics}
    else:
        how = {"recipe": trained.recipe.to_dict(), "seeds": trained.seeds, "metrics": trained.metrics}
    return {
        "frames": {} if trained.frames is None else trained.frames.to_dict(),
        "data": {} if trained.data is None else trained.data.to_dict(),
        "checkpoint": {"name": trained.name, **file, **how},
        "created": package_versions(),
    }


@dataclass(frozen=True, eq=False)
class Simulation:
    """A run of a network.

    record: spike counts, logits and, where asked for, every membrane potential and spike. report: accuracy,
    operations, rates. labels: int64 (samples,), or None.

    >>> sast.simulate(net, frames, labels).accuracy.value
    1.0
    """

    record: SpikeRecord
    report: Report
    labels: npt.NDArray[np.int64] | None

    @property
    def logits(self) -> npt.NDArray[np.int64]:
        """int64 (samples, classes)."""
        return self.record.logits

    @property
    def predictions(self) -> npt.NDArray[np.int64]:
        """int64 (samples,): the largest logit's class; the lowest index wins a tie."""
        return self.record.predictions

    @property
    def accuracy(self) -> Accuracy | None:
        """Share of right predictions with its interval; None without labels."""
        return self.report.accuracy

    @property
    def synops(self) -> float:
        """Synaptic operations per sample, all layers and steps."""
        return self.report.synops


def inputs(
    net: Net,
    frames: npt.ArrayLike | Inputs | None = None,
    labels: npt.ArrayLike | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = None,
    name: str = "frames",
) -> Inputs:
    """What `simulate` and `verify` run on: `frames` given, else `samples` of a test split. Raises DataError.

    name: what reports and errors call the frames.

    >>> sast.inputs(net, frames).frames.shape
    (2, 4, 2, 1, 1)
    """
    _check(net=net, data=data, samples=samples)
    if isinstance(frames, Inputs):
        _refuse_idle("with Inputs, which hold their own", labels=labels)
        return frames
    return net_inputs(net.file, net.name, frames, labels, data, samples, name)


def simulate(
    net: Net,
    frames: npt.ArrayLike | Inputs | None = None,
    labels: npt.ArrayLike | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = None,
    engine: EngineName = "fast",
    check: int | None = 0,
    trace: bool = False,
    lava: LavaOptions | None = None,
    stock: StockUse | None = None,
) -> Simulation:
    """Run a network on its own test split, on other `data`, or on `frames` of yours.

    frames: integers (samples, time, C, H, W), or (time, C, H, W) for one; (samples, time, n) and (time, n)
    for inputs in a row. labels: class indices (samples,). samples: only so many, evenly spread. engine:
    "reference", "vectorised", "fast", "lava" or "rtl"; all give the same values. check: samples, evenly
    spread, None for all, that the vectorised specification replays, and the reference a few of them; a
    difference stands in `report.run.difference`. trace: keep every membrane potential and spike.
    stock: how a stock NetX network is used: message_bits, reset_interval, input_shape.

    Raises:
        DataError: frames that do not fit, or no data set where none are given. LavaError: Lava is missing.

    >>> sast.simulate(net, frames, labels).predictions
    array([0, 1])
    """
    _check(net=net, engine=engine, check=check, trace=trace, lava=lava, stock=stock, samples=samples)
    if isinstance(net.content, StockNet):
        replayed = None if check == 0 else str(check)
        _refuse_idle("with a stock NetX file", data=data, samples=samples, check=replayed)
        return _simulate_stock(net.content, frames, labels, engine, trace, lava, stock or StockUse())
    _refuse_idle("is for stock NetX files", stock=stock)
    given = inputs(net, frames, labels, data=data, samples=samples)
    start = time.perf_counter()
    record = run_engine(engine, net.program, given.frames, trace=trace, lava=lava)
    seconds = round(time.perf_counter() - start, 3)
    checked = 0 if engine == "reference" else check
    run = Execution(engine, seconds, *replay(net.program, given, record, checked, engine))
    facts = facts_of(net.file, net.path, given.facts)
    report = make_report(net.program, given.frames, given.labels, record, run, facts)
    return Simulation(record, report, given.labels)


def _simulate_stock(
    net: StockNet,
    frames: npt.ArrayLike | Inputs | None,
    labels: npt.ArrayLike | None,
    engine: EngineName,
    trace: bool,
    lava: LavaOptions | None,
    use: StockUse,
) -> Simulation:
    """With the results that stock Lava gives, latency included; on frames, since no data belong to it."""
    if frames is None or isinstance(frames, Inputs):
        raise UsageError("a stock NetX file without frames", where=net.path, expected="frames of your own")
    asked = replace(StockUse(), message_bits=use.message_bits, input_shape=use.input_shape)
    if replace(use, reset_interval=0) != asked:
        expected = "message_bits, reset_interval and input_shape; frames and file say the rest"
        raise UsageError(f"stock = {use}", where=net.path, expected=expected)
    array, shape = np.asarray(frames), use.input_shape
    given = stock_frames(array, net, None, use.message_bits, "frames", shape, use.reset_interval)
    stock = net.program(given.use)
    truth = None if labels is None else checked_labels(labels, len(given), len(stock.program.classes))
    start = time.perf_counter()
    results = run_in_chunks(stock, given, engine, trace, lava)
    run = Execution(engine, round(time.perf_counter() - start, 3))
    facts = facts_of_stock(net.path, stock.program, len(given))
    report = make_report(stock.program, given.chunk(0, len(given)), truth, results.record, run, facts)
    return Simulation(results.record, report, truth)


def trace(
    net: Net,
    frames: npt.ArrayLike | None = None,
    *,
    sample: int = 0,
    data: DataRequest | None = None,
    engine: EngineName = "fast",
    lava: LavaOptions | None = None,
    name: str = "frames",
) -> SampleTrace:
    """One sample step by step: inputs, every membrane potential and spike, what each step leaves as logits.

    sample: its number in its own test split, in other `data`, or in `frames` of yours, which may also be one
    sample, (time, C, H, W) or (time, n). name: what errors call the frames.

    Raises as `simulate`; DataError: no sample of that number.

    >>> sast.trace(net, frames, sample=1).layers[0].spikes.shape
    (4, 2)
    """
    _check(net=net, engine=engine, lava=lava, sample=sample, data=data)
    given = inputs(net, frames, data=data, name=name)
    if sample >= len(given.frames):
        raise DataError(f"no sample {sample}", where=name, expected=f"0 to {len(given.frames) - 1}")
    what = name if len(given.frames) == 1 else f"sample {sample} of {given.facts['dataset'] or name}"
    what += f", {given.ids[sample]}" if given.ids else ""
    one = np.asarray(given.frames[sample : sample + 1])
    record = run_engine(engine, net.program, one, trace=True, lava=lava)
    label = None if given.labels is None else int(given.labels[sample])
    assert record.traces is not None
    return trace_of(net.program, one, record.traces, what, engine, label)


def classifier(
    net: Net,
    *,
    recordings: RecordingOptions | Mapping[str, Any] | None = None,
    engine: EngineName = "fast",
    lava: LavaOptions | None = None,
) -> Classifier:
    """A network made ready to answer window after window, as from a camera: load once, ask often.

    recordings: how files are read and cut, where not as the network was trained, whose frame options hold:
    what differs from RecordingOptions(), or all that a mapping names.

    Raises NetFileError: a network that does not say how its frames were made. UsageError: somebody else's.

    >>> sast.classifier(framed).answer(seen, (6, 6)).events
    3
    """
    _check(net=net, recordings=recordings, engine=engine, lava=lava)
    return Classifier(net.file, net.name, recordings, engine, lava)


def classify(
    net: Net,
    recording: File | npt.NDArray[Any],
    *,
    sensor: tuple[int, int] | None = None,
    recordings: RecordingOptions | Mapping[str, Any] | None = None,
    engine: EngineName = "fast",
    lava: LavaOptions | None = None,
) -> Classification:
    """One recording's class, margin, and what the network says of each of its windows.

    recording: a file of any format that `read_events` knows, or events with fields x, y, t, p of a `sensor`
    (H, W). The rest as `classifier`.

    Raises as `classifier`; DataError: a recording that cannot be used, no sensor.

    >>> cut = sast.RecordingOptions(window_us=3)
    >>> sast.classify(framed, seen, sensor=(6, 6), recordings=cut).windows[0].length_us
    3
    """
    _check(sensor=sensor)
    ready = classifier(net, recordings=recordings, engine=engine, lava=lava)
    if not isinstance(recording, np.ndarray):
        _check(path=recording)
        _refuse_idle("with a file: recordings has it", sensor=sensor)
        return ready.classify_file(Path(recording))
    if sensor is None:
        raise DataError("nothing says the sensor's size", where="events", todo="give sensor=(H, W)")
    return ready.classify(checked_events(recording, sensor), sensor)


def compare(
    a: Net,
    b: Net,
    frames: npt.ArrayLike | None = None,
    labels: npt.ArrayLike | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = None,
    engine: EngineName = "fast",
    sample: int | None = None,
    lava: LavaOptions | None = None,
) -> NetComparison:
    """Two networks on the same recordings: accuracies and McNemar's test, spikes of layers, SynOps.

    Each network gets the recordings as frames of its own kind, or both the same `frames`. sample: whose
    spikes are compared one by one, by its number among those compared; None: the first whose spike counts
    differ.

    Raises as `simulate`; DataError: they have not the same classes or samples.

    >>> sast.compare(net, sast.compile(network, "loihi-int4"), frames, labels).other_predictions
    0
    """
    _check(net=a, engine=engine, lava=lava, samples=samples, data=data)
    _check(net=b, sample=0 if sample is None else sample)
    if a.program.classes != b.program.classes:
        classes = [", ".join(each.program.classes[:3]) for each in (a, b)]
        raise DataError(f"classes {classes[1]}, ...", where=b.name, expected=f"{classes[0]}, ... of {a.name}")
    given = [inputs(net, frames, labels, data=data, samples=samples) for net in (a, b)]
    check_same_samples((a.name, b.name), *given)
    runs = [simulate(net, each, engine=engine, lava=lava) for net, each in zip((a, b), given, strict=True)]
    one, two = (
        Side(net.name, net.program, each, run.record, run.report)
        for net, each, run in zip((a, b), given, runs, strict=True)
    )
    return compare_sides(one, two, engine, sample)


def verify(
    net: Net,
    frames: npt.ArrayLike | Inputs | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = 20,
    engines: Collection[EngineName] = INSTALLED,
    known_answers_only: bool = False,
    lava: LavaOptions | None = None,
) -> Verification:
    """Compare every membrane potential and spike of every layer and step in all engines with the reference.

    First the network's known answers, then `samples` of `frames`, or of its own test split if it has one.

    Raises as `simulate`.

    >>> sast.verify(net, frames, engines=["fast"]).ok
    True
    """
    _check(net=net, engines=_listed(engines), known_answers_only=known_answers_only, lava=lava)
    own_data = None if data == DataRequest() else data
    if known_answers_only:
        _refuse_idle("with known_answers_only", frames=frames, data=own_data)
    program, known = net.program, net.file.known
    chosen, rows, unseen = load_engines(engines, program, lava), [], None
    if known is not None:
        rows += replay_known(program, known, chosen)
    if not known_answers_only and (frames is not None or own_data is not None or net.file.data):
        given = inputs(net, frames, data=data, samples=samples)
        rows += compare_engines(program, given.frames, chosen, given.origin)
    if not rows:
        raise NetFileError("holds no known answers", where=net.name, todo="compile it again, or give frames")
    if known is not None and not any(row.problem for row in rows):
        unseen = blind_spots(program, known, chosen.get("fast", chosen["reference"]))
    return Verification(tuple(rows), unseen)


def cost(
    net: Net,
    frames: npt.ArrayLike | Inputs | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = 100,
    chip: str = "loihi1",
    table: File | None = None,
) -> Cost:
    """What an inference costs on a chip, from the spikes of the integer program: work, cores, energy, time.

    frames, data, samples: as in `simulate`; samples None: all. chip: "loihi1" or "loihi2". table: the name of
    a table of prices, or the path of one of yours; None: the chip's own, and none for Loihi 2, of whose
    operations no energy is published.

    Raises as `simulate`; UsageError: no such table, or one of another chip.

    >>> energy = sast.cost(net, frames).energy
    >>> energy.table, energy.grade
    ('sana-fe-loihi', 'calibrated model')
    """
    _check(net=net, data=data, samples=samples, chip=chip, table=table)
    prices = chosen_table(None if table is None else str(table), chip)
    given = some_of(inputs(net, frames, data=data, samples=samples), samples)
    return cost_of(net.program, given.frames, net.name, given.facts, chip, prices)


def latency(
    net: Net,
    frames: npt.ArrayLike | Inputs | None = None,
    *,
    data: DataRequest | None = None,
    samples: int | None = 100,
    lanes: Sequence[int] | None = None,
    mhz: float | None = None,
    target: str | None = None,
    budget: Sequence[int] | None = None,
) -> CircuitLatency:
    """Cycles that the circuit of `export(to="rtl")` takes for an inference, exactly, by layer and phase.

    frames, data, samples: as in `simulate`; samples None: all. lanes: of every layer with weights; None: 8,
    or as many as it has outputs. mhz: of the clock, for times. target, or budget: search lanes within a
    device's block memories and multipliers, or within so many of both.

    Raises as `simulate`; CompileError: what the circuit does not hold; UsageError: lanes that do not fit,
    or a budget that no lanes do.

    >>> sast.latency(net, frames, mhz=100.0).binds[0]
    'layer 0 (dense)'
    """
    _check(net=net, data=data, samples=samples, lanes=lanes, mhz=mhz, target=target, budget=budget)
    limits = None if target is None else device_budget(target)
    if budget is not None:
        _refuse_idle("with budget, which is in place of its own", target=target)
        limits = Budget("your budget", *budget)
    with about(net.path, CompileError):
        plan_circuit(net.program, lanes)
        space = None if limits is None else lane_space(net.program, limits)
    given = some_of(inputs(net, frames, data=data, samples=samples), samples)
    with about(net.path, CompileError):
        return latency_of(net.program, given.frames, net.name, given.facts, lanes, mhz, space)


def inspect(
    net: Net, frames: npt.ArrayLike | Inputs | None = None, *, chip: str = "loihi1"
) -> Inspection:
    """What a network is and what is proved of it for every input; with `frames`, how many states saturate.

    chip: on whose cores it is laid out, "loihi1" or "loihi2".

    Its notes say, too, what the compiler altered, where the network was compiled and not loaded.

    >>> sast.inspect(net).layers[0].saturating
    0
    """
    _check(net=net, chip=chip)
    if isinstance(net.content, StockNet):
        _refuse_idle("with a stock NetX file", frames=frames)
        return inspect_stock(net.content, chip)
    saturation = None if frames is None else count_saturated(net.program, inputs(net, frames).frames)
    found = inspect_net(net.file, net.path, saturation, chip)
    compiled = () if net.compilation is None else net.compilation.notes
    return replace(found, notes=(*net.warnings, *compiled, *found.notes))


def export(
    net: Net,
    folder: File,
    *,
    to: str,
    main: str | None = None,
    reader: str | None = None,
    lanes: Sequence[int] | None = None,
    target: str | None = None,
    stock: StockUse | None = None,
    overwrite: bool = False,
) -> Export:
    """Write a network for other tools into a folder, whole or not at all; with known answers to check it by.

    to: "nir", a NIR graph; "c", C99 without malloc or floats, packed weights; "mem", a file for $readmemh of
    every array; "npz", arrays and a runner that needs NumPy alone. reader: of "nir", "any" or the framework
    that it is for. main: of "c", what its program does: "known" replays the known answers, "stdin" classifies
    frames. lanes: of "rtl", SystemVerilog with a self-checking bench, of every layer with weights; target: of
    "rtl", the device that it has to fit. stock: how a stock NetX network is used; its steps, above all.

    Raises:
        UsageError: an option of another target. OutputError: the folder cannot be written, or holds what is
            not this export's. CompileError, ExchangeError: the target cannot express it: which layer, why.

    >>> sorted(sast.export(net, "for-c", to="c").artefacts.files)[:3]
    ['Makefile', 'README.md', 'known.h']
    """
    _check(
        net=net, folder=folder, to=to, main=main, reader=reader, lanes=lanes, target=target, stock=stock,
        overwrite=overwrite,
    )  # fmt: skip
    written = None if lanes is None else ",".join(map(str, lanes))
    options = {"main": main, "reader": reader, "lanes": written, "target": target}
    if isinstance(net.content, StockNet):
        if stock is None:
            todo = "stock = sast.StockUse(steps=...) says so"
            raise UsageError("a stock NetX file does not say how it is used", where=net.path, todo=todo)
        subject = Subject(net.content.program(stock).program)
    else:
        _refuse_idle("is for stock NetX files", stock=stock)
        subject = Subject(net.program, net.content.known)
    with about(net.path, CompileError):
        return export_program(subject, Path(folder), to, options, overwrite)
