"""Black boxes over one variable a layer: random, and Optuna's samplers. Minimised: latency and loss.

Options of a layer stand in the order of their latency, and samplers are told that the variables are ordered: that helps
them. NSGA-II's population fits the budget, so that there are generations at all.
"""

from collections.abc import Callable

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler

from benchmarks.search.session import Session

Make = Callable[[int, int], BaseSampler]  # seed, evaluations that can be paid for


def random(session: Session) -> None:
    """Every variable evenly at random."""
    draw = np.random.default_rng(session.seed)
    while True:
        choice = [int(draw.integers(len(gene.options))) for gene in session.problem.genes]
        session.evaluate(session.problem.plan(choice))


def with_optuna(session: Session, *, make: Make) -> None:
    """Ask, evaluate, tell, until the purse is empty."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        directions=["minimize", "minimize"], sampler=make(session.seed, max(1, session.affordable))
    )
    worst = 10 * session.problem.reference[1]  # in place of infinity, which samplers refuse
    while True:
        trial = study.ask()
        genes = session.problem.genes
        choice = [trial.suggest_int(f"gene {i}", 0, len(gene.options) - 1) for i, gene in enumerate(genes)]
        point = session.evaluate(session.problem.plan(choice))
        study.tell(trial, [point.latency, min(point.validation, worst)])


def nsga2(seed: int, evaluations: int) -> BaseSampler:
    """Deb et al. 2002, as Optuna has it."""
    return NSGAIISampler(seed=seed, population_size=population(evaluations))


def tpe(seed: int, evaluations: int) -> BaseSampler:
    """Tree-structured Parzen estimators, each variable by itself (arXiv 2304.11127)."""
    return TPESampler(seed=seed, multivariate=False, n_startup_trials=min(10, max(2, evaluations // 4)))


def tpe_multivariate(seed: int, evaluations: int) -> BaseSampler:
    """The same, all variables jointly."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=min(10, max(2, evaluations // 4)))


def gp(seed: int, evaluations: int) -> BaseSampler:
    """Gaussian processes with expected hypervolume improvement; for few variables only."""
    return GPSampler(seed=seed, n_startup_trials=min(10, max(2, evaluations // 4)))


def population(evaluations: int) -> int:
    """At least four generations, at most fifty to each."""
    return min(50, max(4, evaluations // 4))
