"""`sast-deploy simulate` on our own files."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from sast_deploy import api
from sast_deploy.base.errors import DataError, Exit, about
from sast_deploy.base.files import file_digest, input_digest, write_text
from sast_deploy.base.outputs import NPZ, ORIGIN_MEMBER, check_output, json_array, with_origin
from sast_deploy.commands.answers import answer
from sast_deploy.commands.options import console, refuse_ignored
from sast_deploy.commands.own_frames import Wanted
from sast_deploy.commands.shared import DATA_OPTIONS
from sast_deploy.data.request import recorded_data
from sast_deploy.engines.stockrun import write_npz
from sast_deploy.netx.export import FRAMES
from sast_deploy.netx.foreign.frames import load_array
from sast_deploy.reports.costs.cost import chosen_table
from sast_deploy.reports.inputs import Inputs
from sast_deploy.reports.run import REPORT, simulate_run
from sast_deploy.show.costs import cost_lines
from sast_deploy.show.report import print_report


def simulate_ours(path: Path, wanted: Wanted) -> int:
    """Run, print and write the report; with frames of the person's own the answers too. The exit code."""
    if wanted.input_path is None:
        refuse_ignored(("labels_path", "traces", "output"), "without --input", "add --input FRAMES.npy")
    else:
        refuse_ignored(DATA_OPTIONS, "with --input: your own frames are run")
    chosen_table(wanted.table, wanted.chip)
    net = api.load(path)
    inputs = None if wanted.input_path is None else _inputs(net, wanted)  # their own faults come first
    report, spikes, made = _outputs(path, net, wanted, inputs)
    read = [each for each in (path, wanted.input_path, wanted.labels_path) if each is not None]
    guard = partial(check_output, inputs=read, overwrite=wanted.overwrite)
    guard(report, REPORT, made, option="--report")
    if spikes is not None:
        guard(spikes, NPZ, made)
    inputs = inputs or _inputs(net, wanted)
    made[FRAMES] = inputs.facts["frame_digest"]
    guard(report, REPORT, made, option="--report")
    out, what = console(), inputs.facts["dataset"] or wanted.input_path
    kind = "test samples of" if inputs.facts["dataset"] else "samples of"
    out.print(f"{path}: {len(inputs.frames)} {kind} {what} on {wanted.engine}")
    run = api.simulate(
        net, inputs, engine=wanted.engine, check=wanted.check, trace=wanted.traces, lava=wanted.lava
    )
    print_report(run.report, out)
    cost = api.cost(net, inputs, chip=wanted.chip, table=wanted.table)
    out.print("", *cost_lines(cost))
    told = {**run.report.to_dict(), "cost": asdict(cost.brief())}
    write_text(report, with_origin(json.dumps(told, indent=2) + "\n", made))
    if spikes is not None:
        write_npz(spikes, {**_arrays(run), ORIGIN_MEMBER: json_array(made)})
    out.print(*(f"wrote {each}" for each in (report, spikes) if each is not None))
    answer({"kind": "ours", **told, "report": report, "spikes": spikes, "predictions": run.predictions})
    return Exit.CHECK_FAILED if run.report.run.difference else Exit.OK


def _outputs(
    path: Path, net: api.Net, wanted: Wanted, given: Inputs | None
) -> tuple[Path, Path | None, dict[str, Any]]:
    """The report, the file of answers for frames of the person's own, and what both depend on."""
    place, spikes = Path("runs") / path.stem, None
    if wanted.input_path is None or given is None:
        test = wanted.data.identity(recorded_data(net.file, path)[0])
    else:
        place /= wanted.input_path.stem
        spikes = wanted.output or place / "spikes.npz"
        labels = wanted.labels_path and input_digest(wanted.labels_path)
        digests = {"input": given.facts["frame_digest"], "labels": labels}
        test = {"data": None, "folder": None, "holdout": None, **digests, "traces": wanted.traces}
    made = simulate_run(net.file, test, wanted.samples, wanted.check, wanted.engine)
    return wanted.report or place / "report.json", spikes, made


def _inputs(net: api.Net, wanted: Wanted) -> Inputs:
    if wanted.input_path is None:
        return api.inputs(net, data=wanted.data, samples=wanted.samples)
    labels = None if wanted.labels_path is None else load_array(wanted.labels_path)
    frames, name = load_array(wanted.input_path), str(wanted.input_path)
    with about(wanted.labels_path, DataError):  # of frames, it is named already
        found = api.inputs(net, frames, labels, samples=wanted.samples, name=name)
    return replace(found, facts={**found.facts, "frame_digest": file_digest(wanted.input_path)})


def _arrays(run: api.Simulation) -> dict[str, Any]:
    """logits, predictions, spike counts of each layer; with traces its membrane potentials and spikes."""
    found: dict[str, Any] = {"logits": run.logits, "predictions": run.predictions}
    for number, count in enumerate(run.record.counts):
        found[f"counts{number}"] = count
    for number, trace in enumerate(run.record.traces or ()):
        found[f"membranes{number}"], found[f"spikes{number}"] = trace.membrane, trace.spikes
    return found
