"""Which trials next: Optuna's ask and tell over the coordinates, rebuilt from the stored trials every time.

Deterministic by construction: a batch is asked for from the trials before it, told in number order, by a fresh sampler
seeded with (seed, trial number). So the same history gives the same batch, in any process, after any restart. What a
sampler left on a trial (`sampler_attributes`) is stored and given back: without its generation NSGA-II degrades, in
silence, to random.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from app.search.coordinates import Terrain, decode, distributions, neutral, pruners_of
from app.search.spec import SearchSpec
from app.search.trial import Trial

FIRST = 2  # trials 0 and 1 are the dense model, as uploaded and recovered
_GENERATION = "NSGAIISampler:generation"  # Optuna's key; a test watches that it stays
optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study is rebuilt for every batch; that is no news


def propose(terrain: Terrain, history: Sequence[Trial], numbers: Sequence[int]) -> list[Trial]:
    """The trials with these numbers.

    Args:
        terrain: the search.
        history: every trial with a number below the first of `numbers`, finished.
        numbers: consecutive.

    Returns:
        Trials `queued`, each with a plan that keeps every limit.
    """
    space = distributions(terrain.spec)
    study = _rebuilt(terrain, history, space)
    first = seeds(terrain.spec)
    asked: list[Trial] = []
    for number in numbers:
        fixed = first[number - FIRST] if number - FIRST < len(first) else None
        coordinates, attributes = _ask(study, terrain, number, fixed)
        taken = {trial.plan.digest for trial in (*history, *asked)}
        proposal = decode(coordinates, terrain, taken)
        asked.append(
            Trial(
                number=number,
                role="searched",
                state="queued",
                plan=proposal.plan,
                seed=terrain.spec.seed,
                recovery_steps=terrain.spec.recovery.steps,
                costs=proposal.costs,
                coordinates=coordinates,
                sampler_attributes=attributes,
            )
        )
    return asked


def seeds(spec: SearchSpec) -> list[dict[str, Any]]:
    """The first coordinates: bands evenly along the solver's own front of every device, pruners in turn."""
    pruners = pruners_of(spec)
    bands = max(2, round(spec.trials / 2 / len(spec.profiles)))
    found = []
    for step in range(bands):
        for turn, device in enumerate(spec.profiles):
            pruner = pruners[(step + turn) % len(pruners)]
            # from the strongest pruning up, where a front is won, to the mildest
            found.append(neutral(spec, device=device, band=step / (bands - 1), pruner=pruner))
    return found[: spec.trials]


def sampler(spec: SearchSpec, seed: int) -> BaseSampler:
    """A fresh sampler. NSGA-II's first generation is the seeds, so that children come as soon as those are told."""
    match spec.sampler:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=4)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=max(2, len(seeds(spec))))
    return RandomSampler(seed=seed)


def _rebuilt(terrain: Terrain, history: Sequence[Trial], space: Mapping[str, BaseDistribution]) -> optuna.Study:
    study = optuna.create_study(directions=["minimize"] * (1 + len(terrain.spec.profiles)))
    for trial in sorted(history, key=lambda trial: trial.number):
        if trial.role == "searched":
            study.add_trial(_frozen(terrain, trial, space))
    return study


def _frozen(terrain: Terrain, trial: Trial, space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    loss = trial.value("loss", "validation")
    complete = trial.state == "complete" and loss is not None
    shares = [
        trial.cost(profile).latency_ms / terrain.prices.reachable[profile].dense_ms for profile in terrain.spec.profiles
    ]
    return create_trial(
        state=TrialState.COMPLETE if complete else TrialState.FAIL,
        params=dict(trial.coordinates),
        distributions=dict(space),
        values=[loss.value, *shares] if complete and loss is not None else None,
        system_attrs=dict(trial.sampler_attributes),
    )


def _ask(
    study: optuna.Study, terrain: Terrain, number: int, fixed: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    seed = int(np.random.SeedSequence([terrain.spec.seed, number]).generate_state(1)[0])
    study.sampler = sampler(terrain.spec, seed)
    space = distributions(terrain.spec)
    if fixed is not None:
        # given coordinates are nobody's children: they are NSGA-II's first generation
        attributes = {_GENERATION: 0} if terrain.spec.sampler == "nsga2" else {}
        running = create_trial(
            state=TrialState.RUNNING, params=dict(fixed), distributions=dict(space), system_attrs=attributes
        )
        study.add_trial(running)
        return dict(fixed), dict(attributes)
    trial = study.ask(fixed_distributions=dict(space))
    frozen = study.get_trials(deepcopy=False)[trial.number]
    return dict(frozen.params), dict(frozen.system_attrs)
