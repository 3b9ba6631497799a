"""Stored fronts equal a recomputation after every record, and both equal the definition."""

from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.search.spec import Task
from app.search.trial import Trial
from app.store import fronts, trials
from app.store.database import Database
from app.store.records import FrontPoint
from tests.app.store.made import OTHER_PROFILE, PROFILE, accuracy, asked, complete, search

grid = st.sampled_from([0.1, 0.2, 0.2000001, 0.30000000000000004, 0.5])  # few values: many ties
ends = st.lists(
    st.tuples(
        grid,
        st.one_of(st.none(), grid),
        st.sampled_from(["complete"] * 6 + ["failed", "infeasible", "stopped"]),
        st.booleans(),
    ),
    max_size=12,
)


def defined(finished: list[Trial], profile: str) -> list[FrontPoint]:
    """The front by its definition: every complete trial that no other beats; of equal ones the first."""
    points = []
    for trial in sorted(finished, key=lambda t: t.number):
        found = trial.value("accuracy", "validation")
        if trial.state == "complete" and found is not None and any(c.profile == profile for c in trial.costs):
            latency_ms = trial.cost(profile).latency_ms
            points.append(FrontPoint(number=trial.number, latency_ms=latency_ms, quality=found.value))

    def beats(a: FrontPoint, b: FrontPoint) -> bool:
        same = (a.latency_ms, a.quality) == (b.latency_ms, b.quality)
        return a.latency_ms <= b.latency_ms and a.quality >= b.quality and (not same or a.number < b.number)

    best = [point for point in points if not any(beats(other, point) for other in points if other is not point)]
    return sorted(best, key=lambda point: point.latency_ms)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ends=ends, order=st.randoms(use_true_random=False))
def test_stored_fronts_equal_a_recomputation_and_the_definition(database: Database, ends: list, order: object) -> None:
    batch = [asked(n, latency_ms=latency_ms) for n, (latency_ms, *_) in enumerate(ends)]
    last = []
    for trial, (_, value, state, both) in zip(batch, ends, strict=True):
        done = complete(trial, value).evolve(state=state)
        last.append(done if both else done.evolve(costs=done.costs[:1]))
    order.shuffle(last)  # type: ignore[attr-defined]
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, batch)
    finished = []
    for trial in last:
        with database.begin() as s:
            trials.record(s, key, trial)
            fronts.update(s, key, [PROFILE, OTHER_PROFILE])
            finished.append(trial)
            for profile in (PROFILE, OTHER_PROFILE):
                stored = fronts.get(s, key, profile)
                assert stored == fronts.recomputed(s, key, profile) == defined(finished, profile)


def test_a_front_is_of_its_search_and_profile(database: Database) -> None:
    with database.begin() as s:
        key, other = search(s), search(s)
        trials.add_asked(s, key, [asked(0)])
        trials.record(s, key, complete(asked(0), 0.9))
        fronts.update(s, key, [PROFILE])
        fronts.update(s, other, [PROFILE])
        assert [point.number for point in fronts.get(s, key, PROFILE)] == [0]
        assert fronts.get(s, key, OTHER_PROFILE) == fronts.get(s, other, PROFILE) == []


def test_a_record_that_is_rolled_back_leaves_the_front_as_it_was(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        trials.add_asked(s, key, [asked(0, latency_ms=2.0), asked(1, latency_ms=1.0)])
        trials.record(s, key, complete(asked(0, latency_ms=2.0), 0.5))
        fronts.update(s, key, [PROFILE])
    try:
        with database.begin() as s:
            trials.record(s, key, complete(asked(1, latency_ms=1.0), 0.9))
            fronts.update(s, key, [PROFILE])
            assert [point.number for point in fronts.get(s, key, PROFILE)] == [1]
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    with database.read() as s:
        assert [point.number for point in fronts.get(s, key, PROFILE)] == [0]


def test_where_lower_is_better_the_front_is_turned(database: Database) -> None:
    """Perplexities: of 30, 20 and 25 at rising latency the first two are on the front, and the best is the lowest."""
    task = Task(kind="language_modelling")
    with database.begin() as s:
        key = search(s, task=task)
        batch = [asked(number, latency_ms=float(number)) for number in (2, 3, 4)]
        trials.add_asked(s, key, batch)
        for trial, value in zip(batch, (30.0, 20.0, 25.0), strict=True):
            found = replace(accuracy(value), metric="perplexity")
            trials.record(s, key, trial.evolve(state="complete", measurements=(found, accuracy(0.1))))
        fronts.update(s, key, [PROFILE])
        assert [(point.number, point.quality) for point in fronts.get(s, key, PROFILE)] == [(2, -30.0), (3, -20.0)]
        assert fronts.get(s, key, PROFILE) == fronts.recomputed(s, key, PROFILE)
        assert trials.progress(s, [key])[key].best_quality == -20.0
        shown = trials.for_front(s, key, PROFILE, "perplexity")
        assert [entry.validation.value for entry in shown if entry.validation] == [30.0, 20.0, 25.0]
