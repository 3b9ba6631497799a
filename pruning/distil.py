"""Distillation (Hinton, Vinyals, Dean 2015, arXiv 1503.02531): a teacher's soft answers beside the targets.

    loss = (1 - w) task + w T² KL(softmax(teacher / T) || softmax(student / T))

T² keeps the gradient's size as T grows. PDP's BERT setting is w = 0.95 (a third party's page quotes it; T is not
given there); Prune Once for All's is w = 0.5, T = 2 while pruning.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax
from torch.nn.utils import parametrize

from pruning.errors import RecoveryError
from pruning.feed import call
from pruning.masked import MaskedWeight


def only_tensor(outputs: Any) -> Tensor:
    """The logits of a model that answers with nothing else.

    Raises:
        RecoveryError: it does.
    """
    if not isinstance(outputs, Tensor):
        raise RecoveryError(
            f"the model answers with {type(outputs).__name__}, not with one tensor: say where its logits are with "
            "Distillation(logits=...)"
        )
    return outputs


@dataclass(frozen=True, kw_only=True)
class Distillation:
    """The teacher's share `weight` of the loss, and T. Without a `teacher` it is the dense model as given.

    `logits` finds them among the outputs of either model; classes are along dimension `dim`.
    """

    weight: float = 0.95
    temperature: float = 2.0
    teacher: nn.Module | None = None
    logits: Callable[[Any], Tensor] = only_tensor
    dim: int = -1

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight <= 1.0:
            raise RecoveryError(f"distillation weight {self.weight!r} is outside 0 ... 1: PDP has 0.95")
        if not 1e-3 <= self.temperature <= 1e3:
            raise RecoveryError(f"distillation temperature {self.temperature!r} is outside 0.001 ... 1000: try 2")


class Teacher:
    """A copy of the teacher in evaluation mode, and what it adds to the loss; nobody's model is changed."""

    def __init__(self, distil: Distillation, model: nn.Module) -> None:
        self.distil = distil
        self._net = dense(model) if distil.teacher is None else deepcopy(distil.teacher)
        self._net.eval().requires_grad_(False)

    def loss(self, task: Tensor, outputs: Any, inputs: Tensor | tuple[Tensor, ...]) -> Tensor:
        """The whole loss, given the task's, and what the student answered to these inputs.

        Raises:
            RecoveryError: the two models' logits differ in shape.
        """
        with torch.no_grad():
            taught = self.distil.logits(call(self._net, inputs))
        student = self.distil.logits(outputs)
        if taught.shape != student.shape:
            raise RecoveryError(
                f"the teacher's logits are {tuple(taught.shape)}, the student's {tuple(student.shape)}: "
                "give a teacher of the same classes, or Distillation(logits=...)"
            )
        weight = self.distil.weight
        return (1 - weight) * task + weight * divergence(student, taught, self.distil.temperature, self.distil.dim)


def divergence(student: Tensor, teacher: Tensor, temperature: float, dim: int = -1) -> Tensor:
    """T² KL(teacher || student) of logits softened by T, in fp32 or wider, the mean over all but the classes."""
    wide = torch.promote_types(student.dtype, torch.float32)
    q, p = (log_softmax(logits.to(wide) / temperature, dim=dim) for logits in (student, teacher))
    pointwise = kl_div(q, p, reduction="none", log_target=True)
    return temperature**2 * pointwise.sum(dim=dim).mean()


def dense(model: nn.Module) -> nn.Module:
    """A copy of a model under masks, as if there were none: its stored weights as they are.

    Parametrisations are emptied, not removed, for a copy shares its class, and so the property, with the original.
    """
    copy = deepcopy(model)
    for chain in list(copy.modules()):
        if isinstance(chain, parametrize.ParametrizationList):
            for place, mask in enumerate(chain):
                if isinstance(mask, MaskedWeight):
                    chain[place] = nn.Identity()
    return copy
