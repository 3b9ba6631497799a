"""A small network with everything a plan can meet, its specification written by hand, and data to train it on."""

import torch
from torch import Tensor, nn

from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Kernel, Unstructured

ELEMENTS: tuple[Sparse, ...] = (
    Unstructured(0.0),
    Unstructured(0.5),
    Unstructured(0.9),
    NM(keep=2, group=4),
    NM(keep=1, group=4),
    NM(keep=3, group=4),
)
SHAPES = ((6, 8), (5, 6), (4, 3), (4, 6, 3), (3, 10, 2, 2), (8, 1, 3, 3))


class Small(nn.Module):
    """Two convolutions with batch norm, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=True)
        self.stem_norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 6, 3, padding=1, bias=False)
        self.body_norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = nn.functional.avg_pool2d(torch.relu(self.body_norm(self.body(x))), 2)
        return self.head(self.drop(x.flatten(1)))


def _conv(name: str, inputs: int, outputs: int) -> LayerSpec:
    return LayerSpec(
        name=name, parameter=f"{name}.weight", op="conv2d", in_channels=inputs, out_channels=outputs, kernel=(3, 3)
    )


def _followers(*names: str) -> tuple[Cut, ...]:
    return tuple(Cut(parameter=name, dim=0, role="follower") for name in names)


def _norm(name: str) -> tuple[Cut, ...]:
    return _followers(f"{name}.weight", f"{name}.bias", f"{name}.running_mean", f"{name}.running_var")


SPEC = ModelSpec(
    layers=(
        _conv("stem", 1, 8),
        _conv("body", 8, 6),
        LayerSpec(name="head", parameter="head.weight", op="linear", in_channels=24, out_channels=3, has_bias=True),
    ),
    groups=(
        ChannelGroup(
            name="stem",
            channels=8,
            producers=("stem",),
            consumers=("body",),
            cuts=(
                Cut(parameter="stem.weight", dim=0, role="producer"),
                *_followers("stem.bias"),
                *_norm("stem_norm"),
                Cut(parameter="body.weight", dim=1, role="consumer"),
            ),
        ),
        ChannelGroup(
            name="body",
            channels=6,
            producers=("body",),
            consumers=("head",),
            cuts=(
                Cut(parameter="body.weight", dim=0, role="producer"),
                *_norm("body_norm"),
                Cut(parameter="head.weight", dim=1, role="consumer", repeat=4),
            ),
        ),
        ChannelGroup(name="head", channels=3, producers=("head",), consumers=(), reason="are the model's outputs"),
    ),
    input_shape=(1, 4, 4),
    output_shapes=((3,),),
    parameter_count=0,
    unprunable={"head": "its channels are the model's outputs"},
)


def small(seed: int = 0) -> Small:
    """The network, with running statistics and norm scales that are not the trivial ones."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = Small()
        for norm in (net.stem_norm, net.body_norm):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return net.eval()


def data(count: int = 4, batch: int = 16, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    """Batches of three learnable classes."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(3, 1, 4, 4, generator=generator)
    batches = []
    for _ in range(count):
        labels = torch.randint(3, (batch,), generator=generator)
        noise = torch.randn(batch, 1, 4, 4, generator=generator)
        batches.append((centres[labels] + 0.3 * noise, labels))
    return batches


def weight(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Normal numbers without ties."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def survivors(values: Tensor, pattern: Sparse) -> Tensor:
    """Oracle: what survives by the norm of its unit, found one row at a time by plain Python sorting."""
    kept = torch.zeros(values.shape, dtype=torch.bool)
    for units, count in _rows(values.shape, pattern):
        norms = [sum(float(values[p]) ** 2 for p in unit) for unit in units]
        for i in sorted(range(len(units)), key=lambda i: (-norms[i], i))[:count]:
            for p in units[i]:
                kept[p] = True
    return kept


Unit = list[tuple[int, ...]]  # positions of the weights that go together


def _rows(shape: torch.Size, pattern: Sparse) -> list[tuple[list[Unit], int]]:
    everywhere = [tuple(int(i) for i in p) for p in torch.ones(shape).nonzero()]
    units: dict[tuple[int, ...], Unit] = {}
    for p in everywhere:
        units.setdefault(_unit(p, pattern), []).append(p)
    if isinstance(pattern, NM):
        rows: dict[tuple[int, ...], list[Unit]] = {}
        for p in everywhere:
            rows.setdefault((p[0], p[1] // pattern.group, *p[2:]), []).append([p])
        return [(row, min(pattern.keep, len(row))) for row in rows.values()]
    least = 0 if isinstance(pattern, Unstructured) else 1
    ordered = [units[key] for key in sorted(units)]
    return [(ordered, max(least, int((1 - pattern.sparsity) * len(units) + 1e-9)))]


def _unit(p: tuple[int, ...], pattern: Sparse) -> tuple[int, ...]:
    if isinstance(pattern, Kernel):
        return p[:2]
    if isinstance(pattern, Block):
        return (p[0] // pattern.rows, p[1] // pattern.cols, *p[2:])
    return p
