"""What pruners share whose binary mask changes at the steps of a schedule and holds between them."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from pruning.pruners import base


class Stepped(base.Pruner):
    """A mask that is made anew when `step` has moved on; everything is kept at first."""

    state = "a mask, one bit a unit"
    stateful = True
    mask: Tensor
    reached = 0  # the step that the mask is of

    @abstractmethod
    def step(self) -> int:
        """How many steps of the schedule are behind us."""

    @abstractmethod
    def renewed(self, table: Tensor, gradient: Tensor | None) -> Tensor:
        """The mask of this step: bool table."""

    def start(self, table: Tensor, generator: torch.Generator) -> None:  # noqa: ARG002
        """Everything is kept at first."""
        self.register_buffer("mask", torch.ones_like(table, dtype=torch.bool))

    def update(self, table: Tensor, gradient: Tensor | None) -> None:
        """Choose anew where the schedule has stepped."""
        if self.step() != self.reached:
            self.mask = self.renewed(table, gradient)
            self.reached = self.step()

    def soft(self, table: Tensor) -> Tensor:
        """The mask in force."""
        return self.mask.to(table.dtype)

    def get_extra_state(self) -> dict[str, Any]:
        """With the step reached: a number, since asking a tensor would wait for the device."""
        return {**super().get_extra_state(), "reached": self.reached}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Inverse of `get_extra_state`."""
        super().set_extra_state(state)
        self.reached = state["reached"]
