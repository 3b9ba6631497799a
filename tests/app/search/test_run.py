"""A whole search without torch: the same trials whatever finishes first, dies or restarts; and every way to fail."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.errors import SearchFailed
from app.search.events import (
    BoundReady,
    PhaseStarted,
    ScoresReady,
    SpaceReady,
    TrialFinished,
    TrialsAsked,
    TrialStarted,
)
from app.search.executor import Outcome, Progress
from app.search.run import MAX_ATTEMPTS, Event, run
from app.search.spec import Limit, Post, SamplerName
from app.search.trial import Failure
from pruning.plan import DKM
from tests.app.search.fakes import MODEL, FakeExecutor, FakeStore, follow, problem

SAMPLERS: tuple[SamplerName, ...] = ("tpe", "nsga2", "random")
LIMITS = (Limit(profile="cpu", share=0.5), Limit(profile="eyeriss", share=0.3))
HARD = {sampler: problem(sampler=sampler, trials=7, width=3, limits=LIMITS, seed=5) for sampler in SAMPLERS}
CALM = {sampler: follow(asked, FakeExecutor()) for sampler, asked in HARD.items()}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("slots", [1, 2, 7])
def test_slots_order_and_deaths_do_not_change_the_trials(sampler: SamplerName, slots: int) -> None:
    asked = problem(sampler=sampler, trials=12, width=3)
    calm = follow(asked, FakeExecutor())
    rough = follow(asked, FakeExecutor(seed=slots, slots=slots, lose=0.3))
    assert rough.identity() == calm.identity()
    assert len(calm.trials) == 14
    assert {trial["state"] for trial in calm.trials.values()} == {"complete"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_killed_after_any_event_it_goes_on_to_the_same_trials(sampler: SamplerName) -> None:
    asked = problem(sampler=sampler, trials=4, width=3)
    calm = follow(asked, FakeExecutor())
    count = sum(1 for _ in run(asked, FakeExecutor()))
    for killed_after in range(SAMPLERS.index(sampler), count, 3):  # together, every event
        store = follow(asked, FakeExecutor(seed=killed_after, slots=3), stop_after=killed_after)
        follow(asked, FakeExecutor(seed=1000 - killed_after, slots=2, lose=0.2), store)
        assert store.identity() == calm.identity(), f"killed after event {killed_after}"


def test_killed_again_and_again_it_gets_to_the_same_end() -> None:
    asked = problem(trials=8)
    store, calm = FakeStore(), follow(asked, FakeExecutor())
    for life in range(200):
        before = len(store.ended)
        follow(asked, FakeExecutor(seed=life, slots=2), store, stop_after=9 + life % 5)
        if len(store.ended) == 10:
            break
        assert life < 100 or len(store.ended) > before
    assert store.identity() == calm.identity()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_batch_stored_in_part_is_asked_for_again_as_it_was(sampler: SamplerName) -> None:
    asked = problem(sampler=sampler, trials=12, width=3)
    calm = follow(asked, FakeExecutor())
    for missing in (11, 12, 13):  # a batch behind the seeds; its other two are stored with results
        store = FakeStore(trials={n: t for n, t in calm.trials.items() if n != missing}, scores=calm.scores)
        store.ended = set(store.trials)
        follow(asked, FakeExecutor(), store)
        assert store.identity() == calm.identity()


@given(st.lists(st.integers(0, 12), max_size=6), st.sampled_from(SAMPLERS), st.integers(1, 4), st.floats(0, 0.5))
@settings(max_examples=8, deadline=None)
def test_whenever_it_is_killed_it_gets_to_the_same_end(
    lives: list[int], sampler: SamplerName, slots: int, lose: float
) -> None:
    store = FakeStore()
    for life, length in enumerate(lives):
        executor = FakeExecutor(seed=life, slots=slots, lose=lose)
        follow(HARD[sampler], executor, store, stop_after=length)
        assert executor.waiting == [], "what ran was cancelled"
    follow(HARD[sampler], FakeExecutor(slots=slots, lose=lose), store)
    assert store.identity() == CALM[sampler].identity()


def test_another_seed_gives_other_trials_and_the_width_is_part_of_the_question() -> None:
    plain = follow(problem(), FakeExecutor()).identity()
    assert follow(problem(seed=1), FakeExecutor()).identity() != plain
    assert follow(problem(width=5), FakeExecutor()).identity() != plain


def test_what_is_finished_is_not_run_again_nor_scored_again() -> None:
    asked = problem()
    store = follow(asked, FakeExecutor())
    idle = FakeExecutor()
    events = list(run(asked, idle, history=store.history(), scores=store.scores))
    assert idle.submitted == []
    assert not any(isinstance(event, TrialsAsked | TrialStarted | ScoresReady) for event in events)


def test_a_batch_is_told_before_any_of_it_runs_and_only_after_all_before_it_ended() -> None:
    asked = problem(width=3)
    executor = FakeExecutor(slots=3, lose=0.2)
    told: set[int] = set()
    ended: set[int] = set()
    for event in run(asked, executor):
        match event:
            case TrialsAsked(trials=trials):
                numbers = {trial.number for trial in trials}
                assert ended == told
                assert not numbers & told
                assert not {f"search/trial/{number}" for number in numbers} & {task.id for task in executor.submitted}
                assert len(numbers) <= 3
                told |= numbers
            case TrialStarted(number=number):
                assert number in told
            case TrialFinished(trial=trial):
                ended.add(trial.number)
    assert ended == told == set(range(12))


def test_the_first_two_trials_are_dense_as_uploaded_and_dense_recovered() -> None:
    first, second, *others = follow(problem(), FakeExecutor()).history()
    assert (first.role, second.role) == ("dense", "dense_recovered")
    assert first.recovery_steps == 0
    assert second.recovery_steps == problem().spec.recovery.steps
    assert first.plan == second.plan
    assert first.plan.patterns == {}
    assert {trial.role for trial in others} == {"searched"}
    assert {trial.seed for trial in others} == {problem().spec.seed}
    assert all(trial.plan.patterns for trial in others)


def test_a_post_step_is_on_every_trial_but_the_model_as_uploaded() -> None:
    store = follow(problem(post=(Post(kind="dkm", bits=3),), trials=2), FakeExecutor())
    assert [trial.plan.post for trial in store.history()] == [(), *3 * [(DKM(bits=3),)]]


def test_files_come_with_complete_trials_alone() -> None:
    doomed = "search/trial/4"
    ends = [e for e in run(problem(), FakeExecutor(doomed=[doomed])) if isinstance(e, TrialFinished)]
    for end in ends:
        assert bool(end.files) == (end.trial.state == "complete")
    (failed,) = [end.trial for end in ends if end.trial.state == "failed"]
    assert failed.number == 4


def test_a_trial_whose_process_dies_each_time_fails_and_the_search_goes_on() -> None:
    executor = FakeExecutor(doomed=["search/trial/3"])
    store = follow(problem(), executor)
    trial = store.history()[3]
    assert trial.state == "failed"
    assert trial.failure
    assert trial.failure.code == "lost"
    assert trial.attempts == MAX_ATTEMPTS
    assert [task.attempt for task in executor.submitted if task.id == "search/trial/3"] == [1, 2, 3]
    assert [t.state for t in store.history() if t.number != 3] == ["complete"] * 11


def test_attempts_are_counted_on_after_a_restart_but_each_life_has_its_own_three() -> None:
    doomed = ["search/trial/3"]
    executor = FakeExecutor(doomed=doomed, slots=1)
    store = FakeStore()
    for event in run(problem(), executor):
        store.keep(event)
        if isinstance(event, TrialStarted) and (event.number, event.attempt) == (3, 2):
            break
    again = FakeExecutor(doomed=doomed, slots=1)
    assert follow(problem(), again, store).history()[3].state == "failed"
    assert [task.attempt for task in again.submitted if task.id in doomed] == [3, 4, 5]


def test_a_trial_that_somebody_stopped_is_stopped_and_the_search_goes_on() -> None:
    class Stopping(FakeExecutor):
        def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:
            found = super().poll(timeout_s)
            return [Outcome(task=e.task, state="cancelled") if e.task.endswith("/4") else e for e in found]

    trials = follow(problem(), Stopping()).history()
    assert trials[4].state == "stopped"
    assert {trial.state for trial in trials if trial.number != 4} == {"complete"}


def test_what_is_told_of_tasks_that_are_not_ours_is_passed_over() -> None:
    class Gossip(FakeExecutor):
        def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:
            return [Outcome(task="another/trial/2", state="failed"), *super().poll(timeout_s)]

    assert follow(problem(), Gossip()).identity() == follow(problem(), FakeExecutor()).identity()


def test_a_model_on_which_nothing_pays_is_answered_with_a_reason() -> None:
    executor = FakeExecutor()
    frozen = tuple(layer.name for layer in MODEL.layers)
    asked = problem(frozen_layers=frozen)
    with pytest.raises(SearchFailed, match="the search freezes this layer") as caught:
        follow(asked, executor)
    assert caught.value.code == "nothing_to_prune"
    assert executor.submitted == []
    with pytest.raises(SearchFailed, match="no pattern on any layer"):
        follow(replace(problem(), model=replace(MODEL, layers=(), groups=())), executor)


def test_a_failed_trial_keeps_its_own_reason_and_is_not_tried_again() -> None:
    why = Failure(code="memory_limit", reason="it needs more memory", details={"step": 3})
    executor = FakeExecutor(failures={"search/trial/5": why})
    trial = follow(problem(), executor).history()[5]
    assert (trial.state, trial.failure) == ("failed", why)
    assert [task.id for task in executor.submitted].count("search/trial/5") == 1


def test_a_dense_model_that_cannot_run_ends_the_search() -> None:
    why = Failure(code="dataset_mismatch", reason="the data's samples are 3x8x8, but the model takes 1x8x8")
    with pytest.raises(SearchFailed, match="the dense model itself could not be run: the data's samples") as caught:
        follow(problem(), FakeExecutor(failures={"search/trial/0": why}))
    assert caught.value.code == "dataset_mismatch"


def test_scoring_that_fails_or_dies_ends_the_search_before_any_trial() -> None:
    why = Failure(code="dataset_mismatch", reason="10 classes, 7 logits", details={"data": "10", "model": "7"})
    for executor in (FakeExecutor(failures={"search/score/0": why}), FakeExecutor(doomed=["search/score/0"])):
        with pytest.raises(SearchFailed) as caught:
            follow(problem(), executor)
        assert caught.value.failure.code in ("dataset_mismatch", "lost")
        assert all(task.kind == "score" for task in executor.submitted)
        assert executor.waiting == []  # parts of the table that still ran are stopped


def test_leaving_the_loop_stops_what_runs() -> None:
    executor = FakeExecutor(slots=3)
    events: Iterator[Event] = run(problem(width=3), executor)
    for event in events:
        if isinstance(event, TrialStarted) and event.number == 4:
            break
    events.close()  # type: ignore[attr-defined]
    assert executor.waiting == []
    assert {"search/trial/2", "search/trial/3", "search/trial/4"} <= set(executor.cancelled)


@pytest.mark.parametrize("limit", [Limit(profile="cpu", share=0.01), Limit(profile="eyeriss", latency_ms=1e-8)])
def test_a_limit_out_of_reach_is_answered_before_anything_runs(limit: Limit) -> None:
    executor = FakeExecutor()
    with pytest.raises(SearchFailed, match="raise the limit, or allow more patterns or sparsities") as caught:
        follow(problem(limits=[limit]), executor)
    assert executor.submitted == []
    failure = caught.value.failure
    assert failure.code == "limit_unreachable"
    assert failure.details["profile"] == limit.profile
    assert failure.details["limit_ms"] < failure.details["lowest_ms"] < failure.details["dense_ms"]


def test_a_limit_at_the_very_floor_is_kept() -> None:
    (space,) = [event for event in islice(run(problem(), FakeExecutor()), 5) if isinstance(event, SpaceReady)]
    lowest_ms = space.space["reachable"]["eyeriss"]["lowest_ms"]
    limited = problem(limits=[Limit(profile="eyeriss", latency_ms=lowest_ms)], trials=4)
    trials = follow(limited, FakeExecutor()).history()[2:]
    assert {trial.state for trial in trials} == {"complete"}
    assert all(trial.cost("eyeriss").latency_ms <= lowest_ms * (1 + 1e-6) for trial in trials)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_limit_on_one_device_binds_trials_aimed_at_another(sampler: SamplerName) -> None:
    dense = follow(problem(trials=1), FakeExecutor()).history()[0]
    limited = problem(limits=[Limit(profile="eyeriss", share=0.05)], trials=10, sampler=sampler)
    trials = follow(limited, FakeExecutor()).history()[2:]
    assert {trial.coordinates["device"] for trial in trials} == {"cpu", "eyeriss"}
    assert {trial.state for trial in trials} == {"complete"}, "plans that keep the limit exist, so none is wasted"
    assert all(trial.cost("eyeriss").latency_ms <= 0.05 * dense.cost("eyeriss").latency_ms for trial in trials)


def test_what_is_yielded_first_and_what_the_bound_promises() -> None:
    phases = [event.phase for event in run(problem(), FakeExecutor()) if isinstance(event, PhaseStarted)]
    assert phases == ["solving", "scoring", "searching"]
    asked = problem(profiles=("eyeriss",))
    bound = next(e.document for e in run(asked, FakeExecutor()) if isinstance(e, BoundReady))
    points = bound["eyeriss"]
    assert [p["latency_ms"] for p in points] == sorted(p["latency_ms"] for p in points)
    assert [p["error"] for p in points] == sorted((p["error"] for p in points), reverse=True)
    assert points[-1]["error"] == 0.0


def test_two_searches_on_one_executor_are_told_apart_by_key() -> None:
    executor = FakeExecutor()
    follow(replace(problem(trials=1), key="one"), executor)
    follow(replace(problem(trials=1), key="two"), executor)
    ids = [task.id for task in executor.submitted]
    assert len(set(ids)) == len(ids)
