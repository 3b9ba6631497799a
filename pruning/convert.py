"""From an `nn.Module` to a `.pt2` file that the service accepts. Runs where the user's own code runs."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pruning import graphnet
from pruning.describe import describe
from pruning.errors import IntakeError
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.module_export import export_module, mapped, tensors_in

Mode = Literal["train", "eval"]
_TOLERANCE = 1e-5  # of the largest output
_BATCHES = (2, 3)  # a second batch size shows that the first is baked in nowhere


@dataclass(frozen=True, kw_only=True)
class ConversionReport:
    """What a conversion did; `largest_difference` is between outputs in eval mode, over the largest of them or 1."""

    path: Path
    mode: Mode
    inputs: tuple[str, ...]
    nodes: int
    parameter_count: int
    layers: int
    groups: str  # how many of the channel groups can lose channels
    macs: int  # of one sample, in the prunable layers
    unprunable: Mapping[str, str]
    largest_difference: float
    notes: tuple[str, ...]
    fallback: str = ""  # why it is not in train mode, if that was tried


def convert(module: nn.Module, example: Any, path: Path, mode: Mode | None = None) -> ConversionReport:
    """Export a copy of `module` to `path` with a varying batch, read it back, and compare the outputs in eval mode.

    Args:
        module: any module that `torch.export` can take; it is left as it is.
        example: what the module is called with: a tensor, or a tuple of tensors and of tuples and dicts of them;
            every tensor has its batch as first dimension.
        path: where to write; must end in `.pt2`. An existing file is replaced only if all went well.
        mode: in which to export. Left out, it is "train", which keeps what only training does (dropout inside
            attention), or "eval" where that cannot be had; `fallback` says why.

    Raises:
        IntakeError: the module cannot be exported with a varying batch, uses what the service refuses, or has
            nothing that can be pruned.
    """
    if path.suffix != ".pt2":
        raise IntakeError(f"{path.name} should end in .pt2")
    inputs = _batch_of_two(example if isinstance(example, tuple) else (example,))
    model = deepcopy(module).cpu()
    if mode is not None:
        return _converted(model, inputs, path, mode)
    try:
        return _converted(model, inputs, path, "train")
    except IntakeError as refusal:
        return replace(_converted(model, inputs, path, "eval"), fallback=str(refusal))


def _converted(model: nn.Module, inputs: tuple[Any, ...], path: Path, mode: Mode) -> ConversionReport:
    partial = path.with_name(f"{path.stem}.partial.pt2")
    try:
        torch.export.save(export_module(model.train(mode == "train"), inputs), partial)
        net = _read(partial)
        spec = describe(net)
        difference = _difference(model.eval(), net.eval(), inputs)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return ConversionReport(
        path=path,
        mode=mode,
        inputs=tuple(f"{entry.name} {list(entry.shape)} {entry.dtype}" for entry in net.document.inputs),
        nodes=len(net.document.nodes),
        parameter_count=sum(parameter.numel() for parameter in model.parameters()),
        layers=len(spec.layers),
        groups=f"{sum(group.removable for group in spec.groups)} of {len(spec.groups)}",
        macs=spec.macs,
        unprunable=spec.unprunable,
        largest_difference=difference,
        notes=net.document.notes,
    )


def _batch_of_two(example: tuple[Any, ...]) -> tuple[Any, ...]:
    """Exports take a batch of one for a constant, so the example becomes a batch of two."""
    for index, tensor in enumerate(tensors_in(example)):
        if tensor.ndim == 0 or not len(tensor):
            raise IntakeError(f"example input {index} should be a tensor with its batch as first dimension")
    sized: tuple[Any, ...] = mapped(example, lambda tensor: _resized(tensor.detach().cpu(), _BATCHES[0]))
    return sized


def _resized(tensor: Tensor, batch: int) -> Tensor:
    return torch.cat([tensor] * batch)[:batch].clone()


def _read(path: Path) -> GraphNet:
    document, tensors = read_exported_program(path)
    with TemporaryDirectory() as folder:
        write_model(document, tensors, Path(folder))
        return graphnet.load(Path(folder))


def _difference(model: nn.Module, net: GraphNet, inputs: tuple[Any, ...]) -> float:
    """Of the outputs, over several batch sizes.

    Raises:
        IntakeError: it is too large.
    """
    largest = 0.0
    for batch in _BATCHES:
        sized: tuple[Any, ...] = mapped(inputs, partial(_resized, batch=batch))
        with torch.no_grad():
            expected, found = list(tensors_in(model(*sized))), list(tensors_in(net(*tensors_in(sized))))
        if [tensor.shape for tensor in expected] != [tensor.shape for tensor in found]:
            raise IntakeError(f"the converted model gives other shapes than the original for a batch of {batch}")
        largest = max([largest, *(_apart(a, b) for a, b in zip(expected, found, strict=True))])
    if not largest <= _TOLERANCE:
        raise IntakeError(f"the converted model differs from the original by {largest:.1e}, more than {_TOLERANCE}")
    return largest


def _apart(expected: Tensor, found: Tensor) -> float:
    if not expected.numel():
        return 0.0
    a, b = expected.double(), found.double()
    apart = torch.where((a == b) | (a.isnan() & b.isnan()), 0.0, (a - b).abs()).nan_to_num(torch.inf)
    scale = a.nan_to_num().abs().max().clamp_min(1.0)
    return float(apart.max() / scale)
