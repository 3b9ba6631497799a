"""Where each trial looks: device, latency band and source by its number alone, so that all get their share.

A sampler left to choose its band crowds the end where it won first. So bands follow low-discrepancy sequences: after
any number of trials every device and every stretch of latency had its share; only some later ones go where the front as
it is promises most. The place of a trial depends on nothing that comes later; a search that is extended begins with the
trials of one that is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.search.spec import SearchSpec

Source = Literal["memory", "solver", "uniform", "sampler"]
_FIRST: tuple[Source, ...] = ("solver", "solver", "solver", "uniform")  # the turns of the first trials
_LATER: tuple[Source, ...] = ("sampler", "solver")  # with a table that observed losses correct
_GOLDEN = 0.6180339887498949  # its multiples, modulo 1, are as evenly spread as multiples can be


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is fixed of a trial before anything is known. `turn` counts the trials of its source."""

    source: Source
    turn: int
    device: str
    band: float
    target: float | None = None  # a share of dense latency that was asked for, in the band's place
    fills: bool = False  # rather than the band, where the front there promises most (see `holes`)


def place(spec: SearchSpec, index: int, remembered: int = 0) -> Place:
    """The place of the searched trial `index` (from 0) in a search that begins with `remembered` plans of others."""
    if index < remembered:
        return Place(source="memory", turn=index, device=spec.profiles[0], band=0.0)
    return _of_rivals(spec, index - remembered) if spec.rungs else _alone(spec, index - remembered)


def seed_count(spec: SearchSpec) -> int:
    """How many of the first trials are given, not sampled: half of those that were asked for at first."""
    return max(2, round(spec.trials / 2))


def rivals(spec: SearchSpec) -> int:
    """How many trials share a place, to be told apart by rungs; 1 where there are none."""
    return max(2, round(1 / spec.keep)) if spec.rungs else 1


def even(step: int) -> float:
    """Both ends of [0, 1], then its binary radical inverses: 0, 1, 1/2, 1/4, 3/4, 1/8, ..."""
    if step < 2:
        return float(step)
    rest, value, weight = step - 1, 0.0, 0.5
    while rest:
        value += weight * (rest & 1)
        rest, weight = rest >> 1, weight / 2
    return value


def golden(step: int) -> float:
    """Another even sequence in [0, 1), which meets none of the points of the first."""
    return (0.5 + step * _GOLDEN) % 1.0


def _alone(spec: SearchSpec, index: int) -> Place:
    """What was asked for first, by the solver; then the first trials' cycle, then the later one."""
    aimed = min(len(spec.targets) * len(spec.profiles), seed_count(spec))
    if index < aimed:
        return _at(spec, "solver", index, target=spec.targets[index // len(spec.profiles)])
    index, first = index - aimed, seed_count(spec) - aimed
    later: Sequence[Source] = _LATER if spec.refit else ("sampler",)
    source = _FIRST[index % len(_FIRST)] if index < first else later[(index - first) % len(later)]
    turn = _met(_FIRST, source, min(index, first)) + _met(later, source, max(0, index - first))
    turn += aimed if source == "solver" else 0
    step = turn // len(spec.profiles)
    if aimed and source == "uniform":
        return _at(spec, source, turn, target=spec.targets[step % len(spec.targets)])
    known = index >= first or aimed > 0
    return _at(spec, source, turn, fills=known and (source == "solver" or step % 2 == 1))


def _at(spec: SearchSpec, source: Source, turn: int, *, target: float | None = None, fills: bool = False) -> Place:
    device, step = turn % len(spec.profiles), turn // len(spec.profiles)
    band = golden(step) if source == "sampler" else even(step)
    return Place(source=source, turn=turn, device=spec.profiles[device], band=band, target=target, fills=fills)


def _met(cycle: Sequence[Source], source: Source, count: int) -> int:
    """How often a source is met in so many places of a cycle."""
    rounds, rest = divmod(count, len(cycle))
    return rounds * cycle.count(source) + cycle[:rest].count(source)


def _of_rivals(spec: SearchSpec, index: int) -> Place:
    """At every place the solver's plan, a uniform one among the first trials, and the sampler's."""
    count = rivals(spec)
    group, seat = divmod(index, count)
    source: Source = "solver" if seat == 0 else "uniform" if seat == 1 and index < seed_count(spec) else "sampler"
    device, step = group % len(spec.profiles), group // len(spec.profiles)
    turn, target = group * count + seat, _target(spec, step)
    return Place(source=source, turn=turn, device=spec.profiles[device], band=even(step), target=target)


def _target(spec: SearchSpec, step: int) -> float | None:
    """What was asked for comes first."""
    return spec.targets[step] if step < len(spec.targets) else None
