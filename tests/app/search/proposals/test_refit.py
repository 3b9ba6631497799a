"""The error table corrected by losses: closed forms, and that it learns what is wrong with a table."""

import numpy as np
import pytest

from app.search.proposals.refit import FEWEST, MOST, Observed, observe, one_hot, refit, related, ridge
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain

ASKED = problem(trials=14, refit=False)
HERE = terrain(ASKED)
DRAW = np.random.default_rng(3)


def test_an_infinite_weight_leaves_the_prior_and_a_vanishing_one_fits_consistent_data() -> None:
    rows, truth = DRAW.normal(size=(30, 8)), DRAW.normal(size=8)
    assert not ridge(rows, rows @ truth, rows.T, np.inf).any()
    assert np.abs(ridge(rows, rows @ truth, rows.T, 1e9)).max() < 1e-6
    np.testing.assert_allclose(ridge(rows, rows @ truth, rows.T, 1e-9), truth, atol=1e-6)


def test_the_closed_form_minimises_what_it_says() -> None:
    rows, targets = DRAW.normal(size=(5, 7)), DRAW.normal(size=5)
    root = DRAW.normal(size=(7, 7))
    prior = root @ root.T
    best = ridge(rows, targets, prior @ rows.T, 0.7)

    def value(eta: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
        return float(((targets - rows @ eta) ** 2).sum() + 0.7 * eta @ np.linalg.solve(prior, eta))

    assert all(value(best) <= value(best + 1e-3 * DRAW.normal(size=7)) for _ in range(50))


def test_a_plan_is_told_by_its_options_and_a_foreign_one_is_not() -> None:
    space = HERE.prices.space
    choices = [len(unit.options) - 1 for unit in space.units]
    row = one_hot(space.plan(choices, "magnitude"), space)
    assert row is not None
    expected = np.concatenate([np.eye(len(unit.options))[-1] for unit in space.units])
    np.testing.assert_array_equal(row, expected)
    dense = one_hot(PruningPlan(pruner="magnitude"), space)
    assert dense is not None and not dense.any()
    assert one_hot(PruningPlan(pruner="magnitude", patterns={"stem": Unstructured(0.123)}), space) is None


def draws(count: int, truth: np.ndarray, curve: float) -> Observed:  # type: ignore[type-arg]
    """Random plans with losses that really add up under `truth`, then saturate by `curve`."""
    space = HERE.prices.space
    rows = []
    for _ in range(count):
        choices = [int(DRAW.integers(len(unit.options))) for unit in space.units]
        row = one_hot(space.plan(choices, "magnitude"), space)
        assert row is not None
        rows.append(row)
    chosen = np.array(rows)
    return Observed(chosen=chosen, losses=0.3 + 0.02 * (chosen @ truth) ** curve)


@pytest.mark.parametrize("curve", [1.0, 0.5])
def test_losses_that_the_table_predicts_change_nothing(curve: float) -> None:
    prior = np.concatenate(HERE.errors)
    found = refit(HERE.errors, draws(20, prior, curve), HERE.prices.space)
    np.testing.assert_allclose(np.concatenate(found), prior, rtol=1e-3)


def test_a_layer_that_is_more_sensitive_than_measured_is_found() -> None:
    prior = np.concatenate(HERE.errors)
    sizes = [len(errors) for errors in HERE.errors]
    worst = int(np.argmax([errors.max() for errors in HERE.errors]))
    factor = np.concatenate([np.full(size, 3.0 if unit == worst else 1.0) for unit, size in enumerate(sizes)])
    found = refit(HERE.errors, draws(40, prior * factor, 1.0), HERE.prices.space)
    ratios = [float((new[1:] / old[1:]).mean()) for new, old in zip(found, HERE.errors, strict=True) if len(new) > 1]
    assert int(np.argmax(ratios)) == worst
    assert ratios[worst] > 1.5 * np.median(ratios)


def kinship() -> np.ndarray:  # type: ignore[type-arg]
    """The slow way: `options x options`, a number for every pair."""
    told = [
        (unit.name, next((pattern.kind for pattern in option.patterns.values()), ""))
        for unit in HERE.prices.space.units
        for option in unit.options
    ]
    return np.array(
        [
            [0.6 * (a == b) + 0.2 * (a[1] == b[1]) + 0.2 * (i == j) for j, b in enumerate(told)]
            for i, a in enumerate(told)
        ]
    )


def test_group_sums_are_the_product_with_the_matrix_that_is_never_made() -> None:
    space = HERE.prices.space
    rows = DRAW.normal(size=(9, sum(len(unit.options) for unit in space.units)))
    found = related(rows, space)
    np.testing.assert_allclose(found, kinship() @ rows.T, rtol=0, atol=1e-9)
    assert found.tobytes() == related(rows.copy(), space).tobytes()


def test_a_whole_correction_is_that_of_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = np.concatenate(HERE.errors)
    seen = draws(30, prior * DRAW.uniform(0.5, 2.0, len(prior)), 0.5)
    quick = np.concatenate(refit(HERE.errors, seen, HERE.prices.space))
    again = np.concatenate(refit(HERE.errors, seen, HERE.prices.space))
    monkeypatch.setattr("app.search.proposals.refit.related", lambda rows, _: kinship() @ rows.T)
    slow = np.concatenate(refit(HERE.errors, seen, HERE.prices.space))
    assert np.abs(quick / np.where(prior > 0, prior, 1.0) - 1.0).max() > 0.05, "something was learned"
    np.testing.assert_allclose(quick, slow, rtol=0, atol=1e-9)
    assert quick.tobytes() == again.tobytes()


def test_of_fidelities_the_highest_that_enough_trials_have_counts() -> None:
    trials = follow(ASKED, FakeExecutor()).history()[2:]
    full = ASKED.spec.recovery.steps
    found = observe(trials, HERE.prices.space)
    assert found is not None and len(found.losses) == len(trials)
    few = [
        trial
        if trial.number < 2 + FEWEST - 1
        else trial.evolve(measurements=tuple(_at(m, 5) for m in trial.measurements))
        for trial in trials
    ]
    again = observe(few, HERE.prices.space)
    assert again is not None and len(again.losses) == len(trials) - FEWEST + 1
    assert observe(trials[: FEWEST - 1], HERE.prices.space) is None
    assert full == trials[0].recovery_steps


def _at(measurement: object, fidelity: int) -> object:
    from dataclasses import replace

    return replace(measurement, fidelity=fidelity)  # type: ignore[type-var]


def test_losses_of_several_searches_stay_with_their_own_plans() -> None:
    first = follow(ASKED, FakeExecutor()).history()
    other = follow(problem(trials=14, refit=False, seed=5, sampler="random"), FakeExecutor()).history()
    space = HERE.prices.space
    apart = [*pairs(observe(first, space)), *pairs(observe(other, space))]
    assert pairs(observe([*first, *other], space)) == apart


def test_of_very_many_losses_the_last_count() -> None:
    trials = follow(ASKED, FakeExecutor()).history()[2:]
    many = [*trials, *trials[:5]] * (MOST // len(trials))
    assert len(many) > MOST
    assert pairs(observe(many, HERE.prices.space)) == pairs(observe(many[-MOST:], HERE.prices.space))


def pairs(seen: Observed | None) -> list[tuple[list[float], float]]:
    """Which options, and the loss."""
    assert seen is not None
    return list(zip(seen.chosen.tolist(), seen.losses.tolist(), strict=True))
