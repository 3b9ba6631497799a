"""FastNAS-style threshold (as in NVIDIA's Model Optimizer): no layer may cost more than one largest degradation.

The error table is the product's, made non-decreasing by it. For a threshold every variable takes its cheapest option
within it; the largest threshold that is needed is found by bisection for one target latency after another.
"""

from bisect import bisect_left

import numpy as np

from benchmarks.search.problem import Plan
from benchmarks.search.session import Session


def fastnas(session: Session) -> None:
    """A minimax, where ours is a sum."""
    problem, errors = session.problem, session.errors()
    thresholds = np.unique(np.concatenate(errors)).tolist()

    def plan(threshold: float) -> Plan:
        choice = []
        for gene in problem.genes:
            error, cost = errors[gene.unit], problem.costs[gene.unit]
            allowed = [n for n, option in enumerate(gene.options) if error[option] <= threshold]
            choice.append(0 if gene.joint else min(allowed, key=lambda n: float(cost[gene.options[n]])))
        return problem.plan(choice)

    for target in problem.targets:
        at = bisect_left(thresholds, True, key=lambda threshold: problem.share(plan(threshold)) <= target)
        if at < len(thresholds):
            session.evaluate(plan(thresholds[at]))
