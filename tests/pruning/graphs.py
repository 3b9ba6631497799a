"""Graph nets for tests: exported from small modules, or written node by node."""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from pruning import graphnet
from pruning.export import cut_channels
from pruning.graphnet import GraphNet
from pruning.intake.document import Argument, GraphDocument, Input, Node, Parameter, Ref
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.trace import trace
from tests.pruning.intake.exporting import export

torch.set_num_threads(1)


def load_net(module: nn.Module, inputs: tuple[Tensor, ...], folder: Path, *, dynamic: bool = True) -> GraphNet:
    """The net that the service would run for `module`: exported, read by our reader, stored, loaded."""
    document, raw = read_exported_program(export(module, inputs, folder / "model.pt2", dynamic=dynamic))
    write_model(document, raw, folder)
    return graphnet.load(folder).eval()


def stir(module: nn.Module, seed: int = 0) -> nn.Module:
    """Weights, biases and running statistics that are not the trivial ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if "running_var" in name:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            elif tensor.is_floating_point():
                fan = tensor[0].numel() if tensor.ndim > 1 else 4
                tensor.copy_(torch.randn(tensor.shape, generator=generator) / fan**0.5)
    return module


def masked(net: GraphNet, spec: ModelSpec, kept: dict[str, list[int]]) -> GraphNet:
    """The oracle for cutting: a copy whose removed channels are zero in every cut."""
    found = deepcopy(net)
    with torch.no_grad():
        for group in spec.groups:
            gone = sorted(set(range(group.channels)) - set(kept.get(group.name, range(group.channels))))
            for cut in group.cuts:
                rows = [cut.offset + c * cut.repeat + i for c in gone for i in range(cut.repeat)]
                getattr(found, cut.parameter).index_fill_(cut.dim, torch.tensor(rows, dtype=torch.int64), 0)
    return found


def half(spec: ModelSpec, seed: int = 0) -> dict[str, list[int]]:
    """Some channels of every removable group."""
    generator = torch.Generator().manual_seed(seed)
    return {
        g.name: sorted(torch.randperm(g.channels, generator=generator)[: max(1, g.channels // 2)].tolist())
        for g in spec.groups
        if g.removable
    }


def check_cut(net: GraphNet, kept: dict[str, list[int]], x: Tensor, tolerance: float) -> GraphNet:
    """Cut and compare: with the masked model's outputs, and with the shapes that the spec foretold."""
    spec = trace(net)
    smaller = cut_channels(net, spec, kept)
    with torch.no_grad():
        expected, found = masked(net, spec, kept)(x), smaller(x)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)
    assert trace(smaller).layers == spec.shrunk({name: len(indices) for name, indices in kept.items()})
    return smaller


class Builder:
    """A document written by hand, and random tensors for it."""

    def __init__(self, *shape: int, dtype: str = "float64", seed: int = 0) -> None:
        self.dtype = dtype
        self.inputs = (Input(id="i0", name="x", shape=(None, *shape), dtype=dtype),)
        self.parameters: list[Parameter] = []
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.generator = torch.Generator().manual_seed(seed)
        self.x = Ref("i0")
        self.place = ""  # module path of the calls that give none

    def parameter(self, name: str, *shape: int, kind: str = "parameter", trainable: bool = True) -> Ref:
        entry = Parameter(
            id=f"p{len(self.parameters)}",
            name=name,
            kind=kind,
            shape=shape,
            dtype=self.dtype,
            trainable=trainable,
        )
        self.parameters.append(entry)
        kinds = graphnet.DTYPES[self.dtype]
        fan = (shape[1:] and torch.Size(shape[1:]).numel()) or 1
        self.tensors[entry.id] = torch.randn(shape, generator=self.generator, dtype=kinds) / fan**0.5
        if "running_var" in name:
            self.tensors[entry.id] = torch.rand(shape, generator=self.generator, dtype=kinds) + 0.5
        return Ref(entry.id)

    def call(self, /, op: str, module: str = "", outputs: int = 1, **args: Argument) -> Ref:
        node = Node(id=f"n{len(self.nodes)}", op=f"aten.{op}", args=args, outputs=outputs, module=module or self.place)
        self.nodes.append(node)
        return Ref(node.id)

    def conv(self, value: Ref, name: str, inputs: int, outputs: int, groups: int = 1) -> Ref:
        """A 3x3 convolution with a bias that keeps the map's size."""
        weight = self.parameter(f"{name}.weight", outputs, inputs // groups, 3, 3)
        bias = self.parameter(f"{name}.bias", outputs)
        extra = {"groups": groups} if groups > 1 else {}
        args = {"input": value, "weight": weight, "bias": bias, "padding": (1, 1), **extra}
        return self.call("conv2d.default", name, **args)

    def linear(self, value: Ref, name: str, inputs: int, outputs: int) -> Ref:
        weight = self.parameter(f"{name}.weight", outputs, inputs)
        return self.call("linear.default", name, input=value, weight=weight)

    def norm(self, value: Ref, name: str, channels: int) -> Ref:
        """Batch norm."""
        parts = {p: self.parameter(f"{name}.{p}", channels) for p in ("weight", "bias")}
        for p in ("running_mean", "running_var"):
            parts[p] = self.parameter(f"{name}.{p}", channels, kind="buffer")
        flags = {"training": False, "momentum": 0.1, "eps": 1e-5, "cudnn_enabled": False}
        return self.call("batch_norm.default", name, input=value, **parts, **flags)

    def document(self, *outputs: Ref) -> GraphDocument:
        return GraphDocument(
            inputs=self.inputs, parameters=tuple(self.parameters), nodes=tuple(self.nodes), outputs=outputs
        )

    def net(self, *outputs: Ref) -> GraphNet:
        return GraphNet(self.document(*outputs), self.tensors).eval()
