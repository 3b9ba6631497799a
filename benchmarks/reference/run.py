"""A reference search through a running service, as a team would make it: nothing is tuned, everything is REST."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.client import Client
from benchmarks.reference.cases import Case

Json = dict[str, Any]
BATCH = 16
POINTS = 3


def run(client: Client, case: Case, folder: Path, trials: int) -> Iterator[str]:
    """Submit the search with the defaults, wait for it, and verify points of its front; tells of each step."""
    model = _ready(client, "models", client.upload_model(folder / f"{case.name}.pt2", f"reference {case.name}"))
    options = dict(case.options)
    data = client.add_dataset(case.kind, case.upload, name=f"reference {case.name}", options=options)
    data = _ready(client, "datasets", data)
    yield f"{case.name}: model and data are ready; measuring this machine with ONNX Runtime"
    wish = {"model": model["id"], "batch": BATCH, "threads": 1, "backend": "onnxruntime"}
    here = _ready(client, "profiles", client.add_profile({"measure": wish, "name": f"ONNX Runtime, {case.name}"}))
    chip = client.get_accelerator("eyeriss-v2")
    body = {"accelerator": "eyeriss-v2", "batch": BATCH, "precision": chip["precisions"][0]}
    skips = client.add_profile(body)
    search = client.submit_search(
        {
            "name": f"reference: {case.name}",
            "model": model["id"],
            "dataset": data["id"],
            "profiles": [here["id"], skips["id"]],
            "batch": BATCH,
            "task": {key: list(value) for key, value in case.task.items()},
            "trials": trials,
            "acknowledge": ["precision"],
        }
    )
    yield f"{case.name}: search {search.id}"
    search.wait()
    for number in chosen(client, search.id, here["id"]):
        request = client.wait_for_request(client.verify_trial(search.id, number, ["onnxruntime"]))
        yield f"{case.name}: trial {number} verified: {request['state']}"


def chosen(client: Client, search: str, profile: str) -> list[int]:
    """Three pruned points of a front, spread over its latencies."""
    points = [p for p in client.get_front(search, profile)["points"] if p["role"] == "searched"]
    last = len(points) - 1
    return sorted({points[round(share * last)]["number"] for share in (0.0, 0.5, 1.0)}) if points else []


def _ready(client: Client, noun: str, record: Mapping[str, Any]) -> Json:
    from app.cli.submit import settled

    get = {"models": client.get_model, "datasets": client.get_dataset, "profiles": client.get_profile}[noun]
    settled(dict(record), get, noun.removesuffix("s"))
    return get(record["id"])
