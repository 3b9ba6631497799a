"""Proposals: first trials along the front, and samplers that know what was before, after any replay."""

from dataclasses import replace
from math import log

import optuna
import pytest
from optuna.samplers import NSGAIISampler

from app.search.proposals.propose import FIRST, SOURCE, guess, propose
from app.search.proposals.rungs import losses_of
from app.search.proposals.schedule import place, seed_count
from app.search.proposals.terrain import Terrain
from app.search.pruners import apt
from app.search.spec import Limit, Recovery, SamplerName, Task
from app.search.trial import Trial
from tests.app.search.fakes import FakeExecutor, follow, problem, terrain

GENERATION = "NSGAIISampler:generation"


def test_the_first_trials_are_the_solvers_own_and_uniform_ones() -> None:
    here, found = history("tpe", 24)
    first = found[FIRST : FIRST + seed_count(here.spec)]
    assert {trial.sampler_attributes[SOURCE] for trial in first} == {"solver", "uniform"}
    for trial in first:
        trusts = [value for name, value in trial.coordinates.items() if name.startswith("trust_")]
        assert not any(trusts), "they trust the table as it is"
        if trial.sampler_attributes[SOURCE] == "uniform":
            assert len({pattern.kind for pattern in trial.plan.patterns.values()}) == 1
    for device in here.spec.profiles:
        pruners = {trial.plan.pruner for trial in first if trial.coordinates["device"] == device}
        assert pruners == {"magnitude", "pdp"}


def test_the_solvers_plans_get_the_pruner_apt_for_their_zeros() -> None:
    here, found = history("tpe", 24)
    weights = {layer.name: layer.weights for layer in here.prices.model.layers}
    alike = []
    for trial in found[FIRST : FIRST + seed_count(here.spec)]:
        if trial.sampler_attributes[SOURCE] == "solver":
            kept = sum(count * trial.plan.pattern(name).density for name, count in weights.items())
            alike.append(trial.plan.pruner == apt(("magnitude", "pdp"), kept / sum(weights.values())))
    assert sum(alike) >= len(alike) - 2, "but for plans of a milder band, where all of the wanted one were tried"


def test_without_recovery_the_solvers_plans_are_the_layer_solvers() -> None:
    asked = problem(
        recovery=Recovery(steps=0), patterns=("unstructured", "nm"), pruners=("pdp", "sparsegpt"), trials=12
    )
    first = follow(asked, FakeExecutor()).history()[FIRST : FIRST + 6]
    assert {t.plan.pruner for t in first if t.sampler_attributes[SOURCE] == "solver"} == {"sparsegpt"}


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_a_regressions_strong_end_is_followed_whatever_the_unit_of_its_targets(scale: float) -> None:
    """The guess is the variance of the targets: at loss L and R² r it is L / (1 - r)."""
    asked = problem(trials=24, task=Task(kind="regression"), profiles=("eyeriss",))
    here, found = terrain(asked), follow(asked, FakeExecutor()).history()

    def in_units_of(factor: float) -> list[Trial]:
        """With R² in place of accuracy, of targets whose variance is twice the factor."""
        changes = {"loss": lambda loss: ("loss", factor * loss), "accuracy": lambda a: ("r2", 1.0 + log(a) / 2.0)}
        told = []
        for trial in found:
            pairs = [(m, *changes[m.metric](m.value)) for m in trial.measurements]
            told.append(trial.evolve(measurements=tuple(replace(m, metric=name, value=x) for m, name, x in pairs)))
        return told

    assert guess(asked.spec, in_units_of(scale)[:FIRST]) == pytest.approx(2.0 * scale)
    assert guess(asked.spec, found[:FIRST]) is None, "without R² nothing is known of guessing"
    least = min(loss for trial in found[:FIRST] for loss in losses_of(trial).values())
    assert guess(problem().spec, found[:FIRST]) == 2 * least + 1, "in nats"
    numbers = [n for n in range(FIRST + 24, FIRST + 40) if place(asked.spec, n - FIRST).fills][:4]
    plain, other = (propose(here, in_units_of(factor), numbers) for factor in (1.0, scale))
    bands = [[trial.coordinates["band"] for trial in each] for each in (plain, other)]
    assert bands[0] == pytest.approx(bands[1])


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc"])
def test_device_and_band_are_the_schedules_whatever_the_sampler(sampler: SamplerName) -> None:
    here, found = history(sampler, 16)
    for trial in found[FIRST:]:
        at = place(here.spec, trial.number - FIRST)
        assert trial.coordinates["device"] == at.device
        assert at.fills or trial.coordinates["band"] >= at.band  # above it where all there were tried


def test_the_widest_hole_of_the_front_is_filled() -> None:
    here, found = history("random", 16)
    number = next(n for n in range(FIRST + 16, FIRST + 40) if place(here.spec, n - FIRST).fills)
    device = place(here.spec, number - FIRST).device
    low_ms, high_ms = here.band_ms(device)
    ends = [t for t in found if t.coordinates.get("device") == device and t.coordinates.get("band") in (0.0, 1.0)]
    known = [t.evolve(state="failed") if t not in ends and t.role == "searched" else t for t in found]
    (filled,) = propose(here, known, [number])
    latencies = sorted(trial.cost(device).latency_ms for trial in ends)
    middle = ((latencies[0] + latencies[-1]) / 2 - low_ms) / (high_ms - low_ms)
    assert filled.coordinates["band"] == pytest.approx(middle)


