"""One trial, with the files it leaves. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report
from app.search.tasks.base import setting as setting_of


def trial(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Run one trial; leaves the pruned weights under the uploader's names and the smaller model as `.pt2`."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    from app.search.batches import check_fit
    from app.search.evaluate import Assignment, evaluate
    from pruning.export import export_program, named_state
    from pruning.plan import PruningPlan

    asked = payload["trial"]
    setting = setting_of(payload)
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
