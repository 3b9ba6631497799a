"""From a wish over REST to files with a passport, through coordinator and real tasks; and plans that travel."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from app.jobs.coordinator import Coordinator
from app.jobs.inline import InlineExecutor
from app.search.spec import SearchSpec
from app.search.tasks import TASKS
from app.settings import Settings
from app.store import artefacts, datasets, models, searches
from tests.app.api.world import API, World, open_world
from tests.app.search import digits_trial
from tests.app.search.digits_trial import PLAN, digest

pytest.importorskip("onnxruntime")


@dataclass
class Shop:
    """The service with one finished search, and a worker in this process."""

    world: World
    search: str
    model: str
    made: digits_trial.World
    coordinator: Coordinator

    @property
    def trial(self) -> str:
        return f"{API}/searches/{self.search}/trials/3"

    def post(self, path: str, body: Any, status: int = 202) -> Any:
        answer = self.world.http.post(f"{self.trial}/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        return self.world.http.get(path).json()

    def work(self, until: Callable[[], bool], limit_s: float = 120.0) -> None:
        end = monotonic() + limit_s
        while not until():
            assert monotonic() < end, "waited in vain"
            self.coordinator.step(0.02)

    def ended(self, request: Any) -> Any:
        self.work(lambda: self.get(request["links"]["self"])["state"] in ("ready", "failed"))
        return self.get(request["links"]["self"])

    def add_model(self, folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> str:
        """The same model with other weights, as a worker would have left it."""
        tensors = load_file(self.made.payload["weights"])
        change(tensors)
        save_file(tensors, folder / "other.safetensors")
        service = self.world.service
        weights, _ = service.artefacts.put_file(folder / "other.safetensors")
        with service.database.begin() as s:
            record = models.add(s, project_id=service.project_id, name="retrained", upload_digest="3" * 64)
            graph, spec = digest(Path(self.made.payload["graph"])), self.made.payload["model_spec"]
            models.set_ready(s, record.id, graph_digest=graph, weights_digest=weights, spec=spec)
        return record.id


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "made").mkdir()
    settings = Settings(data_dir=folder / "data", poll_s=0.05)
    world = open_world(settings)
    made = digits_trial.make(folder / "made", profile=world.profile)
    service = world.service
    stored = {key: service.artefacts.put_file(Path(made.payload[key]))[0] for key in ("graph", "weights", "dataset")}
    with service.database.begin() as s:
        project = service.project_id
        model = models.add(s, project_id=project, name="digits net", upload_digest="4" * 64)
        models.set_ready(
            s,
            model.id,
            graph_digest=stored["graph"],
            weights_digest=stored["weights"],
            spec=made.payload["model_spec"],
        )
        data = datasets.add(s, project_id=project, name="digits", kind="digits", upload_digest=None, options={})
        datasets.set_ready(s, data.id, meta={"classes": [str(n) for n in range(10)]}, arrays_digest=stored["dataset"])
    fields = {**made.payload["search_spec"], "model": model.id, "dataset": data.id, "profiles": [world.profile]}
    with service.database.begin() as s:
        search = searches.add(s, project_id=project, spec=SearchSpec.from_json(fields)).id
        searches.finish(s, search, state="succeeded")
        for kind, path in made.stored.items():
            name, size = service.artefacts.put_file(path)
            artefacts.add(s, project_id=project, digest=name, bytes=size, media_type="x", kind=kind)
    world.record(search, [made.trial])
    executor = InlineExecutor(folder / "work", tasks=TASKS)
    coordinator = Coordinator(service.database, service.artefacts, executor, settings)
    yield Shop(world=world, search=search, model=model.id, made=made, coordinator=coordinator)
    coordinator.close()
    world.close()


def test_files_are_made_on_request_and_their_passport_is_a_document_and_a_page(shop: Shop) -> None:
    assert shop.world.http.get(f"{shop.trial}/passport").json()["code"] == "no_passport"
    first = shop.post("exports", {"formats": ["state"]})
    assert shop.post("exports", {"formats": ["state"]})["id"] == first["id"]  # one waits already
    assert (first["state"], first["kind"], first["result"]) == ("queued", "export", None)
    done = shop.ended(first)
    assert done["state"] == "ready", done["failure"]
    assert set(done["result"]["hops"].values()) == {"done"}
    bundle = zipfile.ZipFile(io.BytesIO(shop.world.http.get(done["links"]["state"]).content))
    assert json.loads(bundle.read("plan.json")) == PLAN.to_json()
    assert load(bundle.read("state.safetensors"))["stem.weight"].shape == (4, 1, 3, 3)
    second = shop.ended(shop.post("exports", {"formats": ["onnx"]}))
    passport = shop.get(f"{shop.trial}/passport")
    names = [hop["name"] for hop in passport["hops"]]
    assert names == ["masked", "smaller", "pt2", "onnx", "state"]  # one passport speaks of all files there are
    assert passport["search"] == shop.search and passport["hashes"]["plan"] == PLAN.digest
    trial = shop.get(shop.trial)
    for kind in ("weights", "model", "onnx", "state", "passport"):
        content = shop.world.http.get(trial["links"][kind]).content
        if kind in passport["hashes"]:
            assert digest_of(content) == passport["hashes"][kind]
    assert second["files"]["onnx"] == passport["hashes"]["onnx"]
    page = shop.world.http.get(second["links"]["passport_page"]).text
    assert passport["hashes"]["onnx"] in page and "every hop held" in page
    listed = shop.get(f"{shop.trial}/requests")["items"]
    assert [item["id"] for item in listed] == [second["id"], first["id"]]


def test_a_plan_on_its_own_weights_gives_the_trial_again_and_on_others_another(shop: Shop, tmp_path: Path) -> None:
    def retrain(tensors: dict[str, torch.Tensor]) -> None:
        name = next(name for name, value in tensors.items() if value.ndim == 4)
        tensors[name] += 0.05 * torch.randn(tensors[name].shape, generator=torch.Generator().manual_seed(7))

    again = shop.ended(shop.post("apply", {"model": shop.model}))
    assert again["state"] == "ready", again["failure"]
    trial = shop.made.trial
    assert again["files"] == trial.files  # byte for byte, the .pt2 too
    assert [entry["value"] for entry in again["result"]["measurements"]] == [m.value for m in trial.measurements]
    other = shop.ended(shop.post("apply", {"model": shop.add_model(tmp_path, retrain)}))
    assert other["files"]["weights"] != trial.files["weights"]
    assert {layer["pattern"] for layer in other["result"]["report"]["layers"]} == {
        str(p) for p in PLAN.patterns.values()
    }
    weights = load(shop.world.http.get(other["links"]["weights"]).content)
    assert weights["stem.weight"].shape == (8, 1, 3, 3)
    assert shop.get(shop.trial)["links"]["weights"].endswith("trials/3/files/weights")
    assert digest_of(shop.world.http.get(f"{shop.trial}/files/weights").content) == trial.files["weights"]


def test_a_plan_does_not_travel_to_another_model_and_the_difference_is_named(shop: Shop) -> None:
    answer = shop.post("apply", {"model": shop.world.model}, status=422)
    assert answer["code"] == "other_model" and "'stem' has" in answer["detail"]
    assert answer["errors"][0]["pointer"] == "/model"


def test_a_model_that_turns_out_to_be_another_fails_the_request(shop: Shop) -> None:
    service = shop.world.service
    with service.database.begin() as s:
        late = models.add(s, project_id=service.project_id, name="late", upload_digest="5" * 64)
        models.set_inspecting(s, late.id)
    other = shop.get(f"{API}/models/{shop.world.model}")["spec"]
    request = shop.post("apply", {"model": late.id})
    assert request["state"] == "queued"
    with service.database.begin() as s:
        models.set_ready(s, late.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=other)
    ended = shop.ended(request)
    assert (ended["state"], ended["failure"]["code"]) == ("failed", "other_model")


def test_weights_that_were_changed_in_the_store_fail_the_request(shop: Shop) -> None:
    name = shop.made.trial.files["weights"]
    path = shop.world.service.artefacts.local_path(name, Path("unused"))
    whole = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(whole[:-4] + b"\0\0\0\1")
        ended = shop.ended(shop.post("exports", {"formats": ["pt2"]}))
    finally:
        path.write_bytes(whole)
    assert (ended["state"], ended["failure"]["code"]) == ("failed", "damaged_file")


def digest_of(content: bytes) -> str:
    from hashlib import sha256

    return sha256(content).hexdigest()
