"""The multiple-choice programme: one option a unit, least error, under limits and cuts, by HiGHS.

Minimise sum e[u, o] x[u, o] under sum_o x[u, o] = 1, sum c[u, o, r] x[u, o] <= room[r] and, for every cut, at most
`most` units choosing as it does; x binary. Costs are taken relative to the cheapest of their unit, so that a row's
tolerance is a share of what can be chosen, not of what everything costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.solve.milp import Answer, Effort, Programme, Rows, limit_rows, minimise, unfinished
from app.search.solve.values import SLACK, Floats, Indices, Solution

_STEP_BACK = 1e-7  # of a row's span: where a choice oversteps a limit within the solver's tolerance
_TRIES = 4


@dataclass(frozen=True, kw_only=True)
class Table:
    """Per unit `options x resources` costs and `options` errors, and what is left of every resource."""

    costs: Sequence[Floats]
    errors: Sequence[Floats]
    room: Floats

    @property
    def lowest(self) -> Floats:
        """Of every resource by itself, the least that must be taken."""
        return sum((cost.min(axis=0) for cost in self.costs), np.zeros(len(self.room)))

    def taken(self, choices: Indices) -> Floats:
        """Of every resource, what choices take."""
        return sum((c[o] for c, o in zip(self.costs, choices, strict=True)), np.zeros(len(self.room)))

    def error(self, choices: Indices) -> float:
        """The sum of the errors of choices."""
        return float(sum(e[o] for e, o in zip(self.errors, choices, strict=True)))

    @property
    def slack(self) -> Floats:
        """Of every resource, by how much sums of floats may differ."""
        most = [np.abs(cost).max(axis=0) for cost in self.costs]
        return SLACK * sum(most, np.zeros(len(self.room)))

    def keeps(self, taken: Floats) -> npt.NDArray[np.bool_]:
        """Of every resource, whether its limit is kept, give or take the slack."""
        return taken <= self.room + self.slack


@dataclass(frozen=True, kw_only=True)
class Cut:
    """At most `most` units may choose as these choices do."""

    choices: Indices
    most: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """Choices, the error that nothing goes below, and whether the two are proven to meet."""

    choices: Indices
    bound: float
    proven: bool

    def solution(self, table: Table, fixed: Floats | float = 0.0) -> Solution:
        """These choices of a table, with all they cost."""
        error = table.error(self.choices)
        return Solution(
            choices=self.choices,
            costs=table.taken(self.choices) + fixed,
            error=error,
            bound=min(self.bound, error),
            status="optimal" if self.proven else "gap",
        )


def least(table: Table, effort: Effort, cuts: Sequence[Cut] = ()) -> Found | None:
    """The choices of least error; None where nothing keeps the limits and the cuts.

    Raises:
        SolveError: nothing was found within the effort, though there may be something.
    """
    floor = float(sum(error.min() for error in table.errors))  # the programme counts from it
    room, bound, proven = table.room + table.slack, -np.inf, True
    for _ in range(_TRIES):
        answer = minimise(_programme(table, room, cuts), effort)
        if answer.outcome == "infeasible" and proven:
            return None
        bound = max(bound, answer.bound + floor) if proven else bound
        proven &= answer.outcome == "optimal"
        if answer.x is None:
            raise unfinished(effort)
        choices = _read(table, answer)
        if np.all(table.keeps(table.taken(choices))):
            return Found(choices=choices, bound=bound, proven=proven)
        span = sum((np.ptp(cost, axis=0) for cost in table.costs), np.zeros(len(room)))
        room, proven = room - _STEP_BACK * span, False
    raise unfinished(effort)


def _programme(table: Table, room: Floats, cuts: Sequence[Cut]) -> Programme:
    sizes = np.array([len(error) for error in table.errors])
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    units, size = len(sizes), int(sizes.sum())
    one_each = Rows(
        rows=np.repeat(np.arange(units), sizes),
        columns=np.arange(size),
        values=np.ones(size),
        low=np.ones(units),
        high=np.ones(units),
    )
    alike = Rows(
        rows=np.repeat(np.arange(len(cuts)), units),
        columns=np.concatenate([first + cut.choices for cut in cuts]) if cuts else np.empty(0, dtype=np.intp),
        values=np.ones(units * len(cuts)),
        low=np.full(len(cuts), -np.inf),
        high=np.array([float(cut.most) for cut in cuts]),
    )
    cheapest = table.lowest
    over = np.concatenate([cost - cost.min(axis=0) for cost in table.costs])
    limited = np.nonzero(np.isfinite(room))[0]
    return Programme(
        objective=np.concatenate([error - error.min() for error in table.errors]),
        whole=np.ones(size, dtype=np.bool_),
        rows=[one_each, alike, limit_rows(list(over.T[limited]), (room - cheapest)[limited].tolist())],
    )


def _read(table: Table, answer: Answer) -> Indices:
    assert answer.x is not None
    ends = np.cumsum([len(error) for error in table.errors])[:-1]
    return np.array([int(np.argmax(part)) for part in np.split(answer.x, ends)], dtype=np.intp)
