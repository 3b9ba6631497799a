"""A model from an architecture's name, its config and a safetensors file: what an upload by name asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from pruning.architectures.config import Config
from pruning.architectures.hub import HUB, build_hub, hub_config
from pruning.architectures.table import ARCHITECTURES, build, read_config
from pruning.architectures.weights import load_weights
from pruning.errors import IntakeError


def named_config(name: str, config: Mapping[str, Any]) -> Config:
    """The config of one of our architectures, or of a library's (`transformers/bert`), from JSON.

    Raises:
        IntakeError: there is no such architecture, or the config has fields or values that it does not take.
    """
    if name in HUB:
        return hub_config(name, config)
    if name in ARCHITECTURES:
        return read_config(name, config)
    raise IntakeError(f"there is no architecture {str(name)[:40]!r}; there are {', '.join((*ARCHITECTURES, *HUB))}")


def build_named(name: str, config: Mapping[str, Any], weights: Path | None = None, seed: int = 0) -> nn.Module:
    """A module in eval mode, with the weights of a safetensors file, or random ones drawn from `seed`.

    Raises:
        IntakeError: see `named_config`; or its library is not installed, or the weights are broken or do not fit.
    """
    named_config(name, config)
    if name in HUB:
        return build_hub(name, config, weights, seed)
    module = build(name, config, seed)
    if weights is not None:
        load_weights(module, weights)
    return module
