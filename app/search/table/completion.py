"""An error table from few measurements: which options are measured, and the errors of all others from those.

A family is one kind of pattern on one place (a layer, or the layers of a channel group) at different strengths. Its
depth is -log(density). Of every family the strongest option is measured and a few others, evenly spread in depth;
once their errors are known, also those that the solver would buy on a device: the corners of the lower hull of cost
and error. All others are interpolated.

What is interpolated is the square root of the error over depth, by PCHIP (Fritsch and Carlson 1980), from 0 for dense:
it never leaves the range of its neighbours, and it is exact where errors follow the law that SPDY assumes
(arXiv 2201.13096), error = c depth². Errors are made non-decreasing in depth first: a measured dip is noise of few
samples. No error is below zero.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log

import numpy as np
import numpy.typing as npt

from pruning.patterns import NM, Block, Pattern

OptionPatterns = Mapping[str, Pattern]  # layer -> pattern; empty means dense
Floats = npt.NDArray[np.float64]
FEW = 3  # measured of each family before anything is known of it
_LEAST = 1e-3  # nats: errors below it are all alike


def families(options: Sequence[OptionPatterns]) -> Iterator[list[int]]:
    """The options of a unit by place and kind of pattern, the mildest first; dense is in none."""
    found: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for index, option in enumerate(options):
        if option:
            found.setdefault((_place(option), kind_of(option)), []).append(index)
    for family in found.values():
        yield sorted(family, key=lambda index: depth(options[index]))


def depth(option: OptionPatterns) -> float:
    """-log(density) of an option; 0 for dense."""
    return -log(next(iter(option.values())).density) if option else 0.0


def kind_of(option: OptionPatterns) -> str:
    """Options of one kind on one place differ in strength alone."""
    match next(iter(option.values())):
        case NM(group=group):
            return f"nm of {group}"
        case Block(rows=rows, cols=cols):
            return f"block of {rows}x{cols}"
        case pattern:
            return pattern.kind


def anchors(options: Sequence[OptionPatterns]) -> list[int]:
    """The strongest option of every family."""
    return sorted(family[-1] for family in families(options))


def measured(options: Sequence[OptionPatterns], few: int = FEW) -> list[int]:
    """The options of a unit that are measured first: `few` of each family, the strongest always."""
    found: set[int] = set()
    for family in families(options):
        depths = np.array([depth(options[index]) for index in family])
        wanted = depths[-1] * np.arange(1, few + 1) / few
        found |= {family[int(np.argmin(np.abs(depths - each)))] for each in wanted}
    return sorted(found)


def complete(options: Sequence[OptionPatterns], known: Mapping[int, float]) -> list[float]:
    """The errors of all options of a unit from those measured, among them the strongest of every family."""
    from scipy.interpolate import PchipInterpolator  # takes a second to load: only for who needs it

    errors = [0.0] * len(options)
    for family in families(options):
        at = [index for index in family if index in known]
        depths = np.array([0.0, *(depth(options[index]) for index in at)])
        heights = np.maximum.accumulate([0.0, *(known[index] for index in at)])
        here = np.array([depth(options[index]) for index in family])
        stronger = np.searchsorted(depths, here)
        low, high = heights[stronger - 1], heights[stronger]
        between = PchipInterpolator(depths, np.sqrt(heights))(here) ** 2
        clipped = np.clip(between, low, high)  # roots squared are off by a rounding
        for index, measured_, error in zip(family, high, clipped, strict=True):
            errors[index] = float(measured_ if index in known else error)
    return errors


def further(
    options: Sequence[OptionPatterns], costs: Floats, errors: Sequence[float], known: Mapping[int, float]
) -> list[tuple[float, int]]:
    """What is worth measuring next: options not known yet that are corners of the hull on some device.

    Args:
        options: of one unit.
        costs: `options x devices`.
        errors: of all options, completed.
        known: the errors that were measured.

    Returns:
        How far the error can be off (what monotony leaves open, over the error), with the option; the widest first.
    """
    found: set[int] = set()
    for place in _places(options):
        for device_costs in costs.T:
            found |= {place[corner] for corner in corners(device_costs[place], np.asarray(errors)[place])}
    open_ = {index for index in found if options[index] and index not in known}
    widths = [(_width(family, index, known), index) for family in families(options) for index in open_ & {*family}]
    relative = [(width / (errors[index] + _LEAST), index) for width, index in widths]
    return sorted(relative, key=lambda pair: (-pair[0], pair[1]))


def corners(costs: Floats, errors: Floats) -> list[int]:
    """Corners of the lower convex hull of (cost, error), from the cheapest to the least error."""
    hull: list[int] = []
    for index in np.lexsort((errors, costs)).tolist():
        if hull and errors[index] >= errors[hull[-1]]:
            continue
        while len(hull) >= 2 and _above(costs, errors, (hull[-2], hull[-1], index)):
            hull.pop()
        hull.append(index)
    return hull


def _above(costs: Floats, errors: Floats, points: tuple[int, int, int]) -> bool:
    """Whether the middle one of three points lies on or above the line through the others."""
    a, b, c = points
    return bool((errors[b] - errors[a]) * (costs[c] - costs[a]) >= (errors[c] - errors[a]) * (costs[b] - costs[a]))


def _width(family: Sequence[int], index: int, known: Mapping[int, float]) -> float:
    """The difference of the nearest errors known to be milder and stronger in its family."""
    place = family.index(index)
    milder = max((known[i] for i in family[:place] if i in known), default=0.0)
    return max(0.0, min((known[i] for i in family[place:] if i in known), default=milder) - milder)


def _places(options: Sequence[OptionPatterns]) -> list[list[int]]:
    """Options that exclude each other because they decide the same layers, dense (0) first."""
    found: dict[tuple[str, ...], list[int]] = {}
    for index, option in enumerate(options):
        if option:
            found.setdefault(_place(option), [0]).append(index)
    return list(found.values())


def _place(option: OptionPatterns) -> tuple[str, ...]:
    return tuple(sorted(option))
