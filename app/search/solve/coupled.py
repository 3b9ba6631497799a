"""Shared widths: layers whose cost hangs on two decisions, how wide they read and how wide they write.

A **group** is channels that are removed together; it is given one of its widths. A **layer** reads one group and writes
another (or the same: depthwise), and costs what its two-sided table says, `out width x in width`. Layers with a block
name form a **block**; a droppable block may be left out as a whole, with all its layers, for an error of its own. This
is the problem of MDP (Sun et al., CVPR 2025): minimise the sum of errors under limits on sums of costs. Solved exactly
by `stages` where the groups form a chain, by `graph` on any graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.search.solve.values import SLACK, Floats, SolveError, Status, Unreachable


@dataclass(frozen=True, kw_only=True)
class Group:
    """Channels that get one of several widths; `errors` are what each width loses, whatever layers do with it."""

    name: str
    widths: int
    errors: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class TwoSided:
    """A layer: `costs` is `resources x out widths x in widths`; a side that no group decides has one width.

    `errors` is `out widths x in widths`, or broadcasts to it.
    """

    name: str
    costs: Floats
    errors: Floats
    reads: str | None = None
    writes: str | None = None
    block: str | None = None


@dataclass(frozen=True, kw_only=True)
class CoupledProblem:
    """Groups, layers, and the blocks that may be dropped, with the error of dropping each.

    Raises:
        SolveError: names that clash or are unknown, tables of a wrong shape, numbers that are not finite.
    """

    groups: Sequence[Group]
    layers: Sequence[TwoSided]
    droppable: Mapping[str, float] = field(default_factory=dict)
    fixed: Sequence[float] = (0.0,)

    def __post_init__(self) -> None:
        if not self.layers:
            raise SolveError.refused("there is nothing to choose: the problem has no layers")
        for kind, names in (("group", [g.name for g in self.groups]), ("layer", [one.name for one in self.layers])):
            if twice := {name for name in names if names.count(name) > 1}:
                raise SolveError.refused(f"{kind} {min(twice)!r} is there twice")
        for group in self.groups:
            errors = np.zeros(max(group.widths, 0)) if group.errors is None else group.errors
            if group.widths < 1 or errors.shape != (group.widths,) or not np.all(np.isfinite(errors)):
                raise SolveError.refused(f"group {group.name!r} needs a width, and a finite error for each width")
        for layer in self.layers:
            self._check(layer)
        unknown = set(self.droppable) - {layer.block for layer in self.layers}
        if unknown or not all(np.isfinite(error) for error in self.droppable.values()):
            raise SolveError.refused(f"droppable blocks need layers and a finite error: {sorted(unknown)}")

    def _check(self, layer: TwoSided) -> None:
        for side in (layer.reads, layer.writes):
            if side is not None and side not in self.widths:
                raise SolveError.refused(f"layer {layer.name!r} is of group {side!r}, which there is not")
        wanted = (len(self.fixed), *self.shape(layer))
        if layer.costs.shape != wanted:
            raise SolveError.refused(f"layer {layer.name!r}: expected costs of shape {wanted}, got {layer.costs.shape}")
        fits = all(n in (1, most) for n, most in zip(layer.errors.shape[::-1], wanted[:0:-1], strict=False))
        if layer.errors.ndim > 2 or not fits:
            raise SolveError.refused(f"layer {layer.name!r}: errors of shape {layer.errors.shape} are not {wanted[1:]}")
        if not (np.all(np.isfinite(layer.costs)) and np.all(np.isfinite(layer.errors))):
            raise SolveError.refused(f"layer {layer.name!r} has a cost or an error that is not a finite number")

    def check_limits(self, limits: Sequence[Sequence[float]]) -> None:
        """Refuse rows of limits that are not one number a resource."""
        for row in limits:
            if len(row) != len(self.fixed) or any(np.isnan(limit) for limit in row):
                raise SolveError.refused(f"expected {len(self.fixed)} limits a row, one a resource; got {list(row)}")

    @property
    def widths(self) -> dict[str, int]:
        """How many widths each group has."""
        return {group.name: group.widths for group in self.groups}

    def shape(self, layer: TwoSided) -> tuple[int, int]:
        """Its `out widths x in widths`."""
        return (
            1 if layer.writes is None else self.widths[layer.writes],
            1 if layer.reads is None else self.widths[layer.reads],
        )

    def errors(self, layer: TwoSided) -> Floats:
        """Its errors, `out widths x in widths`."""
        return np.broadcast_to(layer.errors, self.shape(layer))

    def blocks(self) -> dict[str, list[TwoSided]]:
        """Layers by block; a layer of no block is a block by itself, under its own name in brackets."""
        found: dict[str, list[TwoSided]] = {}
        for layer in self.layers:
            found.setdefault(layer.block or f"[{layer.name}]", []).append(layer)
        return found

    def priced(self, widths: Mapping[str, int], dropped: frozenset[str]) -> tuple[Floats, float]:
        """The costs, one a resource, and the error of a decision."""
        costs = np.array(self.fixed, dtype=np.float64)
        error = sum(self.droppable[block] for block in dropped)
        for group in self.groups:
            error += 0.0 if group.errors is None else float(group.errors[widths[group.name]])
        for layer in self.layers:
            if layer.block in dropped:
                continue
            at = (
                0 if layer.writes is None else widths[layer.writes],
                0 if layer.reads is None else widths[layer.reads],
            )
            costs = costs + layer.costs[:, at[0], at[1]]
            error += float(self.errors(layer)[at])
        return costs, float(error)


@dataclass(frozen=True, kw_only=True)
class CoupledSolution:
    """A width index a group, the blocks that are dropped, and what it costs; `bound`, `gap`, `status` as in `Solution`.

    The inner widths of a dropped block mean nothing; they are those of least error.
    """

    widths: Mapping[str, int]
    dropped: frozenset[str]
    costs: Floats
    error: float
    bound: float
    status: Status

    @property
    def gap(self) -> float:
        """How much error a better decision could save at most."""
        return max(0.0, self.error - self.bound)


def keeps(problem: CoupledProblem, costs: Floats, limits: Floats) -> npt.NDArray[np.bool_]:
    """Of every resource, whether its limit is overstepped by no more than sums of floats may differ."""
    return costs <= limits + slack(problem)


def slack(problem: CoupledProblem) -> Floats:
    """Of every resource, by how much sums of floats may differ."""
    most = [np.abs(layer.costs).max(axis=(1, 2)) for layer in problem.layers]
    size: Floats = sum(most, np.abs(np.array(problem.fixed, dtype=np.float64)))
    return SLACK * size


def unreachable(problem: CoupledProblem, limits: Floats, lowest: Floats) -> Unreachable:
    """The refusal of limits that no decision keeps."""
    alone = np.nonzero(~keeps(problem, lowest, limits))[0].tolist()
    culprits = alone or np.nonzero(np.isfinite(limits))[0].tolist()
    names = [f"resource {index}" for index in range(len(limits))]
    said = " and ".join(f"{names[i]} goes down to {lowest[i]:.6g}, not {limits[i]:.6g}" for i in culprits)
    return Unreachable(
        "limit_unreachable",
        f"nothing keeps the limits: {said}; raise a limit, or allow more widths"
        if alone
        else f"nothing keeps all limits at once, each of which can be kept: {said}; raise one of them",
        {
            "limits": dict(zip(names, limits.tolist(), strict=True)),
            "lowest": dict(zip(names, lowest.tolist(), strict=True)),
            "out_of_reach": [names[index] for index in culprits],
        },
    )
