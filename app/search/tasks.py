"""What an executor's child can be asked to do: `TASKS`, by kind. Pure functions of JSON and files.

Each takes its payload, a folder of its own for files, and a way to report progress; it answers with JSON and with the
files it made, by kind. torch is imported where it is used, so that naming a task costs nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.search.executor import TaskKind

Report = Callable[[float, str], None]
Answer = tuple[Mapping[str, Any], Mapping[str, str]]
TaskFunction = Callable[[Mapping[str, Any], Path, Report], Answer]


def inspect(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Read an uploaded model file with our own reader, describe it, and count its MACs a second way."""
    from dataclasses import replace

    from pruning.graphnet import load
    from pruning.intake.reader import read_exported_program, write_model
    from pruning.trace import trace

    report(0.1, "reading the file")
    document, tensors = read_exported_program(Path(payload["upload"]))
    write_model(document, tensors, folder)
    report(0.5, "tracing the graph")
    net = load(folder)
    spec = trace(net)
    report(0.7, "counting multiply-adds")
    spec = replace(spec, notes=(*spec.notes, _counted(net, spec)))
    files = {"graph": str(folder / "graph.json"), "weights": str(folder / "weights.safetensors")}
    return {"spec": spec.to_json()}, files


def _counted(net: Any, spec: Any) -> str:
    """What fvcore counts, beside what the layers' shapes say."""
    import torch

    from costmodels.macs import count_macs, disagreement
    from pruning.calls import DTYPES
    from pruning.trace import single_shape

    example = tuple(torch.zeros(2, *single_shape(i), dtype=DTYPES[i.dtype]) for i in net.document.inputs)
    count = count_macs(net, example)
    return disagreement(count, spec) or f"{spec.macs} multiply-adds a sample in the prunable layers, as fvcore counts"


def prepare(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Bring a dataset into the one form."""
    from app.search import sources

    upload = Path(payload["upload"]) if payload.get("upload") else None
    prepared = sources.prepare(payload["kind"], upload, payload.get("options", {}), report)
    arrays = folder / "arrays.zip"
    prepared.write(arrays)
    return {"meta": prepared.meta()}, {"arrays": str(arrays)}


def profile(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:  # noqa: ARG001 - makes no files
    """Measure a model's layers on this machine."""
    from costmodels.measure.campaign import measure
    from costmodels.measure.options import MeasureOptions
    from pruning.graphnet import load_files
    from pruning.layers import ModelSpec

    net = load_files(payload["graph"], payload["weights"])
    spec = ModelSpec.from_json(payload["spec"])
    keys = ("batch", "threads", "backend", "device", "precision")
    options = MeasureOptions(**{key: payload[key] for key in keys if key in payload})
    found = measure(net, spec, options, report)
    return {"profile": found.profile.to_json()}, {}


def score(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:  # noqa: ARG001 - makes no files
    """The error of every option, one at a time."""
    from app.search.batches import check_fit
    from app.search.score import Scorer, read_options

    setting = _setting(payload)
    check_fit(setting.dataset, setting.spec.task, setting.model)
    calibration = setting.feed("calibration", setting.spec.calibration_samples)
    scorer = Scorer(
        net=setting.net,
        spec=setting.model,
        batches=list(calibration.in_order(128)),
        logits_output=setting.spec.task.logits_output,
    )
    return {"errors": scorer.table(read_options(payload["options"]), report), "samples": len(calibration)}, {}


def trial(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Run one trial; leaves the pruned weights under the uploader's names and the smaller model as `.pt2`."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    from app.search.batches import check_fit
    from app.search.evaluate import Assignment, evaluate
    from pruning.export import export_program, named_state
    from pruning.plan import PruningPlan

    asked = payload["trial"]
    setting = _setting(payload)
    check_fit(setting.dataset, setting.spec.task, setting.model)
    assignment = Assignment(
        plan=PruningPlan.from_json(asked["plan"]), recovery_steps=asked["recovery_steps"], seed=asked["seed"]
    )
    found = evaluate(setting, assignment, report)
    report(0.95, "writing files")
    weights, model = folder / "weights.safetensors", folder / "model.pt2"
    save_file(named_state(found.masked), weights)
    export_program(found.smaller, model)
    measurements = [asdict(measurement) for measurement in found.measurements]
    return {"measurements": measurements, "report": found.report}, {"weights": str(weights), "model": str(model)}


def _setting(payload: Mapping[str, Any]) -> Any:
    from app.search.data import Dataset
    from app.search.evaluate import Setting
    from app.search.spec import SearchSpec
    from pruning.graphnet import load_files
    from pruning.layers import ModelSpec

    return Setting(
        net=load_files(payload["graph"], payload["weights"]),
        model=ModelSpec.from_json(payload["model_spec"]),
        dataset=Dataset(Path(payload["dataset"])),
        spec=SearchSpec.from_json(payload["search_spec"]),
    )


TASKS: Mapping[TaskKind, TaskFunction] = {
    "inspect": inspect,
    "prepare": prepare,
    "profile": profile,
    "score": score,
    "trial": trial,
}
