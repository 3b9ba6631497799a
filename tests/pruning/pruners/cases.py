"""What the conformance suite runs every pruner over: a layer of each kind under each pattern it serves.

By default every pruner meets every kind of pattern once, on layers and with figures that take turns; the whole product
is `slow`.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.layers import Cut
from pruning.masked import MaskedWeight, SharedMask, Slice, find_tensor
from pruning.masks import Sparse
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured
from pruning.pruners import PRUNERS, make
from pruning.pruners.table import LAYERS
from tests.pruning.small import ELEMENTS

PATTERNS: tuple[Sparse, ...] = (
    Unstructured(0.7),
    NM(keep=1, group=4),
    Block(rows=4, cols=2, sparsity=0.5),
    Kernel(0.6),
    Channel(0.5),
)


class Two(nn.Module):
    """A layer of the kind asked for, and one that reads its channels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.kind = kind
            self.one = {
                "conv": lambda: nn.Conv2d(6, 10, 3, padding=1, bias=False),
                "depthwise": lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
                "linear": lambda: nn.Linear(6, 10, bias=False),
            }[kind]()
            self.two = nn.Linear(self.one.weight.shape[0], 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of three classes."""
        y = torch.relu(self.one(x))
        return self.two(y if self.kind == "linear" else y.mean(dim=(2, 3)))

    def inputs(self, batch: int = 8) -> Tensor:
        """Random inputs, always the same."""
        shape = (batch, 6) if self.kind == "linear" else (batch, 6, 4, 4)
        return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def cases() -> Iterator[tuple[str, Sparse, str]]:
    """Pruner, pattern it serves, layer the pattern can sit on."""
    for name, pruner in PRUNERS.items():
        for pattern in PATTERNS:
            for layer in LAYERS:
                if pattern.kind in pruner.patterns() and not (isinstance(pattern, Kernel) and layer == "linear"):
                    yield name, pattern, layer


def layouts() -> Iterator[tuple[str, Sparse]]:
    """Pruner, pattern it serves; of weights and groups of weights more than one."""
    for name, pruner in PRUNERS.items():
        yield from ((name, p) for p in (*ELEMENTS, *PATTERNS[2:]) if p.kind in pruner.patterns())


def taking_turns(found: Iterable[tuple[Any, ...]]) -> list[Any]:
    """All cases as parameters; of those with the same pruner and kind of pattern, all but one in turn are slow."""
    alike: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for case in found:
        name, pattern, *_ = case
        alike.setdefault((name, pattern.kind), []).append(case)
    chosen = {group[turn % len(group)] for turn, group in enumerate(alike.values())}
    return [
        pytest.param(*case, marks=() if case in chosen else pytest.mark.slow)
        for group in alike.values()
        for case in group
    ]


def masks_for(net: Two, name: str, pattern: Sparse, **settings: float) -> dict[str, MaskedWeight]:
    """The mask of the first layer's weights, or of its channels where the second reads them."""
    pruner = make(name, pattern, settings)
    if not isinstance(pattern, Channel):
        return {"one.weight": MaskedWeight(pruner)}
    producer = Cut(parameter="one.weight", dim=0, role="producer")
    shared = SharedMask(pruner, [(find_tensor(net, "one.weight"), producer)], net.one.weight.shape[0])
    return {"two.weight": MaskedWeight(None, [Slice(shared, Cut(parameter="two.weight", dim=1, role="consumer"))])}


def masked_name(pattern: Sparse) -> str:
    """The weight that the mask multiplies."""
    return "two.weight" if isinstance(pattern, Channel) else "one.weight"
