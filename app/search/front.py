"""Fronts: which points nothing else beats, and how much they dominate. All objectives are minimised. numpy only."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64] | Sequence[Sequence[float]]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def pareto_front(points: Points) -> list[int]:
    """Indices of the non-dominated points, ordered by the first objective; of equal points the first one stands.

    Args:
        points: `n x k`, every objective minimised.
    """
    values = np.asarray(points, dtype=np.float64)
    if values.size == 0:
        return []
    order = np.lexsort(tuple(reversed(values.T)))  # by the first objective, then the second, ...; stable
    kept: list[int] = []
    for index in order:
        if not kept or not np.any(np.all(values[kept] <= values[index], axis=1)):
            kept.append(int(index))
    return kept


def hypervolume(points: Points, reference: Sequence[float]) -> float:
    """Area between the front of `n x 2` points and the reference point, both objectives minimised."""
    values = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    inside = values[np.all(values < np.asarray(reference), axis=1)]
    area, ceiling = 0.0, float(reference[1])
    for index in pareto_front(inside):
        x, y = inside[index]
        area += (float(reference[0]) - x) * (ceiling - y)
        ceiling = float(y)
    return area
