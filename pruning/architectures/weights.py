"""Tensors into a module, every one of the right name and shape, or nothing at all: `load_weights` from safetensors."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from pruning.errors import IntakeError
from pruning.intake.safetensors import read_header

_COUNTER = "num_batches_tracked"  # of batch norm: nothing needs it
_SHOWN = 5


def load_weights(module: nn.Module, source: bytes | Path) -> None:
    """Copy the tensors of a safetensors file, or of its bytes, into `module`; see `load_tensors`.

    Raises:
        IntakeError: a broken file; or see `load_tensors`.
    """
    load_tensors(module, read_safetensors(source))


def load_tensors(module: nn.Module, given: Mapping[str, Tensor]) -> int:
    """Copy tensors into `module` by name, all or none; other float types are converted. How many were copied.

    Of tensors that the module holds under several names, one name is enough.

    Raises:
        IntakeError: tensors that are missing, too many or of other shapes or types, all counted and named.
    """
    own = module.state_dict(keep_vars=True)
    twins = _twins(own)
    missing = [name for name in own if not (twins[name] & given.keys()) and not _counts(name)]
    wrong = [f"{name} ({_misfit(given[name], own[name])})" for name in own if _misfit(given.get(name), own[name])]
    unknown = [name for name in given if name not in own and not _counts(name)]
    faults = [
        f"{len(names)} {what}: {_listed(names)}"
        for what, names in (("missing", missing), ("not in the model", unknown), ("misshapen", wrong))
        if names
    ]
    if faults:
        fitting = sum(name in given for name in own) - len(wrong)
        raise IntakeError(f"the weights do not fit the model: {fitting} of {len(own)} tensors do; {'; '.join(faults)}")
    named = [name for name in own if name in given]
    with torch.no_grad():
        for name in named:
            own[name].copy_(given[name])
    return len(named)


def read_safetensors(source: bytes | Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file, or of its bytes.

    Raises:
        IntakeError: it is no such file, or cannot be read.
    """
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            read_header(file, len(source) if isinstance(source, bytes) else source.stat().st_size)
        return load(source) if isinstance(source, bytes) else load_file(source)
    except IntakeError:
        raise
    except (SafetensorError, KeyError, ValueError) as error:
        raise IntakeError(f"the weights are not a safetensors file: {str(error)[:200]}") from error
    except OSError as error:
        raise IntakeError(f"the weights cannot be read: {str(error)[:200]}") from error


def _twins(own: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """For each name, all names of the same tensor."""
    names: dict[int, set[str]] = {}
    for name, tensor in own.items():
        names.setdefault(id(tensor), set()).add(name)
    return {name: names[id(tensor)] for name, tensor in own.items()}


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] == _COUNTER


def _misfit(given: Tensor | None, wanted: Tensor) -> str:
    if given is None:
        return ""
    if given.shape != wanted.shape:
        return f"{list(given.shape)} instead of {list(wanted.shape)}"
    if given.is_floating_point() != wanted.is_floating_point():
        return f"{given.dtype} instead of {wanted.dtype}"
    return ""


def _listed(names: Iterable[str]) -> str:
    shown = [name[:120] for name in names]
    more = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
