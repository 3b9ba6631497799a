"""Searches in every state, as rows: two devices, dense trials, a front, dominated, failed and waiting trials."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from app.search.bound import GAPS
from app.search.space.price import price_plan
from app.search.trial import Failure, Measurement, Trial, TrialCost
from app.settings import Settings
from app.store import fronts, profiles, searches, trials
from costmodels.catalogue import accelerator_profile, cost_model
from pruning.layers import ModelSpec
from pruning.patterns import Channel, Unstructured
from pruning.plan import PruningPlan
from tests.app.api.world import (
    API,
    MODEL,
    World,
    ambiguous_profile,
    finished_trial,
    open_world,
    plans_and_accuracies,
)

ACCELERATOR = "eyeriss-v2"
GAP = {"number": 3, "latency_ms": 2.1, "loss": 0.31, "predicted_loss": 0.25, "gap": 0.06}
ESTIMATE = {
    "seconds": {"p10": 60.0, "p50": 120.0, "p90": 240.0}, "trials": 24, "recoveries": 25, "sample_passes": 120_000,
    "notes": ["The time rests on an assumed rate."], "ends_by": "trials", "basis": "assumed",
}  # fmt: skip
HOSTILE = "\"><script>alert('x')</script>{{7*7}}<img src=x onerror=alert(1)>&amp;"


@dataclass(frozen=True)
class Pages:
    """A running application, and a second device: an accelerator of the catalogue."""

    world: World
    modelled: str

    @property
    def profiles(self) -> tuple[str, str]:
        """Both devices."""
        return self.world.profile, self.modelled

    def calibrated(self) -> dict[str, Any]:
        """A calibration of the measured profile, far from the profile itself."""
        points = [
            {"predicted_ms": 5.5, "measured_ms": 2.0, "label": HOSTILE},
            {"predicted_ms": 3.3, "measured_ms": 1.3},
        ]
        path = f"{API}/profiles/{self.world.profile}/calibrations"
        made: dict[str, Any] = self.world.http.post(path, json={"points": points}).json()
        return made

    def ambiguous(self) -> str:
        """A profile of which two layers could be one of the model's."""
        return self.world.add_profile(ambiguous_profile())

    def html(self, path: str, status: int = 200) -> str:
        """A page."""
        answer = self.world.http.get(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"].startswith("text/html")
        return answer.text

    def json(self, path: str) -> Any:
        """What the API says."""
        return self.world.http.get(f"{API}{path}").json()

    def search(self, **changes: Any) -> str:
        """A queued search on both devices."""
        wished = {"name": "made", "profiles": self.profiles, "batch": 64, "acknowledge": ("batch", "precision")}
        return self.world.search(**wished | changes)

    def running(self, phase: str = "trials", **changes: Any) -> str:
        """A search that a worker claimed."""
        made = self.search(**changes)
        with self.world.service.database.begin() as session:
            while (claimed := searches.claim(session, holder="test", epoch=1)) and claimed.id != made:
                pass  # the oldest comes first
            searches.set_phase(session, made, phase)
        return made

    def record(self, search: str, made: Sequence[Trial]) -> None:
        """Write trials, fronts and their events in one transaction, as the coordinator does."""
        asked = [trial.evolve(state="queued", measurements=(), report={}, files={}, failure=None) for trial in made]
        with self.world.service.database.begin() as session:
            trials.add_asked(session, search, asked)
            for trial in made:
                if trial.state not in ("queued", "running"):
                    trials.record(session, search, trial)
                self.world.tell(session, search, "trial", {"number": trial.number, "state": trial.state})
            fronts.update(session, search, self.profiles)

    def end(self, search: str, state: str = "succeeded", failure: Failure | None = None) -> None:
        """The end of a search, with its event."""
        with self.world.service.database.begin() as session:
            searches.finish(session, search, state=state, failure=vars(failure) if failure else None)
            self.world.tell(session, search, "search", {"state": state})

    def finished(self, **changes: Any) -> str:
        """A succeeded search: two dense trials, a front of several points, dominated trials and a failed one."""
        made = self.running(**changes)
        self.record(made, [*self.some_trials(), self.failed_trial(5)])
        self.end(made)
        return made

    def explored(self, **changes: Any) -> str:
        """A finished search with all that may be said of one: measured, shipped, stopped and infeasible trials,
        the gap to the bound, why it ended, and what was predicted of it."""
        made = self.running(**changes)
        small = self.trial(5, plan(5), 0.6).evolve(state="stopped", failure=None)
        slow = self.failed_trial(6, "the loss became NaN at step 3").evolve(state="infeasible")
        self.record(made, [*self.some_trials(), small, slow, replace(slow, number=7)])
        bound = {self.world.profile: [{"latency_ms": 2.0, "error": 0.05}], GAPS: {self.world.profile: [GAP]}}
        with self.world.service.database.begin() as session:
            searches.set_bound(session, made, bound)
            searches.set_estimate(session, made, ESTIMATE)
            trials.add_measurements(session, made, 3, [timed(self.world.profile), lab_reading()])
            trials.set_shipped(session, made, 3, {"at": "2026-08-01T10:00:00+00:00", "note": "in release 7"})
            self.world.tell(session, made, "ended", {"because": "trials", "text": "all 24 trials have been run"})
        self.end(made)
        return made

    def some_trials(self) -> list[Trial]:
        """The five trials of the API's world, priced on both devices."""
        return [self.trial(n, plan, accuracy) for n, (plan, accuracy) in enumerate(plans_and_accuracies())]

    def trial(self, number: int, plan: PruningPlan, accuracy: float) -> Trial:
        """A complete trial with a file, priced on both devices."""
        made = finished_trial(number, plan, accuracy, self.world.profile)
        return made.evolve(costs=(*made.costs, self._modelled_cost(plan)), files={"weights": "0" * 64})

    def failed_trial(self, number: int, reason: str = "the loss became NaN at step 3") -> Trial:
        """A trial that did not work."""
        made = self.trial(number, plan(number), 0.5)
        return made.evolve(
            state="failed", measurements=(), report={}, files={}, failure=Failure(code="diverged", reason=reason)
        )

    def _modelled_cost(self, plan: PruningPlan) -> TrialCost:
        prices = cost_model(accelerator_profile(ACCELERATOR, 64, "int8"), MODEL, ("batch", "precision", "coverage"))
        (cost,) = price_plan(MODEL, plan, {self.modelled: prices})
        return cost


def timed(profile: str) -> Measurement:
    """What `verify` measured of trial 3, beside its prediction."""
    origin = {
        "by": "verify", "backend": "onnxruntime", "runtime": "onnxruntime 1.20", "device": "board", "batch": 1,
        "threads": 1, "statistic": "median", "std_ms": 0.05, "median_ms": 1.75, "dense_ms": 5.25, "dense_std_ms": 0.1,
        "warning": "the clock was not steady",
    }  # fmt: skip
    return Measurement(
        metric="latency_ms", value=1.75, standard_error=0.01, samples=40, seed=3, fidelity=200, profile=profile,
        origin=origin,
    )  # fmt: skip


def lab_reading() -> Measurement:
    """What a team measured of trial 3 by itself, with a name that would like to be markup."""
    origin = {"by": "post", "at": "2026-08-01T09:00:00+00:00", "device": HOSTILE, "note": "by the lab"}
    return Measurement(
        metric="accuracy", value=0.885, standard_error=0.004, samples=5000, seed=3, fidelity=200, split="test",
        origin=origin,
    )  # fmt: skip


def plan(number: int) -> PruningPlan:
    """One of many different plans."""
    sparsity = round(0.05 + 0.9 * (number * 0.6180339887 % 1.0), 3)
    kept = Channel(0.5) if number % 3 == 0 else Unstructured(sparsity)
    return PruningPlan(pruner="magnitude", patterns={"body": Unstructured(sparsity), "stem": kept})


def open_pages(folder: Path) -> Pages:
    """A running application with both devices; close its world in the end."""
    world = open_world(Settings(data_dir=folder, max_upload_bytes=1_000_000))
    document = accelerator_profile(ACCELERATOR, 64, "int8")
    with world.service.database.begin() as session:
        stored = profiles.add(
            session, project_id=world.service.project_id, name=ACCELERATOR, request={}, document=document.to_json(),
            digest=document.digest,
        )  # fmt: skip
    return Pages(world=world, modelled=stored.id)


def hostile_model() -> ModelSpec:
    """A model whose layer has a name that would like to be markup."""
    first, *rest = MODEL.to_json()["layers"]
    return ModelSpec.from_json(MODEL.to_json() | {"layers": [first | {"name": HOSTILE}, *rest], "groups": []})


class Table(HTMLParser):
    """The cells of one table or table body of a page, as texts without their markup."""

    def __init__(self, page: str, name: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._name, self._inside, self._cell = name, 0, False
        self.feed(page)

    def __iter__(self) -> Iterator[list[str]]:
        return iter([[" ".join(cell.split()) for cell in row] for row in self.rows if row])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("table", "tbody") and (self._inside or dict(attrs).get("id") == self._name):
            self._inside += 1
        if self._inside and tag == "tr":
            self.rows.append([])
        if self._inside and tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag in ("table", "tbody"):
            self._inside -= 1
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._inside and self._cell:
            self.rows[-1][-1] += data
