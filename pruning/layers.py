"""What can be pruned: `LayerSpec`, `ChannelGroup`, `ModelSpec`. Standard library only.

Layer names are the uploader's words: text, never code. `parameter` is the generated identifier of the weight.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import prod
from typing import Any, Literal

Op = Literal["conv1d", "conv2d", "linear"]


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One prunable layer.

    `weight` is `out x in/groups x *kernel` for convolutions and `out x in` for linears. `positions` counts the
    output positions of one sample (pixels of a map, tokens of a sequence, 1 for a plain linear). `tail` names
    the element-wise operators that only this layer feeds (batch_norm, relu, ...): runtimes fuse them.
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
    """Layers whose output channels must go together. `reason` says why a group cannot be cut ("" if it can)."""

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

    def group_of(self, layer: str) -> ChannelGroup | None:
        """The removable group whose channels `layer` produces."""
        return next((g for g in self.groups if g.removable and layer in g.producers), None)

    def shrunk(self, kept: Mapping[str, int]) -> tuple[LayerSpec, ...]:
        """The layers after each group in `kept` is cut down to that many channels."""
        outs: dict[str, int] = {}
        ins: dict[str, int] = {}
        for group in self.groups:
            if group.name not in kept:
                continue
            gone = group.channels - kept[group.name]
            for cut in group.cuts:
                removed = outs if cut.role == "producer" else ins if cut.role == "consumer" else None
                if removed is not None:
                    removed[cut.parameter] = removed.get(cut.parameter, 0) + gone * cut.repeat
        return tuple(
            _without(layer, ins.get(layer.parameter, 0), outs.get(layer.parameter, 0)) for layer in self.layers
        )

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


def _without(layer: LayerSpec, gone_in: int, gone_out: int) -> LayerSpec:
    if layer.depthwise:  # one set of channels, in and out
        gone_in = gone_out = max(gone_in, gone_out)
    return layer.resized(layer.in_channels - gone_in, layer.out_channels - gone_out)


def _tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
