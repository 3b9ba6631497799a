"""From an `nn.Module` to a `.pt2` file that the service accepts. Runs where the user's own code runs."""

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from pruning import graphnet
from pruning.errors import IntakeError
from pruning.intake.document import GraphDocument
from pruning.intake.reader import read_exported_program, write_model

_TOLERANCE = 1e-5  # of the largest output
_BATCHES = (2, 3)  # a second batch size shows that the first is baked in nowhere


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a conversion did; `largest_difference` is between outputs, over the largest of them or 1."""

    path: Path
    inputs: tuple[str, ...]
    nodes: int
    parameter_count: int
    largest_difference: float
    notes: tuple[str, ...]


def convert(module: nn.Module, example: Tensor | tuple[Tensor, ...], path: Path) -> ConversionReport:
    """Export an eval copy of `module` to `path` with a varying batch, read it back, and compare the outputs.

    Args:
        module: any module that `torch.export` can take; it is left as it is.
        example: what the module is called with; every tensor has its batch as first dimension.
        path: where to write; must end in `.pt2`. An existing file is replaced only if all went well.

    Raises:
        IntakeError: the module cannot be exported with a varying batch, or uses what the service refuses.
    """
    if path.suffix != ".pt2":
        raise IntakeError(f"{path.name} should end in .pt2")
    inputs = _batch_of_two(example if isinstance(example, tuple) else (example,))
    model = deepcopy(module).eval().cpu()
    partial = path.with_name(f"{path.stem}.partial.pt2")
    try:
        torch.export.save(_export(model, inputs), partial)
        document, difference = _verify(model, inputs, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return ConversionReport(
        path=path,
        inputs=tuple(f"{entry.name} {list(entry.shape)} {entry.dtype}" for entry in document.inputs),
        nodes=len(document.nodes),
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        largest_difference=difference,
        notes=document.notes,
    )


def _batch_of_two(example: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Exports take a batch of one for a constant, so the example becomes a batch of two."""
    for index, tensor in enumerate(example):
        if not isinstance(tensor, Tensor) or tensor.ndim == 0 or not len(tensor):
            raise IntakeError(f"example input {index} should be a tensor with its batch as first dimension")
    return tuple(_resized(tensor.detach().cpu(), _BATCHES[0]) for tensor in example)


def _resized(tensor: Tensor, batch: int) -> Tensor:
    return torch.cat([tensor] * batch)[:batch].clone()


def _export(model: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """With a batch that all inputs share and that may be one; else with whatever batch the module admits."""
    try:
        return _export_with({0: torch.export.Dim("batch", min=1)}, model, inputs)
    except Exception:  # of many unrelated kinds, from the tracer and from the module itself
        try:
            return _export_with({0: torch.export.Dim.DYNAMIC}, model, inputs)
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
            raise IntakeError(f"the model cannot be exported with a varying batch: {reason}") from error


def _export_with(batch: dict[int, Any], model: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    bound = inspect.signature(model.forward).bind(*inputs).arguments
    shapes = {name: (batch,) * len(v) if isinstance(v, tuple) else batch for name, v in bound.items()}
    return torch.export.export(model, inputs, dynamic_shapes=shapes)


def _verify(model: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> tuple[GraphDocument, float]:
    document, tensors = read_exported_program(path)
    with TemporaryDirectory() as folder:
        write_model(document, tensors, Path(folder))
        net = graphnet.load(Path(folder)).eval()
    largest = 0.0
    for batch in _BATCHES:
        sized = tuple(_resized(tensor, batch) for tensor in inputs)
        with torch.no_grad():
            expected, found = list(_tensors(model(*sized))), list(_tensors(net(*sized)))
        if [tensor.shape for tensor in expected] != [tensor.shape for tensor in found]:
            raise IntakeError(f"the converted model gives other shapes than the original for a batch of {batch}")
        largest = max([largest, *(_difference(a, b) for a, b in zip(expected, found, strict=True))])
    if not largest <= _TOLERANCE:
        raise IntakeError(f"the converted model differs from the original by {largest:.1e}, more than {_TOLERANCE}")
    return document, largest


def _difference(expected: Tensor, found: Tensor) -> float:
    if not expected.numel():
        return 0.0
    a, b = expected.double(), found.double()
    apart = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(torch.inf)
    scale = a.nan_to_num().abs().max().clamp_min(1.0)
    return float(apart.max() / scale)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, lists and mappings, in the order of an export's outputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
