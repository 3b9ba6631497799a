"""A store on disk, a coordinator in this process and a worker in another, over the tasks of `fake_search`."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from app.jobs.coordinator import Coordinator
from app.jobs.local import LocalExecutor
from app.search.spec import Recovery, SearchSpec
from app.search.trial import Trial
from app.settings import Settings
from app.store import datasets, events, models, profiles, projects, searches, trials
from app.store.blobs import ArtefactStore
from app.store.database import Database
from app.store.records import EventRecord, SearchRecord
from costmodels.catalogue import accelerator_profile
from tests.app.jobs import fake_search

ROOT = Path(__file__).parents[3]
TABLE = f"{fake_search.__name__}:TASKS"
PRELOAD = ("tests.app.jobs.fake_tasks", "tests.app.jobs.fake_search")
_WORKER = (
    "from app.jobs.worker import run_worker\nfrom app.settings import Settings\n"
    f"run_worker(Settings(), tasks={TABLE!r}, preload={PRELOAD!r})\n"
)


class World:
    """One data directory and what is in it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.orders = folder / "orders"
        self.orders.mkdir(parents=True)
        chosen = {"lease_s": 10.0, "poll_s": 0.05, "slots": 2} | settings
        self.settings = Settings(data_dir=folder / "data", **chosen)
        self.settings.data_dir.mkdir()
        self.database = Database(self.settings.resolved_database_url)
        self.database.migrate()
        self.blobs = ArtefactStore(self.settings.resolved_artefact_url)
        with self.database.read() as s:
            self.project = projects.default(s).id

    def close(self) -> None:
        self.database.dispose()

    def order(self, what: str, content: str = "") -> None:
        """Tell the tasks how to misbehave; see `fake_search`."""
        (self.orders / what).write_text(content)

    def runs(self, kind: str) -> int:
        """How often a task of this kind was started."""
        return len(list(self.orders.glob(f"ran-{kind}-*")))

    @contextmanager
    def coordinator(self) -> Iterator[Coordinator]:
        """A coordinator in this process; its tasks run in processes of their own."""
        executor = LocalExecutor(self.settings.data_dir / "work", slots=2, tasks=TABLE, preload=PRELOAD)
        coordinator = Coordinator(self.database, self.blobs, executor, self.settings)
        try:
            yield coordinator
        finally:
            coordinator.close()
            executor.close()

    def worker(self) -> "subprocess.Popen[str]":
        """The worker, as a process."""
        variables = {
            "ESPALIER_DATA_DIR": str(self.settings.data_dir),
            "ESPALIER_LEASE_S": str(self.settings.lease_s),
            "ESPALIER_POLL_S": str(self.settings.poll_s),
            "ESPALIER_SLOTS": str(self.settings.slots),
        }
        return subprocess.Popen([sys.executable, "-c", _WORKER], cwd=ROOT, env=os.environ | variables, text=True)

    def parts(self, upload: bytes = b"good") -> tuple[str, str, str]:
        """A model and a dataset that wait for the worker, and a profile that is ready."""
        digest, _ = self.blobs.put_bytes(upload)
        profile = accelerator_profile("eyeriss-v2", 1)
        with self.database.begin() as s:
            model = models.add(s, project_id=self.project, name="net", upload_digest=digest)
            data = datasets.add(
                s, project_id=self.project, name="data", kind="digits", upload_digest=None, options={"seed": 1}
            )
            priced = profiles.add(
                s, project_id=self.project, name="chip", document=profile.to_json(), digest=profile.digest
            )
        return model.id, data.id, priced.id

    def submit(self, parts: tuple[str, str, str], **changes: Any) -> str:
        """A search over the parts."""
        model, dataset, profile = parts
        wanted = {"trials": 8, "seed": 3, "precision": "int8", "recovery": Recovery(steps=5)} | changes
        spec = SearchSpec(model=model, dataset=dataset, profiles=(profile,), **wanted)
        with self.database.begin() as s:
            return searches.add(s, project_id=self.project, spec=spec).id

    def search(self, search_id: str) -> SearchRecord:
        with self.database.read() as s:
            return searches.get(s, self.project, search_id)

    def trials(self, search_id: str) -> list[Trial]:
        with self.database.read() as s:
            return trials.history(s, search_id)

    def finished(self, search_id: str) -> int:
        """Complete trials of a search that did not fail."""
        assert self.search(search_id).state != "failed", self.search(search_id).failure
        return sum(trial.state == "complete" for trial in self.trials(search_id))

    def events(self, search_id: str | None = None) -> list[EventRecord]:
        with self.database.read() as s:
            return events.after(s, self.project, search_id=search_id, after_id=0, limit=10_000)

    def cancel(self, search_id: str) -> None:
        with self.database.begin() as s:
            searches.request_cancel(s, self.project, search_id)

    def over(self, *search_ids: str) -> Callable[[], bool]:
        """Whether these searches ended."""
        return lambda: all(self.search(i).state in ("succeeded", "failed", "cancelled") for i in search_ids)


def work(coordinator: Coordinator, until: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Step until it is so."""
    end = monotonic() + limit_s
    while not until():
        assert monotonic() < end, "waited in vain"
        coordinator.step(0.05)


def results(found: list[Trial]) -> set[tuple[Any, ...]]:
    """What a search must give again: plan, seed and measurements of every trial."""
    return {
        (t.number, t.role, t.state, t.plan.digest, t.seed, t.recovery_steps, t.measurements, t.costs[0].latency_ms)
        for t in found
    }
