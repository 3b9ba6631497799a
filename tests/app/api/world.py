"""A small world for the API: a model of three layers, a dataset, profiles, and searches with finished trials.

Rows are written with the store's own functions; no worker runs and no torch is loaded.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from app.api.service import Service
from app.main import create_app
from app.search.space.price import price_plan
from app.search.spec import SearchSpec
from app.search.trial import Measurement, Trial
from app.settings import Settings
from app.store import artefacts, datasets, events, fronts, models, profiles, searches, trials
from app.store.database import Database
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.profile import Profile, ProfileRow
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from pruning.patterns import Channel, Unstructured
from pruning.plan import PruningPlan

BASE = "http://127.0.0.1:8765"
API = "/api/v1"
LAYERS = (
    LayerSpec(
        name="stem", parameter="p0", op="conv2d", in_channels=1, out_channels=16, kernel=(3, 3), positions=64,
        input_size=(8, 8), output_size=(8, 8),
    ),
    LayerSpec(
        name="body", parameter="p2", op="conv2d", in_channels=16, out_channels=16, kernel=(3, 3), positions=64,
        input_size=(8, 8), output_size=(8, 8),
    ),
    LayerSpec(name="head", parameter="p4", op="linear", in_channels=16, out_channels=10),
)  # fmt: skip
GROUP = ChannelGroup(
    name="stem", channels=16, producers=("stem",), consumers=("body",),
    cuts=(Cut(parameter="p0", dim=0, role="producer"), Cut(parameter="p2", dim=1, role="consumer")),
)  # fmt: skip
MODEL = ModelSpec(
    layers=LAYERS, groups=(GROUP,), input_shape=(1, 8, 8), output_shapes=((10,),), parameter_count=2624,
    unprunable={"head": "are the model's outputs"}, notes=("exported in eval mode",),
)  # fmt: skip


def measured_profile(**changes: Any) -> Profile:
    """A measured profile that knows all three layers."""
    times = {"stem": 1.0, "body": 4.0, "head": 0.5}
    rows = [ProfileRow(layer=name, latency_ms=ms) for name, ms in times.items()]
    rows.append(ProfileRow(layer="stem", out_channels=8, in_channels=1, latency_ms=0.6))
    rows.append(ProfileRow(layer="body", in_channels=8, out_channels=16, latency_ms=2.2))
    rows.append(ProfileRow(layer="body", pattern="unstructured@0.9", latency_ms=1.0))
    fields: dict[str, Any] = {
        "name": "bench", "device": "board", "batch": 1, "precision": "float32", "source": "measured",
        "rows": tuple(rows),
    }  # fmt: skip
    return Profile(**{**fields, **changes})


def ambiguous_profile(**changes: Any) -> Profile:
    """A profile of which two layers say that they hold the model's `stem`."""
    times = {"stem + relu": 1.0, "stem + add": 1.2, "body": 4.0, "head": 0.5}
    rows = tuple(ProfileRow(layer=name, latency_ms=ms) for name, ms in times.items())
    return measured_profile(**{"name": "two of a kind", "rows": rows, **changes})


@dataclass(frozen=True)
class World:
    """A running application and the ids of what is in it."""

    http: TestClient
    service: Service
    model: str
    dataset: str
    profile: str

    def spec(self, **changes: Any) -> dict[str, Any]:
        """The body of a submission that is accepted."""
        return {"model": self.model, "dataset": self.dataset, "profiles": [self.profile], **changes}

    def search(self, **changes: Any) -> str:
        """A stored search, queued, put there without REST."""
        spec = SearchSpec(**{"model": self.model, "dataset": self.dataset, "profiles": (self.profile,), **changes})
        with self.service.database.begin() as session:
            return searches.add(session, project_id=self.service.project_id, spec=spec).id

    def add_profile(self, profile: Profile) -> str:
        """A stored profile, put there without REST."""
        with self.service.database.begin() as session:
            return profiles.add(
                session, project_id=self.service.project_id, name=profile.name, document=profile.to_json(),
                digest=profile.digest,
            ).id  # fmt: skip

    def finished_search(self, **changes: Any) -> str:
        """A succeeded search with two dense trials and three pruned ones, one of them dominated."""
        search = self.search(**{"name": "=demo()", "trials": 3, **changes})
        found = plans_and_accuracies()
        made = [finished_trial(n, plan, accuracy, self.profile) for n, (plan, accuracy) in enumerate(found)]
        self.record(search, made)
        with self.service.database.begin() as session:
            searches.finish(session, search, state="succeeded")
            self.tell(session, search, "search", {"state": "succeeded"})
        return search

    def record(self, search: str, made: Sequence[Trial]) -> None:
        """Store finished trials and the front, as the coordinator does."""
        asked = [trial.evolve(state="queued", measurements=(), report={}, files={}) for trial in made]
        with self.service.database.begin() as session:
            trials.add_asked(session, search, asked)
            for trial in made:
                trials.record(session, search, trial)
                self.tell(session, search, "trial", {"number": trial.number, "state": trial.state})
            fronts.update(session, search, [self.profile])

    def tell(self, session: Any, search: str, kind: str, payload: dict[str, Any]) -> None:
        """Write an event of a search."""
        project = self.service.project_id
        events.add(session, project_id=project, search_id=search, kind=kind, payload=payload)

    def close(self) -> None:
        """Stop the application."""
        self.http.__exit__(None, None, None)

    def artefact(self, data: bytes, kind: str) -> str:
        """Store bytes; the digest."""
        digest, size = self.service.artefacts.put_bytes(data)
        with self.service.database.begin() as session:
            artefacts.add(
                session, project_id=self.service.project_id, digest=digest, bytes=size, kind=kind,
                media_type="application/octet-stream",
            )  # fmt: skip
        return digest


