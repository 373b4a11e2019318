"""What the JSON documents of the commands hold: sast_deploy/schemas/*.json are written from here.

    python tools/schemas.py      # as `make docs` does

A document is declared once, below; parts that are dataclasses of the package follow from their annotations
and docstrings. Every object is closed: what it may hold is listed, and required unless it says otherwise.
tests/unit/test_schemas.py holds the files against this, tests/e2e/test_json.py the documents against them.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = ROOT / "sast_deploy" / "schemas"
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from sast_deploy.base.settings import Settings  # noqa: E402
from sast_deploy.calibration.objective import Score  # noqa: E402
from sast_deploy.calibration.steps import StepGain  # noqa: E402
from sast_deploy.commands.answers import VERSIONS  # noqa: E402
from sast_deploy.data.camera.likeness import Row  # noqa: E402
from sast_deploy.data.frameset import DataInfo, SplitSummary  # noqa: E402
from sast_deploy.data.options import FrameOptions  # noqa: E402
from sast_deploy.data.readers.recording import RecordingFacts  # noqa: E402
from sast_deploy.doctor import Check  # noqa: E402
from sast_deploy.engines import ENGINE_NAMES  # noqa: E402
from sast_deploy.exchange import TARGET_NAMES  # noqa: E402
from sast_deploy.exchange.artefacts import Part  # noqa: E402
from sast_deploy.exchange.summary import FloatLayerFacts  # noqa: E402
from sast_deploy.netx.stock_verdict import StockVerdict  # noqa: E402
from sast_deploy.program.fixedpoint import Arithmetic  # noqa: E402
from sast_deploy.proofs.bounds import LayerProof  # noqa: E402
from sast_deploy.proofs.chips import CHIPS, Chip  # noqa: E402
from sast_deploy.proofs.limits import LimitCheck  # noqa: E402
from sast_deploy.proofs.mapping import LayerMapping  # noqa: E402
from sast_deploy.reports.accuracy import Accuracy, McNemar  # noqa: E402
from sast_deploy.reports.classifying import Answer  # noqa: E402
from sast_deploy.reports.comparing import LayerDifference, Parting  # noqa: E402
from sast_deploy.reports.costs.circuit import CircuitLatency  # noqa: E402
from sast_deploy.reports.costs.cost import Busiest, CostBrief, LayerLoad  # noqa: E402
from sast_deploy.reports.costs.energy import Energy, EnergyTerm  # noqa: E402
from sast_deploy.reports.costs.latency import Latency  # noqa: E402
from sast_deploy.reports.costs.neurobench import NeuroBench  # noqa: E402
from sast_deploy.reports.dossier import (  # noqa: E402
    Axis,
    Choice,
    Curve,
    EngineCheck,
    LayerRow,
    LayerSaturation,
    Manifest,
    Rung,
)
from sast_deploy.reports.inspection import Footprint, Saturation  # noqa: E402
from sast_deploy.reports.run import Execution  # noqa: E402
from sast_deploy.reports.suggestions import Suggestions  # noqa: E402
from sast_deploy.reports.synops import LayerOps  # noqa: E402
from sast_deploy.studies.analysis.contraction import Contraction  # noqa: E402
from sast_deploy.studies.analysis.corruption import Corruption  # noqa: E402
from sast_deploy.studies.analysis.duel import Duel  # noqa: E402
from sast_deploy.studies.analysis.margins import Margins  # noqa: E402
from sast_deploy.studies.analysis.pairs import PairCheck  # noqa: E402
from sast_deploy.studies.analysis.thresholds import ThresholdTuning  # noqa: E402
from sast_deploy.studies.characterize.result import Characterization  # noqa: E402
from sast_deploy.training.network.network import NetworkSpec  # noqa: E402
from sast_deploy.training.recipes import Recipe  # noqa: E402
from sast_deploy.verification.comparison import Comparison  # noqa: E402

DRAFT = "https://json-schema.org/draft/2020-12/schema"
COMMON = ("schema", "version", "sast_deploy", "warnings")
Schema = dict[str, Any]
TEXT, WHOLE, NUMBER, FLAG = ({"type": name} for name in ("string", "integer", "number", "boolean"))
NULL: Schema = {"type": "null"}
OPEN: Schema = {"type": "object"}  # what is recorded elsewhere


def said(schema: Schema, text: str) -> Schema:
    """The schema with a description."""
    return {"description": text, **{key: each for key, each in schema.items() if key != "description"}}


def maybe(schema: Schema) -> Schema:
    """Or null."""
    if isinstance(schema.get("type"), str) and not set(schema) & {"enum", "const"}:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, NULL]}


def many(schema: Schema, count: int | None = None) -> Schema:
    """An array; count: of exactly so many."""
    sizes = {} if count is None else {"minItems": count, "maxItems": count}
    return {"type": "array", "items": schema, **sizes}


def named(schema: Schema) -> Schema:
    """An object whose keys are names."""
    return {"type": "object", "additionalProperties": schema}


def closed(properties: Mapping[str, Schema], optional: tuple[str, ...] = (), text: str = "") -> Schema:
    """An object of these properties, all required but the optional ones."""
    required = [name for name in properties if name not in optional]
    found = {"type": "object", "properties": dict(properties), "required": required}
    return {**({"description": text} if text else {}), **found, "additionalProperties": False}


def of(kind: Any, *, derived: bool = False, **instead: Schema) -> Schema:
    """A dataclass by its annotations. derived: with its properties; instead: of fields, or of more."""
    hints = get_type_hints(kind, include_extras=True)
    names = [each.name for each in dataclasses.fields(kind)]
    found = {name: instead.get(name) or _hinted(hints[name], derived) for name in names}
    for name, each in vars(kind).items():
        if derived and isinstance(each, property):
            found[name] = _hinted(get_type_hints(each.fget)["return"], derived)
    later = set(getattr(kind, "later", ())) | {"recordings"} if issubclass(kind, Settings) else set()
    optional = tuple(name for name in found if name in later | set(getattr(kind, "added_later", ())))
    text = " ".join((inspect.getdoc(kind) or "").partition(">>>")[0].split())
    return closed({**found, **instead}, optional, text)


def _hinted(hint: Any, derived: bool) -> Schema:
    plain = {str: TEXT, int: WHOLE, float: NUMBER, bool: FLAG, Path: TEXT, type(None): NULL}
    origin, given = get_origin(hint), get_args(hint)
    if hint in plain:
        return plain[hint]
    if origin is Annotated:
        return _hinted(given[0], derived)
    if origin is Literal:
        return {"enum": list(given)}
    if origin in (Union, types.UnionType):
        some = [_hinted(each, derived) for each in given if each is not type(None)]
        found = some[0] if len(some) == 1 else {"anyOf": some}
        return maybe(found) if type(None) in given else found
    if dataclasses.is_dataclass(hint):
        return of(hint, derived=derived)
    if origin is tuple:
        items = [each for each in given if each is not Ellipsis]
        same = len({json.dumps(_hinted(each, derived)) for each in items}) == 1
        count = None if Ellipsis in given else len(items)
        return many(_hinted(items[0], derived), count) if same else {
            "type": "array", "prefixItems": [_hinted(each, derived) for each in items], "items": False,
            "minItems": len(items),
        }  # fmt: skip
    if "ndarray" in str(hint):
        return many(WHOLE if "int" in str(hint) else NUMBER)
    if origin is not None and issubclass(origin, Mapping):
        return named(_hinted(given[1], derived))
    raise TypeError(f"tools/schemas.py: no schema for {hint}")


DIGEST = said(TEXT, "SHA-256.")
FILE = said(TEXT, "Path.")
ACCURACY = of(Accuracy, value=NUMBER, interval_95=many(NUMBER, 2))
DATA, FRAMES = of(DataInfo), of(FrameOptions)
LAYER = of(LayerProof)
NETWORK, RECIPE = of(NetworkSpec), of(Recipe)
COMPILED: dict[str, Schema] = {
    "program_digest": DIGEST,
    "program": said(TEXT, "Its name."),
    "arithmetic": of(Arithmetic),
    "notes": said(many(TEXT), "How leaks were rounded, one line each."),
    "layers": many(said(
        closed({
            **LAYER["properties"],
            "clipped_weights": said(NUMBER, "Share of weights beyond the clipping point."),
            "error": said(NUMBER, "Root mean square weight error over root mean square weight."),
        }), LAYER["description"],
    )),
    "stock_netx_loads": said(FLAG, "Whether stock NetX loads the file, with whatever results."),
    "stock_netx": of(StockVerdict),
    "calibration": said(maybe(many(of(StepGain, before=of(Score), after=maybe(of(Score))))),
                        "One entry a step; null without --calibrate."),
}  # fmt: skip
TRAINED: dict[str, Schema] = {
    "checkpoint": said(TEXT, "The file that was written."),
    "already_finished": said(FLAG, "It was there before, and nothing was trained."),
    "name": TEXT, "network": NETWORK, "recipe": RECIPE, "frames": FRAMES, "data": DATA,
    "seeds": said(OPEN, "As the checkpoint records them."),
    "metrics": said(OPEN, "As the checkpoint records them: accuracies, losses, times."),
}  # fmt: skip
GIVEN = closed({  # frames of no data set
    "provenance": TEXT, "dataset": NULL, "frame_digest": maybe(TEXT), "holdout": NULL, "holdout_seed": NULL,
    "test_samples": WHOLE, "unlike_training": NULL,
})  # fmt: skip
TESTED = said(
    closed({**DATA["properties"], "test_samples": WHOLE, "unlike_training": maybe(TEXT)}, ("recordings",)),
    DATA["description"],
)
CHIP = {"enum": list(CHIPS)}
CORES = said(closed({
    "chip": of(Chip), "cores": WHOLE,
    "fits_core": said(FLAG, "Whether one core has room for all layers at once."),
    "fits_chip": said(FLAG, "Whether one chip has so many cores, and room on each."),
    "overfull_when_packed": said(WHOLE, "Cores whose memory would not hold words, headers and indices."),
    "layers": many(of(LayerMapping, cores=WHOLE)),
    "fullest": said(named(closed({"core": WHOLE, "needs": WHOLE})), "Of every capacity the fullest core."),
}), "The network on the cores of a chip.")  # fmt: skip
BRIEF = of(CostBrief, chip=CHIP)
COST: dict[str, Schema] = {
    "cost_version": {"const": 1}, "name": TEXT, "samples": WHOLE, "data": {"anyOf": [TESTED, GIVEN]},
    "chip": CHIP, "mapping": CORES, "synops": said(NUMBER, "A sample's."),
    "operations": many(of(LayerOps)), "neurobench": of(NeuroBench, neurobench_definitions=TEXT),
    "loads": many(of(LayerLoad)), "counts": said(named(NUMBER), "What tables can price, a sample's mean."),
    "busiest": many(of(Busiest)),
    "energy": said(
        maybe(of(Energy, terms=many(of(EnergyTerm, joules=NUMBER)), joules=NUMBER)),
        "Null where no table prices the chip.",
    ),
    "latency": said(
        maybe(of(Latency, seconds=said(NUMBER, "Of the sample shown step by step."))),
        "Null where the table says no times.",
    ),
    "notes": many(TEXT),
}  # fmt: skip
OURS: dict[str, Schema] = {
    "kind": {"const": "ours"},
    "report_version": {"const": 1},
    "net": closed({"path": maybe(TEXT), "digest": maybe(TEXT), "program_digest": TEXT}),
    "profile": TEXT,
    "data": {"anyOf": [TESTED, GIVEN]},
    "accuracy": said(maybe(ACCURACY), "Null without labels."),
    "training": said(OPEN, "The checkpoint's own record."),
    "synops_per_sample": closed({"total": NUMBER, "layers": many(of(LayerOps))}),
    "firing_rates": said(named(NUMBER), "Spikes per neuron and step, by layer."),
    "confusion": closed({"classes": many(TEXT), "rows_are_true_labels": maybe(many(many(WHOLE)))}),
    "run": of(Execution),
    "cost": BRIEF,
    "versions": named(TEXT),
    "report": said(TEXT, "The file with all of this but the predictions."),
    "spikes": said(maybe(TEXT), "The file of logits and spike counts, with --input."),
    "predictions": said(many(WHOLE), "Class index of every sample."),
}
STOCK: dict[str, Schema] = {
    "kind": {"const": "stock"},
    "net": FILE, "samples": WHOLE, "steps": WHOLE, "engine": {"enum": list(ENGINE_NAMES)}, "seconds": NUMBER,
    "latency": said(WHOLE, "Steps until the last layer hears of an input."),
    "notes": many(TEXT),
    "layers": many(closed({
        "shape": many(WHOLE), "weights": WHOLE, "spikes": WHOLE,
        "rate": said(NUMBER, "Spikes per neuron and step."), "name": TEXT,
    })),
    "logits_are": TEXT, "logits": said(many(many(WHOLE)), "(samples, classes)."), "program_digest": DIGEST,
    "spikes": said(TEXT, "The file of spikes, membrane potentials and logits."),
}  # fmt: skip
SWEPT: dict[str, Schema] = {
    "folder": FILE, "runs": said(WHOLE, "In the study."), "finished": WHOLE,
    "missing": said(named(many(TEXT)), "With --dry-run: of each run the stages that are to be done."),
    "failures": said(named(TEXT), "Of each run that failed the reason."),
}
RUN = closed({
    "name": TEXT, "config": OPEN, "manifest": OPEN, "train": maybe(OPEN), "float": maybe(OPEN),
    "profiles": named(OPEN), "circuits": named(OPEN), "analysis": OPEN, "ablations": OPEN,
}, ("circuits",), text="One run of a sweep, as its results.json has it, without long arrays.")  # fmt: skip
TEST = closed({
    "samples": WHOLE, "surrogate_correct": maybe(WHOLE), "surrogate_accuracy": maybe(NUMBER),
    "surrogate_interval": maybe(many(NUMBER, 2)), "hard_correct": WHOLE, "hard_accuracy": NUMBER,
    "hard_interval": many(NUMBER, 2), "transfer_gap": maybe(NUMBER),
})  # fmt: skip
ANALYSED = closed({
    "path": TEXT, "dataset": TEXT, "frames": DIGEST, "test": TEST,
    "drop": of(Corruption, derived=True), "noise": of(Corruption, derived=True),
    "margins": of(Margins, derived=True),
    "contraction": closed({
        "holds": FLAG, "states": of(Contraction, derived=True), "pairs": of(PairCheck, derived=True),
    }),
    "thresholds": of(ThresholdTuning, derived=True),
}, ("drop", "noise", "margins", "contraction", "thresholds"))  # fmt: skip
REPORTED = closed({
    "name": TEXT, "source": FILE, "profile": TEXT, "weight_bits": WHOLE, "steps": WHOLE,
    "kind": said({"enum": ["real", "simulated", "embedded", "given"]}, "Of the data."), "data": TEXT,
    "samples": WHOLE, "accuracy": said(maybe(ACCURACY), "Null without labels."),
    "gap": said(maybe(NUMBER), "Accuracy with hard spikes before quantization, minus accuracy."),
    "bit_accurate": said(FLAG, "Every engine gives every value of the reference."),
    "chip": CHIP, "fits": FLAG, "reasons": said(many(TEXT), "Why it does not fit."), "cores": WHOLE,
    "synops": NUMBER, "packed_bytes": WHOLE, "ladder": many(of(Rung, accuracy=maybe(ACCURACY))),
    "checks": many(of(EngineCheck)), "unseen": maybe(many(TEXT)), "layers": many(of(LayerRow)),
    "confusion": closed({"classes": many(TEXT), "rows_are_true_labels": maybe(many(many(WHOLE)))}),
    "mistakes": many(closed({"recording": TEXT, "label": TEXT, "prediction": TEXT, "margin": WHOLE})),
    "traced": said(many(TEXT), "Samples whose spikes are drawn."),
    "margins": many(closed({
        "layer": TEXT, "shares": said(named(NUMBER), "Of states within a fifth of the threshold."),
    })),
    "saturation": many(of(LayerSaturation)), "curves": many(of(Curve)),
    "missing": said(named(TEXT), "Section, and why there is nothing to show."),
    "cost": closed(COST), "suggestions": maybe(of(Suggestions)), "notes": many(TEXT),
    "manifest": of(Manifest),
}, text="One network.")  # fmt: skip

# Command -> (what its document is, its fields; or several kinds of fields).
DOCUMENTS: dict[str, tuple[str, dict[str, Schema] | list[dict[str, Schema]]]] = {
    "train": ("A training.", TRAINED),
    "finetune": ("A fine-tuning.", TRAINED),
    "evaluate": ("Accuracies of a checkpoint before it is quantized; null what an imported network lacks.", {
        "data": DATA, "samples": WHOLE, "hard": said(ACCURACY, "With hard spikes."),
        "surrogate": said(maybe(ACCURACY), "With smooth spikes."),
        "hard_rates": said(many(NUMBER), "Spikes per neuron and step, by layer."),
        "surrogate_rates": maybe(many(NUMBER)),
        "transfer_gap": said(maybe(NUMBER), "Surrogate minus hard accuracy."), "seconds": NUMBER,
    }),
    "compile": ("A compilation.", {"net": said(TEXT, "The file that was written."), **COMPILED}),
    "import": ("A network that was trained elsewhere.", {
        "network": said(TEXT, "The file that was written."), "name": TEXT,
        "notes": said(many(TEXT), "What was folded, dropped or scaled."),
        "shapes": said(many(many(WHOLE)), "Of the input and of every layer's output."), "steps": WHOLE,
        "reset": TEXT, "reset_order": TEXT, "comparison": TEXT, "classes": many(TEXT), "metrics": OPEN,
        "compilation": said(maybe(closed({**COMPILED, "warnings": many(TEXT)})), "Where a .net was written."),
    }),
    "export": ("A network for other tools.", {
        "target": {"enum": list(TARGET_NAMES)}, "folder": FILE, "parts": many(of(Part)),
        "files": said(named(WHOLE), "Bytes of each file."),
        "check": said(TEXT, "The command, run in the folder, that says whether all is well; or empty."),
        "notes": many(TEXT),
    }),
    "simulate": ("A run: of our own files its report, of stock NetX files what they answer.", [OURS, STOCK]),
    "classify": ("One recording; a line each.", {
        "recording": FILE, "format": TEXT, "label": maybe(TEXT),
        "margin": said(maybe(WHOLE), "Of the largest logit over the next; 0: a tie."),
        "logits": maybe(many(WHOLE)), "windows": many(of(Answer)), "notes": many(TEXT),
        "error": said(maybe(TEXT), "Why it was left out, with --skip-bad; label, margin, logits are null."),
    }),
    "verify": ("Whether all engines agree.", {
        "net": FILE, "ok": FLAG, "rows": many(of(Comparison)),
        "unseen": said(maybe(many(TEXT)), "Mistakes that the known answers would not show; null without."),
    }),
    "inspect": ("What a .net file is and what is proved of it; or what import wrote.", [{
        "inspection_version": {"const": 1}, "summary": said(named(TEXT), "Label and text."),
        "layers": many(LAYER), "footprints": many(of(Footprint)), "limits": many(of(LimitCheck)),
        "known_answers": said(WHOLE, "Vectors in the file."),
        "calibration": said(
            maybe(of(Saturation, layers=many({
                "type": "array", "prefixItems": [maybe(WHOLE), WHOLE], "items": False, "minItems": 2,
            }))), "With --samples.",
        ),
        "notes": many(TEXT), "proved": said(TEXT, "For which inputs and steps the proofs hold."),
        "stock_netx": maybe(of(StockVerdict)),
        "mapping": CORES, "verdict": said(TEXT, "Whether the chip holds it, and on how many cores."),
        "fits": FLAG, "cost": said(maybe(BRIEF), "With --samples."),
        "suggestions": said(maybe(of(Suggestions)), "With --suggest."),
    }, {
        "summary": said(named(TEXT), "Label and text."), "layers": many(of(FloatLayerFacts)),
        "notes": said(many(TEXT), "What was folded, dropped or scaled."),
    }]),
    "cost": ("What an inference costs on a chip, term by term.", COST),
    "latency": ("How long a circuit takes for an inference, exact to the cycle.", {
        "latency_version": {"const": 1},
        **of(CircuitLatency, data={"anyOf": [TESTED, GIVEN]})["properties"],
        "seconds": said(maybe(named(NUMBER)), "Of the clock that was named."),
        "binds": closed({"layer": TEXT, "phase": TEXT, "share": NUMBER}),
        "plot": maybe(TEXT),
    }),
    "compare": ("Two networks on the same samples; null what does not apply.", {
        "names": many(TEXT, 2), "samples": WHOLE, "accuracy": maybe(many(ACCURACY, 2)),
        "mcnemar": maybe(of(McNemar, difference=NUMBER)),
        "other_predictions": said(WHOLE, "Samples that they classify differently."),
        "layers": many(of(LayerDifference)), "synops": said(many(NUMBER, 2), "A sample's."),
        "looked_at": said(maybe(WHOLE), "The sample whose spikes were compared one by one."),
        "parting": maybe(of(Parting)),
    }),
    "report": ("What the page shows, without pixels, membranes and histograms.", {
        "dossier_version": {"const": 1}, "networks": many(REPORTED),
        "choice": said(maybe(of(Choice, axes=many(of(Axis)))), "Null of one network."),
        "page": said(TEXT, "The file that was written."),
    }),
    "trace": ("One sample step by step; the arrays are in the file.", {
        "net": FILE, "sample": TEXT, "engine": {"enum": list(ENGINE_NAMES)}, "steps": WHOLE,
        "prediction": TEXT, "label": maybe(TEXT),
        "layers": many(closed({
            "name": TEXT, "shape": many(WHOLE), "spikes": WHOLE, "neurons_that_fired": WHOLE,
        })),
        "logits": said(many(many(WHOLE)), "(steps, classes)."), "output": maybe(TEXT), "plot": maybe(TEXT),
    }),
    "analyse": ("Analyses of networks, and every two compared; null what an imported one lacks.", {
        "files": many(FILE), "violated": said(many(TEXT), "Checkpoints with a bound that does not hold."),
        "checkpoints": named(ANALYSED),
        "comparisons": many(of(
            Duel, surrogate=maybe(of(McNemar, derived=True)), hard=of(McNemar, derived=True)
        )),
    }),
    "sweep": ("A study: what was done, with --dry-run what is left to do.", SWEPT),
    "characterize": ("Surrogates and neurons against accuracy and the cycles of the circuit.", {
        **SWEPT, "study": said(maybe(TEXT), "Its file; null of a dry run without one."),
        "clock": said(maybe(NUMBER), "MHz."), "results": many(of(Characterization)), "plot": maybe(TEXT),
    }),
    "tables": ("The runs of sweeps and the tables made of them.", {
        "runs": many(RUN),
        "tables": many(closed({
            "title": TEXT, "columns": many(TEXT), "rows": many(many(TEXT)), "notes": many(TEXT),
        })),
        "output": maybe(TEXT), "plots": many(TEXT),
    }),
    "data-info": ("What a data set holds as frames; or, of FILE..., what each recording is.", [
        {"data": DATA, "frames": FRAMES, "sensor": said(many(WHOLE, 3), "(C, H, W)."),
         "splits": many(of(SplitSummary))},
        {"recordings": many({"oneOf": [
            closed({"file": TEXT, "error": NULL, **of(RecordingFacts)["properties"]}),
            closed({"file": TEXT, "error": TEXT}),
        ]})},
    ]),
    "data-simulate": ("Simulated recordings.", {
        "folder": FILE, "train": WHOLE, "test": WHOLE, "seed": WHOLE,
    }),
    "data-compare": ("Simulated recordings against real ones.", {
        "title": TEXT, "ok": FLAG, "recordings": WHOLE,
        "rows": many(of(Row, ratio=maybe(NUMBER), ok=FLAG)), "matched_cosine": NUMBER,
        "count_correlation": maybe(NUMBER), "map_correlation": maybe(NUMBER), "picture": FILE,
    }),
    "doctor": ("The installation.", {
        "healthy": said(FLAG, "Everything essential is there."),
        "checks": many(of(Check, state={"enum": ["ok", "warn", "FAIL"]})),
    }),
    "completion": ("The script for a shell.", {"shell": TEXT, "script": TEXT}),
}  # fmt: skip
FAILED = closed({
    "kind": said(TEXT, "Name of the exception's class."),
    "message": said(TEXT, "The line on stderr, without \"error: \"."), "what": TEXT, "where": maybe(TEXT),
    "expected": maybe(TEXT), "todo": maybe(TEXT),
    "exit_code": said(WHOLE, "As everywhere: see the README."),
})  # fmt: skip


def schemas() -> dict[str, Schema]:
    """Name of a document -> its schema."""
    found = {name: _document(name, text, fields) for name, (text, fields) in DOCUMENTS.items()}
    error = {"command": said(maybe(TEXT), "Null where there is none of that name."), "error": FAILED}
    return {**found, "error": _document("error", "What went wrong, of any command.", error, warns=False)}


def _document(
    name: str, text: str, fields: dict[str, Schema] | list[dict[str, Schema]], warns: bool = True
) -> Schema:
    head: dict[str, Schema] = {
        "schema": {"const": f"sast-deploy/{name}"}, "version": {"const": VERSIONS.get(name, 1)},
        "sast_deploy": said(TEXT, "Version of the package."),
    }  # fmt: skip
    last = {"warnings": said(many(TEXT), "What people should know of the results.")} if warns else {}
    kinds = [closed({**head, **each, **last}) for each in (fields if isinstance(fields, list) else [fields])]
    about = {"$schema": DRAFT, "$id": f"sast-deploy/{name}.json", "title": f"sast-deploy/{name}"}
    return {**about, "description": text, **(kinds[0] if len(kinds) == 1 else {"oneOf": kinds})}


def text_of(schema: Schema) -> str:
    """As the file has it."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def tables() -> str:
    """A table for each document, of its fields but those that all have, in Markdown."""

    def rows(kind: Schema) -> str:
        own = {name: each for name, each in kind["properties"].items() if name not in COMMON}
        needed = {name: "" if name in kind["required"] else " (may be absent)" for name in own}
        lines = [f"| `{name}`{needed[name]} | {kind_of(each)} | {_short(each)} |".replace("|  |", "| |")
                 for name, each in own.items()]
        return "\n".join(["| key | type | |", "|---|---|---|", *lines])

    def part(name: str, schema: Schema) -> str:
        kinds = [rows(each) for each in schema.get("oneOf", [schema])]
        return f"### {name}\n\n{schema['description']}\n\n" + "\n\nor\n\n".join(kinds)

    return "\n\n".join(part(name, schema) for name, schema in schemas().items())


def _short(schema: Schema) -> str:
    """The first sentence of a description."""
    return re.split(r"(?<=\w)\. ", schema.get("description", ""))[0].rstrip(".").replace("|", "/")


def kind_of(schema: Schema) -> str:
    """A schema in a few words."""
    if "anyOf" in schema or "oneOf" in schema:
        kinds = [kind_of(each) for each in schema.get("anyOf", schema.get("oneOf"))]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema or "enum" in schema:
        return ", ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(_type(schema, each) for each in types)


def _type(schema: Schema, name: str) -> str:
    if name == "array":
        return "array" if "prefixItems" in schema else f"array of {kind_of(schema['items'])}"
    if name != "object":
        return name
    if "properties" in schema:
        return "`{" + ", ".join(schema["properties"]) + "}`"
    more = schema.get("additionalProperties")
    return "object, recorded" if more is None else f"object of {kind_of(more)}"


def main() -> None:
    """Write the files."""
    for name, schema in schemas().items():
        path = SCHEMAS / f"{name}.json"
        if not path.exists() or path.read_text(encoding="utf-8") != text_of(schema):
            path.write_text(text_of(schema), encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
