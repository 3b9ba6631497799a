"""What the layers of a net see on calibration batches: per layer H = 2 X Xᵀ.

X has one column per place where the weight is applied: a sample's token for a linear layer, an output position
for a convolution, whose input is unfolded in the order of `weight.flatten(1)` (input channel, then kernel
position). Row i of X multiplies column i of the weight. Each group of a convolution has an X of its own.

Inputs are caught where they meet the weight, whatever module or graph leads there: a torch function mode sees
every convolution and linear of the pass and picks those that read a named parameter. No activation is kept.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pruning.errors import CalibrationError
from pruning.graphnet import GraphNet
from pruning.masked import find_tensor
from pruning.recover import Batch

_ATEN = torch.ops.aten
_READERS = frozenset(
    {nn.functional.linear, torch.conv1d, torch.conv2d, torch.conv3d, _ATEN.linear.default}
    | {_ATEN.conv1d.default, _ATEN.conv1d.padding, _ATEN.conv2d.default, _ATEN.conv2d.padding}
)
_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_NO_BATCHES = "there are no batches to calibrate on: give at least one"
_CHUNK = 1 << 24  # elements of X at once: 128 MiB


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerStatistics:
    """Second moments of one layer's inputs, in fp64; they cost columns² x 8 bytes per group.

    `hessian` is 2 X Xᵀ, `groups x columns x columns`, or None if only norms were asked for; `squares` holds
    ||X_j||² of every input column, `groups x columns`; `samples` counts the columns of X.
    """

    samples: int
    squares: Tensor
    hessian: Tensor | None = None

    @property
    def norms(self) -> Tensor:
        """||X_j||₂ of every input column: `groups x columns`."""
        return self.squares.sqrt()

    @property
    def groups(self) -> int:
        """Groups of the convolution; 1 for a linear layer."""
        return len(self.squares)

    @property
    def moments(self) -> Tensor:
        """The hessian.

        Raises:
            CalibrationError: the statistics hold norms only.
        """
        if self.hessian is None:
            raise CalibrationError("these statistics hold norms only: collect them with hessian=True")
        return self.hessian

    def rows(self, weight: Tensor) -> Tensor:
        """A weight as matrices in fp64, one per group: `groups x rows x columns`.

        Raises:
            CalibrationError: the statistics are another layer's.
        """
        groups, columns = self.squares.shape
        if len(weight) % groups or weight[0].numel() != columns:
            raise CalibrationError(
                f"a weight of shape {list(weight.shape)} does not fit statistics of {groups} groups x {columns} "
                "columns: they belong to another layer"
            )
        return weight.detach().to(torch.float64).reshape(groups, -1, columns)

    def error(self, reference: Tensor, weight: Tensor) -> float:
        """||(reference - weight) X||² / ||reference X||²: what the change does to the layer's output."""
        before, change = self.rows(reference), self.rows(reference) - self.rows(weight)
        moved, whole = (((values @ self.moments) * values).sum() for values in (change, before))
        return float(moved / whole) if whole > 0 else 0.0


def collect(
    net: nn.Module, parameters: Sequence[str], batches: Iterable[Batch], *, hessian: bool = True
) -> dict[str, LayerStatistics]:
    """Run `net` in evaluation mode over the batches; the statistics of each named weight.

    Memory is that of the result plus 128 MiB or one unfolded sample; `hessian=False` saves the squares of the
    column counts and serves Wanda. A weight that is read several times has the sum over its readings.

    Raises:
        PlanError: the net has no such parameter.
        CalibrationError: no batches, a weight that no convolution or linear reads, or inputs not finite.
    """
    sums = {name: _Sums(find_tensor(net, name), hessian) for name in parameters}
    count = 0
    with torch.no_grad(), _evaluating(net), _Watch(sums.values()):
        for inputs, _ in batches:
            net(*inputs) if isinstance(inputs, tuple) else net(inputs)
            count += 1
    if not count:
        raise CalibrationError(_NO_BATCHES)
    return {name: found.statistics(name) for name, found in sums.items()}


def in_one_pass(
    net: GraphNet, parameters: Iterable[str], batches: Iterable[Batch]
) -> Generator[tuple[str, LayerStatistics]]:
    """The statistics of one weight after another, each on the net as the caller has made it by then.

    All batches go through the graph in step and stop where a named weight is read; what the caller makes of it there
    is what they go on with. So it is one pass in all, and finds what a pass of `collect` for every weight would find as
    long as nothing but one convolution or linear reads a weight. Memory is that of all batches' activations. Weights
    come in the order of their readings; the net is in evaluation mode until the last.

    Raises:
        CalibrationError: as `collect`.
    """
    waiting = {id(find_tensor(net, name)): name for name in parameters}
    passes = [inputs if isinstance(inputs, tuple) else (inputs,) for inputs, _ in batches]
    if not passes:
        raise CalibrationError(_NO_BATCHES)
    with _evaluating(net):
        for call, abreast in net.abreast(passes):
            if call.function not in _READERS:
                continue
            seen = [dict(zip(_ARGUMENTS, call.arguments(values, False), strict=False)) for values in abreast]
            if name := waiting.pop(id(seen[0]["weight"]), ""):
                found = _Sums(seen[0]["weight"], hessian=True)
                with torch.no_grad():
                    for arguments in seen:
                        found.add(arguments)
                yield name, found.statistics(name)
            if not waiting:
                return  # what comes after the last of them needs no running
    for name in waiting.values():
        raise CalibrationError(_unread(name))


