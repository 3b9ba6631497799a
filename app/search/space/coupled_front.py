"""The front of a space whose prices hang together, at exact prices, and what nothing is below.

Chains (plain and residual nets, most of all) are solved to proof, a limit after another. On other graphs the decisions
that the bound's lines meet in are taken: each is proven for its own cost, and the bound says how much there may be
between them; with an effort an integer program fills in. Every plan is priced by the network function at the end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from app.search.solve import pareto_front_2d
from app.search.solve.chain import NotAChain
from app.search.solve.coupled import CoupledProblem, CoupledSolution, slack
from app.search.solve.graph import solve_graph
from app.search.solve.milp import Effort
from app.search.solve.stages import solve_stages
from app.search.solve.values import Floats, Unreachable
from app.search.space.coupled_bound import CoupledBound, bound_of
from app.search.space.coupling import Coupling, coupling
from app.search.space.options import Choice, Space
from costmodels.base import CostModel
from costmodels.network import network_cost
from pruning.layers import ModelSpec

LIMITS = 24  # of a sweep, evenly from the lowest latency to that of least error
_CELLS = 5e6  # of work a limit; with less than it takes for a proof the gap is told
_OFFERS = 8
_STEP = 1e-6  # of a limit, below a plan that was offered
_SLACK = 1e-9
Price = Callable[[Sequence[Choice]], float]  # exact, in ms
Solved = tuple[float, CoupledSolution]


@dataclass(frozen=True, kw_only=True)
class CoupledFront:
    """Plans that no other one found beats, cheapest first, and what nothing is below."""

    choices: tuple[list[Choice], ...]
    latencies_ms: Floats
    errors: Floats
    bound: CoupledBound

    @property
    def gaps(self) -> Floats:
        """How much error a better plan could save at most, at each plan's latency; 0 where it is proven best."""
        return np.maximum(0.0, self.errors - self.bound.at(self.latencies_ms))


def coupled_front(found: Coupling, price: Price, *, limits: int = LIMITS, effort: Effort | None = None) -> CoupledFront:
    """The front of a space on one device.

    Args:
        found: the space, with the errors that count.
        price: what a plan costs exactly.
        limits: how many latencies are solved for.
        effort: for the integer program where the space is no chain; without, only the supported plans are found.
    """
    bound, decisions = bound_of(found.problem)
    solved = list(_sweep(found.problem, bound, limits, effort))
    widths = [*decisions, *(one.widths for _, one in solved)]
    floor = bound.tightened(solved) if found.exact else bound_of(found.floor)[0]
    plans = {str(choices): choices for choices in map(found.choices, widths)}
    latencies_ms = np.array([price(choices) for choices in plans.values()])
    errors = np.array([_error(found, choices) for choices in plans.values()])
    kept = pareto_front_2d(latencies_ms, errors)
    every = list(plans.values())
    return CoupledFront(
        choices=tuple(every[row] for row in kept), latencies_ms=latencies_ms[kept], errors=errors[kept], bound=floor
    )


@dataclass(frozen=True)
class Couplings:
    """The couplings of a space on its devices, each built when it is first asked for."""

    model: ModelSpec
    space: Space
    cost_models: Mapping[str, CostModel]
    known: dict[str, Coupling] = field(default_factory=dict, repr=False)

    def on(self, profile: str, errors: Sequence[Floats]) -> Coupling:
        """The coupling on a device, with these errors."""
        if profile not in self.known:
            self.known[profile] = coupling(self.model, self.space, self.cost_models[profile], errors)
        return self.known[profile].trusting(errors)

    def exact_ms(self, profile: str, choices: Sequence[Choice]) -> float:
        """What a plan costs on a device."""
        return network_cost(self.model, self.space.plan(choices, ""), self.cost_models[profile]).latency_ms

    def front(self, profile: str, errors: Sequence[Floats], *, limits: int = LIMITS) -> CoupledFront:
        """The front on a device."""
        found = self.on(profile, errors)
        return coupled_front(found, lambda choices: self.exact_ms(profile, choices), limits=limits)

    def offers(self, profile: str, errors: Sequence[Floats], limit_ms: float) -> Iterator[list[Choice]]:
        """A few plans that keep a limit on a device, from the least error up; the first is the best there is.

        The best, that is, where the coupling is exact and a chain; else the best that was found.
        """
        found = self.on(profile, errors)
        yield from _within(found, limit_ms, lambda choices: self.exact_ms(profile, choices))


def _sweep(problem: CoupledProblem, bound: CoupledBound, limits: int, effort: Effort | None) -> Iterator[Solved]:
    """Solutions from the mildest limit down, as far as there are any."""
    asked = np.linspace(bound.highest, bound.lowest, limits).tolist()
    try:
        yield from zip(asked, solve_stages(problem, asked, cells=_CELLS), strict=False)
    except NotAChain:
        if effort is not None:
            yield from _graph(problem, asked, effort)
    except Unreachable:
        return


def _graph(problem: CoupledProblem, asked: Sequence[float], effort: Effort) -> Iterator[Solved]:
    try:
        yield from zip(asked, solve_graph(problem, [[limit] for limit in asked], effort=effort), strict=False)
    except Unreachable:
        return


def _within(found: Coupling, limit_ms: float, price: Price) -> Iterator[list[Choice]]:
    most_ms, room = limit_ms * (1 + _SLACK), limit_ms
    try:
        for _ in range(_OFFERS):
            solution = next(solve_stages(found.problem, [room], cells=_CELLS))
            choices, cost_ms = found.choices(solution.widths), float(solution.costs[0])
            latency_ms = price(choices)
            if latency_ms <= most_ms:
                yield choices
            over = max(1.0, latency_ms / limit_ms)
            room = min(room, cost_ms) / over * (1 - _STEP) - 2 * float(slack(found.problem)[0])
    except Unreachable:
        return
    except NotAChain:
        _, decisions = bound_of(found.problem)
        plans = sorted((found.choices(widths) for widths in decisions), key=lambda choices: _error(found, choices))
        yield from (choices for choices in plans if price(choices) <= most_ms)


def _error(found: Coupling, choices: Sequence[Choice]) -> float:
    return found.problem.priced(found.widths(choices), frozenset())[1]
