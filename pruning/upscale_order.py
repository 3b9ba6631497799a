"""In which order should channels stand, so that what each reader wants is one run of them?

The question of UPSCALE (Wan et al., ICML 2023, arXiv 2307.08771). A family of sets has such an order if it has the
consecutive-ones property, which `line_up` decides exactly: sets that overlap fix each other's order but for its
direction, and families that do not overlap lie beside or inside one another. Where not all readers can be
served, `order` serves as many as it can, one after another; that is a heuristic, as is the paper's own, which
takes maximal paths through a graph of readers.
"""

from collections.abc import Iterator, Sequence

Wanted = frozenset[int]
Blocks = list[set[int]]  # in order; inside a block any order will do


def order(channels: Sequence[int], wanted: Sequence[Wanted]) -> tuple[int, ...]:
    """An order of `channels` with few sets of `wanted` that are no runs; never more of them than as given."""
    given = tuple(channels)
    chosen = [given]
    for keep in (True, False):  # what the given order serves first, or all alike
        served: list[Wanted] = []
        line = given
        ranked = sorted(set(wanted), key=lambda s: (keep and not is_run(given, s), -wanted.count(s), len(s), sorted(s)))
        for candidate in ranked:
            found = line_up(given, [*served, candidate])
            if found is not None:
                served.append(candidate)
                line = found
        chosen.append(line)
    return min(chosen, key=lambda line: copies(line, wanted))


def copies(line: Sequence[int], wanted: Sequence[Wanted]) -> int:
    """How many of the sets are no runs of `line`: readers that must gather their channels."""
    return sum(not is_run(line, channels) for channels in wanted)


def is_run(line: Sequence[int], channels: Wanted) -> bool:
    """Whether channels stand side by side in `line`."""
    places = [place for place, channel in enumerate(line) if channel in channels]
    return not places or places[-1] - places[0] + 1 == len(places)


def line_up(channels: Sequence[int], wanted: Sequence[Wanted]) -> tuple[int, ...] | None:
    """An order of `channels` in which every set is a run, close to the given one; None if there is none."""
    families = []
    for family in _families([channels for channels in dict.fromkeys(wanted) if channels]):
        blocks = _blocks(family)
        if blocks is None:
            return None
        families.append(blocks)
    families.sort(key=lambda blocks: (-len(_all(blocks)), len(blocks)))
    return tuple(_laid(channels, families))


def _families(wanted: list[Wanted]) -> Iterator[list[Wanted]]:
    """Sets connected by overlaps, each behind one that it overlaps."""
    while wanted:
        family = [wanted.pop(0)]
        for one in family:  # grows while it is walked
            near = [s for s in wanted if s & one and s - one and one - s]
            wanted = [s for s in wanted if s not in near]
            family += near
        yield family


def _blocks(family: Sequence[Wanted]) -> Blocks | None:
    """What overlapping sets cut each other into, in the one order, but for its direction, that makes them runs."""
    blocks: Blocks = [set(family[0])]
    for wanted in family[1:]:
        touched = [place for place, block in enumerate(blocks) if block & wanted]
        first, last = touched[0], touched[-1]
        if len(touched) <= last - first or any(not blocks[place] <= wanted for place in touched[1:-1]):
            return None
        parted = _parted(blocks, wanted, first, last)
        if parted is None:
            return None
        blocks = parted
    return blocks


def _parted(blocks: Blocks, wanted: Wanted, first: int, last: int) -> Blocks | None:
    """Part the blocks at both ends of a new run; what no block has yet goes to an end of all that it reaches."""
    new = set(wanted).difference(*blocks)
    before, after = blocks[first] - wanted, blocks[last] - wanted
    inside = [block & wanted for block in blocks[first : last + 1]]
    if first == last and last == len(blocks) - 1:
        after = set()
    elif first == last and first == 0:
        before = set()
    elif first == last:
        return None
    parted = [block for block in (*blocks[:first], before, *inside, after, *blocks[last + 1 :]) if block]
    if not new:
        return parted
    if parted[-1] <= wanted:
        return [*parted, new]
    return [new, *parted] if parted[0] <= wanted else None


def _laid(channels: Sequence[int], families: Sequence[Blocks]) -> list[int]:
    """Families beside each other, or each inside a block of a larger one; the larger come first."""
    rank = {channel: place for place, channel in enumerate(channels)}
    lines: list[list[int]] = []
    free, rest = set(channels), list(families)
    while rest:
        outer, rest = rest[0], rest[1:]
        inner = [family for family in rest if _all(family) <= _all(outer)]
        rest = [family for family in rest if not _all(family) <= _all(outer)]
        line: list[int] = []
        for block in outer:
            inside = [family for family in inner if _all(family) <= block]
            line += _laid(sorted(block, key=rank.__getitem__), inside)
        lines.append(line if rank[line[0]] <= rank[line[-1]] else line[::-1])
        free -= _all(outer)
    lines += [[channel] for channel in free]
    return [channel for line in sorted(lines, key=lambda line: min(map(rank.__getitem__, line))) for channel in line]


def _all(blocks: Blocks) -> set[int]:
    return set().union(*blocks)
