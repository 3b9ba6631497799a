"""Buffers that may be None: a mask is fixed in one state of a model and not in another."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def match_buffers(module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str) -> None:
    """Make room for buffers that are None here and not in the state to be loaded; drop those that are None there."""
    for name in set(module._buffers) - module._non_persistent_buffers_set:
        stored, own = state_dict.get(prefix + name), module._buffers[name]
        if stored is None:
            module._buffers[name] = None
        elif own is None:
            module._buffers[name] = torch.empty_like(stored)
