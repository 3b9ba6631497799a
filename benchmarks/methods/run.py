"""One run: a method, a pattern and a seed, to one row of the results."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from benchmarks.methods.cases import Case
from benchmarks.methods.world import World
from pruning.allocate import Allocation, allocate
from pruning.apply import Pruned, Pruning, RecoveryRun, prune
from pruning.masks import Sparse
from pruning.plan import PruningPlan
from pruning.recover import RecoveryConfig


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a run found. `cpu_s` is processor time of the recovery alone: other work on the machine is not in it."""

    world: str
    steps: int
    pattern: str
    method: str
    seed: int
    accuracy: float
    loss: float
    samples: int
    zeros: float  # share of zeros among the weights of the layers that were open to pruning
    cpu_s: float

    @property
    def key(self) -> tuple[str, int, str, str, int]:
        """What makes a run the same run."""
        return (self.world, self.steps, self.pattern, self.method, self.seed)

    @classmethod
    def read(cls, cells: Mapping[str, str]) -> "Row":
        """From a line of the results."""
        return cls(**{name: kind(cells[name]) for name, kind in cls.__annotations__.items()})

    def cells(self) -> dict[str, Any]:
        """As a line of the results."""
        return asdict(self)


def dense(world: World, steps: int, seed: int) -> Row:
    """The network itself, trained as long as the pruned ones."""
    plan = PruningPlan(pruner="magnitude")
    pruned, cpu_s = _recovered(world, world.net, plan, steps, seed)
    return _row(world, Case(name="dense", pruner=""), None, steps, seed, pruned.net, 0.0, cpu_s)


def run(world: World, case: Case, pattern: Sparse, steps: int, seed: int) -> Row:
    """Allocate, prune and recover; the zeros are counted on what comes out."""
    plan = allocate(
        world.net, world.spec, Allocation(pattern=pattern, method=case.allocation), case.pruner, case.settings
    )
    start: nn.Module = world.net
    if case.solver:
        calibration = [world.feed("calibration").read(world.feed("calibration").numbers[:256])]
        solved = replace(plan, pruner=case.solver, settings={})
        start = prune(world.net, world.spec, solved, calibration=calibration).net
    pruned, cpu_s = _recovered(world, start, plan, steps, seed)
    opened = [layer for layer in pruned.report.layers if layer.name in plan.patterns]
    zeros = sum(layer.zeros for layer in opened) / sum(layer.weights for layer in opened)
    return _row(world, case, pattern, steps, seed, pruned.net, zeros, cpu_s)


def _recovered(world: World, net: nn.Module, plan: PruningPlan, steps: int, seed: int) -> tuple[Pruned, float]:
    config = RecoveryConfig(steps=steps, learning_rate=world.learning_rate)
    batches = world.feed("train").shuffled(world.batch, seed)
    pruning = Pruning(net, world.spec, plan, seed=seed)
    before = time.process_time()
    for _ in pruning.recover(RecoveryRun(batches=batches, loss=nn.functional.cross_entropy, config=config, seed=seed)):
        pass
    cpu_s = time.process_time() - before
    return pruning.finish(statistics=world.feed("calibration").shuffled(world.batch, seed)), cpu_s


def _row(
    world: World, case: Case, pattern: Sparse | None, steps: int, seed: int, net: nn.Module, zeros: float, cpu_s: float
) -> Row:
    accuracy, loss, samples = world.score(net)
    return Row(
        world=world.name,
        steps=steps,
        pattern=str(pattern or "dense"),
        method=case.name,
        seed=seed,
        accuracy=accuracy,
        loss=loss,
        samples=samples,
        zeros=zeros,
        cpu_s=cpu_s,
    )


def one_thread() -> None:
    """Results depend on the number of threads; runs go side by side instead."""
    torch.set_num_threads(1)