def plans_and_accuracies() -> list[tuple[PruningPlan, float]]:
    """Dense, dense recovered, and three plans: the last is slower and worse than the one before."""
    thin = PruningPlan(pruner="magnitude", patterns={"stem": Channel(0.5)})
    sparse = PruningPlan(
        pruner="pdp", settings={"tau": 0.1}, patterns={"body": Unstructured(0.9), "stem": Channel(0.5)}
    )
    milder = PruningPlan(pruner="magnitude", patterns={"body": Unstructured(0.3)})
    dense = PruningPlan(pruner="magnitude")
    return [(dense, 0.97), (dense, 0.98), (thin, 0.96), (sparse, 0.90), (milder, 0.80)]


def finished_trial(number: int, plan: PruningPlan, accuracy: float, profile: str) -> Trial:
    """A complete trial, priced on the measured profile."""
    (cost,) = price_plan(MODEL, plan, {profile: cost_model(measured_profile(), MODEL)})
    numbers = (("validation", accuracy), ("test", accuracy - 0.01))
    measured = tuple(
        Measurement(metric="accuracy", value=value, standard_error=0.01, samples=300, seed=0, fidelity=200, split=split)
        for split, value in numbers
    )
    roles = ("dense", "dense_recovered")
    layers = [
        {"name": la.name, "sparsity": plan.pattern(la.name).density and 1 - plan.pattern(la.name).density}
        for la in LAYERS
    ]
    return Trial(
        number=number,
        role=roles[number] if number < 2 else "searched",
        state="complete",
        plan=plan,
        seed=number,
        recovery_steps=200,
        costs=(cost,),
        measurements=measured,
        report={"layers": layers, "checks": {"exact_zeros": True}, "macs_before": MODEL.macs, "macs_after": 5},
        attempts=1,
    )


@cache
def migrated_database() -> bytes:
    """An empty migrated database; migrating once instead of in each test saves most of the time."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        database = Database(settings.resolved_database_url)
        database.migrate()
        database.dispose()
        return (Path(folder) / "espalier.db").read_bytes()


def open_world(settings: Settings) -> World:
    """A running application with a few rows in it; leave it with `close`."""
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / "espalier.db").write_bytes(migrated_database())
    app = create_app(settings)
    http = TestClient(app, base_url=BASE, client=("127.0.0.1", 50_000), raise_server_exceptions=False)
    http.__enter__()
    service: Service = app.state.service
    profile = measured_profile()
    with service.database.begin() as session:
        project = service.project_id
        model = models.add(session, project_id=project, name="net", upload_digest="0" * 64)
        models.set_ready(session, model.id, graph_digest="1" * 64, weights_digest="2" * 64, spec=MODEL.to_json())
        dataset = datasets.add(
            session, project_id=project, name="digits", kind="digits", upload_digest=None, options={"seed": 0}
        )
        stored = profiles.add(
            session,
            project_id=project,
            name=profile.name,
            request={},
            document=profile.to_json(),
            digest=profile.digest,
        )
    return World(http=http, service=service, model=model.id, dataset=dataset.id, profile=stored.id)


def catalogue_profile(name: str, batch: int) -> Profile:
    """A profile of the first precision of an accelerator."""
    from costmodels import accelerator

    return accelerator_profile(name, batch, accelerator.load(name).precisions[0])
