"""How much longer is a training step under PDP's soft masks than a dense one? Target: at most 1.1 times.

    python -m benchmarks.soft_mask_step [--batch 64] [--rounds 40] [--threads 1]

Steps of every kind take turns within one run, on equal networks and the same data, so that whatever else the
machine does meets them all. Printed are medians, the ratio of medians, and the range of that ratio over the
quarters of the run. Masks cover every convolution (channels: the inner ones) and stay soft at full sparsity.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pruning.layers import Cut
from pruning.masked import MaskedWeight, SharedMask, Slice, attach
from pruning.masks import Sparse
from pruning.patterns import NM, Channel, Unstructured
from pruning.pruners import make
from pruning.recover import RecoverStep, RecoveryConfig, recover

SOFT = {"ramp": 0.0, "harden": 1.0}  # full sparsity from the first step, soft to the last


class Block(nn.Module):
    """A residual block of two 3 x 3 convolutions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = (nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(2))
        self.norm_one, self.norm_two = (nn.BatchNorm2d(channels) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """The sum of the input and two convolutions of it."""
        inner = torch.relu(self.norm_one(self.one(x)))
        return torch.relu(x + self.norm_two(self.two(inner)))


def network(size: int = 32) -> nn.Sequential:
    """A residual network of the CIFAR shape: 16, 32 and 64 channels, two blocks each, 13 convolutions."""
    stages: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for channels in (16, 32, 64):
        if channels > 16:
            stages += [
                nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(channels),
            ]
        stages += [Block(channels), Block(channels)]
    return nn.Sequential(*stages, nn.AvgPool2d(size // 4), nn.Flatten(), nn.Linear(64, 10))


def masks_of(net: nn.Module, pattern: Sparse) -> dict[str, MaskedWeight]:
    """PDP masks on every convolution, or on the channels between the two convolutions of each block."""
    if not isinstance(pattern, Channel):
        weights = [name for name, p in net.named_parameters() if p.ndim == 4]
        return {name: MaskedWeight(make("pdp", pattern, SOFT)) for name in weights}
    masked = {}
    for name, block in net.named_modules():
        if isinstance(block, Block):
            producer = (block.one.weight, Cut(parameter=f"{name}.one.weight", dim=0, role="producer"))
            shared = SharedMask(make("pdp", pattern, SOFT), [producer], block.one.out_channels)
            cut = Cut(parameter=f"{name}.two.weight", dim=1, role="consumer")
            masked[cut.parameter] = MaskedWeight(None, [Slice(shared, cut)])
    return masked


def steps(pattern: Sparse | None, batch: int, count: int) -> Iterator[RecoverStep]:
    """Training steps of a fresh network, dense or under soft masks."""
    torch.manual_seed(0)
    net = network()
    if pattern is not None:
        attach(net, masks_of(net, pattern))
    data = [(torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,)))]
    return recover(net, data, RecoveryConfig(steps=count, learning_rate=1e-3), nn.functional.cross_entropy)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"batch": 64, "rounds": 40, "threads": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    patterns: list[Sparse | None] = [
        None,
        Unstructured(0.9),
        Unstructured(0.5),
        NM(keep=2, group=4),
        Channel(0.5),
    ]
    warm = 3
    running = {str(p or "dense"): steps(p, args.batch, args.rounds + warm) for p in patterns}
    taken: dict[str, list[float]] = {kind: [] for kind in running}
    for turn in range(args.rounds + warm):
        kinds = list(running)
        for kind in kinds[turn % len(kinds) :] + kinds[: turn % len(kinds)]:  # nobody always comes first
            start = time.perf_counter()
            next(running[kind])
            taken[kind] += [1e3 * (time.perf_counter() - start)] if turn >= warm else []
    weights = sum(p.numel() for p in network().parameters() if p.ndim == 4)
    write(f"batch {args.batch}, {args.threads} thread(s), {args.rounds} rounds, {weights} masked weights")
    for kind, times in taken.items():
        write(f"{kind:>18}  {statistics.median(times):8.2f} ms  {ratios(times, taken['dense'])}")


def ratios(times: list[float], dense: list[float]) -> str:
    """The ratio of medians, and its range over the quarters of the run."""
    quarter = max(1, len(times) // 4)
    parts = [slice(i, i + quarter) for i in range(0, quarter * 4, quarter)]
    by_part = [statistics.median(times[p]) / statistics.median(dense[p]) for p in parts if times[p]]
    whole = statistics.median(times) / statistics.median(dense)
    return f"x {whole:.3f}  ({min(by_part):.3f} ... {max(by_part):.3f})"


def write(line: str) -> None:
    """One line of the result."""
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
