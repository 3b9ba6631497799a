"""The seam between a search and what its models are for: a `Judge` says how well a model does, one file a task.

A judge is made of a `Task` and of a prepared dataset's meta data. The service asks judges whether data fit a model,
so nothing here loads torch before a model is run.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from app.search.errors import DatasetError
from app.search.spec_parts import Task
from app.search.trial import Metric
from pruning.layers import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

Targets = Literal["classes", "numbers", "tokens"]
Observed = Mapping[str, "Tensor"]  # of each sample what the readings are made of; the first dimension is the sample
_TASK_OF: Mapping[str, str] = {"classes": "classification", "numbers": "regression", "tokens": "language_modelling"}


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number that a front is drawn with."""

    metric: Metric
    better: Literal["higher", "lower"]

    def quality(self, value: float) -> float:
        """The number with its sign turned where lower is better: higher quality is always better."""
        return value if self.better == "higher" else -value

    def value(self, quality: float) -> float:
        """Inverse of `quality`."""
        return self.quality(quality)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One number of a model on some data; `samples` as the dataset counts them."""

    metric: Metric
    value: float
    standard_error: float
    samples: int


@dataclass(frozen=True)
class Judge(ABC):
    """What a model is judged by. `answer` is what the model returns; `task.output` says which tensor of it counts."""

    headline: ClassVar[Headline]
    targets: ClassVar[Targets]
    task: Task
    meta: Mapping[str, Any]

    def check_fit(self, model: ModelSpec) -> None:
        """Whether the model's answers can be compared with the data's targets.

        Raises:
            DatasetError: code `dataset_mismatch`, with both sides and the way out.
        """
        given = self.meta.get("targets", "classes")
        if given != self.targets:
            wanted = _TASK_OF.get(given, given)
            reason = (
                f"the data's targets are {given}, but {self.task.kind} needs {self.targets}: set task.kind to {wanted}"
            )
            raise mismatch("/task/kind", reason, given, self.task.kind)
        if self.task.output >= (count := len(model.output_shapes)):
            reason = f"output is {self.task.output}, but the model has {count} output(s), counted from 0"
            raise mismatch("/task/output", reason, self.task.output, count)
        self._check_output(model.output_shapes[self.task.output])

    @abstractmethod
    def _check_output(self, shape: tuple[int, ...]) -> None:
        """Refuse a judged output of this shape, batch left out, that cannot hold the targets."""

    @abstractmethod
    def loss(self, answer: Any, targets: "Tensor") -> "Tensor":
        """What recovery descends: a scalar."""

    @abstractmethod
    def remember(self, answer: Any) -> "Tensor":
        """What must be kept of a dense model's answer to compare others with; the first dimension is the sample."""

    @abstractmethod
    def divergence(self, dense: "Tensor", answer: Any) -> "Tensor":
        """How far each sample's answer is from the dense model's, remembered: `b` numbers, 0 for the same answer."""

    @abstractmethod
    def observe(self, answer: Any, targets: "Tensor") -> Observed:
        """Of each sample what the readings are made of, in float64."""

    @abstractmethod
    def readings(self, found: Observed) -> list[Reading]:
        """The headline, the loss and what else people ask for, from all samples' observations."""

    def judged(self, answer: Any) -> "Tensor":
        """The tensor of an answer that is judged."""
        found: Tensor = answer[self.task.output] if isinstance(answer, tuple | list) else answer
        return found

    def tally(self, net: "nn.Module", batches: Iterable[Any]) -> list[Reading]:
        """Run the model over the batches, in evaluation mode, and take the readings."""
        import torch

        from pruning.feed import call

        net.eval()
        seen: dict[str, list[Tensor]] = {}
        with torch.no_grad():
            for inputs, targets in batches:
                for name, column in self.observe(call(net, inputs), targets).items():
                    seen.setdefault(name, []).append(column)
        return self.readings({name: torch.cat(columns) for name, columns in seen.items()})


def mean_reading(metric: Metric, column: "Tensor") -> Reading:
    """The mean of a column and its standard error."""
    count = len(column)
    spread = float(column.std(unbiased=True)) / sqrt(count) if count > 1 else 0.0
    return Reading(metric=metric, value=float(column.mean()), standard_error=spread, samples=count)


def mismatch(field: str, reason: str, data: object, model: object) -> DatasetError:
    """Data and model, or data and task, that do not go together; `field` points into the submission."""
    return DatasetError(
        "dataset_mismatch", reason, {"field": field, "data": str(data)[:200], "model": str(model)[:200]}
    )


def by(shape: Any) -> str:
    """A shape in words."""
    return "x".join(str(side) for side in shape) if shape else "a single number"
