"""Magnitude pruning (Janowsky 1989; Han et al. 2015, arXiv 1506.02626). One-shot."""

from torch import Tensor

from pruning import masks
from pruning.pruners.base import Pruner


class Magnitude(Pruner):
    """m = 1 for the largest |w| of each row of the pattern's table, 0 for the rest."""

    name = "magnitude"

    def soft(self, values: Tensor) -> Tensor:
        """The mask itself, as floats: nothing about it is soft."""
        return masks.mask(self.scores(values), self.pattern).float()
