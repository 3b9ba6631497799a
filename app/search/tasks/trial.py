"""One trial, with the files it leaves. Torch is imported where it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report
from app.search.tasks.base import setting as setting_of


def trial(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Run one trial; leaves the pruned weights under the uploader's names and the smaller model as `.pt2`.

    A model that cannot be written as `.pt2` is still a trial: its report says why, and the weights stay.
    """
    from dataclasses import asdict

    from safetensors.torch import save_file

    from app.search.evaluation.evaluate import Assignment, evaluate
    from app.search.trial import learning_rate_factor
    from pruning.export import named_state
    from pruning.plan import PruningPlan

    asked = payload["trial"]
    setting = setting_of(payload)
    assignment = Assignment(
        plan=PruningPlan.from_json(asked["plan"]),
        recovery_steps=asked["recovery_steps"],
        seed=asked["seed"],
        learning_rate_factor=learning_rate_factor(asked.get("coordinates", {})),
    )
    found = evaluate(setting, assignment, report)
    report(0.95, "writing files")
    weights, model = folder / "weights.safetensors", folder / "model.pt2"
    save_file(named_state(found.masked), weights)
    files = {"weights": str(weights)}
    if why := _written(found.smaller, model):
        found.report["checks"] |= {"smaller model not written as .pt2": why}
    else:
        files["model"] = str(model)
    return {"measurements": [asdict(m) for m in found.measurements], "report": found.report}, files


def _written(net: Any, path: Path) -> str:
    """Why the net could not be written; "" if it was."""
    from pruning.export import export_program

    try:
        export_program(net, path)
    except Exception as error:  # torch.export raises whatever its tracer meets
        words = next(iter(str(error).strip().splitlines()), "")[:300]
        return f"{type(error).__name__}: {words}"
    return ""