class _Sums:
    """The statistics of one weight while they grow."""

    def __init__(self, weight: Tensor, hessian: bool) -> None:
        self.weight = weight
        self.hessian = hessian
        self.samples = 0
        self.total: Tensor | None = None  # X Xᵀ, or the squares of X's rows

    def add(self, arguments: Mapping[str, Any]) -> None:
        """Take in one call of the layer."""
        for x in _inputs(arguments):
            self.samples += x.shape[-1]
            moments = x @ x.mT if self.hessian else x.square().sum(-1)
            self.total = moments if self.total is None else self.total.add_(moments)

    def statistics(self, name: str) -> LayerStatistics:
        """What has been taken in."""
        if self.total is None:
            raise CalibrationError(_unread(name))
        if not torch.isfinite(self.total).all():
            raise CalibrationError(f"the inputs of {name[:80]!r} are NaN or infinite: check the calibration batches")
        if not self.hessian:
            return LayerStatistics(samples=self.samples, squares=self.total)
        squares = self.total.diagonal(dim1=1, dim2=2).clone()
        return LayerStatistics(samples=self.samples, squares=squares, hessian=self.total.mul_(2))


class _Watch(TorchFunctionMode):
    """Shows every reading of the watched weights to their sums."""

    def __init__(self, sums: Iterable[_Sums]) -> None:
        super().__init__()
        self._sums = {id(found.weight): found for found in sums}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _READERS:
            arguments = dict(zip(_ARGUMENTS, args, strict=False)) | (kwargs or {})
            found = self._sums.get(id(arguments.get("weight")))
            if found is not None:
                found.add(arguments)
        return func(*args, **(kwargs or {}))


def _inputs(arguments: Mapping[str, Any]) -> Iterator[Tensor]:
    """X of one call in fp64, in pieces: `groups x columns x places`."""
    value, weight = arguments["input"].to(torch.float64), arguments["weight"]
    kernel = weight.shape[2:]
    if not kernel:
        for part in torch.split(value.reshape(-1, weight.shape[1]), max(1, _CHUNK // weight.shape[1])):
            yield part.mT.unsqueeze(0)
        return
    windows = _windows(value if value.ndim == weight.ndim else value.unsqueeze(0), kernel, arguments)
    rank, groups = len(kernel), arguments.get("groups", 1)
    order = (1, *range(2 + rank, 2 + 2 * rank), 0, *range(2, 2 + rank))  # channel, kernel, sample, places
    width = weight[0].numel()
    for part in torch.split(windows, max(1, _CHUNK // prod(windows.shape[1:]))):
        yield part.permute(order).reshape(groups, width, -1)


def _windows(value: Tensor, kernel: Sequence[int], arguments: Mapping[str, Any]) -> Tensor:
    """What the kernel sees at each place: a view `batch x channels x *places x *kernel` of the padded input."""
    rank = len(kernel)
    stride, dilation = (_sizes(arguments.get(name, 1), rank) for name in ("stride", "dilation"))
    sides: list[int] = []  # as `pad` wants them: last dimension first, before and after
    for size, gap, around in reversed(list(zip(kernel, dilation, _around(arguments, rank), strict=True))):
        whole = gap * (size - 1) if around is None else 2 * around
        sides += [whole // 2, whole - whole // 2]
    value = nn.functional.pad(value, sides) if any(sides) else value
    for dim, (size, step, gap) in enumerate(zip(kernel, stride, dilation, strict=True), start=2):
        value = value.unfold(dim, gap * (size - 1) + 1, step)[..., ::gap]
    return value


def _around(arguments: Mapping[str, Any], rank: int) -> Sequence[int | None]:
    """Zeros at each side of every dimension; None stands for "same", which may be uneven."""
    padding = arguments.get("padding", 0)
    if padding == "same":
        return (None,) * rank
    return _sizes(0 if padding == "valid" else padding, rank)


def _sizes(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    listed = (value,) if isinstance(value, int) else tuple(value)
    return listed * rank if len(listed) == 1 else listed


def _unread(name: str) -> str:
    return (
        f"no convolution or linear read {name[:80]!r} during calibration: leave this layer dense, and bake a "
        "parametrised weight first"
    )


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
