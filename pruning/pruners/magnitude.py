"""Magnitude pruning (Janowsky 1989; Han et al. 2015, arXiv 1506.02626). One-shot."""

from torch import Tensor

from pruning.pruners.base import Pruner


class Magnitude(Pruner):
    """m = 1 for the largest |w| of each row of the pattern's table, 0 for the rest."""

    name = "magnitude"
    paper = "Han et al. 2015, arXiv 1506.02626"

    def soft(self, table: Tensor) -> Tensor:
        """The mask itself, as floats: nothing about it is soft."""
        return self.choose(self.scores(table)).to(table.dtype)
