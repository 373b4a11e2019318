"""Calibration: steps in order, each kept only if it helps on samples that it did not see."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sast_deploy.base.errors import CompileError, UsageError
from sast_deploy.base.progress import track
from sast_deploy.calibration.objective import Score, score
from sast_deploy.calibration.samples import Samples, subsample
from sast_deploy.calibration.solve import Solver
from sast_deploy.calibration.targets import check_calibratable, run_float
from sast_deploy.calibration.task import Options
from sast_deploy.compiler.build import Compilation, compile_network
from sast_deploy.compiler.floatnet import FloatNetwork
from sast_deploy.program.profile import Profile
from sast_deploy.program.program import Program

DESCRIPTIONS = {
    "clipping": "weights cut off where their squared error is least",
    "search": "clipping points and exponents on what each layer sees",
    "rounding": "rounding with error feedback, layers below made good",
    "correction": "biases and thresholds to the float network's spikes",
}
STEPS = tuple(DESCRIPTIONS)
FIT_SAMPLES, CHOOSE_SAMPLES = 4_000, 10_000
# Spikes (samples x steps x neurons of the widest layer) of so many samples: wide networks get fewer.
FIT_SPIKES, CHOOSE_SPIKES = 1 << 26, 1 << 29


@dataclass(frozen=True)
class StepGain:
    """What one step did: scores on the choosing samples before and with it.

    refused: why the compiler refused the step's integers, or "". kept: the loss did not grow.
    """

    name: str
    description: str
    before: Score
    after: Score | None
    kept: bool
    refused: str
    seconds: float


@dataclass(frozen=True, eq=False)
class Calibrated:
    """The calibrated program and how it came about.

    fitted, chosen: numbers of samples that choices were fitted to and judged on. wanted: the float
    network's accuracy with hard spikes on the latter.
    """

    compilation: Compilation
    steps: tuple[StepGain, ...]
    fitted: int
    chosen: int
    wanted: float
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "steps": [asdict(step) for step in self.steps],
            "fit_samples": self.fitted,
            "choose_samples": self.chosen,
            "float_accuracy": self.wanted,
            "seed": self.seed,
        }


def calibrate(
    network: FloatNetwork,
    profile: Profile,
    name: str,
    fit: Samples,
    choose: Samples,
    *,
    steps: Collection[str] = STEPS,
    seed: int = 0,
) -> Calibrated:
    """Compile a network for a profile with integers chosen on data.

    fit: what the steps look at. choose: other samples; a step stays only if the loss on them
    (objective.py) does not grow. At most FIT_SAMPLES and CHOOSE_SAMPLES are used, for wide networks fewer,
    drawn by `seed`. A profile that clips already has no step "clipping". Labels enter the reported accuracy
    alone. The result depends on the arguments and on nothing else.

    Raises:
        UsageError: an unknown step. CompileError: what `compile_network` refuses without calibration, and
            recurrent weights.
    """
    ordered = [step for step in ordered_steps(steps) if step != "clipping" or profile.clipping != "mse"]
    work = Workbench(network, profile, name, fit, choose, seed)
    current, kept, gains = work.plain, Options(), []
    before = work.judge(current.program)
    for step in track(ordered, "calibrating"):
        start = time.perf_counter()
        options = replace(kept, **{step: True})
        compilation, refused = work.compile(options)
        after = None if compilation is None else work.judge(compilation.program)
        keep = compilation is not None and after is not None and after.loss <= before.loss
        seconds = round(time.perf_counter() - start, 3)
        gains.append(StepGain(step, DESCRIPTIONS[step], before, after, keep, refused, seconds))
        if keep and compilation is not None and after is not None:
            current, kept, before = compilation, options, after
    return Calibrated(current, tuple(gains), len(work.fit), len(work.choose), work.float_accuracy, seed)


def ordered_steps(steps: Collection[str]) -> tuple[str, ...]:
    """Those steps in the order of STEPS. Raises UsageError for an unknown one."""
    for step in steps:
        if step not in STEPS:
            raise UsageError(f"calibration step {step!r}", expected=f"some of {', '.join(STEPS)}")
    return tuple(step for step in STEPS if step in steps)


class Workbench:
    """What all steps of one calibration share.

    plain: the network compiled without calibration. fit, choose: the samples drawn. wanted: the float
    network's logits of the latter.
    """

    def __init__(
        self, network: FloatNetwork, profile: Profile, name: str, fit: Samples, choose: Samples, seed: int
    ) -> None:
        check_calibratable(network)
        self.network, self.profile, self.name = network, profile, name
        self.plain = compile_network(network, profile, name)
        program = self.plain.program
        widest = max(int(np.prod(shape)) for shape in program.shapes()[1:]) * network.steps
        self.fit = subsample(fit, max(1, min(FIT_SAMPLES, FIT_SPIKES // widest)), seed)
        self.choose = subsample(choose, max(1, min(CHOOSE_SAMPLES, CHOOSE_SPIKES // widest)), seed)
        targets = run_float(network, self.fit.frames)
        self.solver = Solver(network, profile, program, np.asarray(self.fit.frames), targets)
        self.wanted = run_float(network, self.choose.frames).logits

    def compile(self, options: Options, profile: Profile | None = None) -> tuple[Compilation | None, str]:
        """The network with the choices of one pass; None and the reason where the compiler refuses them.

        profile: another one for the choices of the compiler itself.
        """
        try:
            choices = self.solver.choices(options) if options != Options() else None
            return compile_network(self.network, profile or self.profile, self.name, choices), ""
        except CompileError as error:
            return None, str(error)

    def judge(self, program: Program) -> Score:
        """On the choosing samples."""
        return score(program, self.choose, self.wanted)

    @property
    def float_accuracy(self) -> float:
        """Of the float network with hard spikes, on the choosing samples."""
        return float((np.argmax(self.wanted, axis=1) == self.choose.labels).mean())
