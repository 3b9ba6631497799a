"""What a search will take: runs, sample passes and time, from earlier searches where there are any.

Time is scaled from earlier searches in two ways, by trials and by multiply-adds: a trial has a part that all trials
have and a part that grows with its training, so the truth lies between. Where nothing was ever run a rate is assumed,
and the interval says so by its width. A tenth of the searches should end before p10, and a tenth after p90.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, sqrt
from statistics import median, pvariance
from typing import Literal

from app.search.spec import SearchSpec
from app.search.work.spending import trained

Basis = Literal["this_model", "other_models", "assumed"]
EndsBy = Literal["trials", "recoveries", "sample_passes", "wall_s"]
TENTH = 1.2816  # standard deviations from the median to the first and the last tenth of a normal distribution
_DENSE_TRIALS = 2
# What a log-normal's deviation is at least, by basis: a fifth on the same model, twice or half on others; a guess else.
_SPREADS: Mapping[Basis, float] = {"this_model": 0.2, "other_models": 0.7, "assumed": 1.2}
_MACS_PER_S = 1e10  # of one thread, where nothing was ever measured
_TRIAL_S = 3.0  # to start, load and save, likewise
_RECENT = 10  # earlier searches that count


@dataclass(frozen=True, kw_only=True)
class Range:
    """A prediction: one in ten lies below `p10`, half below `p50`, nine in ten below `p90`."""

    p10: float
    p50: float
    p90: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a search runs, the two dense trials included, and which of its budgets ends it.

    `table_passes` is the most the error table takes: what is cached or completed is not measured.
    """

    trials: int
    recoveries: int
    sample_passes: int
    table_passes: int
    ends_by: EndsBy


@dataclass(frozen=True, kw_only=True)
class Precedent:
    """What an earlier search took: seconds from its first trial to its last, all its slots at work."""

    same_model: bool
    macs: int
    seconds: float
    trials: int
    sample_passes: int


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long a search takes, what that rests on, and whether its budget of wall time ends it first."""

    seconds: Range
    basis: Basis
    precedents: int
    cut: bool


def work(spec: SearchSpec, samples: Mapping[str, int], forwards: int) -> Work:
    """The runs of a search and their sample passes: 1 forward, 3 forward and backward.

    Args:
        spec: the search.
        samples: by split of its data; a split whose size is not known yet counts nothing.
        forwards: of all calibration samples, for the error table.
    """
    recovery, budget = spec.recovery, spec.budget
    update = recovery.batch * recovery.accumulate
    full = recovery.steps
    if recovery.epochs is not None and samples.get("train"):
        full = ceil(recovery.epochs * samples["train"] / update)
    measured = samples.get("validation", 0) + samples.get("test", 0)
    asked = spec.trials + sum(spec.extensions)
    runs, climbing = [], asked
    for steps in (*spec.rungs, full):
        runs.append((steps, climbing))
        climbing = min(climbing, ceil(spec.keep * climbing))
    recoveries = sum(count for steps, count in runs if steps)
    passes = sum(count * (trained(recovery, steps) + measured) for steps, count in runs)
    dense_passes = trained(recovery, full) + 2 * measured
    table = forwards * spec.calibration_samples
    shares: list[tuple[float, EndsBy]] = [(1.0, "trials")]
    if budget.recoveries is not None and recoveries:
        shares.append(((budget.recoveries - (full > 0)) / recoveries, "recoveries"))
    if budget.sample_passes is not None and passes:
        shares.append(((budget.sample_passes - table - dense_passes) / passes, "sample_passes"))
    share, ends_by = min(shares, key=lambda pair: pair[0])
    share = max(0.0, share)
    return Work(
        trials=_DENSE_TRIALS + ceil(share * asked),
        recoveries=(full > 0) + ceil(share * recoveries),
        sample_passes=dense_passes + ceil(share * passes),
        table_passes=table,
        ends_by=ends_by,
    )


def duration(spec: SearchSpec, asked: Work, macs: int, precedents: Sequence[Precedent]) -> Duration:
    """How long that work takes on a model of so many multiply-adds a sample.

    Args:
        spec: the search: its threads, and its budget of wall time.
        asked: what it runs.
        macs: of one sample in the model's prunable layers.
        precedents: earlier searches, newest first; those of the same model count alone if there are any.
    """
    usable = [one for one in precedents if one.seconds > 0 and one.trials and one.macs]
    same = [one for one in usable if one.same_model][:_RECENT]
    chosen = same or usable[:_RECENT]
    basis: Basis = "this_model" if same else "other_models" if chosen else "assumed"
    if chosen:
        middles, halves, table = zip(*(_scaled(asked, macs, one) for one in chosen), strict=True)
        middle, table_s = median(middles), median(table)
        spread = sqrt(pvariance(middles) + sum(half**2 for half in halves) / len(halves) + _SPREADS[basis] ** 2)
    else:
        rate = _MACS_PER_S * spec.threads * spec.width
        middle = log(asked.trials * _TRIAL_S / spec.width + asked.sample_passes * macs / rate)
        table_s, spread = asked.table_passes * macs / rate, _SPREADS[basis]
    ends = (exp(middle - TENTH * spread), exp(middle) + table_s, exp(middle + TENTH * spread) + table_s)
    most_s = spec.budget.wall_s
    cut = most_s is not None and ends[1] > most_s
    p10, p50, p90 = ends if most_s is None else (min(end, most_s) for end in ends)
    return Duration(seconds=Range(p10=p10, p50=p50, p90=p90), basis=basis, precedents=len(chosen), cut=cut)


def _scaled(asked: Work, macs: int, one: Precedent) -> tuple[float, float, float]:
    """Logarithm of the seconds of the trials, half of what the two ways differ by, and seconds of the error table."""
    by_trials = one.seconds * asked.trials / one.trials
    if not one.sample_passes or not asked.sample_passes:
        return log(by_trials), 0.0, 0.0
    rate = one.sample_passes * one.macs / one.seconds
    by_work = asked.sample_passes * macs / rate
    low, high = sorted((log(by_trials), log(by_work)))
    return (low + high) / 2, (high - low) / 2, asked.table_passes * macs / rate
