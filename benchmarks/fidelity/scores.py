"""One line of the report: predicted against true times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr


@dataclass(frozen=True, kw_only=True)
class Score:
    """How far one model's predictions are from one file's truth; errors are |predicted / true - 1|."""

    file: str
    what: str
    model: str
    count: int
    median_error: float
    p90_error: float
    rank_correlation: float | None
    inside: float | None = None  # share of true values inside the stated intervals
    note: str = ""
    ranks_only: bool = False  # the two sides have no common unit

    def line(self) -> str:
        """As a row of a Markdown table."""
        rank = "–" if self.rank_correlation is None else f"{self.rank_correlation:.2f}"
        inside = "–" if self.inside is None else f"{self.inside:.0%}"
        errors = "– | –" if self.ranks_only else f"{self.median_error:.1%} | {self.p90_error:.1%}"
        return (
            f"| {self.file} | {self.what} | {self.model} | {self.count} | {errors} | {rank} | {inside} | {self.note} |"
        )


HEAD = (
    "| file | what | model | n | median error | p90 error | rank correlation | in interval | note |\n"
    + "|---" * 9
    + "|"
)


def score(
    file: str,
    what: str,
    model: str,
    predicted: Sequence[float],
    true: Sequence[float],
    **more: object,
) -> Score:
    """Compare predictions with the truth, in any common unit."""
    guess, truth = np.asarray(predicted, float), np.asarray(true, float)
    errors = np.abs(guess / truth - 1.0)
    ranked = len(set(true)) > 2 and len(set(predicted)) > 1
    return Score(
        file=file,
        what=what,
        model=model,
        count=len(truth),
        median_error=float(np.median(errors)),
        p90_error=float(np.quantile(errors, 0.9)),
        rank_correlation=float(spearmanr(guess, truth).statistic) if ranked else None,
        **more,  # type: ignore[arg-type]
    )


def inside(low: Sequence[float], true: Sequence[float], high: Sequence[float]) -> float:
    """Share of true values within their intervals."""
    return float(np.mean([a <= b <= c for a, b, c in zip(low, true, high, strict=True)]))
