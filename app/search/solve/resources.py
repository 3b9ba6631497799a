"""Several limits at once: least error over one option a unit, where every resource has its limit. Exact, by MILP.

Latency on several devices, bytes of weights, energy: each is a column of costs that adds up over units, with a fixed
part of its own. Minimise sum e[u, o] x[u, o] under sum_o x[u, o] = 1 and sum c[u, o, r] x[u, o] <= limit[r] - fixed[r],
x binary: a multi-dimensional multiple-choice knapsack, solved by HiGHS through
`multiple_choice`. Options that another one of the
unit beats in error and in every resource are left out first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from app.search.solve.milp import Effort
from app.search.solve.multiple_choice import Table, least
from app.search.solve.values import Floats, Indices, Solution, SolveError, Unreachable, checked_pair


def solve_resources(
    costs: Sequence[npt.ArrayLike],
    errors: Sequence[npt.ArrayLike],
    limits: Sequence[float],
    *,
    fixed: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    effort: Effort = Effort(),  # noqa: B008  a frozen value
) -> Solution:
    """The choice of least error that keeps every limit.

    Args:
        costs: per unit, `options x resources`.
        errors: per unit, `options`.
        limits: one a resource; `inf` for none.
        fixed: what every choice costs besides, one a resource; zero where left out.
        names: of the resources, for refusals.
        effort: when to stop short of a proof.

    Raises:
        Unreachable: no choice keeps the limits; says which, and the lowest that each can be.
        SolveError: tables that are not; or nothing was found within the effort.
    """
    known_limits = np.asarray(limits, dtype=np.float64)
    known_costs, known_errors = checked_pair(costs, errors, resources=len(known_limits))
    fixed_costs = np.zeros(len(known_limits)) if fixed is None else np.asarray(fixed, dtype=np.float64)
    fit = known_limits.shape == fixed_costs.shape and np.all(np.isfinite(fixed_costs))
    if np.any(np.isnan(known_limits)) or not fit:
        raise SolveError.refused(f"every resource has a limit and a fixed cost; got {limits} and {fixed}")
    table = Table(costs=known_costs, errors=known_errors, room=known_limits - fixed_costs)
    kept = [_undominated(np.column_stack(pair)) for pair in zip(known_costs, known_errors, strict=True)]
    thin = Table(
        costs=[cost[keep] for cost, keep in zip(known_costs, kept, strict=True)],
        errors=[error[keep] for error, keep in zip(known_errors, kept, strict=True)],
        room=table.room,
    )
    found = least(thin, effort)
    if found is None:
        raise _unreachable(table, known_limits, fixed_costs, names or _numbered(known_limits), effort)
    choices = np.array([keep[option] for keep, option in zip(kept, found.choices, strict=True)], dtype=np.intp)
    return replace(found, choices=choices).solution(table, fixed_costs)


def sweep_resources(
    costs: Sequence[npt.ArrayLike],
    errors: Sequence[npt.ArrayLike],
    limits: Sequence[Sequence[float]],
    *,
    fixed: Sequence[float] | None = None,
    effort: Effort = Effort(),  # noqa: B008  a frozen value
) -> Iterator[Solution | Unreachable]:
    """One answer for every row of limits, in order; a row that nothing keeps yields its refusal."""
    for row in limits:
        try:
            yield solve_resources(costs, errors, row, fixed=fixed, effort=effort)
        except Unreachable as refusal:
            yield refusal


def _numbered(limits: Floats) -> list[str]:
    return [f"resource {index}" for index in range(len(limits))]


def _undominated(points: Floats) -> Indices:
    """Indices of the points that no other is nowhere above; of equal ones the first."""
    below = np.all(points[:, None, :] <= points[None, :, :], axis=2)  # [a, b]: a is nowhere above b
    equal = below & below.T
    beaten = below & ~equal
    return np.nonzero(~np.any(beaten | np.triu(equal, 1), axis=0))[0]


def _unreachable(table: Table, limits: Floats, fixed: Floats, names: Sequence[str], effort: Effort) -> Unreachable:
    """Which limits are out of reach: each alone, or else only together, then with how low each goes beside the rest."""
    alone = [index for index in range(len(limits)) if not table.keeps(table.lowest)[index]]
    culprits = alone or [index for index in range(len(limits)) if np.isfinite(limits[index])]
    lowest = table.lowest + fixed
    if not alone:
        lowest = np.array([_lowest_beside(table, index, effort) for index in range(len(limits))]) + fixed
    said = " and ".join(f"{names[i]} goes down to {lowest[i]:.6g}, not {limits[i]:.6g}" for i in culprits)
    where = "no choice keeps the limits" if alone else "no choice keeps all limits at once; beside the others"
    remedy = "raise what is out of reach" if alone else "raise one of them"
    return Unreachable(
        "limit_unreachable",
        f"{where}: {said}; {remedy}, or allow more options",
        {
            "limits": dict(zip(names, limits.tolist(), strict=True)),
            "lowest": dict(zip(names, lowest.tolist(), strict=True)),
            "out_of_reach": [names[index] for index in culprits],
        },
    )


def _lowest_beside(table: Table, resource: int, effort: Effort) -> float:
    """How little a resource takes while all other limits are kept; infinite where those contradict each other."""
    room = table.room.copy()
    room[resource] = np.inf
    found = least(replace(table, errors=[cost[:, resource] for cost in table.costs], room=room), effort)
    return np.inf if found is None else float(table.taken(found.choices)[resource])
