"""What strangers send, through the whole service: REST, a worker in a process of its own, and the answers.

Everything is sent before the worker starts, so that nothing is turned away by what the API knows already: the
worker must find it out, refuse it with a reason that a person can read, and lose nothing.
"""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.pruning.intake.payloads import PAYLOADS

ROOT = Path(__file__).parents[2]
API = "/api/v1"
ENDED = ("ready", "refused", "succeeded", "failed", "cancelled")
PATIENCE_S = 120.0
TRACES = ("Traceback", 'File "', ".py", "line ")
HARMLESS = {"guards_code", "inner_symbolic_size", "quoted_name", "sample_inputs"}


@dataclass
class Service:
    """The application, and the address of everything that was sent, by name."""

    http: TestClient
    folder: Path
    places: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)

    def send(self, name: str, path: str, **request: Any) -> str:
        """Send something that is taken for now; its id."""
        answer = self.http.post(f"{API}{path}", **request)
        assert answer.status_code in (201, 202), f"{name}: {answer.text}"
        self.places[name] = answer.json()["links"]["self"]
        return str(answer.json()["id"])

    def model(self, name: str, data: bytes, **request: str) -> str:
        """Upload a model."""
        return self.send(name, "/models", files={"file": ("model", data)}, data={"name": name, **request})

    def data(self, name: str, data: bytes, kind: str = "npz") -> str:
        """Upload a dataset."""
        return self.send(name, "/datasets", files={"file": (f"data.{kind}", data)}, data={"kind": kind, "name": name})

    def search(self, name: str, **spec: Any) -> str:
        """Submit a search that will not come far."""
        return self.send(name, "/searches", json={"trials": 1, "acknowledge": ["precision"], **spec})

    def settle(self, worker: "subprocess.Popen[bytes]") -> None:
        """Wait until all of it has ended, one way or the other."""
        end = time.monotonic() + PATIENCE_S
        while missing := set(self.places) - set(self.answers):
            assert worker.poll() is None, "the worker died"
            assert time.monotonic() < end, f"still waiting for {sorted(missing)}"
            for name in missing:
                answer = self.http.get(self.places[name]).json()
                if answer["state"] in ENDED:
                    self.answers[name] = answer
            time.sleep(0.1)

    def reason(self, name: str) -> str:
        """Why it was refused or failed, checked to be fit for people."""
        answer = self.answers[name]
        assert answer["state"] in ("refused", "failed"), f"{name} is {answer['state']}"
        failure = answer["failure"]
        assert failure["code"] != "internal", f"{name}: {failure}"
        assert 10 < len(failure["reason"]) < 1000
        assert not [trace for trace in TRACES if trace in json.dumps(failure)], f"{name}: {failure}"
        return f"{failure['code']}: {failure['reason']}"


class _Trap:
    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._marker, "w")


def archive(**members: bytes) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    """An .npz file; objects in it are pickled, as numpy does."""
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def exported(folder: Path) -> Path:
    """A good model of 1 x 6 x 6 images and 3 classes."""
    import torch
    from torch import nn

    from tests.pruning.intake.exporting import export

    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(16, 3))
    return export(nn.Sequential(*layers).eval(), (torch.randn(2, 1, 6, 6),), folder / "good.pt2")


