"""A search without torch: a made-up error table, trials answered by formula, an executor that misbehaves on purpose."""

import json
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import exp
from typing import Any

import numpy as np

from app.search.events import (
    Event,
    ScoresReady,
    TrialFinished,
    TrialMeasured,
    TrialsAsked,
    TrialsPromoted,
    TrialStarted,
)
from app.search.executor import Outcome, Progress, Task
from app.search.proposals.terrain import Terrain
from app.search.run import Problem, run
from app.search.space.build import space
from app.search.space.limits import Limits, Prices
from app.search.space.price import cost_table, reachable_range, remembered
from app.search.spec import Limit, SearchSpec
from app.search.trial import Failure, Trial
from app.search.work.supply import Supply
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.profile import Profile, ProfileRow
from pruning import patterns
from pruning.layers import ModelSpec
from pruning.patterns import Pattern
from pruning.plan import PruningPlan
from tests.costmodels.models import blocks

MODEL = blocks(16, 2)
FILES = {"graph": "g", "weights": "w", "dataset": "d"}


def devices(model: ModelSpec = MODEL) -> dict[str, CostModel]:
    """A measured device that rewards channels only, and an analytical one that skips zeros."""
    rows = tuple(ProfileRow(layer=la.name, latency_ms=la.macs / 1e6) for la in model.layers)
    cpu = Profile(name="cpu", device="cpu", batch=1, precision="float32", source="measured", rows=rows)
    return {
        "cpu": cost_model(cpu, model),
        "eyeriss": cost_model(accelerator_profile("eyeriss-v2", 1), model),
    }


def problem(*, limits: Sequence[Limit] = (), profiles: Sequence[str] = ("cpu", "eyeriss"), **fields: Any) -> Problem:
    """A small search problem; `fields` go to its spec."""
    chosen = {"trials": 10, "sparsities": (0.5, 0.8, 0.9), "sampler": "tpe", **fields}
    spec = SearchSpec(model="m", dataset="d", profiles=tuple(profiles), limits=tuple(limits), **chosen)
    found = devices()
    costs = {key: found[key] for key in profiles}
    return Problem(spec=spec, model=MODEL, cost_models=costs, files=FILES, supply=Supply(statistics=False))


def terrain(asked: Problem) -> Terrain:
    """What a search of this problem decodes against, with the made-up errors."""
    cost_models = remembered(asked.cost_models)
    built = space(asked.model, asked.spec, cost_models)
    errors = [[sum(error_of(p, name) for name, p in o.patterns.items()) for o in unit.options] for unit in built.units]
    prices = Prices(
        model=asked.model,
        space=built,
        table=cost_table(asked.model, built, cost_models),
        cost_models=cost_models,
        reachable={key: reachable_range(asked.model, built, key, m) for key, m in cost_models.items()},
    )
    limits = Limits.of(asked.spec, prices.reachable)
    arrays = tuple(np.array(row) for row in errors)
    return Terrain(spec=asked.spec, prices=prices, errors=arrays, limits=limits, haven=prices.keeping(limits))


def error_of(pattern: Pattern, layer: str) -> float:
    """A made-up sensitivity: it differs by layer and kind, and rises with sparsity."""
    weight = 1.0 + sum(layer.encode()) % 7
    kind = {"channel": 3.0, "nm": 1.3}.get(pattern.kind, 1.0)
    return weight * kind * (1.0 - pattern.density) ** 2


def answer(task: Task) -> dict[str, Any]:
    """What a task would find: a pure function of its payload."""
    if task.kind == "score":
        units = task.payload["options"]
        read = [[{name: patterns.from_json(p) for name, p in option.items()} for option in unit] for unit in units]
        errors = [[sum(error_of(p, name) for name, p in option.items()) for option in unit] for unit in read]
        return {"errors": errors, "samples": 256, "sample_passes": 256 * (1 + sum(map(len, errors)))}
    asked = task.payload["trial"]
    plan = PruningPlan.from_json(asked["plan"])
    total = sum(error_of(p, name) for name, p in plan.patterns.items())
    draw = random.Random(f"{plan.digest}/{asked['seed']}/{asked['recovery_steps']}").random()
    loss = 0.1 + total / 40 + 0.01 * draw
    common = {"samples": 100, "seed": asked["seed"], "fidelity": asked["recovery_steps"], "profile": None}
    return {
        "measurements": [
            {"metric": metric, "value": value, "split": split, "standard_error": 0.01, **common}
            for split in ("validation", "test")
            for metric, value in (("accuracy", exp(-loss)), ("loss", loss))
        ],
        "report": {"layers": []},
    }


