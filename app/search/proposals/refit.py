"""Observed losses correct the error table, so that every evaluation teaches about every budget.

The table holds one-at-a-time errors before recovery; a trial shows the loss of many options together after it. First a
curve, loss = a + s · t^β in a plan's table error t, takes out what is common to all (recovery heals most of it, and
losses saturate). What is left of a trial, as a share of its t, is explained by a factor 1 + η for every option: a
ridge regression on one-hot options with the measured table as its prior mean. Options of one unit and kind share most
of their prior deviation, so that a few trials suffice. The ridge's weight is chosen by leaving one out; an infinite
one, which leaves the table as it is, stands for election too. numpy only; closed forms throughout, and nothing in
them has a number for every pair of options.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.search.proposals.rungs import losses_of
from app.search.space.options import Space
from app.search.trial import Trial
from pruning.plan import PruningPlan

Floats = npt.NDArray[np.float64]
FEWEST = 6  # losses, before anything is corrected
MOST = 512  # losses that are looked at: the work grows with their cube, and is done for every batch of trials
_POWERS = (0.25, 0.5, 0.75, 1.0)  # β; concave: losses saturate
_WEIGHTS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge, in shares of the prior's variance
_SHARED, _KIND, _OWN = 0.6, 0.2, 0.2  # of the variance: by unit and kind, by kind, of each option alone
_MOST = 4.0  # times more or less than the table says; further off, a trial says more of noise than of its options
_DIGITS = 6  # of η: the last bits of a linear solve must not decide between plans


@dataclass(frozen=True, kw_only=True)
class Healing:
    """What recovery leaves of a plan's table error t: loss = base + slope · t^power."""

    base: float
    slope: float
    power: float

    def loss(self, total: float) -> float:
        """The loss after recovery that a table error stands for."""
        return float(self.base + self.slope * total**self.power)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What trials showed at one fidelity: `chosen[trial, option]` over all options of all units, and their losses."""

    chosen: Floats
    losses: Floats


def observe(trials: Sequence[Trial], space: Space) -> Observed | None:
    """The losses at the highest fidelity that enough trials have; None if none has.

    Trials may be of several searches, whose numbers mean nothing to each other. Of very many the last ones count, and
    those whose plans this space cannot express are passed over.
    """
    by_fidelity: dict[int, list[tuple[PruningPlan, float]]] = {}
    for trial in trials:
        for fidelity, loss in losses_of(trial).items():
            by_fidelity.setdefault(fidelity, []).append((trial.plan, loss))
    for _, seen in sorted(by_fidelity.items(), reverse=True):
        found = [(row, loss) for plan, loss in seen[-MOST:] if (row := one_hot(plan, space)) is not None]
        if len(found) >= FEWEST:
            return Observed(chosen=np.array([row for row, _ in found]), losses=np.array([loss for _, loss in found]))
    return None


def one_hot(plan: PruningPlan, space: Space) -> Floats | None:
    """Which options a plan is made of, over all units' options in a row; None if not of these."""
    row: list[float] = []
    told = 0
    for unit in space.units:
        chosen = {layer: pattern for layer in unit.layers if (pattern := plan.patterns.get(layer))}
        whole = [i for i, option in enumerate(unit.options) if chosen and dict(option.patterns) == chosen]
        taken = whole[:1] or [
            i for i, o in enumerate(unit.options) if len(o.patterns) == 1 and o.patterns.items() <= chosen.items()
        ]
        told += sum(len(unit.options[i].patterns) for i in taken)
        row += [float(i in taken) for i in range(len(unit.options))]
    return np.array(row) if told == len(plan.patterns) else None


