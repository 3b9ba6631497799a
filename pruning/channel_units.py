"""From tags to groups: the units that go as a whole, and the runs of alike units that make one `ChannelGroup`.

A unit is a set of joined tags: a channel, a head, the channels that a norm averages over. It may stand at
several places of several parameters. Units belong to one group if they stand in the same places, one after
another everywhere; each place is then a `Cut`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile

import numpy as np

from pruning.channels import Ids, Role, Walk
from pruning.layers import Cut, SizeFix

Side = tuple[str, int]  # a parameter and one of its dimensions
Place = tuple[str, str, int | None]  # a node, an argument, an index


@dataclass(frozen=True, order=True)
class Run:
    """Neighbouring indices of one side that belong to one unit."""

    side: Side
    start: int
    length: int

    def then(self, other: "Run") -> bool:
        """Whether `other` is as long and comes next."""
        return other == Run(self.side, self.start + self.length, self.length)


@dataclass
class Units:
    """Every unit by its representative tag: where it stands, what counts it, and why it must stay."""

    lines: dict[Side, Ids] = field(default_factory=dict)
    roles: dict[Side, Role] = field(default_factory=dict)
    runs: dict[int, list[Run]] = field(default_factory=dict)
    counts: dict[int, dict[Place, int]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    heads: set[int] = field(default_factory=set)

    def made_by(self, parameter: str) -> list[int]:
        """The units that a weight makes, in the order of its rows (or columns, if transposed)."""
        lines = [line for side, line in self.lines.items() if side[0] == parameter and self.roles[side] == "producer"]
        return list(dict.fromkeys(int(tag) for line in lines for tag in line))

    def alike(self, one: int, other: int) -> bool:
        """Whether a unit continues another everywhere."""
        here, there = self.runs[one], self.runs[other]
        follows = len(here) == len(there) and all(a.then(b) for a, b in zip(here, there, strict=True))
        return follows and self.counts.get(one) == self.counts.get(other)

    def regular(self, members: Sequence[int]) -> bool:
        """Whether units stand one after another everywhere."""
        return all(self.alike(one, other) for one, other in pairwise(members))

    def first(self, made: Sequence[int]) -> list[int]:
        """As many of these as make one group: alike, or held by one reason, or none like its neighbours."""
        reason = self.reasons.get(made[0], "")
        if reason:
            return list(takewhile(lambda tag: self.reasons.get(tag) == reason, made))
        free = list(takewhile(lambda tag: tag not in self.reasons, made))
        joints = [self.alike(one, other) for one, other in pairwise(free)]
        wanted = bool(joints) and joints[0]
        return free[: 1 + len(list(takewhile(lambda joint: joint == wanted, joints)))] if wanted else self._odd(free)

    def _odd(self, free: list[int]) -> list[int]:
        """Units without alike neighbours, up to the first that has one."""
        alone = [not self.alike(one, other) for one, other in pairwise(free)]
        before = len(list(takewhile(bool, alone)))
        return free[: max(1, before if before < len(alone) else len(free))]

    def stands(self, members: Sequence[int], role: Role) -> set[str]:
        """The parameters in which units stand in that role."""
        return {run.side[0] for tag in members for run in self.runs[tag] if self.roles[run.side] == role}

    def cuts(self, members: Sequence[int]) -> Iterator[Cut]:
        """Where regular units live in the parameters."""
        for run in self.runs[members[0]]:
            name, dim = run.side
            yield Cut(parameter=name, dim=dim, role=self.roles[run.side], repeat=run.length, offset=run.start)

    def fixes(self, members: Sequence[int]) -> Iterator[SizeFix]:
        """The sizes that count them."""
        for (node, argument, index), repeat in self.counts.get(members[0], {}).items():
            yield SizeFix(node=node, argument=argument, index=index, repeat=repeat)

    def rows(self, members: Sequence[int], parameter: str) -> tuple[int, int]:
        """The first and last index that units have in the weight that makes them."""
        runs = [run for tag in members for run in self.runs[tag] if run.side[0] == parameter]
        made = [run for run in runs if self.roles[run.side] == "producer"]
        return min(run.start for run in made), max(run.start + run.length for run in made) - 1


def find_units(walk: Walk) -> Units:
    """The units of a finished walk. Joins what must stay rectangular."""
    tables = [layout.tags for layout in walk.layouts.values()]
    for tags in [*tables, *walk.sides.values()]:
        if tags.ndim > 1:
            walk.tags.settle(tags)
    for tags in tables:
        if len(set(walk.tags.find(tags).flat)) == 1:
            alone = "there is one channel only" if tags.size == 1 else "the channels can only go all together"
            walk.tags.spoil(tags, alone)
    units = Units(reasons=walk.tags.reasons, heads={int(t) for tags in walk.heads for t in walk.tags.find(tags).flat})
    for (name, dims), tags in walk.sides.items():
        axis, line = _axis(walk, tags)
        side = (name, dims[axis])
        units.lines[side], units.roles[side] = line, walk.roles[name, dims]
        for run, tag in _runs(side, line):
            units.runs.setdefault(tag, []).append(run)
    for runs in units.runs.values():
        runs.sort()
    _count(walk, units)
    return units


def _axis(walk: Walk, tags: Ids) -> tuple[int, Ids]:
    lines = ((axis, walk.tags.line(tags, axis)) for axis in range(tags.ndim))
    return max(((axis, line) for axis, line in lines if line is not None), key=lambda found: len(set(found[1])))


def _runs(side: Side, line: Ids) -> Iterator[tuple[Run, int]]:
    edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
    for start, end in pairwise(edges):
        yield Run(side, start, end - start), int(line[start])


def _count(walk: Walk, units: Units) -> None:
    """What each unit adds to the sizes in the graph; a size that counts it twice shrinks twice."""
    for fix in walk.fixes:
        line = walk.tags.line(fix.tags, fix.axis)
        if line is None:
            continue  # this dimension stays: slices go along another
        key = (fix.node, fix.argument, fix.index)
        for tag, times in zip(*np.unique(line, return_counts=True), strict=True):
            found = units.counts.setdefault(int(tag), {})
            found[key] = found.get(key, 0) + int(times) // fix.times