def history(sampler: SamplerName, trials: int) -> tuple[Terrain, list[Trial]]:
    asked = problem(sampler=sampler, trials=trials)
    return terrain(asked), follow(asked, FakeExecutor()).history()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "qmc", "random", "grid"])
def test_a_batch_does_not_depend_on_how_many_follow_it(sampler: SamplerName) -> None:
    here, before = history(sampler, 12)
    wide = propose(here, before, range(14, 18))
    assert propose(here, before, range(14, 16)) == wide[:2]
    assert propose(here, list(reversed(before)), range(14, 18)) == wide


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc"])  # children of NSGA-II may inherit theirs
def test_every_trial_draws_its_own_coordinates(sampler: SamplerName) -> None:
    _, before = history(sampler, 24)
    drawn = [tuple(t.coordinates.values()) for t in before[FIRST:] if t.sampler_attributes[SOURCE] == "sampler"]
    assert len(drawn) >= 5
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_samplers_learn_from_results(sampler: SamplerName) -> None:
    here, before = history(sampler, 24)
    mirrored = [t.evolve(measurements=tuple(replace(m, value=1.0 - m.value) for m in t.measurements)) for t in before]
    numbers = range(26, 30)
    found, others = propose(here, before, numbers), propose(here, mirrored, numbers)
    drawn = [n for n, t in enumerate(found) if t.sampler_attributes[SOURCE] == "sampler"]
    assert [found[n].coordinates for n in drawn] != [others[n].coordinates for n in drawn]


def drawn_after(here: Terrain, before: list[Trial], count: int = 8) -> list[Trial]:
    found = propose(here, before, range(len(before), len(before) + count))
    return [trial for trial in found if trial.sampler_attributes[SOURCE] == "sampler"]


def test_without_its_attributes_nsga2_would_forget_its_generations() -> None:
    """The trap: Optuna takes trials without its private attribute for nobody's parents, and says nothing."""
    here, before = history("nsga2", 24)
    bare = [trial.evolve(sampler_attributes={}) for trial in before]
    found, forgetful = drawn_after(here, before)[0], drawn_after(here, bare)[0]
    assert found.sampler_attributes[GENERATION] > forgetful.sampler_attributes[GENERATION] == 0
    assert found.coordinates != forgetful.coordinates


def test_failed_trials_teach_nothing_but_do_no_harm() -> None:
    here, before = history("tpe", 12)
    broken = [t.evolve(state="failed", measurements=()) if t.number % 3 == 0 else t for t in before]
    (found,) = propose(here, broken, [14])
    assert found.state == "queued"


def test_the_generation_is_kept_under_optunas_own_key() -> None:
    assert NSGAIISampler._get_generation_key() == GENERATION
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=NSGAIISampler(population_size=2, seed=0))
    study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)), n_trials=3)
    assert [trial.system_attrs[GENERATION] for trial in study.trials] == [0, 0, 1]


def test_the_first_trials_become_parents_after_a_replay() -> None:
    """By ancestry: a child has its parents' coordinates, a random draw has nobody's."""
    here, before = history("nsga2", 24)
    seeds = [t for t in before[FIRST : FIRST + seed_count(here.spec)] if t.sampler_attributes[SOURCE] == "solver"]
    assert {trial.sampler_attributes[GENERATION] for trial in seeds} == {0}
    first = before[: FIRST + seed_count(here.spec)]  # one population, and nothing else

    def inherited(past: list[Trial]) -> float:
        known = {(name, value) for trial in seeds for name, value in trial.coordinates.items()}
        pairs = [pair for trial in drawn_after(here, past) for pair in trial.coordinates.items()]
        own = [pair for pair in pairs if isinstance(pair[1], float) and pair[0] != "band"]
        return sum(pair in known for pair in own) / len(own)

    assert inherited(first) > 0.5
    assert inherited([trial.evolve(sampler_attributes={}) for trial in first]) == 0.0


def test_raw_coordinates_may_break_a_limit_and_the_sampler_is_told() -> None:
    asked = problem(coordinates="raw", trials=30, limits=[Limit(profile="eyeriss", share=0.1)], profiles=("eyeriss",))
    trials = follow(asked, FakeExecutor()).history()[FIRST:]
    states = {trial.state for trial in trials}
    assert states == {"complete", "infeasible"}
    late = [trial.state for trial in trials[-10:]]
    early = [trial.state for trial in trials[:10]]
    assert late.count("complete") > early.count("complete"), "constraints teach"


def test_without_recovery_there_is_one_pruner_and_no_temperature() -> None:
    asked = problem(recovery=Recovery(steps=0))
    found = propose(terrain(asked), follow(asked, FakeExecutor()).history()[:FIRST], range(2, 12))
    assert {trial.plan.pruner for trial in found} == {"magnitude"}
    assert not any({"tau", "ramp", "pruner"} & set(trial.coordinates) for trial in found)


def test_temperatures_go_down_to_what_channels_want() -> None:
    asked = problem(sampler="random", trials=60, pruners=("pdp",), profiles=("eyeriss",))
    drawn = [t for t in propose(terrain(asked), [], range(32, 92)) if t.sampler_attributes[SOURCE] == "sampler"]
    found = [trial.plan.settings["tau"] for trial in drawn]
    assert 0.005 <= min(found) < 0.02
    assert 0.2 < max(found) <= 0.5


def test_trials_of_an_unfinished_batch_are_not_what_the_next_is_asked_from() -> None:
    here, before = history("tpe", 12)
    alone = propose(here, before, [14])
    assert propose(here, before, range(14, 16))[0] == alone[0]
    assert propose(here, before, range(14, 16))[1].coordinates != alone[0].coordinates
