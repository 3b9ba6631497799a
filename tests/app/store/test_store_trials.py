"""Trials: come back as they went in, are asked for once, recorded once."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.search.trial import Failure, Measurement, Trial, TrialCost
from app.store import trials
from app.store.database import Database
from app.store.errors import Conflict, NotFound
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import PruningPlan
from tests.app.store.made import OTHER_PROFILE, PROFILE, accuracy, asked, complete, search

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
reals = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**31 - 1)
seeds = st.integers(0, 2**63 - 1)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)  # JSON holds NUL too
documents = st.dictionaries(
    anything, st.one_of(st.none(), st.booleans(), reals, anything, st.lists(reals, max_size=3)), max_size=3
)
shares = st.dictionaries(words, st.floats(0, 1), max_size=3)
plans = st.builds(
    PruningPlan,
    pruner=st.sampled_from(["magnitude", "pdp"]),
    settings=st.dictionaries(words, reals, max_size=2),
    patterns=st.dictionaries(words, st.sampled_from([Unstructured(0.5), Channel(0.25), NM(2, 4)]), max_size=3),
)
costs = st.lists(
    st.builds(TrialCost, profile=words, latency_ms=reals, sources=shares, derivations=shares),
    max_size=3,
    unique_by=lambda cost: cost.profile,
).map(tuple)
measurements = st.lists(
    st.builds(
        Measurement,
        metric=st.sampled_from(["accuracy", "loss", "latency_ms"]),
        value=reals,
        standard_error=reals,
        samples=counts,
        seed=seeds,
        fidelity=counts,
        split=st.sampled_from([None, "validation", "test"]),
        profile=st.one_of(st.none(), words),
    ),
    max_size=4,
).map(tuple)
ended = st.builds(
    Trial,
    number=counts,
    role=st.sampled_from(["dense", "dense_recovered", "searched"]),
    state=st.sampled_from(trials.FINISHED),
    plan=plans,
    seed=seeds,
    recovery_steps=counts,
    costs=costs,
    measurements=measurements,
    coordinates=documents,
    sampler_attributes=documents,
    report=documents,
    files=st.dictionaries(words, words, max_size=2),
    failure=st.one_of(st.none(), st.builds(Failure, code=words, reason=words, details=documents)),
    attempts=counts,
)
many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(trial=ended)
def test_a_trial_comes_back_as_it_went_in(database: Database, trial: Trial) -> None:
    fresh = trial.evolve(state="queued", measurements=(), report={}, files={}, failure=None, attempts=0)
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [fresh])
    with database.read() as s:
        assert trials.history(s, key) == [fresh]
    with database.begin() as s:
        assert trials.record(s, key, trial)
    with database.read() as s:
        entry = trials.get(s, key, trial.number)
        assert entry.trial == trial and entry.search_id == key
        assert entry.finished_at is not None and entry.finished_at >= entry.created_at
        assert trials.page(s, key, limit=5) == trials.stored(s, key) == [entry]


def test_a_batch_asked_for_again_changes_nothing(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(0), asked(1)])
        before = trials.stored(s, key)
        trials.add_asked(s, key, [asked(1, latency_ms=9.0, seed=5), asked(2)])
        after = trials.stored(s, key)
    assert after[:2] == before and [entry.trial.number for entry in after] == [0, 1, 2]


def test_a_trial_is_recorded_once(database: Database) -> None:
    first = complete(asked(2), 0.9)
    seconds = [complete(asked(2, latency_ms=3.0), 0.1), first, asked(2).evolve(state="failed")]
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(2)])
        assert trials.record(s, key, first)
        entry = trials.get(s, key, 2)
    for second in seconds:
        with database.begin() as s:
            assert not trials.record(s, key, second)
            trials.set_running(s, key, 2, attempt=7)
            trials.add_asked(s, key, [asked(2)])
            assert trials.get(s, key, 2) == entry
    with database.read() as s:
        for table in ("trial_costs", "measurements"):
            assert s.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 2


def test_what_was_not_asked_for_is_not_recorded(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(3)])
        with pytest.raises(NotFound):
            trials.record(s, key, complete(asked(4), 0.5))
        with pytest.raises(NotFound):
            trials.set_running(s, key, 4, 1)
        with pytest.raises(NotFound):
            trials.get(s, key, 4)
        with pytest.raises(NotFound):
            trials.get(s, search(s), 3)
        for odd in ({"seed": 99}, {"plan": PruningPlan(pruner="magnitude")}):
            with pytest.raises(Conflict, match="another plan or seed"):
                trials.record(s, key, complete(asked(3, **odd), 0.5))
        for state in trials.UNFINISHED:
            with pytest.raises(Conflict, match="only an ended trial"):
                trials.record(s, key, asked(3).evolve(state=state))
        assert trials.get(s, key, 3).trial == asked(3)


def test_attempts_are_counted_while_it_runs(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(0)])
        for attempt in (1, 2):
            trials.set_running(s, key, 0, attempt)
            trial = trials.get(s, key, 0).trial
            assert (trial.state, trial.attempts) == ("running", attempt)


def test_history_and_pages_go_by_number(database: Database) -> None:
    with database.begin() as s:
        key, other = search(s), search(s)
        trials.add_asked(s, other, [asked(n) for n in range(3)])
        for batch in ((4, 1), (0, 3), (2,)):
            trials.add_asked(s, key, [asked(n) for n in batch])
        for number in (1, 3):
            trials.record(s, key, complete(asked(number), 0.5))
    with database.read() as s:
        assert [trial.number for trial in trials.history(s, key)] == [0, 1, 2, 3, 4]

        def numbers(**where: Any) -> list[int]:
            return [entry.trial.number for entry in trials.page(s, key, **where)]

        assert numbers(limit=2) == [0, 1]
        assert numbers(limit=2, after_number=1) == [2, 3]
        assert numbers(limit=9, after_number=4) == []
        assert numbers(limit=9, state="complete") == [1, 3]
        assert numbers(limit=9, state="queued", after_number=0) == [2, 4]


def test_more_trials_than_one_statement_takes(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(n) for n in range(1001)])
    with database.read() as s:
        found = trials.history(s, key)
    assert [trial.number for trial in found] == list(range(1001)) and all(len(t.costs) == 2 for t in found)


def test_the_dense_trials_are_found_without_the_others(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        assert trials.of_role(s, key, "dense") is None
        trials.add_asked(s, key, [asked(n) for n in range(4)])
        found = trials.of_role(s, key, "dense_recovered")
        assert found is not None and found.trial == asked(1)


def test_the_quality_column_is_the_measurement_at_the_highest_fidelity(database: Database) -> None:
    measured = (accuracy(0.2, 1), accuracy(0.9, 100, "test"), accuracy(0.6, 50), accuracy(0.5, 10))
    done = asked(2).evolve(state="complete", measurements=measured)
    best = done.value("accuracy", "validation")
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(2)])
        trials.record(s, key, done)
        assert best is not None and trials.progress(s, [key])[key].best_quality == best.value == 0.6
        assert trials.get(s, key, 2).trial.cost(PROFILE).latency_ms == 1.0


@pytest.mark.parametrize("state", [None, "complete"])
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_page_is_read_from_an_index_without_sorting(database: Database, state: str | None) -> None:
    statements: list[tuple[str, Any]] = []
    from sqlalchemy import event

    with database.read() as s:
        connection = s.connection()
        event.listen(connection, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
        trials.page(s, "some search", limit=50, after_number=10, state=state)
        sql, parameters = statements[0]
        plan = " ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql, parameters))
    assert "USING INDEX" in plan and "number>" in plan and "TEMP B-TREE" not in plan, plan


def test_a_front_is_told_what_the_history_says(database: Database) -> None:
    measured = [
        (),
        (accuracy(0.4, fidelity=5), accuracy(0.6), accuracy(0.7), accuracy(0.5, split="test")),  # of equals the first
        (accuracy(0.9), accuracy(0.3, fidelity=5), accuracy(0.2, fidelity=20, split="test")),
        (accuracy(0.8, split="test"),),
        (accuracy(0.8),),
        (accuracy(0.8),),
    ]
    states = ("failed", "complete", "complete", "complete", "failed", "complete")
    with database.begin() as s:
        key, foreign = search(s), search(s)
        trials.add_asked(s, foreign, [asked(1)])
        trials.record(s, foreign, complete(asked(1), 0.1))
        for number, (state, found) in enumerate(zip(states, measured, strict=True)):
            trial = asked(number, latency_ms=None if number == 5 else 2.0 + number)
            trials.add_asked(s, key, [trial])
            trials.record(s, key, trial.evolve(state=state, measurements=found, files={"model": "0" * 64}))
        trials.add_asked(s, key, [asked(6)])
    with database.read() as s:
        history = {trial.number: trial for trial in trials.history(s, key)}
        shown = trials.for_front(s, key, OTHER_PROFILE)
        assert trials.for_front(s, key, "no such profile") == trials.for_front(s, "no such search", PROFILE) == []
    assert [entry.number for entry in shown] == [0, 1, 2, 3]  # the dense one although it failed
    for entry in shown:
        trial = history[entry.number]
        assert (entry.role, entry.state, entry.files) == (trial.role, trial.state, trial.files)
        assert entry.plan == trial.plan.to_json() and entry.cost == trial.cost(OTHER_PROFILE)
        assert entry.validation == trial.value("accuracy", "validation")
        assert entry.test == trial.value("accuracy", "test")
