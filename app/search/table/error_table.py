"""The error table of a search, measured on an executor; what is known is not measured again.

Which options are measured follows from the space and from errors measured before, never from what a cache happens to
hold: the table of a search is the same whether everything or nothing of it was known (see `measuring`).

`spec.error_table` says how: "oneshot" measures the answers of the model with one option applied, "reconstructed" first
solves the weights that are left for what the layer sees, "prior" reads errors off the weights and forwards nothing.

"curvature", "spdy", "owl" and "hill" are the further priors of `app.search.table.priors`. Each is one task over the
whole space: what an option is said to cost may depend on its family, so errors are kept by table, not option by option.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import groupby
from math import ceil
from typing import Any

from app.search.errors import SearchFailed
from app.search.events import Event, OptionsScored, SearchProgress
from app.search.executor import Executor, Outcome, Progress, Task
from app.search.space.limits import Prices
from app.search.space.options import Space, Unit
from app.search.spec import SearchSpec
from app.search.table.completion import anchors, complete
from app.search.table.measuring import Errors, Place, by_unit, measure
from app.search.table.memory import option_key
from app.search.trial import Failure
from app.search.work.follow import Ended, Problem, follow, payload_of

OPTIONS_A_TASK = 40
AT_ONCE: Mapping[str, int] = {"spdy": 0, "hill": 0, "owl": 1, "curvature": 3}  # sample-passes of a whole table
TABLE_SHARE = 0.5  # of the sample-passes a search may take; the strongest of every family are measured anyway


def rule(how: str) -> int:
    """Raised where the meaning of an option's error changes: what is stored is then not found any more."""
    return 3 if how == "reconstructed" else 2


