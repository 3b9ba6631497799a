"""Rules that spread one number over the layers; they search nothing, and are asked for one latency after another.

| rule    | source                                                                      |
|---------|-----------------------------------------------------------------------------|
| uniform | the same share of zeros everywhere, one pattern at a time                   |
| global  | one magnitude threshold over all layers                                     |
| ERK     | density in proportion to sum(dims) / prod(dims): RigL, arXiv 1911.11134     |
| OWL     | fewer zeros where more weights are outliers: arXiv 2310.05175, there for    |
|         | language models; M = 5 and λ = 0.08 are taken from the notes on it          |

First convolution and last linear stay dense in all of them, as is usual.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from app.search.samples.batches import Feed
from benchmarks.search.problem import Plan, Problem
from benchmarks.search.session import Session
from benchmarks.search.tabular import Tabular
from benchmarks.search.trained import Trained
from pruning.allocate import Allocation, Method, Policy, allocate
from pruning.calibrate import collect
from pruning.errors import PlanError
from pruning.masked import find_tensor
from pruning.masks import Sparse
from pruning.patterns import NM, Unstructured
from pruning.plan import PruningPlan

_STEPS = 24  # of the bisection: to 1e-7 of strength
_OUTLIER, _BAND = 5.0, 0.08
_MOST = 0.99


def uniform(session: Session, *, pattern: Sparse, method: Method = "uniform", pruner: str = "magnitude") -> None:
    """One of the first three rules with one pattern; of N:M there is one plan only."""
    problem = session.problem
    if isinstance(problem, Tabular):
        _every_level(session, problem)
        return
    assert isinstance(problem, Trained)
    net, model = problem.world.net, problem.world.model

    def plan(strength: float) -> PruningPlan:
        asked = pattern if isinstance(pattern, NM) else replace(pattern, sparsity=strength)
        return allocate(net, model, Allocation(pattern=asked, method=method), pruner)

    if isinstance(pattern, NM):
        session.evaluate(plan(0.0))
        return
    _at_targets(session, plan)


def owl(session: Session) -> None:
    """Sparsity of a layer: target + λ - 2 λ (its outlier share, brought to 0 ... 1), shifted to the mean wanted."""
    problem = session.problem
    assert isinstance(problem, Trained)
    world = problem.world
    opened = Policy().opens(world.model)
    feed = Feed(world.dataset, "calibration", world.spec.task, problem.calibration)
    session.pay(len(feed))
    seen = collect(world.net, [layer.parameter for layer in opened], list(feed.in_order(64)), hessian=False)
    shares = []
    for layer in opened:
        weight = find_tensor(world.net, layer.parameter).detach().flatten(1).abs().double()
        scores = weight * seen[layer.parameter].norms.flatten()[None]
        shares.append(float((scores > _OUTLIER * scores.mean()).double().mean()))
    spread = np.array(shares) - min(shares)
    scaled = spread / spread.max() if spread.max() > 0 else spread
    lean = 2 * _BAND * (scaled.mean() - scaled)

    def plan(strength: float) -> PruningPlan:
        found = np.clip(strength + lean, 0.0, _MOST).tolist()
        patterns = {layer.name: Unstructured(s) for layer, s in zip(opened, found, strict=True) if s > 0}
        return PruningPlan(pruner="magnitude", patterns=patterns)

    _at_targets(session, plan)


def _at_targets(session: Session, plan: Callable[[float], PruningPlan]) -> None:
    for target in session.problem.targets:
        found = at_most(session.problem, plan, target)
        if found is not None:
            session.evaluate(found)


def at_most(problem: Problem, plan: Callable[[float], Plan], target: float) -> Plan | None:
    """The plan of least strength whose latency keeps the target; None if the strongest does not."""
    low, high, best = 0.0, _MOST, None
    for _ in range(_STEPS):
        middle = (low + high) / 2
        try:
            found = plan(middle)
        except PlanError:  # stronger than some layer bears
            high = middle
            continue
        if problem.share(found) <= target:
            high, best = middle, found
        else:
            low = middle
    return best


def _every_level(session: Session, problem: Tabular) -> None:
    """On tables: every layer at the same level, for every level that some layer has."""
    for level in sorted({float(s) for strength in problem.strengths for s in strength}):
        session.evaluate(tuple(int(np.argmin(np.abs(strength - level))) for strength in problem.strengths))


def one_thread() -> None:
    """Results depend on the number of threads."""
    torch.set_num_threads(1)
