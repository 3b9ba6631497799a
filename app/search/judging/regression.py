"""Numbers: predictions against one number a sample, or several."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from app.search.judging.base import Headline, Judge, Observed, Reading, Targets, by, mean_reading, mismatch

if TYPE_CHECKING:
    from torch import Tensor

_LEAST_VARIANCE = 1e-30  # of a column of targets; below, a share of it says nothing


@dataclass(frozen=True)
class Regression(Judge):
    """Predictions `b`, `b x 1` or `b x k` against numbers; R², mean squared and mean absolute error.

    Errors are in the targets' own units. R² is 1 - squared error over the variance of the targets in the split that
    is measured, the mean over columns; its standard error takes that variance as known.
    """

    headline: ClassVar[Headline] = Headline(metric="r2", better="higher")
    targets: ClassVar[Targets] = "numbers"

    def loss(self, answer: Any, targets: "Tensor") -> "Tensor":
        """Mean squared error."""
        return (self._columns(answer) - _as_columns(targets)).square().mean()

    def remember(self, answer: Any) -> "Tensor":
        """The predictions, `b x k`."""
        return self._columns(answer).float()

    def divergence(self, dense: "Tensor", answer: Any) -> "Tensor":
        """Each sample's squared distance over the variance of the training targets, the mean over columns."""
        variance = dense.new_tensor(self.meta["target_variance"]).clamp(min=_LEAST_VARIANCE)
        return ((self.remember(answer) - dense).square() / variance).mean(dim=1)

    def observe(self, answer: Any, targets: "Tensor") -> Observed:
        """Targets and what was predicted, `b x k`."""
        return {"target": _as_columns(targets).double(), "found": self._columns(answer).double()}

    def readings(self, found: Observed) -> list[Reading]:
        """R², loss and mean absolute error."""
        miss = found["found"] - found["target"]
        variance = found["target"].var(dim=0, unbiased=False).clamp(min=_LEAST_VARIANCE)
        unexplained = (miss.square() / variance).mean(dim=1)
        count = len(unexplained)
        spread = float(unexplained.std(unbiased=True)) / sqrt(count) if count > 1 else 0.0
        r2 = Reading(metric="r2", value=1.0 - float(unexplained.mean()), standard_error=spread, samples=count)
        return [r2, mean_reading("loss", miss.square().mean(dim=1)), mean_reading("mae", miss.abs().mean(dim=1))]

    def _columns(self, answer: Any) -> "Tensor":
        return _as_columns(self.judged(answer))

    def _check_output(self, shape: tuple[int, ...]) -> None:
        wanted = tuple(self.meta["target_shape"]) or (1,)
        if (shape or (1,)) != wanted:
            reason = f"the data has {by(wanted)} number(s) a sample, but the model answers {by(shape)}"
            raise mismatch("/task/output", f"{reason}: choose another output, or give targets like it", wanted, shape)


def _as_columns(values: "Tensor") -> "Tensor":
    return values[:, None] if values.ndim == 1 else values
