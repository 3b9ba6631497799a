"""A task table with the real kinds and no torch: quick, deterministic, and told by file names how to misbehave.

A file `<name>.<times>` in the directory `orders` of the test's world orders something for that many times:
`kill-inspect.2` kills the process of the next two inspections. `slow` makes each trial take as many seconds as its
content says.
"""

import json
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.jobs.perform import Report, TaskTable
from costmodels.catalogue import accelerator_profile
from pruning.errors import IntakeError
from pruning.layers import LayerSpec, ModelSpec
from pruning.plan import PruningPlan

Answer = tuple[dict[str, Any], dict[str, str]]
LAYERS = tuple(
    LayerSpec(name=f"layer{i}", parameter=f"p{i}", op="linear", in_channels=256, out_channels=256) for i in range(5)
)
MODEL = ModelSpec(layers=LAYERS, groups=(), input_shape=(256,), output_shapes=((256,),), parameter_count=327_680)


def orders_of(folder: Path) -> Path:
    """The orders of the world that an attempt belongs to, four folders above its own."""
    return folder.parents[3] / "orders"


def ordered(orders: Path, name: str) -> bool:
    """Whether this was ordered; takes one of the times away."""
    for left in range(9, 0, -1):
        with suppress(FileNotFoundError):
            (orders / f"{name}.{left}").rename(orders / f"{name}.{left - 1}")
            return True
    return False


def mark(kind: str, folder: Path) -> None:
    """Count the runs of each kind."""
    assert not [name for name in os.environ if name.startswith("ESPALIER_")], "a child sees no settings"
    orders = orders_of(folder)
    (orders / f"ran-{kind}-{time.time_ns()}-{os.getpid()}").touch()
    if ordered(orders, f"kill-{kind}"):
        os.kill(os.getpid(), signal.SIGKILL)


def inspect(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    mark("inspect", folder)
    report(0.5, "reading")
    if Path(payload["upload"]).read_bytes() == b"bad":
        raise IntakeError("this is no exported program; make one with torch.export.save")
    for name in ("graph.json", "weights.safetensors"):
        (folder / name).write_text(name)
    files = {"graph": str(folder / "graph.json"), "weights": str(folder / "weights.safetensors")}
    return {"spec": MODEL.to_json()}, files


def prepare(payload: Mapping[str, Any], folder: Path, _report: Report) -> Answer:
    mark("prepare", folder)
    (folder / "arrays.zip").write_text(json.dumps(payload["options"]))
    splits = {"train": 640, "calibration": 64, "validation": 100, "test": 100}
    meta = {"classes": ["a", "b"], "input_shape": [256], "splits": splits}
    return {"meta": meta}, {"arrays": str(folder / "arrays.zip")}


def measure(payload: Mapping[str, Any], folder: Path, _report: Report) -> Answer:
    mark("profile", folder)
    assert Path(payload["graph"]).read_text() == "graph.json"
    return {"profile": accelerator_profile("eyeriss-v2", payload["batch"]).to_json()}, {}


def score(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    mark("score", folder)
    report(0.1, "scoring")
    units = payload["options"]
    errors = [[random.Random(json.dumps(option, sort_keys=True)).random() for option in unit] for unit in units]
    return {"errors": errors, "samples": 64, "sample_passes": 64 * (1 + sum(map(len, errors)))}, {}


def trial(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    mark("trial", folder)
    asked = payload["trial"]
    plan = PruningPlan.from_json(asked["plan"])
    report(0.0, f"trial {asked['number']}")
    slow = orders_of(folder) / "slow"
    time.sleep(float(slow.read_text()) if slow.exists() else 0.1)
    draw = random.Random(f"{plan.digest}/{asked['seed']}/{asked['recovery_steps']}")
    common = {"standard_error": 0.01, "samples": 100, "seed": asked["seed"], "fidelity": asked["recovery_steps"]}
    measurements = [
        {"metric": metric, "value": draw.random(), "split": split, "profile": None, **common}
        for metric in ("accuracy", "loss")
        for split in ("validation", "test")
    ]
    (folder / "pruned.safetensors").write_text(f"{plan.digest} {asked['seed']}")
    return {"measurements": measurements, "report": {"layers": []}}, {"weights": str(folder / "pruned.safetensors")}


TASKS: TaskTable = {"inspect": inspect, "prepare": prepare, "profile": measure, "score": score, "trial": trial}
