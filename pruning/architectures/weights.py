"""`load_weights`: a safetensors file into a module, every tensor of the right name and shape, or nothing at all."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor, nn

from pruning.errors import IntakeError

_COUNTER = "num_batches_tracked"  # of batch norm: nothing needs it
_SHOWN = 5


def load_weights(module: nn.Module, source: bytes | Path) -> None:
    """Copy the tensors of a safetensors file, or of its bytes, into `module`; other float types are converted.

    Of tensors that the module holds under several names, one name is enough.

    Raises:
        IntakeError: a broken file; or tensors that are missing, too many or of other shapes or types, all named.
    """
    given = _read(source)
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
        raise IntakeError(f"the weights do not fit the architecture; {'; '.join(faults)}")
    with torch.no_grad():
        for name, tensor in own.items():
            if name in given:
                tensor.copy_(given[name])


def _read(source: bytes | Path) -> Mapping[str, Tensor]:
    try:
        return load(source) if isinstance(source, bytes) else load_file(source)
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
