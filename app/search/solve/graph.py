"""A coupled problem on any graph of groups and with any number of resources, by MILP.

MDP (Sun et al., CVPR 2025) multiplies one-hot widths and block switches; here every product is a variable of its own,
which is exact and linear: x_g one-hot and whole, d_b whole (dropped), and per layer w[i, j] >= 0 that sum to 1, or to
1 - d_b in a droppable block, with sum_j w[i, j] <= x_out[i] and sum_i w[i, j] <= x_in[j]. With x whole a w is 1 in one
place.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from app.search.solve.coupled import CoupledProblem, CoupledSolution, TwoSided, keeps, slack, unreachable
from app.search.solve.milp import Effort, Programme, Rows, limit_rows, minimise, unfinished
from app.search.solve.values import Floats, Indices, Status

_STEP_BACK = 1e-7  # of a limit: where a decision oversteps it within the solver's tolerance
_TRIES = 4


def solve_graph(
    problem: CoupledProblem,
    limits: Sequence[Sequence[float]],
    *,
    effort: Effort = Effort(),  # noqa: B008  a frozen value
) -> Iterator[CoupledSolution]:
    """The decision of least error for every row of limits, one limit a resource, `inf` for none.

    Raises:
        Unreachable: nothing keeps a row of limits; says how low each resource goes.
        SolveError: nothing was found within the effort.
    """
    problem.check_limits(limits)
    model = _Model(problem)
    for row in limits:
        yield _least(problem, model, np.asarray(row, dtype=np.float64), effort)


def _least(problem: CoupledProblem, model: "_Model", limits: Floats, effort: Effort) -> CoupledSolution:
    room, proven, bound = limits - np.asarray(problem.fixed) + slack(problem), True, -np.inf
    for _ in range(_TRIES):
        answer = minimise(model.programme(room), effort)
        if answer.outcome == "infeasible" and proven:
            raise unreachable(problem, limits, _lowest(problem, model, effort))
        if answer.x is None:
            raise unfinished(effort)
        bound = answer.bound if proven else bound
        proven &= answer.outcome == "optimal"
        widths, dropped = model.read(answer.x)
        costs, error = problem.priced(widths, dropped)
        if np.all(keeps(problem, costs, limits)):
            status: Status = "optimal" if proven else "gap"
            bound = min(bound, error)
            return CoupledSolution(widths=widths, dropped=dropped, costs=costs, error=error, bound=bound, status=status)
        room, proven = room - _STEP_BACK * np.where(np.isfinite(limits), np.abs(limits), 0.0), False
    raise unfinished(effort)


def _lowest(problem: CoupledProblem, model: "_Model", effort: Effort) -> Floats:
    """Of every resource by itself, the least that a decision costs."""
    lowest = []
    for resource in range(len(problem.fixed)):
        answer = minimise(model.programme(np.full(len(problem.fixed), np.inf), along=resource), effort)
        lowest.append(answer.bound + problem.fixed[resource])
    return np.array(lowest)


class _Model:
    """The programme of a problem; variables get numbers in the order they come."""

    def __init__(self, problem: CoupledProblem) -> None:
        self._errors: list[Floats] = []
        self._costs: list[Floats] = []  # resources x variables, in parts
        self._whole: list[Floats] = []
        self._rows: list[tuple[Indices, Floats, float, float]] = []  # variables, factors, low, high
        self._size = 0
        resources = len(problem.fixed)
        self.width_at = {
            g.name: self._add(np.zeros(g.widths) if g.errors is None else g.errors, np.zeros((resources, g.widths)))
            for g in problem.groups
        }
        self.drop_at = {
            block: self._add(np.array([error]), np.zeros((resources, 1))) for block, error in problem.droppable.items()
        }
        for variables in self.width_at.values():
            self._row(variables, np.ones(len(variables)), 1.0, 1.0)
        for layer in problem.layers:
            self._layer(problem, layer)

    def programme(self, room: Floats, along: int | None = None) -> Programme:
        """Least error within the room; or the least of one resource, whatever the error."""
        costs = np.concatenate(self._costs, axis=1)
        sizes = [len(variables) for variables, *_ in self._rows]
        rows = Rows(
            rows=np.repeat(np.arange(len(self._rows)), sizes),
            columns=np.concatenate([variables for variables, *_ in self._rows]),
            values=np.concatenate([factors for _, factors, *_ in self._rows]),
            low=np.array([low for *_, low, _ in self._rows]),
            high=np.array([high for *_, high in self._rows]),
        )
        limited = np.nonzero(np.isfinite(room))[0]
        return Programme(
            objective=np.concatenate(self._errors) if along is None else costs[along],
            whole=np.concatenate(self._whole).astype(np.bool_),
            rows=[rows, limit_rows(list(costs[limited]), room[limited].tolist())],
        )

    def read(self, x: Floats) -> tuple[dict[str, int], frozenset[str]]:
        """Widths and dropped blocks of an answer."""
        dropped = frozenset(block for block, at in self.drop_at.items() if x[at[0]] > 0.5)
        return {group: int(np.argmax(x[at])) for group, at in self.width_at.items()}, dropped

    def _add(self, errors: Floats, costs: Floats, *, whole: bool = True) -> Indices:
        variables = np.arange(self._size, self._size + errors.size)
        self._errors.append(errors.ravel())
        self._costs.append(costs.reshape(len(costs), -1))
        self._whole.append(np.full(errors.size, float(whole)))
        self._size += errors.size
        return variables.reshape(errors.shape)

    def _row(self, variables: Indices, factors: Floats, low: float, high: float) -> None:
        self._rows.append((variables, factors, low, high))

    def _layer(self, problem: CoupledProblem, layer: TwoSided) -> None:
        errors, costs = problem.errors(layer), layer.costs
        sides = [layer.writes, layer.reads]
        if layer.reads is not None and layer.reads == layer.writes:
            errors, costs, sides = (
                np.diagonal(errors)[:, None],
                np.diagonal(costs, axis1=1, axis2=2)[..., None],
                [layer.reads, None],
            )
        cells = self._add(errors, costs, whole=False)
        switch = self.drop_at.get(layer.block or "")
        lines = [(group, cells if side == 0 else cells.T) for side, group in enumerate(sides) if group is not None]
        for group, by_width in lines:
            for width, line in zip(self.width_at[group], by_width, strict=True):
                # where the layer is always there, its cells of a width sum to that width's variable, not only to less
                self._row(
                    np.append(line, width), np.append(np.ones(len(line)), -1.0), 0.0 if switch is None else -np.inf, 0.0
                )
        if switch is not None or not lines:
            either = cells.ravel() if switch is None else np.append(cells.ravel(), switch)
            self._row(either, np.ones(len(either)), 1.0, 1.0)
