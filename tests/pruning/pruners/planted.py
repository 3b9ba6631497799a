"""A network whose first layer is sparse, and a student that starts near it with dense weights: can a pruner find it?"""

from functools import cache

import torch
from torch import Tensor, nn

from pruning.masked import MaskedWeight, attach, bake
from pruning.patterns import Unstructured
from pruning.pruners import Pruner, make
from pruning.recover import RecoveryConfig, recover

PATTERN = Unstructured(0.75)
CONFIG = RecoveryConfig(steps=60, learning_rate=0.05, weight_decay=0.0)


class Random(Pruner):
    """As many weights as the pattern keeps, drawn once."""

    name = "random"
    stateful = True

    def start(self, table: Tensor, generator: torch.Generator) -> None:
        """The draw."""
        self.register_buffer("drawn", torch.rand(table.shape, generator=generator))

    def scores(self, table: Tensor) -> Tensor:  # noqa: ARG002
        """The numbers drawn."""
        drawn: Tensor = self.get_buffer("drawn")
        return drawn

    def soft(self, table: Tensor) -> Tensor:
        """The mask."""
        return self.choose(self.scores(table)).to(table.dtype)


def teacher() -> tuple[nn.Sequential, list[tuple[Tensor, Tensor]]]:
    """The sparse network, and inputs with its outputs."""
    generator = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 24, bias=False), nn.ReLU(), nn.Linear(24, 4, bias=False))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) / 4)
        net[0].weight.mul_(torch.rand(net[0].weight.shape, generator=generator) < 0.25)
    batches = [torch.randn(64, 16, generator=generator) for _ in range(4)]
    return net, [(x, net(x).detach()) for x in batches]


def final_loss(pruner: Pruner, *, dense: bool = True) -> float:
    """Of the student, baked after a short recovery; `dense` noise lies on the zeros too."""
    net, batches = teacher()
    with torch.no_grad():
        noise = 0.08 * torch.randn(net[0].weight.shape, generator=torch.Generator().manual_seed(1))
        net[0].weight.add_(noise if dense else noise * (net[0].weight != 0))
    attach(net, {"0.weight": MaskedWeight(pruner)})
    list(recover(net, batches, CONFIG, nn.functional.mse_loss))
    bake(net)
    with torch.no_grad():
        return float(torch.stack([nn.functional.mse_loss(net(x), y) for x, y in batches]).mean())


@cache
def by_chance() -> float:
    """What random masks of the same size come to."""
    return final_loss(Random(PATTERN))


def learned(name: str, **settings: float) -> float:
    """What the pruner comes to, as a share of what random masks come to."""
    return final_loss(make(name, PATTERN, settings)) / by_chance()
