"""Checkpoints as they lie on a user's disk: safetensors, or a state dict saved by torch, read without its code.

For the user's side alone: the service takes safetensors. Even here nothing is unpickled but tensors and plain
containers (`weights_only`).
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pruning.architectures.weights import read_safetensors
from pruning.errors import IntakeError

_NESTS = ("state_dict", "model_state_dict", "model", "net", "module", "ema")  # how training scripts wrap one
_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")  # of DataParallel, of torch.compile, of trainers


@dataclass(frozen=True, kw_only=True)
class LocalWeights:
    """Tensors by name, and what was done to find them, in words."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read_local(path: Path, wanted: frozenset[str] = frozenset()) -> LocalWeights:
    """The tensors of a checkpoint; a prefix that all names share is dropped if the names are then the `wanted` ones.

    Raises:
        IntakeError: it cannot be read, holds more than tensors (a whole module, code), or no tensors at all.
    """
    if path.suffix == ".safetensors":
        return _unprefixed(read_safetensors(path), (), wanted)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise IntakeError(
            f"{path.name} holds more than tensors, or is damaged, and is not unpickled: save it again as "
            "torch.save(model.state_dict(), ...) where the model's code is, or give the factory that makes the model"
        ) from error
    except OSError as error:
        raise IntakeError(f"{path.name} cannot be read: {str(error)[:200]}") from error
    notes: tuple[str, ...] = ()
    nest = next((key for key in _NESTS if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)), None)
    if nest is not None:
        found, notes = found[nest], (f"the weights stand under {nest!r}",)
    if not isinstance(found, Mapping) or not found:
        raise IntakeError(f"{path.name} holds no state dict: a mapping of names to tensors")
    if odd := [str(key) for key, value in found.items() if not isinstance(value, Tensor)]:
        raise IntakeError(f"{path.name}: {odd[0][:80]!r} is no tensor, and {len(odd) - 1} more are not")
    return _unprefixed({str(key): value for key, value in found.items()}, notes, wanted)


def _unprefixed(tensors: Mapping[str, Tensor], notes: tuple[str, ...], wanted: frozenset[str]) -> LocalWeights:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors) and not wanted & tensors.keys():
            bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
            return _unprefixed(bare, (*notes, f"{prefix!r} was dropped from the names"), wanted)
    return LocalWeights(tensors=tensors, notes=notes)
