"""What a search will take: counted runs, times between two ways of scaling, intervals as wide as what is not known."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.devices.estimate import Precedent, Range, Work, duration, work
from app.search.spec import Budget, Recovery, SearchSpec

SAMPLES = {"train": 1000, "validation": 100, "test": 200}


def spec(**changes: object) -> SearchSpec:
    fields = {"trials": 10, "recovery": Recovery(steps=20, batch=8), "calibration_samples": 32, **changes}
    return SearchSpec(model="m", dataset="d", profiles=("p",), **fields)  # type: ignore[arg-type]


def test_runs_are_counted_by_hand() -> None:
    found = work(spec(), SAMPLES, forwards=7)
    assert found == Work(
        trials=12,
        recoveries=11,  # ten trials and the dense one with the same recovery
        sample_passes=12 * 300 + 11 * 3 * 20 * 8,
        table_passes=7 * 32,
        ends_by="trials",
    )
    longer = work(spec(extensions=(5, 5)), SAMPLES, forwards=7)
    assert (longer.trials, longer.recoveries) == (22, 21)
    assert work(spec(recovery=Recovery(steps=0)), SAMPLES, 0).recoveries == 0
    epochs = work(spec(recovery=Recovery(steps=20, epochs=2.0, batch=8, accumulate=5)), SAMPLES, 0)
    assert epochs.sample_passes == 12 * 300 + 11 * 3 * 50 * 40
    assert work(spec(), {}, 0).sample_passes == 11 * 3 * 20 * 8


def test_rungs_let_a_share_climb() -> None:
    found = work(spec(trials=27, rungs=(0, 5), keep=1 / 3), {}, 0)
    assert found.recoveries == 1 + 9 + 3
    assert found.sample_passes == 3 * 8 * (20 + 9 * 5 + 3 * 20)


@given(most=st.integers(1, 200_000))
def test_budgets_cut(most: int) -> None:
    whole = work(spec(), SAMPLES, 0)
    by_passes = work(spec(budget=Budget(sample_passes=most)), SAMPLES, 0)
    assert by_passes.ends_by == ("trials" if most >= whole.sample_passes else "sample_passes")
    dense = 2 * 300 + 480
    assert by_passes.sample_passes <= max(most, dense) + 1 and by_passes.trials <= whole.trials
    by_runs = work(spec(budget=Budget(recoveries=most)), SAMPLES, 0)
    assert by_runs.recoveries == min(most, whole.recoveries)


def precedent(**changes: object) -> Precedent:
    fields = {"same_model": True, "macs": 1000, "seconds": 60.0, "trials": 12, "sample_passes": 10_000, **changes}
    return Precedent(**fields)  # type: ignore[arg-type]


def same_work(**changes: object) -> Work:
    fields = {
        "trials": 12,
        "recoveries": 11,
        "sample_passes": 10_000,
        "table_passes": 0,
        "ends_by": "trials",
        **changes,
    }
    return Work(**fields)  # type: ignore[arg-type]


def test_the_same_search_again_takes_as_long() -> None:
    found = duration(spec(), same_work(), 1000, [precedent()])
    assert (found.basis, found.precedents) == ("this_model", 1)
    assert found.seconds.p50 == pytest.approx(60.0)
    assert found.seconds.p10 < 60 < found.seconds.p90


@given(fixed_s=st.floats(0.0, 100.0), per_pass_s=st.floats(1e-6, 0.1), n=st.integers(2, 500), p=st.integers(1, 10**6))
def test_the_truth_of_fixed_and_growing_parts_lies_between_the_two_ways(
    fixed_s: float, per_pass_s: float, n: int, p: int
) -> None:
    """Whatever the two parts of a trial are, the interval holds the new search's true time, or nearly."""
    before = precedent(seconds=12 * fixed_s + 10_000 * per_pass_s)
    truth = n * fixed_s + p * per_pass_s
    found = duration(spec(), same_work(trials=n, sample_passes=p), 1000, [before])
    ways = sorted((before.seconds * n / 12, before.seconds * p / 10_000))
    assert ways[0] * (1 - 1e-9) <= truth <= ways[1] * (1 + 1e-9)
    assert found.seconds.p10 <= truth * (1 + 1e-9) and truth <= found.seconds.p90 * (1 + 1e-9)


def test_other_models_are_scaled_by_their_size_and_trusted_less() -> None:
    big = duration(spec(), same_work(), 8000, [precedent(same_model=False)])
    small = duration(spec(), same_work(), 1000, [precedent(same_model=False)])
    assert big.basis == "other_models" and big.seconds.p50 > small.seconds.p50
    known = duration(spec(), same_work(), 1000, [precedent(same_model=False, seconds=600.0), precedent()])
    assert (known.basis, known.precedents) == ("this_model", 1)
    assert known.seconds.p50 == pytest.approx(60.0)
    assert width(known.seconds) < width(small.seconds)


def width(found: Range) -> float:
    return log(found.p90 / found.p10)


def test_without_precedents_a_rate_is_assumed_and_the_interval_is_wide() -> None:
    found = duration(spec(), same_work(), 1000, [precedent(seconds=0.0), precedent(macs=0), precedent(trials=0)])
    assert (found.basis, found.precedents) == ("assumed", 0)
    assert width(found.seconds) > 3 and found.seconds.p50 > 0


def test_precedents_that_differ_widen_the_interval() -> None:
    alike = [precedent() for _ in range(3)]
    apart = [precedent(seconds=60.0 * exp(x)) for x in (-1.0, 0.0, 1.0)]
    assert width(duration(spec(), same_work(), 1000, alike).seconds) < width(
        duration(spec(), same_work(), 1000, apart).seconds
    )


def test_the_error_table_may_be_there_already() -> None:
    plain = duration(spec(), same_work(), 1000, [precedent()])
    table = duration(spec(), same_work(table_passes=10_000), 1000, [precedent()])
    assert table.seconds.p10 == plain.seconds.p10
    assert table.seconds.p50 == pytest.approx(plain.seconds.p50 + 60.0)


def test_a_budget_of_wall_time_cuts_all_of_it() -> None:
    found = duration(spec(budget=Budget(wall_s=50.0)), same_work(), 1000, [precedent()])
    assert found.cut and found.seconds.p50 == found.seconds.p90 == 50.0
    assert not duration(spec(budget=Budget(wall_s=500.0)), same_work(), 1000, [precedent()]).cut
