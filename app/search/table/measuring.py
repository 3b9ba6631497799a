"""Which options of a whole space are measured, in which order: the strongest, a few more, then those on the hull.

The choice follows from the space, its prices and the errors measured before, so it is the same on every run. Whoever
measures is asked in rounds of options that do not depend on each other.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from itertools import islice
from math import ceil

from app.search.events import Event
from app.search.space.limits import Prices
from app.search.table.completion import OptionPatterns, anchors, complete, families, further, measured
from app.search.table.memory import option_key, trusted

Place = tuple[int, int]  # unit, option
Errors = dict[Place, float]
SECOND = 1 / 3  # of the options measured first, at most so many on the hull besides: most gain per measurement
Ask = Callable[[Sequence[Place]], Generator[Event, None, Errors]]


def measure(
    prices: Prices, ask: Ask, limit: int | None = None, prior: Mapping[str, float] | None = None
) -> Generator[Event, None, Errors]:
    """Ask for errors until the table is good enough, or `limit` options are measured.

    The strongest of every family are measured whatever the limit. A prior that ranks them as they were measured says
    which options come next where not all can; one that does not is dropped, and nothing was lost by looking at it.
    """
    options = [[option.patterns for option in unit.options] for unit in prices.space.units]
    found = dict((yield from ask([(u, o) for u, unit in enumerate(options) for o in anchors(unit)])))
    rest = [(u, o) for u, unit in enumerate(options) for o in measured(unit) if (u, o) not in found]
    if limit is not None and limit < len(found) + len(rest):  # those that are expected on the hull come first
        hints = prior if prior and trusted(prior, _by_key(options, found)) else {}
        rest = list(dict.fromkeys([*_expected(prices, options, found, hints), *rest]))
    found |= yield from ask(_within(limit, found, rest))
    refined = _refined(prices, options, found)[: ceil(SECOND * len(found))]
    found |= yield from ask(_within(limit, found, refined))
    return found


def by_unit(found: Errors, units: int) -> list[dict[int, float]]:
    """The errors of each unit by option."""
    apart: list[dict[int, float]] = [{} for _ in range(units)]
    for (unit, option), error in found.items():
        apart[unit][option] = error
    return apart


def _within(limit: int | None, found: Errors, places: Iterable[Place]) -> list[Place]:
    return list(islice(places, None if limit is None else max(0, limit - len(found))))


def _refined(prices: Prices, options: Sequence[Sequence[OptionPatterns]], found: Errors) -> list[Place]:
    """Options on the hull that are not measured yet, those of the widest range of possible errors first."""
    known = by_unit(found, len(options))
    return _further(prices, options, [complete(*each) for each in zip(options, known, strict=True)], known)


def _expected(
    prices: Prices, options: Sequence[Sequence[OptionPatterns]], found: Errors, hints: Mapping[str, float]
) -> list[Place]:
    """Options on the hull, if each family runs from its strongest option down as the hints do, or by SPDY's law."""
    known = by_unit(found, len(options))
    seen = []
    for unit, errors in zip(options, known, strict=True):
        guessed = dict(errors)
        for family in families(unit):
            there = {o: hints[option_key(unit[o])] for o in family if option_key(unit[o]) in hints}
            if (head := there.get(family[-1], 0.0)) > 0:
                guessed |= {o: errors[family[-1]] * min(1.0, e / head) for o, e in there.items() if o not in errors}
        seen.append(complete(unit, guessed))
    return _further(prices, options, seen, known)


def _further(
    prices: Prices,
    options: Sequence[Sequence[OptionPatterns]],
    errors: Sequence[Sequence[float]],
    known: Sequence[Mapping[int, float]],
) -> list[Place]:
    costs = prices.table.units_ms
    open_ = [
        (-width, (unit, option))
        for unit, each in enumerate(zip(options, costs, errors, known, strict=True))
        for width, option in further(*each)
    ]
    return [place for _, place in sorted(open_)]


def _by_key(options: Sequence[Sequence[OptionPatterns]], found: Errors) -> dict[str, float]:
    return {option_key(options[unit][option]): error for (unit, option), error in found.items()}
