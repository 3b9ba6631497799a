"""Classes, of images, texts or anything else: logits against one class a sample."""

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar

from app.search.judging.base import Headline, Judge, Observed, Reading, Targets, by, mean_reading, mismatch

if TYPE_CHECKING:
    from torch import Tensor

_TOP = 5
_FROM = 6  # classes, from where the share in the first five says something


@dataclass(frozen=True)
class Classification(Judge):
    """Logits `b x outputs` against classes `b`; accuracy, cross-entropy in nats, and from six classes on top-5."""

    headline: ClassVar[Headline] = Headline(metric="accuracy", better="higher")
    targets: ClassVar[Targets] = "classes"

    def loss(self, answer: Any, targets: "Tensor") -> "Tensor":
        """Mean cross-entropy, in nats a sample."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(self.judged(answer), targets)

    def remember(self, answer: Any) -> "Tensor":
        """Log-probabilities, `b x outputs`."""
        return self.judged(answer).float().log_softmax(dim=1)

    def divergence(self, dense: "Tensor", answer: Any) -> "Tensor":
        """KL(dense || answer) of each sample, in nats."""
        found = self.remember(answer)
        return (dense.exp() * (dense - found)).sum(dim=1)

    def observe(self, answer: Any, targets: "Tensor") -> Observed:
        """Whether the class was right, whether it was among the first five, and the cross-entropy."""
        from torch.nn.functional import cross_entropy

        logits = self.judged(answer).double()
        found = {"accuracy": (logits.argmax(dim=1) == targets).double()}
        if self._classes >= _FROM:
            first = logits.topk(min(_TOP, logits.shape[1]), dim=1).indices
            found["top5"] = (first == targets[:, None]).any(dim=1).double()
        return {**found, "loss": cross_entropy(logits, targets, reduction="none")}

    def readings(self, found: Observed) -> list[Reading]:
        """Accuracy and loss, and top-5 where it says something."""
        shares = [_share(metric, found[metric]) for metric in ("accuracy", "top5") if metric in found]
        return [shares[0], mean_reading("loss", found["loss"]), *shares[1:]]

    @property
    def _classes(self) -> int:
        return len(self.meta["classes"])

    def _check_output(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 1 or shape[0] < self._classes:
            reason = f"the data has {self._classes} classes, but the model answers {by(shape)}"
            raise mismatch("/task/output", f"{reason}: it must answer one logit a class", self._classes, shape)
        names = list(self.meta["classes"])
        if self.task.classes and sorted(self.task.classes) != sorted(names):
            reason = f"task.classes names {list(self.task.classes)[:5]}, the data has {names[:5]}: name each once"
            raise mismatch("/task/classes", reason, names, list(self.task.classes))


def _share(metric: Any, column: "Tensor") -> Reading:
    """A share of samples, with its binomial standard error."""
    share, count = float(column.mean()), len(column)
    return Reading(metric=metric, value=share, standard_error=sqrt(share * (1 - share) / count), samples=count)