def send_models(service: Service, good: Path) -> None:
    """The good one, the planted ones, and files that are no models."""
    whole = good.read_bytes()
    service.model("good", whole)
    for name, plant in PAYLOADS.items():
        planted = service.folder / f"{name}.pt2"
        plant(good, planted, service.folder / f"marker-{name}")
        service.model(name, planted.read_bytes())
    service.model("text in a zip", archive(**{"readme.txt": b"hello"}))
    service.model("cut off", whole[: len(whole) // 2])
    service.model("only a head", b"PK\x03\x04" + b"\0" * 100)
    service.model("escaping", archive(**{"../../escape/models/model.json": b"{}"}))
    service.model("broken json", archive(**{"m/models/model.json": b"{" * 1000, "m/version": b"0"}))


def send_others(service: Service) -> None:
    """Weights of architectures by name, a file with several graphs, and models with nothing to prune."""
    import torch
    from safetensors.torch import save
    from torch import nn
    from torch.export.pt2_archive._package import package_pt2

    from pruning.architectures import build
    from tests.pruning.intake.exporting import export

    mlp = {"architecture": "mlp", "config": json.dumps({"features": 4, "hidden": [3], "classes": 2})}
    state = build("mlp", json.loads(mlp["config"])).state_dict()
    service.model("by name", save(state), **mlp)
    service.model("by name, misfit", save({**state, "layers.0.weight": torch.zeros(3, 5)}), **mlp)
    service.model("by name, field", save(state), architecture="mlp", config='{"module": "os"}')
    programs = {key: torch.export.export(nn.Linear(4, 3).eval(), (torch.randn(2, 4),)) for key in ("one", "two")}
    package_pt2(str(service.folder / "several.pt2"), exported_programs=programs)
    several = (service.folder / "several.pt2").read_bytes()
    service.model("several graphs", several)
    service.model("one of several", several, graph="two")
    flat = export(nn.Flatten(), (torch.randn(2, 4, 2),), service.folder / "flat.pt2")
    service.model("nothing to prune", flat.read_bytes())


def send_data(service: Service) -> None:
    """Datasets: wrong in shape, in truth, and in intent."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((90, 1, 8, 8), dtype=np.float32), np.arange(90) % 3
    service.data("8 by 8", npz(x=images, y=labels))
    service.data("fewer labels", npz(x=images, y=labels[:50]))
    trap = np.array([_Trap(service.folder / "marker-npz")] * 90, dtype=object)
    service.data("pickled npz", npz(x=images, y=trap))
    service.data("cut off npz", npz(x=images, y=labels)[:2000])
    service.data("no images", archive(**{"cats/a.png": b"not a picture", "dogs/b.png": b"neither"}), "images")


def send_searches(service: Service) -> None:
    """Searches that cannot work, for reasons that only the worker can find."""
    ids = {name: place.rsplit("/", 1)[1] for name, place in service.places.items()}
    wish = {"accelerator": "eyeriss-v2", "batch": 1, "precision": "int8", "name": "chip"}
    chip = service.http.post(f"{API}/profiles", json=wish).json()["id"]
    rows = [{"layer": "nobody", "latency_ms": 1.0}]
    head = {"name": "other", "device": "board", "batch": 1, "precision": "float32", "source": "measured"}
    other = service.http.post(f"{API}/profiles", json={**head, "rows": rows}).json()["id"]
    fits = {"model": ids["good"], "dataset": ids["8 by 8"], "profiles": [chip]}
    service.search("wrong shapes", **fits)
    service.search("refused model", **{**fits, "model": ids["cut off"]})
    service.search("refused data", **{**fits, "dataset": ids["fewer labels"]})
    service.search("unknown layer", **fits, frozen_layers=["no.such.layer"])
    service.search("too fast", **fits, limits=[{"profile": chip, "latency_ms": 1e-7}])
    service.search("other layers", **{**fits, "profiles": [other]})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("hostile")
    settings = Settings(data_dir=folder / "data", token=None, database_url=None, artefact_url=None)
    with TestClient(create_app(settings), base_url="http://127.0.0.1:8765", client=("127.0.0.1", 50_000)) as http:
        made = Service(http, folder)
        send_models(made, exported(folder))
        send_others(made)
        send_data(made)
        send_searches(made)
        mine = {key: value for key, value in os.environ.items() if not key.startswith("ESPALIER_")}
        mine |= {"ESPALIER_DATA_DIR": str(settings.data_dir), "ESPALIER_POLL_S": "0.05", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", "from app.cli.main import app; app(['worker'])"]
        with (folder / "worker.log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=ROOT, env=mine, stdout=log, stderr=log)
        try:
            made.settle(worker)
            yield made
        finally:
            worker.terminate()
            worker.wait(30)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_planted_payload_never_runs(service: Service, name: str) -> None:
    assert not list(service.folder.rglob("marker*"))
    if name in HARMLESS:
        assert service.answers[name]["state"] == "ready"
        assert service.answers[name]["layers"] == service.answers["good"]["layers"]
    else:
        service.reason(name)


def test_the_good_model_is_read(service: Service) -> None:
    good = service.answers["good"]
    assert (good["state"], good["layers"]) == ("ready", 3)
    named, one = service.answers["by name"], service.answers["one of several"]
    assert (named["state"], named["layers"], named["macs"]) == ("ready", 2, 18)
    assert (one["state"], one["layers"]) == ("ready", 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text in a zip", "no exported program"),
        ("cut off", "zip"),
        ("only a head", "zip"),
        ("escaping", ".."),
        ("broken json", "model.json"),
        ("by name, misfit", "[3, 5] instead of [3, 4]"),
        ("by name, field", "there is no field 'module'"),
        ("several graphs", "holds 2 graphs: 'one', 'two'"),
        ("nothing to prune", "no prunable layer"),
    ],
)
def test_files_that_are_no_models(service: Service, name: str, said: str) -> None:
    assert said in service.reason(name)
    assert not list(service.folder.parent.rglob("escape"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("fewer labels", "50"), ("pickled npz", "y"), ("cut off npz", "zip"), ("no images", "png")],
)
def test_files_that_are_no_datasets(service: Service, name: str, said: str) -> None:
    assert said in service.reason(name)
    assert not (service.folder / "marker-npz").exists()


def test_data_of_another_shape_fail_the_search_with_both_shapes(service: Service) -> None:
    reason = service.reason("wrong shapes")
    assert reason.startswith("dataset_mismatch")
    assert "1x8x8" in reason and "1x6x6" in reason


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("refused model", "model_refused", "'cut off'"),
        ("refused data", "dataset_refused", "'fewer labels'"),
        ("unknown layer", "spec", "/frozen_layers: layer 'no.such.layer'"),
        ("other layers", "profile_mismatch", "'nobody'"),
    ],
)
def test_searches_on_what_cannot_work_say_why(service: Service, name: str, code: str, said: str) -> None:
    reason = service.reason(name)
    assert reason.startswith(f"{code}: ") and said in reason
    assert service.answers[name]["progress"]["done"] == 0


def test_an_impossible_limit_is_answered_with_what_can_be_reached(service: Service) -> None:
    failure = service.answers["too fast"]["failure"]
    assert service.reason("too fast").startswith("limit_unreachable")
    details = failure["details"]
    assert details["limit_ms"] == pytest.approx(1e-7)
    assert details["limit_ms"] < details["lowest_ms"] < details["dense_ms"]
    assert f"{details['lowest_ms']:.4g} ms" in failure["reason"]


def test_the_pages_tell_the_same(service: Service) -> None:
    for name in ("wrong shapes", "too fast"):
        page = service.http.get(service.answers[name]["links"]["page"]).text
        assert service.answers[name]["failure"]["reason"].split("'")[0][:60] in page.replace("&#39;", "'")
