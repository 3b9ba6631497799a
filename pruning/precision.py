"""Mixed precision: what runs in a narrow type, and the scale that keeps small gradients of float16 from vanishing.

Masks, products with them, and parameters stay in fp32; what is narrowed is what `torch.autocast` narrows.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import RecoveryError
from pruning.masked import MaskedWeight

AMP = ("off", "bfloat16", "float16")


class Precision:
    """`amp` on one device.

    Raises:
        RecoveryError: float16 on the CPU, or for parameters that are halves themselves.
    """

    def __init__(self, amp: str, model: nn.Module, device: torch.device) -> None:
        if amp == "float16" and device.type == "cpu":
            raise RecoveryError("amp float16 is for CUDA: on the CPU use bfloat16")
        if amp == "float16" and any(p.dtype == torch.float16 for p in model.parameters()):
            raise RecoveryError("amp float16 needs parameters in float32: call model.float() first")
        self._type = None if amp == "off" else {"bfloat16": torch.bfloat16, "float16": torch.float16}[amp]
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp == "float16")

    def forward(self) -> AbstractContextManager[Any]:
        """Inside: operations in the narrow type."""
        return nullcontext() if self._type is None else torch.autocast(self._device, self._type)

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, scaled."""
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def unscale(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
        """Gradients as they are: of the parameters, and those that masks have seen."""
        if not self.scaler.is_enabled():
            return
        self.scaler.unscale_(optimizer)
        scale = self.scaler.get_scale()
        for mask in model.modules():
            if isinstance(mask, MaskedWeight) and mask.gradient is not None:
                finite = bool(torch.isfinite(mask.gradient).all())
                mask.gradient = mask.gradient / scale if finite else None  # an overflow is no gradient

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """An update, left out where gradients overflowed; the scale adapts."""
        self.scaler.step(optimizer)
        self.scaler.update()
