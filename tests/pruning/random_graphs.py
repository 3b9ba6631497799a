"""Random small networks, for properties that must hold whatever the graph."""

from hypothesis import strategies as st

from pruning.graphnet import GraphNet
from pruning.intake.document import Ref
from tests.pruning.graphs import Builder

STEPS = (
    "conv norm relu sum gate cat depthwise scale pad twice grouped groups swap glu shuffle slice product up"
).split()


@st.composite
def random_nets(draw: st.DrawFn) -> GraphNet:
    """Random small networks of convolutions, norms, sums, products, concatenations and linear layers."""
    b = Builder(2, 3, 3, seed=draw(st.integers(0, 99)))
    maps = [(b.conv(b.x, "stem", 2, 4), 4)]
    convs: list[tuple[Ref, int]] = []
    for i in range(draw(st.integers(2, 9))):
        value, size = draw(st.sampled_from(maps[-3:]))
        match draw(st.sampled_from(STEPS)):
            case "conv":
                width = draw(st.sampled_from([3, 4]))
                maps.append((b.conv(value, f"conv{i}", size, width), width))
                convs.append((b.nodes[-1].args["weight"], size))
            case "twice" if fitting := [w for w, inputs in convs if inputs == size]:
                found = b.call("conv2d.default", f"twice{i}", input=value, weight=fitting[0], padding=(1, 1))
                maps.append((found, b.parameters[int(fitting[0].id[1:])].shape[0]))
            case "norm":
                maps.append((b.norm(value, f"norm{i}", size), size))
            case "relu":
                maps.append((b.call("relu.default", f"relu{i}", self=value), size))
            case "sum" if others := [v for v, s in maps if s == size]:
                maps.append((b.call("add.Tensor", f"sum{i}", self=value, other=draw(st.sampled_from(others))), size))
            case "gate" if others := [v for v, s in maps if s == size]:
                other = draw(st.sampled_from(others))
                gate = b.call("mean.dim", f"gate{i}", self=other, dim=(2, 3), keepdim=True)
                maps.append((b.call("mul.Tensor", f"gate{i}", self=gate, other=value), size))
            case "cat":
                other, width = draw(st.sampled_from(maps))
                maps.append((b.call("cat.default", f"cat{i}", tensors=(value, other), dim=1), size + width))
            case "depthwise":
                maps.append((b.conv(value, f"deep{i}", size, size, groups=size), size))
            case "scale":
                factor = b.parameter(f"scale{i}", size, 1, 1)
                maps.append((b.call("mul.Tensor", f"scale{i}", self=value, other=factor), size))
            case "grouped" if size % 2 == 0:
                maps.append((b.conv(value, f"grouped{i}", size, 4, groups=2), 4))
            case "groups" if size % 2 == 0:
                parts = {p: b.parameter(f"groups{i}.{p}", size) for p in ("weight", "bias")}
                maps.append((b.call("group_norm.default", input=value, num_groups=size // 2, **parts), size))
            case "swap" if size % 2 == 0:
                halves = b.call("chunk.default", f"swap{i}", self=value, chunks=2, dim=1, outputs=2).id
                maps.append((b.call("cat.default", tensors=(Ref(halves, 1), Ref(halves, 0)), dim=1), size))
            case "glu" if size % 2 == 0 and size > 2:
                maps.append((b.call("glu.default", f"glu{i}", self=value, dim=1), size // 2))
            case "shuffle" if size % 2 == 0:
                split = b.call("view.default", f"shuffle{i}", self=value, size=(-1, 2, size // 2, 9))
                turned = b.call("transpose.int", self=split, dim0=1, dim1=2)
                maps.append((b.call("reshape.default", self=turned, shape=(-1, size, 3, 3)), size))
            case "slice" if size > 2:
                start, end = draw(st.sampled_from([(0, size - 1), (1, size), (-2, size), (1, -1)]))
                part = b.call("slice.Tensor", f"slice{i}", self=value, dim=1, start=start, end=end)
                maps.append((part, len(range(size)[start:end])))
            case "product":
                maps.append((b.call("matmul.default", f"product{i}", self=value, other=value), size))
            case "up":
                weight = b.parameter(f"up{i}.weight", size, 4, 3, 3)
                args = {"input": value, "weight": weight, "padding": (1, 1)}
                maps.append((b.call("conv_transpose2d.input", f"up{i}", **args), 4))
            case "pad":
                pads = (0, 0, 0, 0, 1, 0) if draw(st.booleans()) else (1, 0, 0, 1)
                wide = b.call("constant_pad_nd.default", f"pad{i}", self=value, pad=pads)
                size += len(pads) // 2 - 2
                maps.append((b.call("adaptive_avg_pool2d.default", self=wide, output_size=(3, 3)), size))
    value, size = maps[-1]
    flat = b.call("view.default", "flat", self=value, size=(-1, size * 9))
    hidden = b.call("relu.default", self=b.linear(flat, "hidden", size * 9, 4))
    return b.net(b.linear(hidden, "head", 4, 2))
