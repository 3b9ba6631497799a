"""Coupled problems to solve: random residual chains; and every decision of small ones."""

from itertools import combinations, product

import numpy as np

from app.search.solve.coupled import CoupledProblem, Group, TwoSided


def residual(
    seed: int, *, stages: int = 2, blocks: int = 1, widths: int = 3, resources: int = 1, whole: bool = True
) -> CoupledProblem:
    """Stages of bottleneck blocks on residual groups; each stage's first block leads on to the next stage's group.

    Costs are whole numbers where `whole`, as of a table in microseconds; they fall with both widths, with noise.
    """
    draw = np.random.default_rng(seed)
    groups, layers, droppable = [], [], {}

    def layer(name: str, reads: str | None, writes: str | None, block: str | None) -> None:
        sides = [np.linspace(1.0, 1.0 / widths, widths) if side else np.ones(1) for side in (writes, reads)]
        base = np.outer(*sides) * draw.uniform(20, 100) + draw.uniform(0, 10)
        costs = base * draw.normal(1.0, 0.1, (resources, *base.shape)).clip(0.7, 1.3)
        errors = (1.0 - sides[0][:, None]) ** 2 * draw.uniform(0.1, 10.0)
        costs = np.rint(costs) if whole else costs
        layers.append(TwoSided(name=name, costs=costs, errors=errors, reads=reads, writes=writes, block=block))

    for stage in range(stages):
        here, before = f"r{stage}", f"r{stage - 1}" if stage else None
        groups.append(Group(name=here, widths=widths, errors=np.sort(draw.uniform(0, 3, widths))))
        layer(f"s{stage}.shortcut", before, here, None)
        for index in range(blocks + 1):
            name, reads = f"s{stage}.{index}", here if index else before
            groups += [Group(name=f"{name}.m1", widths=widths), Group(name=f"{name}.m2", widths=widths)]
            layer(f"{name}.conv1", reads, f"{name}.m1", name)
            layer(f"{name}.conv2", f"{name}.m1", f"{name}.m2", name)
            layer(f"{name}.conv3", f"{name}.m2", here, name)
            if index:
                droppable[name] = float(draw.uniform(1, 20))
    layer("head", f"r{stages - 1}", None, None)
    return CoupledProblem(groups=groups, layers=layers, droppable=droppable, fixed=(7.0,) * resources)


def everything(problem: CoupledProblem) -> tuple[np.ndarray, np.ndarray]:
    """Costs (n x resources) and errors of every decision; of small problems only."""
    names, sizes = list(problem.widths), [range(n) for n in problem.widths.values()]
    blocks = list(problem.droppable)
    drops = [frozenset(some) for count in range(len(blocks) + 1) for some in combinations(blocks, count)]
    found = [
        problem.priced(dict(zip(names, widths, strict=True)), dropped)
        for widths in product(*sizes)
        for dropped in drops
    ]
    return np.array([cost for cost, _ in found]), np.array([error for _, error in found])
