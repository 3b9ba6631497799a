"""Model specs by hand, so that costs are tested without torch."""

from dataclasses import replace
from itertools import pairwise

from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec


def conv(name: str, inputs: int, outputs: int, size: int = 8, kernel: int = 3, groups: int = 1) -> LayerSpec:
    """A stride-1 convolution on a size x size map."""
    return LayerSpec(
        name=name,
        parameter=f"{name}.w",
        op="conv2d",
        in_channels=inputs,
        out_channels=outputs,
        kernel=(kernel, kernel),
        stride=(1, 1),
        padding=(kernel // 2, kernel // 2),
        dilation=(1, 1),
        groups=groups,
        input_size=(size, size),
        output_size=(size, size),
        positions=size * size,
    )


def linear(name: str, inputs: int, outputs: int) -> LayerSpec:
    """A plain linear layer."""
    return LayerSpec(name=name, parameter=f"{name}.w", op="linear", in_channels=inputs, out_channels=outputs)


def group(name: str, producers: list[LayerSpec], consumers: list[LayerSpec], reason: str = "") -> ChannelGroup:
    """A group over whole output dimensions of its producers and whole input dimensions of its consumers."""
    cuts = [Cut(parameter=p.parameter, dim=0, role="producer") for p in producers]
    cuts += [Cut(parameter=c.parameter, dim=1, role="consumer") for c in consumers]
    return ChannelGroup(
        name=name,
        channels=producers[0].out_channels,
        producers=tuple(p.name for p in producers),
        consumers=tuple(c.name for c in consumers),
        cuts=() if reason else tuple(cuts),
        reason=reason,
    )


def model_of(layers: list[LayerSpec], groups: list[ChannelGroup]) -> ModelSpec:
    """A model spec around layers and groups."""
    return ModelSpec(
        layers=tuple(layers),
        groups=tuple(groups),
        input_shape=(3, 8, 8),
        output_shapes=((10,),),
        parameter_count=sum(layer.weights for layer in layers),
    )


def blocks(width: int = 16, count: int = 3, size: int = 8) -> ModelSpec:
    """Like ResNet-20: residual blocks whose inner channels can go and whose outer channels cannot."""
    layers, groups = [conv("stem", 3, width, size)], []
    for index in range(count):
        first, second = (conv(f"b{index}.conv{n}", width, width, size) for n in (1, 2))
        layers += [first, second]
        groups.append(group(f"g{index}", [first], [second]))
    layers.append(linear("fc", width, 10))
    outer = [layer for layer in layers if layer.name == "stem" or layer.name.endswith("conv2")]
    readers = [layer for layer in layers if layer.name == "fc" or layer.name.endswith("conv1")]
    groups.append(group("stage", outer, readers, "channels are padded by aten.pad, which shifts them"))
    return model_of(layers, groups)


def chain(widths: tuple[int, ...] = (16, 24, 32), size: int = 8) -> ModelSpec:
    """A plain chain of convolutions, every inner channel removable."""
    sizes = (3, *widths, 10)
    layers = [conv(f"c{i}", a, b, size) for i, (a, b) in enumerate(pairwise(sizes))]
    groups = [group(f"g{i}", [a], [b]) for i, (a, b) in enumerate(pairwise(layers))]
    return model_of(layers, groups)


def shared_stage(width: int = 16) -> ModelSpec:
    """Two producers that share their channels, with one reader."""
    stem, branch, reader = conv("stem", 3, width), conv("branch", 3, width), conv("reader", width, 10)
    return model_of([stem, branch, reader], [group("sum", [stem, branch], [reader])])


def strided(name: str, inputs: int, outputs: int, size: int, kernel: int = 3, stride: int = 1) -> LayerSpec:
    """A convolution with padding kernel // 2 on a size x size map."""
    out = -(-size // stride)
    plain = conv(name, inputs, outputs, size, kernel)
    return replace(plain, stride=(stride, stride), output_size=(out, out), positions=out * out)


def resnet18(size: int = 224, classes: int = 1000) -> ModelSpec:
    """ResNet-18's 21 layers with weights, in execution order: 1,814,073,344 multiply-adds at 224 x 224."""
    layers, size = [strided("conv1", 3, 64, size, 7, 2)], size // 4
    width = 64
    for stage, outputs in enumerate((64, 128, 256, 512), start=1):
        for index in range(2):
            stride = 2 if stage > 1 and index == 0 else 1
            name = f"layer{stage}.{index}"
            layers.append(strided(f"{name}.conv1", width, outputs, size, 3, stride))
            layers.append(strided(f"{name}.conv2", outputs, outputs, size // stride))
            if stride > 1:
                layers.append(strided(f"{name}.downsample.0", width, outputs, size, 1, stride))
            width, size = outputs, size // stride
    return model_of([*layers, linear("fc", width, classes)], [])
