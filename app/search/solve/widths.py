"""Shared widths, solved whichever way fits: a chain stage by stage, everything else as a graph."""

from collections.abc import Iterator, Sequence

from app.search.solve.chain import NotAChain
from app.search.solve.coupled import CoupledProblem, CoupledSolution
from app.search.solve.graph import solve_graph
from app.search.solve.milp import Effort
from app.search.solve.stages import solve_stages


def solve_coupled(
    problem: CoupledProblem,
    limits: Sequence[Sequence[float]],
    *,
    effort: Effort = Effort(),  # noqa: B008  a frozen value
) -> Iterator[CoupledSolution]:
    """The decision of least error for every row of limits, one limit a resource, `inf` for none.

    Raises:
        Unreachable: nothing keeps a row of limits; says how low each resource goes.
        SolveError: a row of another length; or nothing was found within the effort.
    """
    problem.check_limits(limits)
    try:
        yield from solve_stages(problem, [row[0] for row in limits])
    except NotAChain:
        yield from solve_graph(problem, limits, effort=effort)
