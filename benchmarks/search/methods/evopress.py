"""EvoPress-style level switching (Sieberling et al. 2024, arXiv 2410.14649), for one latency after another.

A population of one: offspring make a few layers stronger by a level and others milder, so that the latency is kept; all
are judged by one-shot loss on few samples, the best of them and the parent on all. The paper switches levels of equal
cost; where costs differ, layers are made milder until none can be without overstepping. First parent: the same level
everywhere that keeps the latency.
"""

import numpy as np

from benchmarks.search.problem import Problem
from benchmarks.search.session import Session

_OFFSPRING, _SURVIVORS, _FEW, _SWITCHES = 8, 2, 4, 3  # few: a quarter of the samples
Levels = tuple[int, ...]


def evopress(session: Session) -> None:
    """Evolve at every band, then recover what was found there."""
    problem, draw = session.problem, np.random.default_rng(session.seed)
    few = max(1, problem.calibration // _FEW)
    generation = _OFFSPRING * few + (_SURVIVORS + 1) * problem.calibration
    generations = max(0, (session.left // len(problem.bands) - problem.evaluation_passes) // generation)
    for band in problem.bands:
        parent = _uniform(problem, band)
        if parent is None:
            continue
        for _ in range(generations):
            parent = _next(session, parent, band, draw)
        session.evaluate(problem.plan(parent))


def _next(session: Session, parent: Levels, band: float, draw: np.random.Generator) -> Levels:
    problem = session.problem
    few = max(1, problem.calibration // _FEW)
    children = [_switched(problem, parent, band, draw) for _ in range(_OFFSPRING)]
    judged = sorted(children, key=lambda child: session.one_shot(problem.plan(child), few))
    finalists = [parent, *judged[:_SURVIVORS]]
    losses = [session.one_shot(problem.plan(levels)) for levels in finalists]
    return finalists[int(np.argmin(losses))]


def _switched(problem: Problem, parent: Levels, band: float, draw: np.random.Generator) -> Levels:
    """Some layers a level stronger, then others milder for as long as the band is kept."""
    levels = list(parent)
    able = [i for i, gene in enumerate(problem.genes) if not gene.joint and levels[i] < len(gene.options) - 1]
    count = min(*draw.integers(1, _SWITCHES + 1, size=2).tolist(), len(able))
    for i in draw.choice(able, count, replace=False).tolist():
        levels[i] += 1
    for i in draw.permutation(len(levels)).tolist():
        milder = [*levels[:i], levels[i] - 1, *levels[i + 1 :]]
        if levels[i] and milder != list(parent) and problem.share(problem.plan(milder)) <= band:
            levels = milder
    return tuple(levels)


def _uniform(problem: Problem, band: float) -> Levels | None:
    """The mildest share of the way to the strongest level, the same everywhere, that keeps the band."""
    for part in np.linspace(0.0, 1.0, 33):
        levels = tuple(0 if g.joint else round(part * (len(g.options) - 1)) for g in problem.genes)
        if problem.share(problem.plan(levels)) <= band:
            return levels
    return None
