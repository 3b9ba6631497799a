"""The one place where HiGHS is asked: a minimum over mixed integers, scaled so that its tolerances mean little.

HiGHS (Huangfu and Hall 2018, https://doi.org/10.1007/s12532-017-0130-5) comes with scipy. It stops at an absolute gap
of 1e-6 and lets rows be overstepped by about as much, and scipy exposes neither; so objective and rows are scaled up
until both are a billionth of what is at stake. Effort is counted in nodes of the tree, not seconds: an answer must not
depend on how busy a machine is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from app.search.solve.values import Floats, SolveError

_SCALE = 1e4  # what the largest number of a scaled row or objective is
_NOTHING = 1e-200
_PROVEN = 1e-6  # of the error: a gap as small counts as none


@dataclass(frozen=True, kw_only=True)
class Effort:
    """When to stop short of a proof: `nodes` of the search tree, or a gap that is a `share` of the error."""

    nodes: int = 20_000
    share: float = _PROVEN

    def __post_init__(self) -> None:
        if self.nodes < 1 or not 0.0 <= self.share < 1.0:
            raise SolveError.refused(f"an effort has nodes >= 1 and 0 <= share < 1, got {self}")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Sparse rows of one kind: sum of `values` x variable at (`rows`, `columns`), between `low` and `high`."""

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    values: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, kw_only=True)
class Programme:
    """Minimise `objective` @ x over 0 <= x <= `high` under rows; `whole` says which x are whole numbers."""

    objective: Floats
    whole: npt.NDArray[np.bool_]
    rows: Sequence[Rows]
    high: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of it; `x` is None where nothing was found, `bound` is what no x goes below."""

    outcome: Literal["optimal", "gap", "infeasible"]
    x: Floats | None
    bound: float


def minimise(programme: Programme, effort: Effort) -> Answer:
    """Solve it, proven or as well as the effort allows.

    Raises:
        SolveError: HiGHS gave up for another reason than its effort.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # scipy takes a second to load: only for who needs it
    from scipy.sparse import csr_array

    size = len(programme.objective)
    scale = _scale(programme.objective)
    constraints = []
    for rows in programme.rows:
        matrix = csr_array((rows.values, (rows.rows, rows.columns)), shape=(len(rows.low), size))
        constraints.append(LinearConstraint(matrix, rows.low, rows.high))
    found = milp(
        programme.objective * scale,
        integrality=programme.whole.astype(np.int64),
        bounds=Bounds(0.0, np.ones(size) if programme.high is None else programme.high),
        constraints=constraints,
        options={"node_limit": effort.nodes, "mip_rel_gap": effort.share},
    )
    if found.status == 2:
        return Answer(outcome="infeasible", x=None, bound=np.inf)
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound) / scale
    if found.x is None and found.status != 1:
        raise SolveError("solve_failed", f"the solver gave up: {found.message}")
    proven = found.status == 0 and effort.share <= _PROVEN
    return Answer(outcome="optimal" if proven else "gap", x=found.x, bound=bound)


def _scale(values: Floats) -> float:
    most = float(np.max(np.abs(values), initial=0.0))
    return _SCALE / most if most > _NOTHING else 1.0


def limit_rows(values: Sequence[Floats], limits: Sequence[float]) -> Rows:
    """One row a limit over the first variables, scaled; `values[i]` are what each variable takes of it."""
    scaled = []
    for row, limit in zip(values, limits, strict=True):
        scale = _scale(row)
        scaled.append((row * scale, limit * scale))
    size = len(values[0]) if values else 0
    return Rows(
        rows=np.repeat(np.arange(len(values)), size),
        columns=np.tile(np.arange(size), len(values)),
        values=np.concatenate([row for row, _ in scaled]) if scaled else np.empty(0),
        low=np.full(len(values), -np.inf),
        high=np.array([high for _, high in scaled]),
    )


def unfinished(effort: Effort) -> SolveError:
    """The refusal where the effort went by without anything found."""
    return SolveError(
        "solve_unfinished",
        f"nothing that keeps the limits was found within {effort.nodes} nodes; allow more, or raise a limit",
        {"nodes": effort.nodes},
    )
