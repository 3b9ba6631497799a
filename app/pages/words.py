"""Numbers and names as people read them: one way for all tables, so that columns line up and units are said once."""

from collections.abc import Iterable, Mapping
from math import floor, log10
from typing import Any

_WHOLE = 9999.5  # from here on, four digits are a whole number
_METRICS = {"r2": "R²", "top5": "top-5 accuracy", "mae": "mean absolute error"}
_SHARES = frozenset({"accuracy", "top5"})
_LIMITED = {"energy_mj": "mJ a batch", "weight_bytes": "bytes of weights"}
_PATTERNS = {"nm": "N:M"}
_ROLES = {"dense": "dense as uploaded", "dense_recovered": "dense, same recovery", "searched": "searched"}


def percent(share: float | None, digits: int = 1) -> str:
    """A share in percent; a dash when unknown."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def plus_minus(share: float | None, standard_error: float | None) -> str:
    """A share in percent with its standard error."""
    if share is None:
        return "–"
    return percent(share) if standard_error is None else f"{100 * share:.1f} ± {100 * standard_error:.1f}%"


def metric_words(metric: str) -> str:
    """What a trial is judged by, in words."""
    return _METRICS.get(metric, metric)


def reading(value: float | None, metric: str, standard_error: float | None = None) -> str:
    """A metric's value, with its standard error where that is given: shares in percent, others in four digits."""
    if metric in _SHARES:
        return plus_minus(value, standard_error)
    if value is None:
        return "–"
    return f"{value:.4g}" if standard_error is None else f"{value:.4g} ± {standard_error:.2g}"


def is_share(metric: str) -> bool:
    """Whether a metric is a share of samples, from 0 to 1."""
    return metric in _SHARES


def decimals(values: Iterable[float]) -> int:
    """Decimals for a column: at least three digits of its smallest number, the same for all, six at most."""
    smallest = min((abs(value) for value in values if value), default=1.0)
    return min(max(2 - floor(log10(smallest)), 0), 6)


def milliseconds(value: float) -> str:
    """One latency by itself: four digits, never an exponent above a microsecond."""
    return f"{value:.4g}" if 1e-4 <= abs(value) < _WHOLE else f"{value:.0f}" if abs(value) >= _WHOLE else f"{value:.2g}"


def amount(value: float | None) -> str:
    """Energy or bytes: four digits, whole numbers with commas above that; a dash when unknown."""
    return "–" if value is None else f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.4g}"


def limit_words(limit: Mapping[str, Any]) -> str:
    """What a limit on something beside latency allows, with its unit; empty for one on latency."""
    given = ((limit.get(name), unit) for name, unit in _LIMITED.items())
    return next((f"{_typed(most)} {unit}" for most, unit in given if most is not None), "")


def _typed(number: Any) -> str:
    """A number as `amount` shows it; what a person typed that is none, as it is."""
    try:
        return amount(float(number))
    except ValueError:
        return str(number)


def count(number: int | None) -> str:
    """A whole number with commas; a dash when unknown."""
    return "–" if number is None else f"{number:,}"


def rate(per_second: float) -> str:
    """Samples a second: whole numbers with commas, three digits below ten."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.3g}"


def interval(low: float | None, high: float | None) -> str:
    """What a predicted latency may be, in brackets behind it; nothing when unknown."""
    if low is None or high is None:
        return ""
    return "({}–{})".format(*(f"{end:.3g}" if end < 1000 else f"{end:.0f}" for end in (low, high)))


def duration(seconds: float | None) -> str:
    """A time left in words: seconds below ninety, minutes, then hours; a dash when unknown."""
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def moment(text: str | None) -> str:
    """A stored time, to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC" if text else "–"


def pattern_words(counts: Mapping[str, int]) -> str:
    """How many layers carry which kind of pattern."""
    return ", ".join(f"{count} {_PATTERNS.get(kind, kind)}" for kind, count in counts.items()) or "dense"


def role_words(role: str) -> str:
    """What a trial is there for."""
    return _ROLES.get(role, role)


def held(value: object) -> str:
    """The outcome of a check."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.2g}" if isinstance(value, float) else str(value)


FILTERS = {
    "percent": percent,
    "plus_minus": plus_minus,
    "metric_words": metric_words,
    "reading": reading,
    "decimals": decimals,
    "milliseconds": milliseconds,
    "amount": amount,
    "limit_words": limit_words,
    "count": count,
    "rate": rate,
    "interval": interval,
    "duration": duration,
    "moment": moment,
    "pattern_words": pattern_words,
    "role_words": role_words,
    "held": held,
}