def refit(errors: Sequence[Floats], observed: Observed, space: Space) -> tuple[Floats, ...]:
    """The error table with what was observed; the measured one where nothing can be learned."""
    prior = np.concatenate([np.asarray(error, dtype=np.float64) for error in errors])
    totals = observed.chosen @ prior
    known = totals > 0.0  # all but the dense model
    if known.sum() < FEWEST:
        return tuple(errors)
    rows = observed.chosen[known] * prior / totals[known, None]
    targets = _seen(totals, observed.losses)[known] / totals[known] - 1.0
    spread = related(rows, space)
    weight = _best_weight(rows, targets, spread)
    deviation = ridge(rows, targets, spread, weight).round(_DIGITS)
    found = prior * np.clip(1.0 + deviation, 1.0 / _MOST, _MOST)
    return tuple(np.split(found, np.cumsum([len(error) for error in errors])[:-1]))


def ridge(rows: Floats, targets: Floats, spread: Floats, weight: float) -> Floats:
    """The η that minimises |targets - rows η|² + weight · ηᵀ prior⁻¹ η.

    In closed form that is prior rowsᵀ (rows prior rowsᵀ + weight I)⁻¹ targets.

    Args:
        rows: `trials x options`.
        targets: one a trial.
        spread: prior rowsᵀ, `options x trials`; the prior is the covariance of η, and may be singular.
        weight: of the prior; infinite gives zero.
    """
    if np.isinf(weight):
        return np.zeros(rows.shape[1])
    solved: Floats = spread @ np.linalg.solve(rows @ spread + weight * np.eye(len(rows)), targets)
    return solved


def _best_weight(rows: Floats, targets: Floats, spread: Floats) -> float:
    """The weight of least squared error on trials left out, one at a time; infinite if the table alone is best."""
    gram = rows @ spread
    best, least = np.inf, float(targets @ targets)
    for weight in _WEIGHTS:
        inverse = np.linalg.inv(gram + weight * np.eye(len(rows)))
        left_out = (inverse @ targets) / np.diag(inverse)  # target less its prediction by the others
        if (error := float(left_out @ left_out)) < least:
            best, least = weight, error
    return float(best)


def _seen(totals: Floats, losses: Floats) -> Floats:
    """How much error each trial shows, in the table's measure: by the curve that fits all of them best."""
    curve = healing(totals, losses)
    if curve is None:
        return totals
    seen = np.clip((losses - curve.base) / curve.slope, 0.0, None) ** (1.0 / curve.power)
    return np.clip(seen, totals / _MOST, totals * _MOST)


def healing(totals: Floats, losses: Floats) -> Healing | None:
    """The curve that fits losses to table errors best; None if losses do not rise with errors."""
    best, least = None, np.inf
    for power in _POWERS:
        heights = totals**power
        design = np.column_stack([np.ones(len(totals)), heights])
        weights = 1.0 / (heights + heights.mean())  # losses of strong pruning are large, and so is their noise
        (base, slope), *_ = np.linalg.lstsq(design * weights[:, None], losses * weights, rcond=None)
        misfit = float(np.square((design @ [base, slope] - losses) * weights).sum())
        if slope > 0.0 and misfit < least:
            best, least = Healing(base=float(base), slope=float(slope), power=power), misfit
    return best


def related(rows: Floats, space: Space) -> Floats:
    """K rowsᵀ, `options x trials`, for K the prior correlation of two options' deviations.

    K is the sum of three parts, each a matter of who is of one group: unit and kind, kind, and each option by itself.
    So sums by group suffice, and K, `options x options`, is never made.
    """
    kinds = [
        (index, next((pattern.kind for pattern in option.patterns.values()), ""))
        for index, unit in enumerate(space.units)
        for option in unit.options
    ]
    by_kind = _shared(rows, [kind for _, kind in kinds])
    return _SHARED * _shared(rows, kinds) + _KIND * by_kind + _OWN * rows.T


def _shared(rows: Floats, groups: Sequence[Hashable]) -> Floats:
    """For each option the sums of its group, `options x trials`."""
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    group = np.array([numbers[each] for each in groups])
    sums = np.zeros((len(numbers), len(rows)))
    np.add.at(sums, group, rows.T)
    found: Floats = sums[group]
    return found
