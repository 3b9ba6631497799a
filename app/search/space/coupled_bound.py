"""What no choice of coupled widths goes below, at any cost: straight lines, one a price of a unit of cost.

At a price p every choice has error + p cost >= v(p), the least of all; so at most a cost c no error is below
v(p) - p c (Lagrangian duality; Everett 1963, https://doi.org/10.1287/opre.11.3.399). v(p) is found by eliminating
groups one after another, on any graph. Where the tables between would grow too large, a group is decided more than once
(mini-buckets; Dechter and Rish 2003, https://doi.org/10.1145/636865.636866), which only lowers v(p): still a bound.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from app.search.solve.coupled import CoupledProblem, CoupledSolution, TwoSided
from app.search.solve.values import Floats

_CELLS = 1 << 18  # of one table between
_LINES = 64
_ROUNDING = 1e-12  # of a number: sums of floats in another order


@dataclass(frozen=True, kw_only=True)
class CoupledBound:
    """Lines `values - prices x cost`, and steps: within `limits` nothing is below `least`. Nothing costs < `lowest`."""

    lowest: float
    prices: Floats
    values: Floats
    limits: Floats
    least: Floats

    @property
    def highest(self) -> float:
        """From which cost on only the least error of all, `values[0]`, bounds; the first line is level."""
        return max(self.lowest, float(((self.values[1:] - self.values[0]) / self.prices[1:]).max(initial=-np.inf)))

    def at(self, cost: npt.ArrayLike) -> Floats:
        """The error that no choice of at most this cost goes below; infinite where nothing is as cheap."""
        room = np.asarray(cost, dtype=np.float64)
        lines = self.values - self.prices * room[..., None]
        slack = _ROUNDING * (np.abs(self.values) + self.prices * np.abs(room[..., None]))
        steps = np.where(room[..., None] <= self.limits, self.least, -np.inf)
        best: Floats = np.maximum((lines - slack).max(axis=-1), steps.max(axis=-1, initial=-np.inf))
        return np.where(room < self.lowest * (1 - _ROUNDING), np.inf, best)

    def tightened(self, solved: Sequence[tuple[float, CoupledSolution]]) -> "CoupledBound":
        """With what was proven at single limits."""
        limits = np.array([limit for limit, _ in solved])
        least = np.array([one.bound - _ROUNDING * abs(one.bound) for _, one in solved])
        return replace(self, limits=np.concatenate([self.limits, limits]), least=np.concatenate([self.least, least]))


def bound_of(problem: CoupledProblem, *, lines: int = _LINES) -> tuple[CoupledBound, list[dict[str, int]]]:
    """The bound of a problem with one resource and no droppable blocks, and the decisions that its lines meet in.

    Args:
        problem: what to bound.
        lines: how many prices are tried at most; those between two decisions that a line joins already are not.
    """
    order = _Elimination(problem)
    fixed = problem.fixed[0]
    cheapest = order.least(error=0.0, cost=1.0)
    ends = [cheapest, order.least(error=1.0, cost=0.0)]
    met = [(*order.priced(end.widths), end.widths) for end in ends]
    found = [(0.0, ends[1].value)]
    waiting = [(met[0], met[1])]
    while waiting and len(found) < lines:
        left, right = waiting.pop(0)
        price = _price(left, right)
        if price is None:
            continue
        between = order.least(error=1.0, cost=price)
        found.append((price, between.value + price * fixed))
        point = (*order.priced(between.widths), between.widths)
        if point[1] + price * point[0] < (left[1] + price * left[0]) * (1 - _ROUNDING):
            met.append(point)
            waiting += [(left, point), (point, right)]
    bound = CoupledBound(
        lowest=fixed + cheapest.value,
        prices=np.array([price for price, _ in found]),
        values=np.array([value for _, value in found]),
        limits=np.empty(0),
        least=np.empty(0),
    )
    return bound, [widths for *_, widths in met]


def _price(left: tuple[float, float, object], right: tuple[float, float, object]) -> float | None:
    """The price at which two decisions are worth the same."""
    cost, error = right[0] - left[0], left[1] - right[1]
    return error / cost if cost > 0 and error > 0 else None


@dataclass(frozen=True)
class _Least:
    value: float
    widths: dict[str, int]


@dataclass(frozen=True)
class _Table:
    """Costs and errors over some groups, in the order of their numbers."""

    scope: tuple[int, ...]
    costs: Floats
    errors: Floats


class _Elimination:
    """Groups in the order in which they are decided, and the tables between."""

    def __init__(self, problem: CoupledProblem) -> None:
        self._names = list(problem.widths)
        self._sizes = list(problem.widths.values())
        self._tables = list(_merged(problem, {name: number for number, name in enumerate(self._names)}))
        self._order = self._ordered()

    def priced(self, widths: Mapping[str, int]) -> tuple[float, float]:
        """Cost and error of a decision, without what is fixed."""
        at = [tuple(widths[self._names[number]] for number in table.scope) for table in self._tables]
        costs = sum(float(table.costs[where]) for table, where in zip(self._tables, at, strict=True))
        return costs, sum(float(table.errors[where]) for table, where in zip(self._tables, at, strict=True))

    def least(self, *, error: float, cost: float) -> _Least:
        """The least weighted sum, or less; and a decision, which has that sum where no group was decided twice."""
        alive = [(table.scope, error * table.errors + cost * table.costs) for table in self._tables]
        value, buckets = 0.0, []
        for group in self._order:
            mine = [table for table in alive if group in table[0]]
            alive = [table for table in alive if group not in table[0]]
            buckets.append((group, mine))
            for scope, table in self._parts(mine):
                axis = scope.index(group)
                rest = (*scope[:axis], *scope[axis + 1 :])
                least = table.min(axis=axis)
                if rest:
                    alive.append((rest, least))
                else:
                    value += float(least)
        value += sum(float(table) for _, table in alive)  # of layers that hang on no group
        decided: dict[int, int] = {}
        for group, mine in reversed(buckets):
            lines = [table[tuple(slice(None) if g == group else decided[g] for g in scope)] for scope, table in mine]
            decided[group] = int(np.argmin(sum(lines, np.zeros(self._sizes[group]))))
        return _Least(value, {self._names[group]: width for group, width in decided.items()})

    def _parts(self, tables: Sequence[tuple[tuple[int, ...], Floats]]) -> Iterator[tuple[tuple[int, ...], Floats]]:
        """The sum of tables, in as few parts as may be large enough to hold it."""
        parts: list[tuple[tuple[int, ...], Floats]] = []
        for scope, table in sorted(tables, key=lambda one: -one[1].size):
            for number, (known, total) in enumerate(parts):
                union = tuple(sorted({*known, *scope}))
                if prod(self._sizes[group] for group in union) <= _CELLS:
                    parts[number] = union, self._on(union, known, total) + self._on(union, scope, table)
                    break
            else:
                parts.append((scope, table))
        yield from parts

    def _on(self, union: tuple[int, ...], scope: tuple[int, ...], table: Floats) -> Floats:
        return table.reshape([self._sizes[group] if group in scope else 1 for group in union])

    def _ordered(self) -> list[int]:
        """The group whose tables together are smallest goes first."""
        scopes = [set(table.scope) for table in self._tables]
        left, order = set(range(len(self._sizes))), []
        while left:
            reach = {group: set().union({group}, *(scope for scope in scopes if group in scope)) for group in left}
            group = min(left, key=lambda one: (prod(self._sizes[other] for other in reach[one]), one))
            scopes = [scope for scope in scopes if group not in scope] + [reach[group] - {group}]
            left.remove(group)
            order.append(group)
        return order


def _merged(problem: CoupledProblem, numbers: Mapping[str, int]) -> Iterator[_Table]:
    """One table for all layers between the same groups, and what widths lose."""
    found: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
    for layer in problem.layers:
        scope, costs, errors = _flat(problem, layer, numbers)
        known = found.get(scope, (np.zeros(costs.shape), np.zeros(costs.shape)))
        found[scope] = known[0] + costs, known[1] + errors
    for group in problem.groups:
        if group.errors is not None:
            known = found.get((numbers[group.name],), (np.zeros(group.widths), np.zeros(group.widths)))
            found[numbers[group.name],] = known[0], known[1] + group.errors
    for scope, (costs, errors) in found.items():
        yield _Table(scope, costs, errors)


def _flat(
    problem: CoupledProblem, layer: TwoSided, numbers: Mapping[str, int]
) -> tuple[tuple[int, ...], Floats, Floats]:
    """A layer's tables over the groups it hangs on, in the order of their numbers."""
    costs, errors = layer.costs[0], problem.errors(layer)
    if layer.reads is not None and layer.reads == layer.writes:
        return (numbers[layer.reads],), np.diagonal(costs), np.diagonal(errors)
    sides = [numbers[side] for side in (layer.writes, layer.reads) if side is not None]
    if len(sides) == 2 and sides[0] > sides[1]:
        return (sides[1], sides[0]), costs.T, errors.T
    shape = problem.shape(layer) if len(sides) == 2 else [size for size in problem.shape(layer) if size > 1] or [1]
    shape = shape if sides else []
    if len(sides) == 1:
        shape = [problem.widths[layer.writes or layer.reads or ""]]
    return tuple(sides), costs.reshape(shape), errors.reshape(shape)
