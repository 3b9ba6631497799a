"""What goes in and comes out of every solver: checked tables, fronts, answers, refusals. numpy only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from app.search.errors import SearchFailed

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Status = Literal["optimal", "gap"]
SLACK = 1e-9  # of a limit: sums of floats in another order


class SolveError(SearchFailed):
    """A table that cannot be solved, or a limit that nothing reaches; the reason names the culprit."""

    @classmethod
    def refused(cls, reason: str, details: Mapping[str, Any] | None = None) -> "SolveError":
        """A table that is not one."""
        return cls("solve_refused", reason, details)


class Unreachable(SolveError):
    """Limits that nothing keeps; `details` has `limits`, `lowest` (of each resource) and `out_of_reach`, by name."""


@dataclass(frozen=True, kw_only=True)
class Solutions:
    """A front of choices: `choices[i, unit]` is an option index; costs ascend, errors descend.

    `exact` says that it is the whole true front, not only a part of it with near misses in between.
    """

    choices: Indices
    costs: Floats
    errors: Floats
    exact: bool = False

    def __len__(self) -> int:
        return len(self.costs)

    def cheapest_within(self, error: float) -> int | None:
        """Index of the cheapest solution with at most that error."""
        within = np.nonzero(self.errors <= error)[0]
        return int(within[0]) if len(within) else None

    def best_within(self, cost: float) -> int | None:
        """Index of the solution of least error that costs at most `cost`."""
        within = np.nonzero(self.costs <= cost)[0]
        return int(within[-1]) if len(within) else None


@dataclass(frozen=True, kw_only=True)
class Solution:
    """One choice under limits: an option index a unit, what it costs of every resource, and how good it must be.

    `bound` is the error that nothing in the space goes below, so no more than `gap` is to be gained; `status` is
    "optimal" where that is proven to be nothing, give or take a millionth of the error.
    """

    choices: Indices
    costs: Floats
    error: float
    bound: float
    status: Status

    @property
    def gap(self) -> float:
        """How much error a better choice could save at most."""
        return max(0.0, self.error - self.bound)


def checked(tables: Sequence[npt.ArrayLike], *, what: str, width: int | None = None) -> list[Floats]:
    """Finite tables of numbers, one a unit.

    Args:
        tables: per unit, `options` numbers, or `options x width` of them.
        what: the word for one number, for refusals.
        width: how many numbers an option has; None for one.

    Raises:
        SolveError: no units, a unit without options, another shape, or a number that is not finite.
    """
    found = [np.asarray(table, dtype=np.float64) for table in tables]
    if not found:
        raise SolveError.refused("there is nothing to choose: the space has no units")
    for unit, table in enumerate(found):
        if table.ndim != (1 if width is None else 2) or (width is not None and table.shape[1] != width):
            wanted = "one number" if width is None else f"{width} numbers"
            raise SolveError.refused(f"unit {unit}: expected {wanted} an option, got a table of shape {table.shape}")
        if not len(table):
            raise SolveError.refused(f"unit {unit} has no options; it needs at least one", {"unit": unit})
        if not np.all(np.isfinite(table)):
            option = int(np.argwhere(~np.isfinite(table))[0][0])
            raise SolveError.refused(
                f"unit {unit}, option {option}: its {what} is {table[option]}, which is not a finite number; "
                "leave the option out",
                {"unit": unit, "option": option},
            )
    return found


def checked_pair(
    costs: Sequence[npt.ArrayLike], errors: Sequence[npt.ArrayLike], *, resources: int | None = None
) -> tuple[list[Floats], list[Floats]]:
    """Costs and errors that are finite and belong together.

    Raises:
        SolveError: see `checked`; or the two differ in units or options.
    """
    if len(costs) != len(errors):
        raise SolveError.refused(f"{len(costs)} units have costs, but {len(errors)} have errors")
    known_costs = checked(costs, what="cost", width=resources)
    known_errors = checked(errors, what="error")
    for unit, (cost, error) in enumerate(zip(known_costs, known_errors, strict=True)):
        if len(cost) != len(error):
            raise SolveError.refused(f"unit {unit} has {len(cost)} costs, but {len(error)} errors", {"unit": unit})
    return known_costs, known_errors
