"""What each option of the compiler gains: one row each, on top of all before it, whether it helps or not."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sast_deploy.base.errors import CompileError
from sast_deploy.calibration.objective import Score, score
from sast_deploy.calibration.samples import Samples
from sast_deploy.calibration.steps import Workbench
from sast_deploy.calibration.targets import run_float
from sast_deploy.calibration.task import Options
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.program.profile import Profile

# name -> granularity of the scales, steps
ROWS: tuple[tuple[str, str, Options], ...] = (
    ("one scale a layer", "layer", Options()),
    ("+ scale per neuron", "neuron", Options()),
    ("+ clipping", "neuron", Options(clipping=True)),
    ("+ search", "neuron", Options(clipping=True, search=True)),
    ("+ rounding", "neuron", Options(clipping=True, search=True, rounding=True)),
    ("+ correction", "neuron", Options(clipping=True, search=True, rounding=True, correction=True)),
)


@dataclass(frozen=True)
class AblationRow:
    """One row. choose, test: None where the compiler refuses, and then refused says why."""

    name: str
    choose: Score | None
    test: Score | None
    refused: str = ""


def ablate(
    network: FloatNetwork,
    profile: Profile,
    name: str,
    fit: Samples,
    choose: Samples,
    test: Samples,
    *,
    seed: int = 0,
) -> tuple[AblationRow, ...]:
    """Every row of ROWS for a profile; nothing is chosen on `test`, and no step is dropped.

    All rows are refused where the compiler refuses the network with a scale per neuron and without clipping:
    what the steps look at is measured on that program.
    """
    plain = replace(profile, clipping="none", weight_scale="neuron")
    try:
        work = Workbench(network, plain, name, fit, choose, seed)
    except CompileError as error:
        return tuple(AblationRow(row, None, None, str(error)) for row, _, _ in ROWS)
    wanted = run_float(network, test.frames).logits
    found = []
    for row, scale, options in ROWS:
        compilation, refused = work.compile(options, replace(plain, weight_scale=scale))
        if compilation is None:
            found.append(AblationRow(row, None, None, refused))
            continue
        program = compilation.program
        found.append(AblationRow(row, work.judge(program), score(program, test, wanted)))
    return tuple(found)
