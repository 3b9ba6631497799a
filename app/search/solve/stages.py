"""A chain of coupled groups: a dynamic program over stations and a cost axis, on the options that can still matter.

For each width of a station and each budget the least error of all before it; a block on the station adds its best
option (max-plus convolution), a block that leads on also changes the width. Before it runs, options are left out that
no decision better than the best known one takes: their value at the price around the limit says so (Lagrangian
fixing). A coarse axis, rounded up, improves the best known; the last one is exact where costs are whole numbers of one
grain. Else nothing is below the same program with costs rounded down, nor below the line between supported decisions,
and the gap is told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.solve.chain import Chain
from app.search.solve.coupled import CoupledProblem, CoupledSolution, keeps, slack, unreachable
from app.search.solve.knapsack import whole_grain
from app.search.solve.supported import Decision, Supported
from app.search.solve.values import Floats, Indices, SolveError

_SHARES = (0.01, 0.1, 1.0, 1.0)  # of the work, in rounds: each leaves fewer options to the next
_LONGEST = 100_000  # budgets of an axis that is not exact
_PROVEN = 1e-9  # of the error: a gap as small counts as none
Picks = npt.NDArray[np.int32]


def solve_stages(problem: CoupledProblem, limits: Sequence[float], *, cells: float = 5e7) -> Iterator[CoupledSolution]:
    """The decision of least error for every limit on the one resource.

    Args:
        problem: with one resource, whose groups form a chain.
        limits: on the cost with everything fixed; `inf` for none.
        cells: how much work a limit may be, in options x budgets; 1e8 take about half a second. With less, the axis
            is coarser, and the gap may stay open.

    Raises:
        NotAChain: see `chain`; solve it as a graph.
        Unreachable: a limit is below the lowest reachable cost.
    """
    chain = Chain.of(problem)
    problem.check_limits([[limit] for limit in limits])
    if cells < 1:
        raise SolveError.refused(f"expected cells >= 1, got {cells}")
    supported = Supported(chain)
    for limit in limits:
        yield _least(problem, chain, supported, limit, cells)


def _least(problem: CoupledProblem, chain: Chain, supported: Supported, limit: float, cells: float) -> CoupledSolution:
    lowest = np.array([supported.cheapest.cost + problem.fixed[0]])
    if not np.all(keeps(problem, lowest, np.array([limit]))):
        raise unreachable(problem, np.array([limit]), lowest)
    room = max(limit - problem.fixed[0] + float(slack(problem)[0]), supported.cheapest.cost)
    bracket = supported.around(room)
    best, bound = bracket.within, bracket.line
    for share in _SHARES:
        if best.error - bound <= _PROVEN * abs(best.error):
            break
        rest = supported.narrowed(bracket.price, best.error + bracket.price * room)
        axis = _Axis.of(rest, room, share * cells, np.ceil)
        # what was left out is no better than the best known, so that is as low as the rest can prove
        known = best.error
        program = _Program(rest, axis)
        best = min([best, *program.read(axis.budget(room))], key=lambda decision: decision.error)
        down = axis if axis.exact else _Axis.of(rest, room, share * cells, np.floor)
        least = program.best if axis.exact else _Program(rest, down).best
        bound = max(bound, min(known, float(least[down.budget(room)])))
    widths, dropped = chain.decided(best.widths, best.decisions)
    costs, error = problem.priced(widths, dropped)
    return CoupledSolution(
        widths=widths,
        dropped=dropped,
        costs=costs,
        error=error,
        bound=min(bound, error),
        status="optimal" if error - bound <= _PROVEN * abs(error) else "gap",
    )


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Weights of all options of each block, relative to its cheapest one, on an axis of `length` steps of `grain`."""

    weights: Sequence[Indices]
    cheapest: float
    grain: float
    length: int
    exact: bool

    @classmethod
    def of(cls, chain: Chain, room: float, cells: float, rounded: np.ufunc) -> "_Axis":
        """Exact where the costs and the work allow it; no longer than what some decision within the room needs."""
        least = [float(block.costs.min()) for block in chain.blocks]
        span = min(sum(float(np.ptp(block.costs)) for block in chain.blocks), room - sum(least))
        grain = whole_grain([np.unique(block.costs) for block in chain.blocks])
        size = sum(len(block.costs) + block.cells.size for block in chain.blocks)
        exact = grain is not None and size * span / grain <= cells
        length = max(1, min(int(cells / size), _LONGEST))
        step = grain if exact and grain is not None else max(span / length, np.finfo(float).tiny)
        near = np.rint if exact else rounded
        weights = [near((b.costs - low) / step).astype(np.intp) for b, low in zip(chain.blocks, least, strict=True)]
        length = int(span / step + 1e-6) if exact else length
        return cls(weights=weights, cheapest=sum(least), grain=step, length=length, exact=exact)

    def budget(self, room: float) -> int:
        """What a room is on the axis."""
        return int(min((room - self.cheapest) / self.grain + 1e-9, self.length))


