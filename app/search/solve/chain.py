"""A coupled problem read as a chain: stations that blocks hang on, or lead from one to the next.

A group that layers of several blocks touch is a **station**; one that a single block touches is **inner**, and is
enumerated with that block. Where every block touches at most two stations and the stations thus joined lie on lines
(residual streams do; so do the layers of a plain net), everything is a table per block: for each width of its stations
the (cost, error) of all inner widths and of dropping it, without those that another one beats.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from app.search.solve.coupled import CoupledProblem, TwoSided
from app.search.solve.front import pareto_front_2d
from app.search.solve.values import Floats, Indices, SolveError

_CELLS = 4_000_000  # of one block's table; beyond it the widths of a block cannot be enumerated


class NotAChain(SolveError):
    """The groups do not form a chain, or a block is too large to enumerate; any graph can be solved by `graph`."""

    @classmethod
    def because(cls, reason: str) -> "NotAChain":
        """Of this block or group."""
        return cls("not_a_chain", f"{reason}; solve it as a graph")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block with its options, flat: by width of its station `at`, then of the next station, then by rising cost.

    `cells[i, j]` is the first option at these widths; a block that does not lead on has one j.
    """

    name: str
    at: int
    leads_on: bool
    inner: tuple[str, ...]
    inner_widths: tuple[int, ...]
    idle: Mapping[str, int]  # widths of the inner groups where the block is dropped
    costs: Floats
    errors: Floats
    decisions: Indices  # index into the block's inner widths, flat; -1 where it is dropped
    cells: Indices

    def cell(self, i: int, j: int) -> slice:
        """The options at a width of its station and of the next."""
        flat = i * self.cells.shape[1] + j
        ends = np.append(self.cells.ravel(), len(self.costs))
        return slice(int(ends[flat]), int(ends[flat + 1]))

    def narrowed(self, kept: npt.NDArray[np.bool_]) -> "Block":
        """The block with these options alone; cells may be left empty."""
        before = np.concatenate([[0], np.cumsum(kept)]).astype(np.intp)
        return replace(
            self,
            costs=self.costs[kept],
            errors=self.errors[kept],
            decisions=self.decisions[kept],
            cells=before[self.cells],
        )

    def decided(self, decision: int) -> dict[str, int]:
        """The widths of the inner groups that a decision stands for."""
        if decision < 0:
            return dict(self.idle)
        return dict(zip(self.inner, (int(i) for i in np.unravel_index(decision, self.inner_widths)), strict=True))


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Stations in order, with what each width of theirs loses, and the blocks on them."""

    stations: tuple[str | None, ...]  # None where a problem has none
    losses: tuple[Floats, ...]
    blocks: tuple[Block, ...]
    stray: Mapping[str, int]  # widths of groups that no layer has

    @classmethod
    def of(cls, problem: CoupledProblem) -> "Chain":
        """Read a problem with one resource.

        Raises:
            NotAChain: it is none, or a block is too large.
        """
        if len(problem.fixed) != 1:
            raise NotAChain.because(f"a chain is solved along one resource, not {len(problem.fixed)}")
        members = problem.blocks()
        touched = {name: _groups(layers) for name, layers in members.items()}
        seen = [group for groups in touched.values() for group in groups]
        shared = {group for group in seen if seen.count(group) > 1}
        order = _line({name: [g for g in groups if g in shared] for name, groups in touched.items()}, sorted(shared))
        losses = {g.name: np.zeros(g.widths) if g.errors is None else g.errors for g in problem.groups}
        stray = sum((float(losses[g.name].min()) for g in problem.groups if g.name not in seen), 0.0)
        stations: tuple[str | None, ...] = tuple(order) or (None,)
        at_stations = [np.zeros(1) if name is None else losses[name] for name in stations]
        return cls(
            stations=stations,
            losses=(at_stations[0] + stray, *at_stations[1:]),
            blocks=tuple(_block(problem, name, layers, stations, losses) for name, layers in members.items()),
            stray={g.name: int(np.argmin(losses[g.name])) for g in problem.groups if g.name not in seen},
        )

    def decided(self, widths: Sequence[int], decisions: Sequence[int]) -> tuple[dict[str, int], frozenset[str]]:
        """The widths of all groups and the dropped blocks: of a width a station, and a decision a block."""
        found = dict(self.stray)
        found.update({name: int(width) for name, width in zip(self.stations, widths, strict=True) if name is not None})
        for block, decision in zip(self.blocks, decisions, strict=True):
            found.update(block.decided(decision))
        return found, frozenset(b.name for b, decision in zip(self.blocks, decisions, strict=True) if decision < 0)


def _groups(layers: Sequence[TwoSided]) -> list[str]:
    return list(dict.fromkeys(side for layer in layers for side in (layer.reads, layer.writes) if side is not None))


def _line(stations_of: Mapping[str, Sequence[str]], stations: Sequence[str]) -> list[str]:
    """The stations in an order in which blocks join neighbours only."""
    beside: dict[str, list[str]] = {name: [] for name in stations}
    for block, ends in stations_of.items():
        if len(ends) > 2:
            raise NotAChain.because(f"block {block!r} touches {len(ends)} shared groups")
        if len(ends) == 2 and ends[1] not in beside[ends[0]]:
            beside[ends[0]].append(ends[1])
            beside[ends[1]].append(ends[0])
    if forked := [name for name, others in beside.items() if len(others) > 2]:
        raise NotAChain.because(f"group {forked[0]!r} is joined to {len(beside[forked[0]])} others")
    order: list[str] = []
    for start in (name for name, others in beside.items() if len(others) < 2):
        here: str | None = start if start not in order else None
        while here is not None:
            order.append(here)
            here = next((other for other in beside[here] if other not in order), None)
    if len(order) < len(stations):
        raise NotAChain.because(f"group {next(s for s in stations if s not in order)!r} is on a ring")
    return order


def _block(
    problem: CoupledProblem,
    name: str,
    layers: Sequence[TwoSided],
    stations: Sequence[str | None],
    losses: Mapping[str, Floats],
) -> Block:
    groups = _groups(layers)
    ends = sorted((g for g in groups if g in stations), key=stations.index)
    inner = tuple(g for g in groups if g not in stations)
    ends = ends or [name for name in stations[:1] if name is not None]  # what touches no station stands on the first
    axes = [*ends, *inner]
    shape = tuple(problem.widths[g] for g in axes)
    if prod(shape) > _CELLS:
        raise NotAChain.because(f"block {name!r} has {prod(shape)} combinations of widths")
    costs, errors = np.zeros(shape), np.zeros(shape)
    for layer in layers:
        costs = costs + _spread(layer.costs[0], layer, axes)
        errors = errors + _spread(problem.errors(layer), layer, axes)
    for axis, group in enumerate(inner, start=len(ends)):
        errors = errors + losses[group].reshape([-1 if a == axis else 1 for a in range(len(axes))])
    drop = problem.droppable.get(layers[0].block or "")
    idle = sum((float(losses[group].min()) for group in inner), 0.0)
    widths = [shape[k] if k < len(ends) else 1 for k in range(2)]
    flat = zip(costs.reshape(prod(widths), -1), errors.reshape(prod(widths), -1), strict=True)
    options = [_options(c, e, None if drop is None else drop + idle) for c, e in flat]
    sizes = [len(decisions) for *_, decisions in options]
    return Block(
        name=name,
        at=stations.index(ends[0]) if ends else 0,
        leads_on=len(ends) == 2,
        inner=inner,
        inner_widths=shape[len(ends) :],
        idle={group: int(np.argmin(losses[group])) for group in inner},
        costs=np.concatenate([costs for costs, *_ in options]),
        errors=np.concatenate([errors for _, errors, _ in options]),
        decisions=np.concatenate([decisions for *_, decisions in options]),
        cells=np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.intp).reshape(widths),
    )


def _spread(table: Floats, layer: TwoSided, axes: Sequence[str]) -> Floats:
    """An `out x in` table on the axes of a block."""
    sides = [(layer.writes, 0), (layer.reads, 1)]
    if layer.reads is not None and layer.reads == layer.writes:
        table, sides = np.diagonal(table), [(layer.reads, 0)]
    named = [(axes.index(group), side) for group, side in sides if group is not None]
    order = [side for _, side in sorted(named)]
    unnamed = [side for side in range(table.ndim) if side not in order]
    sizes = {axis: table.shape[side] for axis, side in named}
    return np.transpose(table, [*order, *unnamed]).reshape([sizes.get(axis, 1) for axis in range(len(axes))])


def _options(costs: Floats, errors: Floats, drop: float | None) -> tuple[Floats, Floats, Indices]:
    """Costs, errors and decisions that no other one beats."""
    decisions: Indices = np.arange(len(costs))
    if drop is not None:
        costs, errors, decisions = np.append(costs, 0.0), np.append(errors, drop), np.append(decisions, -1)
    kept = pareto_front_2d(costs, errors)
    return costs[kept], errors[kept], decisions[kept]
