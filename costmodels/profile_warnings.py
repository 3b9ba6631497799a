"""What is odd about a profile and yet allowed: a person should look at it before a search believes it.

Nothing is smoothed or dropped on account of a warning: real tables do have steps where more zeros take longer.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from statistics import median

from costmodels.profile import Profile, ProfileRow
from pruning.patterns import NM, Block, Pattern, parse

SUM_RANGE = (0.6, 1.7)  # of the layers' sum over the measured whole: what real profilers show, with room
TINY_SHARE = 0.01  # of the median
_ENOUGH = 3  # rows: fewer whole numbers prove nothing
_EXAMPLES = 3
_Step = tuple[ProfileRow, ProfileRow, float]  # two neighbours, and by which share the second takes longer


def warnings(profile: Profile) -> tuple[str, ...]:
    """Sentences for people, one a matter; empty where nothing is odd."""
    return tuple(
        sentence
        for sentence in (
            _dearer_zeros(profile),
            _dearer_channels(profile),
            _sum_and_whole(profile),
            _whole_milliseconds(profile),
            _tiny_rows(profile),
        )
        if sentence
    )


def layer_sum_ms(profile: Profile) -> float:
    """Time of the dense layers as the model has them; of layers that run beside each other the slowest alone."""
    widest: dict[str, ProfileRow] = {}
    for row in profile.rows:
        if row.pattern == "dense" and (row.layer not in widest or _width(row) > _width(widest[row.layer])):
            widest[row.layer] = row
    times = {layer: row.latency_ms for layer, row in widest.items()}
    beside = [group.members for group in profile.groups if group.rule == "parallel_max"]
    hidden = sum(_hidden_ms([times.get(member, 0.0) for member in members]) for members in beside)
    return sum(times.values()) - hidden


def _hidden_ms(times: Sequence[float]) -> float:
    return sum(times) - max(times, default=0.0)


def _width(row: ProfileRow) -> float:
    """Channels of a row; left out means all of them."""
    unknown = float("inf")
    return (row.in_channels or unknown) * (row.out_channels or unknown)


def _sum_and_whole(profile: Profile) -> str:
    if profile.network_latency_ms is None or not profile.rows:
        return ""
    total = layer_sum_ms(profile)
    share = total / profile.network_latency_ms
    if SUM_RANGE[0] <= share <= SUM_RANGE[1]:
        return ""
    return (
        f"the layers sum to {total:.4g} ms, {share:.2g} of the {profile.network_latency_ms:.4g} ms measured for the "
        f"whole network; {SUM_RANGE[0]} ... {SUM_RANGE[1]} is usual: was it the same model, batch and unit?"
    )


def _dearer_zeros(profile: Profile) -> str:
    """Steps from one density to the next smaller one of a family that take longer; dense begins every family."""
    parsed = {text: parse(text) for text in {row.pattern for row in profile.rows}}
    steps = []
    for shape in _grouped(profile.rows, lambda row: (row.layer, row.in_channels, row.out_channels)):
        dense = [row for row in shape if row.pattern == "dense"]
        sparse = [row for row in shape if row.pattern != "dense"]
        for family in _grouped(sparse, lambda row: _family(parsed[row.pattern])):
            line = sorted([*dense, *family], key=lambda row: -parsed[row.pattern].density)
            shares = [row.latency_ms / (row.dense_ms or (dense[0].latency_ms if dense else 1.0)) for row in line]
            steps += _rises(line, shares)
    return _told(steps, "more zeros take longer", lambda row: row.pattern)


def _dearer_channels(profile: Profile) -> str:
    """Steps to fewer channels on one side, the other side and the pattern the same, that take longer."""
    by_inputs = _grouped(profile.rows, lambda row: (row.layer, row.pattern, row.in_channels))
    by_outputs = _grouped(profile.rows, lambda row: (row.layer, row.pattern, row.out_channels))
    steps = []
    for rows in (*by_inputs, *by_outputs):
        line = sorted((row for row in rows if row.in_channels and row.out_channels), key=lambda row: -_width(row))
        steps += _rises(line, [row.latency_ms for row in line])
    return _told(steps, "fewer channels take longer", lambda row: f"{row.in_channels} x {row.out_channels} channels")


def _rises(line: Sequence[ProfileRow], times: Sequence[float]) -> list[_Step]:
    """Neighbours of which the second takes longer, and by which share."""
    return [
        (before, after, later / earlier - 1.0)
        for (before, earlier), (after, later) in pairwise(zip(line, times, strict=True))
        if later > earlier
    ]


def _told(steps: Sequence[_Step], what: str, words: Callable[[ProfileRow], str]) -> str:
    if not steps:
        return ""
    examples = "; ".join(
        f"{before.layer!r}: {words(before)} {before.latency_ms:.4g} ms, {words(after)} {after.latency_ms:.4g} ms"
        for before, after, _ in steps[:_EXAMPLES]
    )
    most = max(rise for _, _, rise in steps)
    places = "one place" if len(steps) == 1 else f"{len(steps)} places"
    return f"{what} in {places}, by up to {most:.1%}, and kept as it is: {examples}"


def _whole_milliseconds(profile: Profile) -> str:
    times = [row.latency_ms for row in profile.rows]
    if len(times) < _ENOUGH or not all(float(time).is_integer() for time in times):
        return ""
    return f"all {len(times)} latencies are whole milliseconds: rounded by the tool, or of another unit?"


def _tiny_rows(profile: Profile) -> str:
    if not profile.rows:
        return ""
    middle = median(row.latency_ms for row in profile.rows)
    tiny = [row for row in profile.rows if row.latency_ms < TINY_SHARE * middle]
    if not tiny:
        return ""
    examples = ", ".join(f"{row.layer!r} {row.latency_ms:.4g} ms" for row in tiny[:_EXAMPLES])
    count = "one row takes" if len(tiny) == 1 else f"{len(tiny)} rows take"
    return f"{count} less than {TINY_SHARE:.0%} of the median of {middle:.4g} ms: {examples}"


def _family(pattern: Pattern) -> Hashable:
    """Patterns that differ in their density alone."""
    match pattern:
        case NM(group=group):
            return ("nm", group)
        case Block(rows=rows, cols=cols):
            return ("block", rows, cols)
    return pattern.kind


def _grouped(rows: Iterable[ProfileRow], key: Callable[[ProfileRow], Hashable]) -> list[list[ProfileRow]]:
    groups: dict[Hashable, list[ProfileRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return list(groups.values())