def error_key(spec: SearchSpec, digests: Mapping[str, str]) -> str:
    """sha256 of all that decides the error of an option, but for the option itself.

    Args:
        spec: of the search: how inputs are read, how many, the seed, the threads, the way of measuring.
        digests: sha256 of "graph", "weights" and "data".
    """
    asked = {
        "rule": rule(spec.error_table),
        "digests": dict(digests),
        "task": [spec.task.kind, spec.task.output, spec.task.classes, spec.task.mean, spec.task.std],
        "how": spec.error_table,
        "samples": spec.calibration_samples,
        "seed": spec.seed,
        "threads": spec.threads,
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known before anything is measured: errors by option key, and a prior (see `memory`)."""

    errors: Mapping[str, float] = field(default_factory=dict)
    samples: int = 0
    prior: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, scores: Mapping[str, Any] | None, prior: Mapping[str, float]) -> "Known":
        """From a document `{"options": {key: error}, "samples": n}`."""
        document = scores or {}
        return cls(errors=document.get("options", {}), samples=document.get("samples", 0), prior=prior)


def error_table(
    problem: Problem, prices: Prices, executor: Executor, known: Known
) -> Generator[Event, None, dict[str, Any]]:
    """The document of the table: errors by unit, which of them were measured, samples, and sample-passes.

    "sample_passes" is what the table takes where nothing is known, so that budgets do not depend on a cache;
    "paid_passes" is what was forwarded now.

    Raises:
        SearchFailed: a part of it could not be had; the others are stopped.
    """
    desk = _Desk(problem=problem, units=prices.space.units, executor=executor, known=known)
    if problem.spec.error_table in AT_ONCE:
        return (yield from desk.whole())
    found = yield from measure(prices, desk.ask, _limit(problem.spec), known.prior)
    apart = by_unit(found, len(desk.units))
    patterns = [[option.patterns for option in unit.options] for unit in desk.units]
    return {
        "errors": [complete(*each) for each in zip(patterns, apart, strict=True)],
        "measured": [sorted(errors) for errors in apart],
        "samples": desk.samples,
        "sample_passes": desk.samples * desk.forwards,
        "paid_passes": desk.paid,
    }


def _limit(spec: SearchSpec) -> int | None:
    """How many options may be measured; None is all that are wanted."""
    if spec.budget.sample_passes is None or spec.error_table == "prior":
        return None
    return int(TABLE_SHARE * spec.budget.sample_passes / spec.calibration_samples)


def least_passes(problem: Problem, space: Space) -> int:
    """Sample-passes that a table takes at least, whatever its limit; 0 where the size of the data is not known."""
    how = problem.spec.error_table
    samples = min(problem.spec.calibration_samples, problem.supply.samples.get("calibration", 0))
    if how == "prior" or how in AT_ONCE:
        return samples * AT_ONCE.get(how, 0)
    strongest = sum(len(anchors([option.patterns for option in unit.options])) for unit in space.units)
    each = 2 if how == "reconstructed" else 1  # dense, and to see inputs
    return samples * (strongest + each * ceil(strongest / OPTIONS_A_TASK))


def forwards(options: Sequence[Sequence[object]], how: str) -> int:
    """How often one scoring task forwards its samples: dense, each option, and once to see inputs if it solves.

    A backward pass counts twice.
    """
    if how == "prior":
        return 0
    if how in AT_ONCE:
        return AT_ONCE[how]
    return 1 + sum(map(len, options)) + (how == "reconstructed")


@dataclass(kw_only=True)
class _Desk:
    """Has options scored, and counts what that takes."""

    problem: Problem
    units: Sequence[Unit]
    executor: Executor
    known: Known
    samples: int = 0
    forwards: int = 0  # if nothing were known
    paid: int = 0  # sample-passes
    asked: int = 0

    def ask(self, places: Sequence[Place]) -> Generator[Event, None, Errors]:
        """The errors of these options; of those not known from tasks of several options, so that all slots work."""
        known = {place: self.known.errors[key] for place in places if (key := self._key(place)) in self.known.errors}
        if known:
            self.samples = max(self.samples, self.known.samples)
        tasks: dict[str, tuple[Task, list[Place]]] = {}
        for start in range(0, len(places), OPTIONS_A_TASK):
            part = places[start : start + OPTIONS_A_TASK]
            self.forwards += forwards(self._grouped(part), self.problem.spec.error_table)
            if missing := [place for place in part if place not in known]:
                task = self._task(self.asked + start, missing)
                tasks[task.id] = task, missing
        self.asked += len(places)
        found = yield from self._follow(tasks)
        return known | found

    def whole(self) -> Generator[Event, None, dict[str, Any]]:
        """The document of a table that is made at once, of all options together."""
        task = self._asking(0, [[option.to_json() for option in unit.options] for unit in self.units])
        result: Mapping[str, Any] = {}
        with closing(follow(self.executor, [task])) as happened:
            for event in happened:
                if isinstance(event, Ended):
                    result = _result(event.outcome)
                elif isinstance(event, Progress):
                    yield SearchProgress(fraction=event.fraction, text="estimating all options", task=event.task)
        return {
            "errors": result["errors"],
            "measured": [list(range(1, len(unit.options))) for unit in self.units],
            "samples": result["samples"],
            "sample_passes": result["sample_passes"],
            "paid_passes": result["sample_passes"],
        }

    def _follow(self, tasks: Mapping[str, tuple[Task, Sequence[Place]]]) -> Generator[Event, None, Errors]:
        found: Errors = {}
        fractions = dict.fromkeys(tasks, 0.0)
        with closing(follow(self.executor, [task for task, _ in tasks.values()])) as happened:
            for event in happened:
                if isinstance(event, Ended):
                    result = _result(event.outcome)
                    errors = dict(zip(tasks[event.task.id][1], _flat(result["errors"]), strict=True))
                    self.samples = max(self.samples, result["samples"])
                    self.paid += result.get("sample_passes", 0)
                    found |= errors
                    scored = {self._key(place): error for place, error in errors.items()}
                    yield OptionsScored(errors=scored, samples=result["samples"])
                elif isinstance(event, Progress):
                    fractions[event.task] = event.fraction
                    share = sum(fractions.values()) / len(tasks)
                    yield SearchProgress(fraction=share, text="scoring options one at a time", task=event.task)
        return found

    def _task(self, number: int, places: Sequence[Place]) -> Task:
        asked = [[self.units[u].options[o].to_json() for u, o in group] for group in self._grouped(places)]
        return self._asking(number, asked)

    def _asking(self, number: int, options: Sequence[Sequence[Mapping[str, Any]]]) -> Task:
        return Task(
            id=f"{self.problem.key}/score/{number}",
            kind="score",
            payload=payload_of(self.problem) | {"options": options},
            threads=self.problem.spec.threads,
        )

    def _grouped(self, places: Sequence[Place]) -> list[list[Place]]:
        return [list(group) for _, group in groupby(places, key=lambda place: place[0])]

    def _key(self, place: Place) -> str:
        unit, option = place
        return option_key(self.units[unit].options[option].patterns)


def _flat(errors: Sequence[Sequence[float]]) -> list[float]:
    return [error for unit in errors for error in unit]


def _result(outcome: Outcome) -> Mapping[str, Any]:
    if outcome.state == "done":
        return outcome.result
    why = outcome.failure or Failure(code=outcome.state, reason="The scoring of options did not finish.")
    raise SearchFailed(why.code, why.reason, why.details)
