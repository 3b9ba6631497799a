"""Coupled instances to time, made like measured tables."""

import numpy as np

from app.search.solve.coupled import CoupledProblem, Group, TwoSided


def resnet50(seed: int, *, widths: int = 8, whole: bool = True) -> CoupledProblem:
    """Four residual groups and sixteen bottlenecks, of which twelve may be dropped."""
    draw = np.random.default_rng(seed)
    groups = [Group(name=f"r{stage}", widths=widths) for stage in range(4)]
    layers, droppable = [], {}
    share = np.linspace(1.0, 1.0 / widths, widths)

    def layer(name: str, reads: str | None, writes: str | None, block: str | None, us: float) -> None:
        sides = [share if side else np.ones(1) for side in (writes, reads)]
        base = us * (0.15 + 0.85 * np.outer(*sides)) * draw.normal(1.0, 0.03, (len(sides[0]), len(sides[1])))
        lost = draw.lognormal(0.0, 1.0) * (1.0 - sides[0][:, None]) ** 2
        costs = np.rint(base) if whole else base
        layers.append(TwoSided(name=name, costs=costs[None], errors=lost, reads=reads, writes=writes, block=block))

    layer("stem", None, None, None, 300.0)
    for stage, count in enumerate((3, 4, 6, 3)):
        here, before = f"r{stage}", f"r{stage - 1}" if stage else None
        layer(f"s{stage}.shortcut", before, here, None, 120.0)
        for index in range(count):
            name, reads = f"s{stage}.{index}", here if index else before
            groups += [Group(name=f"{name}.m1", widths=widths), Group(name=f"{name}.m2", widths=widths)]
            layer(f"{name}.conv1", reads, f"{name}.m1", name, 90.0)
            layer(f"{name}.conv2", f"{name}.m1", f"{name}.m2", name, 180.0)
            layer(f"{name}.conv3", f"{name}.m2", here, name, 90.0)
            if index:
                droppable[name] = float(draw.lognormal(1.5, 0.7))
    layer("fc", "r3", None, None, 60.0)
    return CoupledProblem(groups=groups, layers=layers, droppable=droppable, fixed=(200.0,))
