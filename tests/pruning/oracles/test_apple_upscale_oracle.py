"""Unconstrained channel removal against the authors' own: the same outputs, and no more copies.

Their order of channels alone is compared in `test_upscale_order`.
"""

import random
import warnings
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.trace import trace
from pruning.upscale import upscale
from tests.pruning.graphs import load_net

WHY = "apple-upscale is not installed: pip install --no-deps apple-upscale"
CHANNELS, READERS = 8, 3


class Branches(nn.Module):
    """A layer whose channels several others read."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.stem = nn.Conv2d(3, CHANNELS, 3, padding=1)
            self.readers = nn.ModuleList(nn.Conv2d(CHANNELS, 2, 1) for _ in range(READERS))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.stem(x))
        return sum((reader(y) for reader in self.readers[1:]), start=self.readers[0](y))


@pytest.mark.parametrize("seed", range(4))
def test_the_same_outputs_and_no_more_copies(seed: int, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pytest.importorskip("upscale", reason=WHY)
    generator = random.Random(seed)
    wanted = [sorted(generator.sample(range(CHANNELS), generator.randint(2, 6))) for _ in range(READERS)]
    net, x = Branches().eval(), torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    ours = load_net(net, (x,), tmp_path)
    found = upscale(ours, trace(ours), {f"readers.{i}": kept for i, kept in enumerate(wanted)})

    other = deepcopy(net)
    gone = [(f"readers.{i}.weight", c) for i, kept in enumerate(wanted) for c in set(range(CHANNELS)) - set(kept)]
    manager = theirs.PruningManager(other)
    manager.compute([x], pruned_inputs=gone)
    manager.prune(is_not_ane=True)  # one gather a read, as ours
    with torch.no_grad():
        torch.testing.assert_close(found.net(x), other(x), rtol=1e-5, atol=1e-5)
    subsets = [m.indices for m in other.modules() if type(m).__name__ == "Subselect"]
    assert found.copies <= sum(indices != list(range(indices[0], indices[-1] + 1)) for indices in subsets)
    assert sum(p.numel() for p in found.net.parameters()) == sum(p.numel() for p in other.parameters())
