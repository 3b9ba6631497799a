"""Several nearly best choices that differ, under the same limits: what is worth training side by side.

An additive model ranks close candidates at noise level once networks recover, so the best few are tried. Each next one
is the best of those that share at most a given share of their units' choices with every earlier one (the similarity cut
of Puzzle, Bercovich et al. 2024, arXiv:2411.19146), exactly, by MILP.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from app.search.solve.milp import Effort
from app.search.solve.multiple_choice import Cut, Table, least
from app.search.solve.resources import solve_resources
from app.search.solve.values import Solution, SolveError, checked_pair


def diverse(
    costs: Sequence[npt.ArrayLike],
    errors: Sequence[npt.ArrayLike],
    limits: Sequence[float],
    *,
    count: int = 4,
    share: float = 0.8,
    effort: Effort = Effort(),  # noqa: B008  a frozen value
) -> Iterator[Solution]:
    """The best choice under limits, and the best that differ from all before; fewer where there are no more.

    Args:
        costs: per unit, `options x resources`.
        errors: per unit, `options`.
        limits: one a resource, on the costs of units alone; `inf` for none.
        count: how many at most.
        share: of the units that may choose as an earlier answer did, below 1.
        effort: when to stop short of a proof.

    Raises:
        Unreachable: no choice keeps the limits.
        SolveError: a table that is none, a share outside [0, 1), or nothing found within the effort.
    """
    if count < 1 or not 0.0 <= share < 1.0:
        raise SolveError.refused(f"expected a count >= 1 and a share in [0, 1), got {count} and {share}")
    found = solve_resources(costs, errors, limits, effort=effort)
    yield found
    known_costs, known_errors = checked_pair(costs, errors, resources=len(limits))
    # options that another one beats stay: they may be what differs
    table = Table(costs=known_costs, errors=known_errors, room=np.asarray(limits, dtype=np.float64))
    most = int(np.floor(share * len(known_errors) + 1e-9))
    cuts = [Cut(choices=found.choices, most=most)]
    for _ in range(count - 1):
        following = least(table, effort, cuts)
        if following is None:
            return
        cuts.append(Cut(choices=following.choices, most=most))
        yield following.solution(table)
