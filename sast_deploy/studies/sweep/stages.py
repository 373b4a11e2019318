"""What each stage computes: the functions behind the measurements, called with a trained network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sast_deploy import api
from sast_deploy.base.errors import Exit, SastError
from sast_deploy.base.files import file_digest
from sast_deploy.calibration import Samples, ablate
from sast_deploy.calibration.data import calibration_samples
from sast_deploy.data import FrameSet
from sast_deploy.data.cache import digest_of
from sast_deploy.finetuning import finetune
from sast_deploy.program.profile import Profile, load_profile
from sast_deploy.studies.analysis.study import analyse
from sast_deploy.studies.sweep.choices import FineTuneChoice
from sast_deploy.studies.sweep.frames import unclipped_test
from sast_deploy.studies.sweep.jobs import Job
from sast_deploy.studies.sweep.measures import CIRCUIT_SAMPLES, PLAIN, Stage
from sast_deploy.training.checkpoint import Checkpoint, to_float_network
from sast_deploy.training.evaluate import evaluate
from sast_deploy.training.state import RunFiles

CALIBRATION_SEED = 0  # that of `sast-deploy compile --calibrate`
CIRCUIT = (
    "samples", "steps", "lanes", "mean", "least", "median", "p99", "worst", "streaming", "layers", "use",
)  # fmt: skip


class DisagreementError(SastError):
    """The fast engine and the reference differ: a defect, never to be averaged over."""

    exit_code = Exit.CHECK_FAILED


@dataclass
class Measuring:
    """A trained network, its data, the job, and the folder of what a stage keeps: fine-tuned checkpoints."""

    checkpoint: Checkpoint
    data: FrameSet
    job: Job
    folder: Path
    nets: dict[str, tuple[api.Net, dict[str, Any]]] = field(default_factory=dict)

    def measure(self, stage: Stage) -> dict[str, Any]:
        """The stage's result as plain values. Raises what the measured parts raise."""
        how = {
            "float": self._float, "profile": self._profile, "circuit": self._circuit,
            "analysis": self._analysis, "ablation": self._ablation,
        }  # fmt: skip
        return how[stage.kind](stage)

    def _float(self, stage: Stage) -> dict[str, Any]:
        found = evaluate(self.checkpoint, self.data.test, device=self.job.device)
        return {
            "samples": found.samples,
            "surrogate": found.surrogate_accuracy,
            "hard": found.hard_accuracy,
            "gap": found.transfer_gap,
            "surrogate_rates": list(found.surrogate_rates),
            "hard_rates": list(found.hard_rates),
        }

    def _profile(self, stage: Stage) -> dict[str, Any]:
        net, facts = self._compiled(stage)
        return self._deployed(net) | facts

    def _compiled(self, stage: Stage) -> tuple[api.Net, dict[str, Any]]:
        """The program of a profile and its way, made once, and what to tell of how it was made."""
        if stage.subject not in self.nets:
            if stage.finetune is not None:
                made = self._finetuned(stage, stage.finetune, load_profile(stage.profile))
            else:
                own = None if stage.way == PLAIN else self.data
                net = api.compile(self.checkpoint, stage.profile, calibrate=own, seed=CALIBRATION_SEED)
                made = net, {} if net.calibrated is None else {"calibration": net.calibrated.to_dict()}
            self.nets[stage.subject] = made
        return self.nets[stage.subject]

    def _circuit(self, stage: Stage) -> dict[str, Any]:
        """Cycles of the program's circuit, with as many lanes as `latency` takes where none are named."""
        net, _ = self._compiled(stage)
        found = api.latency(net, self.data.test.frames, samples=CIRCUIT_SAMPLES)
        values = {key: value for key, value in asdict(found).items() if key in CIRCUIT}
        return {"profile": net.profile.name, **values, "program": net.program.digest()}

    def _ablation(self, stage: Stage) -> dict[str, Any]:
        profile, network = load_profile(stage.profile), to_float_network(self.checkpoint)
        test = Samples(self.data.test.frames, self.data.test.labels)
        rows = ablate(network, profile, f"{self.checkpoint.name}-{profile.name}", *self._calibration, test)
        return {"profile": profile.name, "rows": [asdict(row) for row in rows]}

    def _analysis(self, stage: Stage) -> dict[str, Any]:
        counts = unclipped_test(self.job.run.data) if stage.subject == "drop" else None
        found = analyse(self.checkpoint, self.data, [stage.subject], counts=counts, device=self.job.device)
        return dict(found[stage.subject])

    @cached_property
    def _calibration(self) -> tuple[Samples, Samples]:
        """What calibration is fitted to, and what judges it: the trainer's own two parts."""
        return calibration_samples(self.checkpoint, self.data, CALIBRATION_SEED)

    def _finetuned(
        self, stage: Stage, choice: FineTuneChoice, profile: Profile
    ) -> tuple[api.Net, dict[str, Any]]:
        """Fine-tuned in a folder of its own, where an interrupted fine-tuning is continued."""
        start = file_digest(self.folder / "ckpt.pt")
        inputs = {key: value for key, value in stage.inputs.items() if key != "samples"}  # of a circuit
        mark = digest_of({"start": start, "inputs": inputs})[:12]
        files = RunFiles(self.folder / "finetune" / f"{profile.name}-{choice.name}-{mark}" / "ckpt.pt")
        result = finetune(
            self.checkpoint, profile, self.data, choice.recipe(self.checkpoint.recipe), files.checkpoint,
            seed=self.checkpoint.seeds["train"], source=start, device=self.job.device,
            resume=files.resume.exists() or files.checkpoint.exists(),
        )  # fmt: skip
        net = api.compile(result.checkpoint, profile, name=f"{self.checkpoint.name}-{profile.name}")
        metrics = result.checkpoint.metrics
        floats = {key: metrics["test"][key] for key in ("surrogate", "hard")}
        keys = ("epochs", "epoch", "seconds", "step_ms", "peak_memory_mb")
        training = {key: metrics[key] for key in keys}
        return net, {"finetune": {**training, **floats}}

    def _deployed(self, net: api.Net) -> dict[str, Any]:
        """The integer program on the whole test split, checked against the reference on a few samples."""
        test, program = self.data.test, net.program
        report = api.simulate(net, test.frames, test.labels, check=self.job.check).report
        if report.run.difference:
            raise DisagreementError(report.run.difference, where=program.name)
        if report.accuracy is None or net.compilation is None:
            raise ValueError("labels, and a network just compiled, have both")
        return {
            "profile": net.profile.name,
            "accuracy": report.accuracy.value,
            "correct": report.accuracy.correct,
            "samples": len(test),
            "synops": report.synops,
            "effective": sum(layer.effective for layer in report.operations),
            "layers": [asdict(layer) for layer in report.operations],
            "rates": list(report.firing_rates.values()),
            "weight_error": [layer.error for layer in net.compilation.layers],
            "program": program.digest(),
            "checked": report.run.checked,
        }
