"""Samplers by name: what Optuna, or a low-discrepancy sequence, draws for a trial from the trials before it.

Every draw is from a fresh study, rebuilt from the stored trials, by a fresh sampler seeded with (seed, number): so
the same history gives the same draw in any process, after any restart. What a sampler left on a trial is stored and
given back: without its generation NSGA-II takes trials for nobody's parents, and says nothing.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, prod
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import qmc

from app.search.errors import SearchFailed
from app.search.spec import SearchSpec

GENERATION = "NSGAIISampler:generation"  # Optuna's key; a test watches that it stays
MOST_GP_DIMENSIONS = 12  # one suggestion at 54 took 24 s of two cores, and was no better than random
_GRID_LEVELS = 3  # of a number
_MOST_GRID_POINTS = 100_000
_DEAF = ("qmc", "grid", "random")  # what was seen before changes none of their draws
optuna.logging.set_verbosity(optuna.logging.WARNING)  # a study is rebuilt for every batch; that is no news
Distributions = Mapping[str, BaseDistribution]


@dataclass(frozen=True, kw_only=True)
class Told:
    """A trial as a sampler sees it. Values are minimised; None means that there are none.

    `violations` are above zero where a limit is broken, by how much of it.
    """

    coordinates: Mapping[str, Any]
    values: tuple[float, ...] | None
    attributes: Mapping[str, Any]
    violations: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What to draw: the trial's number, its place in the sampler's own sequence, and the coordinates that are given."""

    number: int
    turn: int
    fixed: Mapping[str, Any]


def check(spec: SearchSpec, space: Distributions, fixed: Sequence[str]) -> None:
    """Refuse a sampler that does not serve so many coordinates.

    Raises:
        SearchFailed: code `sampler`.
    """
    free = {name: d for name, d in space.items() if name not in fixed}
    if spec.sampler == "gp" and len(free) > MOST_GP_DIMENSIONS:
        raise SearchFailed(
            "sampler",
            f"the sampler 'gp' serves up to {MOST_GP_DIMENSIONS} coordinates, and this search has {len(free)}: use "
            "'tpe', or fewer patterns, pruners or (with raw coordinates) layers",
        )
    if spec.sampler == "grid" and (points := prod(len(_levels(d)) for d in free.values())) > _MOST_GRID_POINTS:
        raise SearchFailed(
            "sampler",
            f"a grid over {len(free)} coordinates has {points:.3g} points, the limit is {_MOST_GRID_POINTS:,}: "
            "use 'qmc'",
        )


class Sampling:
    """The samplers of a search, over the trials that it has told so far."""

    def __init__(self, spec: SearchSpec, space: Distributions, population: int, objectives: int) -> None:
        self._spec, self._space, self._population = spec, _Shared(space), population
        self._study = optuna.create_study(directions=["minimize"] * objectives)

    def tell(self, told: Told) -> None:
        """Add a trial that has ended; without values it is a failure, from which no sampler learns."""
        if self._spec.sampler in _DEAF:
            return
        complete = told.values is not None
        self._add(
            create_trial(
                state=TrialState.COMPLETE if complete else TrialState.FAIL,
                params=dict(told.coordinates),
                distributions=self._space,
                values=list(told.values) if told.values is not None else None,
                system_attrs=dict(told.attributes),
                constraints=dict(told.violations) or None,
            )
        )

    def give(self, coordinates: Mapping[str, Any]) -> dict[str, Any]:
        """Add a trial with given coordinates, as running; what to store on it. It is NSGA-II's first generation."""
        attributes = {GENERATION: 0} if self._spec.sampler == "nsga2" else {}
        self._add(
            create_trial(
                state=TrialState.RUNNING,
                params=dict(coordinates),
                distributions=self._space,
                system_attrs=attributes,
            )
        )
        return dict(attributes)

    def draw(self, wanted: Draw) -> tuple[dict[str, Any], dict[str, Any]]:
        """Coordinates, and what to store on their trial."""
        free = {name: d for name, d in self._space.items() if name not in wanted.fixed}
        if self._spec.sampler in ("qmc", "grid") or not free:
            at = _sobol(free, self._spec.seed, wanted.turn) if self._spec.sampler == "qmc" else _grid(free, wanted.turn)
            drawn = {**at, **wanted.fixed}
            coordinates = {name: drawn[name] for name in self._space}
            return coordinates, self._running(coordinates)
        seed = int(np.random.SeedSequence([self._spec.seed, wanted.number]).generate_state(1)[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            inner = _sampler(self._spec, seed, self._population)
            self._study.sampler = PartialFixedSampler(dict(wanted.fixed), inner)
            trial = self._study.ask(fixed_distributions=self._space)
        frozen: FrozenTrial = self._study.get_trials(deepcopy=False)[trial.number]
        return dict(frozen.params), dict(frozen.system_attrs)

    def _running(self, coordinates: Mapping[str, Any]) -> dict[str, Any]:
        self._add(create_trial(state=TrialState.RUNNING, params=dict(coordinates), distributions=self._space))
        return {}

    def _add(self, trial: FrozenTrial) -> None:
        trial.distributions = self._space
        self._study.add_trial(trial)


class _Shared(dict[str, BaseDistribution]):
    """The distributions of all trials of a study: the study copies every trial it is given, but not these."""

    def __deepcopy__(self, memo: Mapping[int, Any]) -> "_Shared":
        return self


def _sampler(spec: SearchSpec, seed: int, population: int) -> BaseSampler:
    match spec.sampler:
        case "tpe":
            return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=4)
        case "nsga2":
            return NSGAIISampler(seed=seed, population_size=population)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=4)
    return RandomSampler(seed=seed)


def _sobol(space: Distributions, seed: int, turn: int) -> dict[str, Any]:
    """Point `turn` of a scrambled Sobol sequence."""
    if not space:
        return {}
    sequence = qmc.Sobol(len(space), scramble=True, rng=np.random.default_rng(seed))
    if turn:  # scipy takes no zero here
        sequence.fast_forward(turn)
    (point,) = sequence.random(1).tolist()
    return {name: _at(d, x) for (name, d), x in zip(sorted(space.items()), point, strict=True)}


def _at(distribution: BaseDistribution, x: float) -> Any:
    """The value at a quantile in [0, 1)."""
    match distribution:
        case CategoricalDistribution(choices=choices):
            return choices[min(int(x * len(choices)), len(choices) - 1)]
        case FloatDistribution(low=low, high=high, log=logarithmic):
            if logarithmic:
                return min(max(exp(log(low) + x * (log(high) - log(low))), low), high)
            return low + x * (high - low)
    raise SearchFailed("sampler", f"a coordinate of {distribution!r} has no quantiles")


def _grid(space: Distributions, turn: int) -> dict[str, Any]:
    """Point `turn` of the grid, in an order that spreads; from its start again once it was walked."""
    levels = {name: _levels(d) for name, d in sorted(space.items())}
    count = prod(len(known) for known in levels.values())
    place = turn % count * _stride(count) % count
    found = {}
    for name, known in levels.items():
        place, digit = divmod(place, len(known))
        found[name] = known[digit]
    return found


def _stride(count: int) -> int:
    """A step near the golden section of the count with no divisor in common, so that it meets every point once."""
    step = max(1, ceil(count * 0.618))
    while np.gcd(step, count) != 1:
        step += 1
    return step


def _levels(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    middle = [(2 * level + 1) / (2 * _GRID_LEVELS) for level in range(_GRID_LEVELS)]
    return [_at(distribution, x) for x in middle]
