"""A recovery written down: tensors as safetensors, everything else as JSON in the same file's header.

Nothing is pickled, so nothing is run on reading. The file is written beside its place and moved there, so a kill
leaves the old one or the new one.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from pruning.errors import RecoveryError

_FORM = "espalier-recovery-1"
_MEMBERS = {"step": int, "seed": int, "config": dict, "extra": dict, "optimizer": dict, "scaler": dict, "stopper": dict}


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveryState:
    """Where a recovery stands between two steps: a copy on the CPU. Make one with `Recovery.state`.

    `tensors` has the model's under `model/`, the optimiser's under `optimizer/`; `numbers` has the rest: step, seed,
    config, pruners' numbers, the optimiser's, the scaler's, the early stop's.
    """

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, kind in _MEMBERS.items():
            if not isinstance(self.numbers.get(name), kind):
                raise RecoveryError(f"this checkpoint has no usable {name!r}: it is damaged, or of another program")

    @property
    def step(self) -> int:
        """How many steps are done."""
        return int(self.numbers["step"])

    def save(self, path: Path) -> None:
        """Write the file, in place of what is there.

        Raises:
            RecoveryError: numbers that JSON does not have.
        """
        try:
            text = json.dumps(dict(self.numbers))
        except (TypeError, ValueError) as error:
            raise RecoveryError(f"the model keeps state that a checkpoint has no form for: {error}") from error
        part = path.with_name(path.name + ".part")
        save_file(dict(self.tensors), part, metadata={"form": _FORM, "numbers": text})
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> "RecoveryState":
        """Read a file.

        Raises:
            RecoveryError: it is not there, damaged, or something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if header.get("form") != _FORM:
                raise RecoveryError(f"{path.name} is not a recovery's checkpoint, or of another version of it")
            numbers = json.loads(header["numbers"])
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError, RecursionError) as error:
            raise RecoveryError(f"the checkpoint {path.name} cannot be read: {error}") from error
        return cls(tensors=tensors, numbers=numbers if isinstance(numbers, dict) else {})


def model_state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A model's tensors, copied, and what its modules keep beside them, by key of the state dict."""
    stored = model.state_dict()
    tensors = {f"model/{key}": _copy(value) for key, value in stored.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in stored.items() if not isinstance(value, Tensor)}


def load_model(model: nn.Module, state: RecoveryState, device: torch.device) -> None:
    """Inverse of `model_state`, on a model of the same shape under the same masks.

    Raises:
        RecoveryError: it is another model, or under other masks.
    """
    found: dict[str, Any] = {
        name.removeprefix("model/"): value.to(device)
        for name, value in state.tensors.items()
        if name.startswith("model/")
    }
    try:
        model.load_state_dict({**found, **state.numbers["extra"]})
    except (RuntimeError, LookupError, TypeError, AttributeError) as error:
        told = " ".join(str(error).split())[:300]
        raise RecoveryError(f"the checkpoint is of another model, or of other masks: {told}") from error


def optimizer_state(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimiser's tensors, copied, and its numbers, by place of the parameter and name.

    Raises:
        RecoveryError: it keeps something else.
    """
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, Any] = {}
    for place, parameter in enumerate(_parameters(optimizer)):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{place}/{name}"] = _copy(value)
            elif isinstance(value, bool | int | float | str | None):
                numbers[f"optimizer/{place}/{name}"] = value
            else:
                kind = f"{type(optimizer).__name__} keeps a {type(value).__name__} as {name!r}"
                raise RecoveryError(f"{kind}: a checkpoint has no form for it")
    return tensors, numbers


def load_optimizer(optimizer: Optimizer, state: RecoveryState) -> None:
    """Inverse of `optimizer_state`, over the same parameters.

    Raises:
        RecoveryError: moments of other parameters.
    """
    parameters = list(_parameters(optimizer))
    optimizer.state.clear()
    for key, value in [*state.tensors.items(), *state.numbers["optimizer"].items()]:
        if not key.startswith("optimizer/"):
            continue
        place, _, name = key.removeprefix("optimizer/").partition("/")
        if not place.isdecimal() or int(place) >= len(parameters):
            raise RecoveryError(f"the checkpoint's optimiser has {key!r}, which no parameter here answers to")
        parameter = parameters[int(place)]
        fused = any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)
        device = parameter.device if fused else torch.device("cpu")  # of counts of steps
        moment = _moment(value, parameter, device) if isinstance(value, Tensor) else value
        optimizer.state[parameter][name] = moment


def _moment(value: Tensor, parameter: Tensor, device: torch.device) -> Tensor:
    """Laid out like its parameter, so that resumed sums run in the same order; scalars on `device`."""
    if value.ndim == 0:
        return value.to(device, copy=True)
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _copy(value: Tensor) -> Tensor:
    return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
