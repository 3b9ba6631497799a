"""What can be pruned: `LayerSpec`, `ChannelGroup`, `ModelSpec`. Standard library only.

Layer names are the uploader's words: text, never code. `parameter` is the generated identifier of the weight.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any, Literal

Op = Literal["conv1d", "conv2d", "conv_transpose2d", "linear"]


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One prunable layer.

    `weight` is `out x in/groups x *kernel` for convolutions, `in x out/groups x *kernel` for transposed ones and
    `out x in` for linears. `positions` counts how often one sample uses each weight: output positions (pixels of
    a map, tokens of a sequence, 1 for a plain linear), input positions if transposed. `tail` names the
    element-wise operators that only this layer feeds (batch_norm, relu, ...): runtimes fuse them.
    """

    name: str
    parameter: str
    op: Op
    in_channels: int
    out_channels: int
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    input_size: tuple[int, ...] = ()  # spatial size of the input, () for linear
    output_size: tuple[int, ...] = ()  # spatial size of the output, () for linear
    positions: int = 1
    calls: int = 1
    has_bias: bool = False
    tail: tuple[str, ...] = ()

    @property
    def weights(self) -> int:
        """Number of weights, bias excluded."""
        return self.out_channels * (self.in_channels // self.groups) * prod(self.kernel)

    @property
    def macs(self) -> int:
        """Multiply-adds of one sample, over all calls."""
        return self.weights * self.positions * self.calls

    @property
    def activations(self) -> int:
        """Values that one sample makes here, over all calls."""
        uses = self.positions * self.calls
        if self.transposed:  # its positions are those of the input
            uses = uses * prod(self.output_size) // prod(self.input_size)
        return uses * self.out_channels

    @property
    def transposed(self) -> bool:
        """True where dimension 0 of the weight is the inputs and dimension 1 the outputs of one group."""
        return self.op == "conv_transpose2d"

    @property
    def input_dim(self) -> int:
        """The dimension of the weight along which the inputs lie."""
        return 0 if self.transposed else 1

    @property
    def depthwise(self) -> bool:
        """True for a convolution with one input channel per group."""
        return self.groups > 1 and self.groups == self.in_channels

    def resized(self, in_channels: int, out_channels: int) -> "LayerSpec":
        """The same layer with other channel counts; a depthwise layer's groups follow its channels."""
        groups = in_channels if self.depthwise else self.groups
        return replace(self, in_channels=in_channels, out_channels=out_channels, groups=groups)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where one channel of a group lives in one parameter: indices `offset + c*repeat ... + repeat` of `dim`."""

    parameter: str
    dim: int
    role: Literal["producer", "consumer", "follower"]  # follower: bias, norm scale and shift, running statistics
    repeat: int = 1
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class SizeFix:
    """A size baked into the graph: argument `argument[index]` of `node` shrinks by `repeat` per removed channel."""

    node: str
    argument: str
    index: int | None = None
    repeat: int = 1


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Output channels that go together in several layers. `reason` says why a group cannot be cut ("" if it can).

    One of its `channels` may be many rows of a weight: a head, or what a norm averages over.
    """

    name: str
    channels: int
    producers: tuple[str, ...]  # layer names whose output channels these are
    consumers: tuple[str, ...]  # layer names that read them
    cuts: tuple[Cut, ...] = ()
    size_fixes: tuple[SizeFix, ...] = ()
    reason: str = ""

    @property
    def removable(self) -> bool:
        """Whether the graph proves that channels can be removed."""
        return not self.reason


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The prunable layers in execution order, their groups, and what no plan can touch, and why."""

    layers: tuple[LayerSpec, ...]
    groups: tuple[ChannelGroup, ...]
    input_shape: tuple[int, ...]  # of one sample, batch left out
    output_shapes: tuple[tuple[int, ...], ...]  # likewise, one an output
    parameter_count: int
    unprunable: Mapping[str, str] = field(default_factory=dict)  # layer or group name -> reason
    notes: tuple[str, ...] = ()  # what the export lost, what was repaired

    def layer(self, name: str) -> LayerSpec:
        """The layer of that name; KeyError otherwise."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)

    @property
    def macs(self) -> int:
        """Multiply-adds of one sample in the prunable layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def activations(self) -> int:
        """Values that one sample makes in the prunable layers."""
        return sum(layer.activations for layer in self.layers)

    def family_of(self, layer: str) -> tuple[ChannelGroup, ...]:
        """The removable groups that lose channels together with this layer's, as one share of each.

        More than one where a layer's channels belong to several groups (shortcuts that pad or concatenate): they are
        tied by the layers they have in common, since a plan gives a layer one pattern.
        """
        found: set[str] = set()
        reached = {layer}
        while new := [g for g in self.groups if g.removable and g.name not in found and reached & {*g.producers}]:
            found |= {group.name for group in new}
            reached |= {name for group in new for name in group.producers}
        return tuple(group for group in self.groups if group.name in found)

    def shrunk(self, kept: Mapping[str, int]) -> tuple[LayerSpec, ...]:
        """The layers after each group in `kept` is cut down to that many channels."""
        gone: dict[tuple[str, int], int] = {}  # indices by weight and dimension
        for group in self.groups:
            for cut in group.cuts if group.name in kept else ():
                side = (cut.parameter, cut.dim)
                gone[side] = gone.get(side, 0) + (group.channels - kept[group.name]) * cut.repeat
        return tuple(_without(layer, *(gone.get((layer.parameter, dim), 0) for dim in (0, 1))) for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ModelSpec":
        """Inverse of `to_json`."""
        layers = tuple(LayerSpec(**_tuples(layer)) for layer in document["layers"])
        groups = tuple(
            ChannelGroup(
                **_tuples(
                    group
                    | {
                        "cuts": [Cut(**cut) for cut in group["cuts"]],
                        "size_fixes": [SizeFix(**fix) for fix in group["size_fixes"]],
                    }
                )
            )
            for group in document["groups"]
        )
        return cls(
            layers=layers,
            groups=groups,
            input_shape=tuple(document["input_shape"]),
            output_shapes=tuple(tuple(shape) for shape in document["output_shapes"]),
            parameter_count=document["parameter_count"],
            unprunable=dict(document["unprunable"]),
            notes=tuple(document["notes"]),
        )


def _without(layer: LayerSpec, rows: int, columns: int) -> LayerSpec:
    """The layer without so many indices of its weight's dimensions 0 and 1; groups shrink alike, or are fewer."""
    if not rows and not columns:
        return layer  # most layers, of most plans
    ins, outs = (rows, columns * layer.groups) if layer.transposed else (columns * layer.groups, rows)
    if layer.depthwise and layer.transposed:
        outs = rows * (layer.out_channels // layer.in_channels)
    elif layer.depthwise:
        ins = rows * layer.in_channels // layer.out_channels
    return layer.resized(layer.in_channels - ins, layer.out_channels - outs)


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
