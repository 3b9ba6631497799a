"""Rungs, budgets and extensions of a whole search without torch; and that no crash changes any of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import nan
from typing import Any

import pytest

from app.search.errors import SearchFailed
from app.search.events import BoundReady, SearchEnded, TrialFinished, TrialMeasured, TrialsAsked, TrialsPromoted
from app.search.executor import Outcome, Task
from app.search.proposals.propose import FIRST
from app.search.proposals.rungs import losses_of
from app.search.run import run
from app.search.spec import Budget, Limit, Recovery
from app.search.table.memory import Memory
from app.search.trial import Failure, Trial
from app.search.work.follow import Problem
from tests.app.search import fakes
from tests.app.search.fakes import FakeExecutor, FakeStore, follow, problem
from tests.costmodels.models import chain

RECOVERY = Recovery(steps=100, batch=8)
LADDER: dict[str, Any] = {"rungs": (0, 20), "recovery": RECOVERY, "trials": 12, "profiles": ("eyeriss",)}
EARLIER = Memory(trials=tuple(follow(problem(trials=8, profiles=("eyeriss",)), FakeExecutor()).history()))


def ended(asked: Problem, **arguments: Any) -> tuple[list[Trial], SearchEnded]:
    store, last = FakeStore(), None
    for last in run(asked, FakeExecutor(), **arguments):
        store.keep(last)
    assert isinstance(last, SearchEnded)
    return store.history(), last


def test_trials_gain_a_measurement_at_every_rung_and_end_complete_or_stopped_with_a_reason() -> None:
    trials, last = ended(problem(**LADDER))
    assert last.because == "trials"
    searched = trials[FIRST:]
    assert {trial.state for trial in searched} == {"complete", "stopped"}
    for trial in searched:
        assert sorted(losses_of(trial)) == [f for f in (0, 20, 100) if f <= trial.recovery_steps]
        assert trial.report["sample_passes"] == sum(trial.report["runs"].values())
        if trial.state == "stopped":
            assert trial.failure and trial.failure.code == "rung"
            assert str(trial.recovery_steps) in trial.failure.reason
    highest = Counter(trial.recovery_steps for trial in searched)
    assert highest[100] < len(searched) / 1.5, "rungs spare recoveries"
    assert trials[0].recovery_steps == 0 and trials[1].recovery_steps == 100


def test_a_bracket_is_judged_when_all_of_it_was_measured() -> None:
    waiting: set[int] = set()
    for event in run(problem(**LADDER), FakeExecutor(slots=3)):
        match event:
            case TrialsAsked(trials=asked) if asked[0].number >= FIRST:
                assert not waiting
                waiting = {trial.number for trial in asked}
            case TrialMeasured(trial=trial):
                assert trial.state == "queued"
                waiting.discard(trial.number)
            case TrialsPromoted(trials=promoted):
                assert not waiting
                waiting = {trial.number for trial in promoted}
            case TrialFinished(trial=trial) if trial.state == "complete":
                waiting.discard(trial.number)
    assert not waiting


HARD = {
    "rungs": problem(**LADDER),
    "rungs and limits": problem(**{**LADDER, "profiles": ("cpu", "eyeriss")}, limits=[Limit(profile="cpu", share=0.6)]),
    "refit": problem(trials=14, width=3),
    "raw": problem(coordinates="raw", trials=10, limits=[Limit(profile="eyeriss", share=0.1)]),
    "recoveries": problem(**LADDER, budget=Budget(recoveries=12)),
    "sample passes": problem(**LADDER, budget=Budget(sample_passes=60_000)),
    "extended": problem(trials=5, extensions=(3, 4)),
}


@pytest.mark.parametrize("name", HARD)
def test_killed_anywhere_any_number_of_times_it_comes_to_the_same_end(name: str) -> None:
    calm = FakeStore()
    events = list(run(HARD[name], FakeExecutor(), memory=EARLIER))
    for event in events:
        calm.keep(event)
    store, left, life = FakeStore(), len(events), 0
    while left:
        executor = FakeExecutor(seed=life, slots=1 + life % 4, lose=0.2)
        known = run(HARD[name], executor, history=store.history(), scores=store.scores, memory=EARLIER)
        left = 0
        for count, event in enumerate(known):
            store.keep(event)
            if count == 7 + 5 * (life % 3) and life < 12:
                left = 1
                break
        known.close()
        assert executor.waiting == [], "what ran was cancelled"
        life += 1
    assert life > 2
    assert store.identity() == calm.identity()


def test_an_extended_search_begins_as_the_one_that_is_not() -> None:
    short = follow(problem(trials=5), FakeExecutor())
    at_once = follow(problem(trials=5, extensions=(4,)), FakeExecutor())
    assert at_once.identity()[:7] == short.identity()
    store = FakeStore(trials=dict(short.trials), scores=short.scores, ended=set(short.ended))
    executor = FakeExecutor(slots=3)
    follow(problem(trials=5, extensions=(4,)), executor, store)
    assert store.identity() == at_once.identity()
    assert len(store.trials) == 11
    assert {task.kind for task in executor.submitted} == {"trial"} and len(executor.submitted) == 4


def test_recoveries_end_a_search_and_dense_counts() -> None:
    trials, last = ended(problem(trials=20, budget=Budget(recoveries=6)))
    assert last.because == "recoveries" and "6 recoveries" in last.text
    assert len(trials) == FIRST + 5
    rungs, last = ended(problem(**{**LADDER, "rungs": (20,)}, budget=Budget(recoveries=11)))
    assert sum(steps != "0" for trial in rungs for steps in trial.report["runs"]) <= 11
    assert last.because == "recoveries"
    assert any(trial.failure and trial.failure.code in ("budget", "rung") for trial in rungs)


def test_sample_passes_count_the_table_and_are_kept() -> None:
    whole, _ = ended(problem(trials=10, recovery=RECOVERY))
    table = next(e.document for e in run(problem(), FakeExecutor()) if type(e).__name__ == "ScoresReady")
    a_trial = whole[2].report["sample_passes"]
    dense = sum(trial.report["sample_passes"] for trial in whole[:2])
    most = table["sample_passes"] + dense + 4 * a_trial + a_trial // 2
    trials, last = ended(problem(trials=10, recovery=RECOVERY, budget=Budget(sample_passes=most)))
    assert last.because == "sample_passes"
    assert len(trials) == FIRST + 4
    assert [trial.plan for trial in trials] == [trial.plan for trial in whole[: FIRST + 4]]


def test_wall_time_ends_a_search_but_what_was_asked_for_is_finished() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.0
        return now[0]

    trials, last = ended(problem(trials=50, budget=Budget(wall_s=4)), elapsed_s=clock)
    assert last.because == "wall_s"
    assert FIRST < len(trials) < 52
    assert {trial.state for trial in trials} == {"complete"}


def test_a_budget_that_ends_with_a_batch_ends_the_search() -> None:
    dense, first_rung, promoted = 1, 6, 1
    trials, last = ended(problem(**{**LADDER, "rungs": (20,)}, budget=Budget(recoveries=dense + first_rung + promoted)))
    assert last.because == "recoveries"
    assert len(trials) == FIRST + first_rung


@pytest.mark.parametrize("budget", [Budget(recoveries=1), Budget(sample_passes=100)])
def test_a_budget_that_pays_no_trial_is_refused_before_anything_runs(budget: Budget) -> None:
    executor = FakeExecutor()
    with pytest.raises(SearchFailed, match="does not suffice for one trial") as caught:
        follow(problem(budget=budget), executor)
    assert caught.value.code == "budget_too_small"
    assert executor.submitted == []


def test_a_budget_that_table_and_dense_model_use_up_is_refused() -> None:
    asked = problem(recovery=RECOVERY, budget=Budget(sample_passes=2 * (3 * 100 * 8 + 200) + 1000))
    with pytest.raises(SearchFailed, match="error table and dense model took all of it"):
        follow(asked, FakeExecutor())


def diverging(*numbers: int, code: str = "recovery") -> FakeExecutor:
    why = Failure(code=code, reason="the loss of step 3 is nan")
    return FakeExecutor(failures={f"search/trial/{number}": why for number in numbers})


def test_a_diverged_recovery_is_an_infeasible_trial_and_the_search_goes_on() -> None:
    trials = follow(problem(), diverging(4)).history()
    assert trials[4].state == "infeasible"
    assert trials[4].failure and "nan" in trials[4].failure.reason
    assert [trial.state for trial in trials if trial.number != 4] == ["complete"] * 11


def test_a_dense_model_that_diverges_ends_the_search() -> None:
    with pytest.raises(SearchFailed, match="the dense model itself diverges in recovery; lower its learning rate"):
        follow(problem(), diverging(1))
    with pytest.raises(SearchFailed, match="could not be run"):
        follow(problem(), diverging(0))


def test_a_loss_that_is_no_number_is_a_diverged_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[[Task], dict[str, Any]] = fakes.answer

    def answer(task: Task) -> dict[str, Any]:
        found = honest(task)
        if task.id.endswith("/trial/3"):
            found["measurements"][1]["value"] = nan
        return found

    monkeypatch.setattr(fakes, "answer", answer)
    trial = follow(problem(trials=3), FakeExecutor()).history()[3]
    assert trial.state == "infeasible" and trial.measurements == ()
    assert trial.failure and trial.failure.code == "not_finite"


def test_plans_over_a_limit_are_never_run() -> None:
    executor = FakeExecutor()
    trials = follow(HARD["raw"], executor).history()
    broken = {f"search/trial/{trial.number}" for trial in trials if trial.state == "infeasible"}
    assert broken and not broken & {task.id for task in executor.submitted}
    reasons = [trial.failure.reason for trial in trials if trial.failure]
    assert all("above the limit" in reason for reason in reasons)


def test_the_last_bound_has_the_gaps() -> None:
    bounds = [event.document for event in run(problem(trials=6), FakeExecutor()) if isinstance(event, BoundReady)]
    assert "gaps" not in bounds[0]
    assert set(bounds[-1]["gaps"]) == {"cpu", "eyeriss"}
    assert {k: v for k, v in bounds[-1].items() if k != "gaps"} == bounds[0]


def test_a_rung_without_a_validation_loss_fails_the_trial_by_name() -> None:
    class Silent(FakeExecutor):
        def poll(self, timeout_s: float) -> Any:
            found = list(super().poll(timeout_s))
            for place, event in enumerate(found):
                if isinstance(event, Outcome) and event.task == "search/trial/2":
                    kept = [m for m in event.result["measurements"] if m["metric"] != "loss"]
                    found[place] = replace(event, result={**event.result, "measurements": kept})
            return found

    trial = follow(problem(**{**LADDER, "trials": 6}), Silent()).history()[2]
    assert trial.state == "failed" and trial.failure and trial.failure.code == "no_loss"


def test_a_sampler_that_does_not_serve_is_refused_before_anything_runs() -> None:
    executor = FakeExecutor()
    wide = replace(problem(coordinates="raw", sampler="gp", profiles=("eyeriss",)), model=chain((16,) * 20))
    wide = replace(wide, cost_models={"eyeriss": fakes.devices(wide.model)["eyeriss"]})
    with pytest.raises(SearchFailed, match="use 'tpe'"):
        follow(wide, executor)
    assert executor.submitted == []
