"""What trials cost: counted from their reports, from the spec where those say nothing, and once a run."""

from dataclasses import replace

from app.search.spec import Budget, Recovery
from app.search.trial import Measurement
from app.search.work.spending import FREE, Purse, Spent, table_passes, with_run
from app.search.work.supply import Supply
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain

RECOVERY = Recovery(steps=10, batch=8, accumulate=2)
PRUNED = PruningPlan(pruner="pdp", patterns={"stem": Unstructured(0.5)})
RUN = 3 * 10 * 8 * 2 + 200


def purse(**budget: int) -> Purse:
    spec = problem(recovery=RECOVERY, budget=Budget(**budget)).spec
    return Purse(spec=spec, table_passes=1000, measured_samples=200, supply=Supply(statistics=False))


def test_a_run_counts_three_for_forward_and_backward_and_one_for_a_measured_sample() -> None:
    assert purse().planned(PRUNED, 10) == Spent(recoveries=1, sample_passes=RUN)
    assert purse().planned(PRUNED, 0) == Spent(recoveries=0, sample_passes=200)


def test_a_teacher_that_answers_too_is_paid_for() -> None:
    taught = problem(recovery=replace(RECOVERY, distil=0.5)).spec
    assert replace(purse(), spec=taught).planned(PRUNED, 10).sample_passes == 4 * 10 * 8 * 2 + 200


def test_runs_are_added_up_by_fidelity() -> None:
    asked = problem(recovery=RECOVERY, trials=1)
    trial = follow(asked, FakeExecutor()).history()[2].evolve(report={}, measurements=(), recovery_steps=5)
    found = [
        Measurement(metric=metric, value=1.0, standard_error=0.0, samples=100, seed=0, fidelity=5, split=split)
        for split in ("validation", "test")
        for metric in ("accuracy", "loss")
    ]
    first = with_run(trial, {"layers": []}, found, asked.spec)
    assert first.report["sample_passes"] == 3 * 5 * 8 * 2 + 200, "counted from the spec"
    second = with_run(first.evolve(recovery_steps=10), {"sample_passes": 7}, [], asked.spec)
    assert second.report["sample_passes"] == 3 * 5 * 8 * 2 + 200 + 7, "told by the run"
    assert purse().spent([second]) == Spent(recoveries=2, sample_passes=second.report["sample_passes"])
    assert purse().spent([second], below=10) == Spent(recoveries=1, sample_passes=first.report["sample_passes"])
    broken = trial.evolve(state="failed", attempts=1, recovery_steps=10)
    assert purse().spent([broken]) == Spent(recoveries=1, sample_passes=680), "what it would have cost"
    assert purse().spent([trial.evolve(state="infeasible", attempts=0)]) == Spent(recoveries=0, sample_passes=0)


def test_how_many_more_can_be_paid() -> None:
    spent, runs = Spent(recoveries=3, sample_passes=500), [purse().planned(PRUNED, 10)] * 4
    measured = [purse().planned(PRUNED, 0)] * 4
    assert purse().affordable(spent, runs) == (4, "trials")
    assert purse(recoveries=5).affordable(spent, runs) == (2, "recoveries")
    assert purse(recoveries=5).affordable(spent, measured) == (4, "trials"), "no recovery, no charge"
    assert purse(sample_passes=1500 + 3 * RUN - 1).affordable(spent, runs) == (2, "sample_passes")
    assert purse(sample_passes=1500 + 3 * RUN).affordable(spent, runs) == (3, "sample_passes")
    assert purse(sample_passes=1500 + RUN + 200).affordable(spent, [runs[0], measured[0], runs[0]])[0] == 2
    assert purse(sample_passes=1000, recoveries=9).affordable(spent, runs) == (0, "sample_passes")
    assert purse(sample_passes=1000, recoveries=1).affordable(spent, [FREE]) == (1, "trials"), "never run, never paid"
    assert [purse().limited, purse(recoveries=1).limited, purse(sample_passes=1).limited] == [False, True, True]


def test_the_tables_passes_are_told_or_counted() -> None:
    here = terrain(problem())
    space, spec = here.prices.space, here.spec
    assert table_passes(spec, {"sample_passes": 5, "samples": 256}, space) == 5
    assert table_passes(spec, {"samples": 10}, space) == 10 * sum(len(unit.options) for unit in space.units)