@dataclass
class FakeExecutor:
    """Keeps `slots` tasks running, ends one of them at random; a share `lose` of all ends are deaths of the process.

    No task dies more than twice, so none runs out of attempts by chance; those in `doomed` die each time.
    """

    seed: int = 0
    slots: int = 2
    lose: float = 0.0
    doomed: Collection[str] = ()
    failures: dict[str, Failure] = field(default_factory=dict)
    deaths: dict[str, int] = field(default_factory=dict)
    submitted: list[Task] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def submit(self, task: Task) -> None:
        json.dumps(task.payload)
        assert task.id not in [other.id for other in self.waiting], "one attempt at a time"
        self.submitted.append(task)
        self.waiting.append(task)

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:  # noqa: ARG002 - nothing to wait for
        if not self.waiting:
            return []
        task = self.waiting.pop(self.random.randrange(min(self.slots, len(self.waiting))))
        step = Progress(task=task.id, fraction=0.5)
        died = self.deaths.get(task.id, 0)
        if task.id in self.doomed or (self.random.random() < self.lose and died < 2):
            self.deaths[task.id] = died + 1
            return [step, Outcome(task=task.id, state="lost")]
        if task.id in self.failures:
            return [step, Outcome(task=task.id, state="failed", failure=self.failures[task.id])]
        return [step, Outcome(task=task.id, state="done", result=answer(task), files={"weights": f"/{task.id}"})]

    def cancel(self, task_id: str) -> None:
        self.cancelled.append(task_id)
        self.waiting = [task for task in self.waiting if task.id != task_id]

    def capacity(self) -> int:
        return self.slots


@dataclass
class FakeStore:
    """What a coordinator keeps of a search: JSON, written event by event, the first record of a trial stands."""

    trials: dict[int, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    ended: set[int] = field(default_factory=set)

    def keep(self, event: Event) -> None:
        match event:
            case TrialsAsked(trials=asked):
                for trial in asked:
                    assert trial.state == "queued", "the store knows no other beginning"
                    self.trials.setdefault(trial.number, _plain(trial))
            case TrialStarted(number=number, attempt=attempt):
                self.trials[number] |= {"state": "running", "attempts": attempt}
            case TrialMeasured(trial=trial) if trial.number not in self.ended:
                self.trials[trial.number] = _plain(trial)
            case TrialsPromoted(trials=promoted):
                for trial in promoted:
                    self.trials[trial.number] |= {"recovery_steps": trial.recovery_steps, "state": "queued"}
            case TrialFinished(trial=trial) if trial.number not in self.ended:
                self.trials[trial.number] = _plain(trial)
                self.ended.add(trial.number)
            case ScoresReady(document=document):
                self.scores = json.loads(json.dumps(document))

    def history(self) -> list[Trial]:
        return [Trial.from_json(self.trials[number]) for number in sorted(self.trials)]

    def identity(self) -> list[dict[str, Any]]:
        """All of the trials that must not depend on slots, order or restarts: everything but the attempts."""
        return [self.trials[number] | {"attempts": None} for number in sorted(self.trials)]


def follow(
    asked: Problem, executor: FakeExecutor, store: FakeStore | None = None, stop_after: int | None = None
) -> FakeStore:
    """Drain a search into a store, going on from what is in it; with `stop_after`, die after that many events."""
    kept = store or FakeStore()
    events: Iterator[Event] = run(asked, executor, history=kept.history(), scores=kept.scores)
    for event in islice(events, stop_after):
        kept.keep(event)
    return kept


def _plain(trial: Trial) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(trial.to_json()))
    return document
