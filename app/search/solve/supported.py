"""The supported decisions of a chain: what is best at some price of cost, and the line that no decision is below.

At a price p the best decision minimises error + p x cost, and is found station by station (Viterbi 1967). Around a
limit the price is moved to the slope between the two decisions that enclose it, until nothing lies below the line
between them (Everett 1963, https://doi.org/10.1287/opre.11.3.399); that line is the Lagrangian bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.search.solve.chain import Block, Chain
from app.search.solve.values import Floats, Indices

_ALMOST_NOTHING = 1e-12  # the weight of the other objective, where one goes first and the other breaks ties


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A width a station, a decision a block, and what they add up to."""

    widths: tuple[int, ...]
    decisions: tuple[int, ...]
    cost: float
    error: float

    @classmethod
    def of(cls, chain: Chain, widths: Sequence[int], options: Sequence[int]) -> "Decision":
        """Added up; `options` are an option a block of this chain."""
        lost = sum(float(loss[width]) for loss, width in zip(chain.losses, widths, strict=True))
        picked = list(zip(chain.blocks, options, strict=True))
        return cls(
            widths=tuple(widths),
            decisions=tuple(int(block.decisions[option]) for block, option in picked),
            cost=sum(float(block.costs[option]) for block, option in picked),
            error=lost + sum(float(block.errors[option]) for block, option in picked),
        )


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """The best supported decision within a limit, the price there, and the error that nothing goes below."""

    within: Decision
    price: float
    line: float


class Supported:
    """The supported decisions of a chain, found as they are asked for."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._known: dict[tuple[float, float], Decision] = {}
        costs = sum(float(np.ptp(block.costs)) for block in chain.blocks)
        errors = sum(float(np.ptp(block.errors)) for block in chain.blocks) + sum(
            float(np.ptp(x)) for x in chain.losses
        )
        self._ratio = costs / errors if costs and errors else 1.0
        self.cheapest = self._best(1.0, _ALMOST_NOTHING * self._ratio)
        self.dearest = self._best(_ALMOST_NOTHING / self._ratio, 1.0)

    def around(self, limit: float) -> Bracket:
        """What encloses a limit that something keeps."""
        below, above = self.cheapest, self.dearest
        if above.cost <= limit:
            return Bracket(within=above, price=0.0, line=above.error)
        while True:
            price = (below.error - above.error) / (above.cost - below.cost)
            between = self._best(price, 1.0)
            value = between.error + price * between.cost
            line = min(below.error + price * below.cost, above.error + price * above.cost)
            if between in (below, above) or value >= line - 1e-12 * abs(line):
                return Bracket(within=below, price=price, line=min(value, line) - price * limit)
            below, above = (between, above) if between.cost <= limit else (below, between)

    def narrowed(self, price: float, most: float) -> Chain:
        """The chain without options that only decisions of a value above `most` take, at a price of cost."""
        values, least = self._valued(price, 1.0)
        kept = [
            block.narrowed(value + np.repeat(other.ravel(), _sizes(block)) <= most + 1e-9 * abs(most))
            for block, value, other in zip(self._chain.blocks, values, _others(self._chain, least), strict=True)
        ]
        return replace(self._chain, blocks=tuple(kept))

    def _valued(self, price: float, trust: float) -> tuple[list[Floats], list[Floats]]:
        """Of every block the values of its options, and the least of each cell."""
        values = [price * block.costs + trust * block.errors for block in self._chain.blocks]
        return values, [_least(block, value) for block, value in zip(self._chain.blocks, values, strict=True)]

    def _best(self, price: float, trust: float) -> Decision:
        """What minimises price x cost + trust x error."""
        if (price, trust) not in self._known:
            self._known[price, trust] = self._walked(price, trust)
        return self._known[price, trust]

    def _walked(self, price: float, trust: float) -> Decision:
        chain = self._chain
        values, least = self._valued(price, trust)
        best = np.zeros(1)
        came: list[Indices] = []
        for station, loss in enumerate(chain.losses):
            # the way here: from every width of the station before, by all blocks that lead here
            way = best[:, None] + _total(least, chain, station - 1, leads_on=True, shape=(len(best), len(loss)))
            came.append(np.argmin(way, axis=0))
            on_it = _total(least, chain, station, leads_on=False, shape=(len(loss), 1))
            best = way.min(axis=0) + on_it[:, 0] + trust * loss
        widths = [int(np.argmin(best))]
        for back in came[:0:-1]:
            widths.insert(0, int(back[widths[0]]))
        options = []
        for block, value in zip(chain.blocks, values, strict=True):
            cell = block.cell(widths[block.at], widths[block.at + 1] if block.leads_on else 0)
            options.append(cell.start + int(np.argmin(value[cell])))
        return Decision.of(chain, widths, options)


def _least(block: Block, value: Floats) -> Floats:
    """The least value of each cell."""
    return np.minimum.reduceat(value, block.cells.ravel()).reshape(block.cells.shape)


def _total(least: list[Floats], chain: Chain, at: int, *, leads_on: bool, shape: tuple[int, int]) -> Floats:
    """What the blocks on a station add up to, or those that lead on from it."""
    pairs = zip(chain.blocks, least, strict=True)
    return sum((value for block, value in pairs if block.at == at and block.leads_on == leads_on), np.zeros(shape))


def _sizes(block: Block) -> Indices:
    return np.diff(block.cells.ravel(), append=len(block.costs))


def _others(chain: Chain, least: list[Floats]) -> list[Floats]:
    """Of every cell of every block, the least value of everything else, given the widths of that cell."""
    on_it, leading = [], []
    for station, loss in enumerate(chain.losses):
        after = len(chain.losses[station + 1]) if station + 1 < len(chain.losses) else 1
        on_it.append(loss + _total(least, chain, station, leads_on=False, shape=(len(loss), 1))[:, 0])
        leading.append(_total(least, chain, station, leads_on=True, shape=(len(loss), after)))
    before, after_it = [np.zeros(len(on_it[0]))], [np.zeros(len(on_it[-1]))]  # with a station's own left out
    for station in range(len(on_it) - 1):
        before.append(((before[-1] + on_it[station])[:, None] + leading[station]).min(axis=0))
        later = len(on_it) - 1 - station
        after_it.insert(0, (leading[later - 1] + (after_it[0] + on_it[later])[None, :]).min(axis=1))
    found = []
    for block, value in zip(chain.blocks, least, strict=True):
        s = block.at
        whole = before[s] + on_it[s]
        if block.leads_on:
            found.append(whole[:, None] + leading[s] + (after_it[s + 1] + on_it[s + 1])[None, :] - value)
        else:
            found.append((whole + after_it[s])[:, None] - value)
    return found
