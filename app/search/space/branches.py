"""Blocks that make a coupled problem a chain: branches between the same two groups become one block each.

The groups of a residual net form rings: a branch reads a group, and what it adds goes to the same group. A ring is no
chain, but where the groups inside a branch are enumerated with it, what is left is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from app.search.solve.chain import Chain, NotAChain
from app.search.solve.coupled import CoupledProblem, TwoSided

TIE = "tie "  # how a layer's name begins that ties a group of one layer to the group it belongs to


def in_blocks(problem: CoupledProblem) -> CoupledProblem:
    """The problem with blocks that make it a chain; if none are found, as it is, to be solved as a graph."""
    tied = {one.writes or "" for one in problem.layers if one.name.startswith(TIE)}
    close = replace(problem, layers=_joined(problem.layers, tied))
    touched = [groups - tied for groups in map(_groups, close.blocks().values())]
    leading = [groups for groups in touched if len(groups) > 1]
    rings = {group for group in problem.widths if _on_a_ring(group, leading)}
    few = {group for group in problem.widths if _count(group, leading) <= 2}
    inner = (set[str](), {group for group in rings if _count(group, touched) <= 2}, rings & few, few)
    for found in (replace(problem, layers=_joined(problem.layers, tied | groups)) for groups in inner):
        try:
            Chain.of(found)
        except NotAChain:
            continue
        return found
    return problem


def _groups(layers: Sequence[TwoSided]) -> set[str]:
    return {side for one in layers for side in (one.reads, one.writes) if side is not None}


def _count(group: str, among: Sequence[set[str]]) -> int:
    return sum(group in groups for groups in among)


def _on_a_ring(group: str, leading: Sequence[set[str]]) -> bool:
    """Whether a group leads between others that are joined without it too."""
    ends = [groups - {group} for groups in leading if group in groups]
    others = [groups for groups in leading if group not in groups]
    if len(ends) < 2:
        return False
    reached, grown = set(ends[0]), True
    while grown:
        near = {name for groups in others if groups & reached for name in groups}
        grown = not near <= reached
        reached |= near
    return all(groups & reached for groups in ends)


def _joined(layers: Sequence[TwoSided], within: set[str]) -> list[TwoSided]:
    """The layers, those of one block that share a group out of `within`."""
    block: Mapping[str, str] = {one.name: one.name for one in layers}
    for group in sorted(within):
        members = {block[one.name] for one in layers if group in (one.reads, one.writes)}
        block = {name: min(members) if now in members else now for name, now in block.items()}
    return [replace(one, block=block[one.name]) for one in layers]
