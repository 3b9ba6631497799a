"""SPDY's coefficient search (Frantar and Alistarh 2022, arXiv 2201.13096), for one latency after another.

The error of an option is c of its unit times the square of how far it is towards the strongest, on a logarithmic
scale; nothing is measured. Coefficients c in [0, 1] are drawn at random, then some of the best vector's are drawn anew,
ever fewer; every vector becomes a plan by the additive solver, and is judged by the plan's one-shot loss. Its
layer-wise reconstruction is left out: masks and recovery are those of all methods here. The first vectors are 100 in
its code; here they are at most half of what the purse holds for this latency.
"""

from collections.abc import Generator

import numpy as np

from benchmarks.search.problem import Floats, Plan, within
from benchmarks.search.session import Session

_FIRST, _TRIES, _SHARE = 100, 100, 0.1


def spdy(session: Session) -> None:
    """Search at every band, then recover what was found there."""
    problem, draw = session.problem, np.random.default_rng(session.seed)
    bands = problem.bands
    judged = max(1, (session.left // len(bands) - problem.evaluation_passes) // problem.calibration)
    for band in bands:
        plan = _searched(session, band, judged, draw)
        if plan is not None:
            session.evaluate(plan)


def _searched(session: Session, band: float, judged: int, draw: np.random.Generator) -> Plan | None:
    best, best_loss, best_plan = np.empty(0), float("inf"), None
    units = len(session.problem.costs)
    attempts = _attempts(units, min(_FIRST, judged // 2), draw)
    changed = next(attempts)
    for _ in range(judged):
        vector = np.where(changed, draw.random(units), best if len(best) else 0.0)
        plan = within(session.problem, session.problem.front(_prior(session, vector)), band)
        if plan is None:
            return best_plan
        loss = session.one_shot(plan)
        better = loss < best_loss
        if better:
            best, best_loss, best_plan = vector, loss, plan
        changed = attempts.send(better)
    return best_plan


def _attempts(units: int, first: int, draw: np.random.Generator) -> Generator[np.ndarray, bool, None]:
    """Which coefficients to draw anew; sent whether the last attempt was better, it starts its neighbourhood again."""
    for _ in range(max(1, first)):
        yield np.ones(units, dtype=bool)
    size = max(1, round(_SHARE * units))
    while True:
        failed = 0
        while failed < _TRIES:
            changed = np.zeros(units, dtype=bool)
            changed[draw.choice(units, size, replace=False)] = True
            failed = 0 if (yield changed) else failed + 1
        size = max(1, size - 1)


def _prior(session: Session, vector: Floats) -> list[Floats]:
    strongest = max(float(strength.max()) for strength in session.problem.strengths)
    return [c * (s / strongest) ** 2 for c, s in zip(vector.tolist(), session.problem.strengths, strict=True)]
