"""A trial's exported model timed on this machine, in turns with the dense one. Torch is imported where it is used."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.search.tasks.base import Answer, Report


def verify(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    """Read the stored `.pt2` with our own reader and time it beside the dense model, runtime after runtime.

    A runtime that is not here, or cannot run one of the two, says so in its row; the others go on.
    """
    from costmodels.errors import CostModelError
    from costmodels.measure.compare import compare
    from costmodels.measure.options import MeasureOptions
    from pruning.graphnet import load, load_files
    from pruning.intake.reader import read_exported_program, write_model

    report(0.0, "reading the exported model")
    write_model(*read_exported_program(Path(payload["model"])), folder)
    nets = {"dense": load_files(payload["graph"], payload["weights"]), "trial": load(folder)}
    rows: list[dict[str, Any]] = []
    backends = payload["backends"]
    for number, backend in enumerate(backends):

        def part(fraction: float, text: str, number: int = number) -> None:
            report((number + fraction) / len(backends), text)

        asked = {key: payload[key] for key in ("batch", "threads", "device", "precision", "budget_s") if key in payload}
        try:
            found = compare(nets, MeasureOptions(backend=backend, **asked), part)
        except CostModelError as error:
            rows.append({"backend": backend, "failure": str(error)})
            continue
        timings = {name: asdict(timing) for name, timing in found.timings.items()}
        rows.append(
            {
                "backend": backend,
                "device": found.device,
                "runtime": found.runtime,
                "warning": found.warning,
                **timings,
                "ratio": found.timings["trial"].median_ms / found.timings["dense"].median_ms,
            }
        )
    return {"rows": rows}, {}