class _Program:
    """The program, run; `best[b]` is the least error at budget b, infinite where nothing fits."""

    def __init__(self, chain: Chain, axis: _Axis) -> None:
        self._chain, self._axis = chain, axis
        self._picked: dict[tuple[int, int, int], Picks] = {}  # by block and cell: per budget, the option of the cell
        self._came: list[Picks] = []  # by station: width x budget, the width before
        state = np.zeros((1, axis.length + 1))
        for station, loss in enumerate(chain.losses):
            state = self._arrived(state, self._at(station - 1, leads_on=True), len(loss)) + loss[:, None]
            for block in self._at(station, leads_on=False):
                state = self._through([block], state, 0, range(len(loss)))
        self._last = state
        self.best: Floats = state.min(axis=0)

    def read(self, budget: int) -> list[Decision]:
        """The best decision at a budget; none where nothing fits."""
        if not np.isfinite(self.best[budget]):
            return []
        options = [0] * len(self._chain.blocks)
        widths = [int(np.argmin(self._last[:, budget]))]
        for station in range(len(self._chain.losses) - 1, -1, -1):
            for block in reversed(self._at(station, leads_on=False)):
                options[block], budget = self._stepped_back(block, widths[0], 0, budget)
            before = int(self._came[station][widths[0], budget])
            for block in reversed(self._at(station - 1, leads_on=True)):
                options[block], budget = self._stepped_back(block, before, widths[0], budget)
            widths.insert(0, before)
        return [Decision.of(self._chain, widths[1:], options)]  # before the first station there is one width

    def _at(self, station: int, *, leads_on: bool) -> list[int]:
        return [k for k, b in enumerate(self._chain.blocks) if b.at == station and b.leads_on == leads_on]

    def _arrived(self, state: Floats, blocks: Sequence[int], widths: int) -> Floats:
        """The state at the next station: for each width of it, from whichever width before is best."""
        best = np.full((widths, state.shape[1]), np.inf)
        came = np.zeros((widths, state.shape[1]), dtype=np.int32)
        for width in range(widths):
            open_ = [k for k in range(len(state)) if all(self._has(block, k, width) for block in blocks)]
            if not open_:
                continue
            way = self._through(blocks, state, width, open_)
            nearest = np.argmin(way, axis=0)
            came[width] = np.array(open_)[nearest]
            best[width] = np.take_along_axis(way, nearest[None], axis=0)[0]
        self._came.append(came)
        return best

    def _has(self, k: int, here: int, there: int) -> bool:
        cell = self._chain.blocks[k].cell(here, there)
        return bool(cell.start < cell.stop)

    def _through(self, blocks: Sequence[int], state: Floats, there: int, heres: Sequence[int]) -> Floats:
        """The state at some widths after some blocks, towards one width of the next station."""
        rows = state[heres]
        for k in blocks:
            block, weights = self._chain.blocks[k], self._axis.weights[k]
            after = np.full_like(rows, np.inf)
            for row, here in enumerate(heres):
                cell = block.cell(here, there)
                picked = self._picked[k, here, there] = np.zeros(state.shape[1], dtype=np.int32)
                _convolve(rows[row], weights[cell], block.errors[cell], after[row], picked)
            rows = after
        return rows

    def _stepped_back(self, k: int, here: int, there: int, budget: int) -> tuple[int, int]:
        option = self._chain.blocks[k].cell(here, there).start + int(self._picked[k, here, there][budget])
        return option, budget - int(self._axis.weights[k][option])


def _convolve(state: Floats, weights: Indices, errors: Floats, best: Floats, picked: Picks) -> None:
    """Write the least error at every budget with one of the options added, and which one it is."""
    for option, (weight, error) in enumerate(zip(weights.tolist(), errors.tolist(), strict=True)):
        if weight >= len(state):
            break  # options come by rising cost
        candidate = state[: len(state) - weight] + error
        better = candidate < best[weight:]
        best[weight:][better] = candidate[better]
        picked[weight:][better] = option
