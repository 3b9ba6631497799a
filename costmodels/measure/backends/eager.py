"""torch as it runs without compiling: every operator is a call of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from costmodels.measure.backends.base import torch_unit, torch_watch
from costmodels.measure.problem import Chain, LayerProblem, Place
from costmodels.measure.timing import Call, Clock, Watch
from pruning.graphnet import GraphNet


class EagerBackend:
    """Calls modules."""

    prepares_slowly = False

    def __init__(self, place: Place) -> None:
        self._place = place
        self.runtime = f"torch {torch.__version__} eager"
        self.original_unit = torch_unit(place)

    def layer(self, problem: LayerProblem, copies: int = 1) -> Call:
        """The module on its input."""
        chain, value = Chain(problem, copies), problem.value
        return lambda: chain(value)

    def network(self, net: GraphNet, inputs: tuple[Tensor, ...]) -> Call:
        """The interpreter's pass, as trials are evaluated."""
        return lambda: net(*inputs)

    def empty(self) -> Call:
        """A Python call."""
        return lambda: None

    def watch(self, clock: Clock) -> Watch:
        """The clock, or events on CUDA."""
        return torch_watch(self._place, clock)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The asked number of threads and no gradients."""
        with threads(self._place.threads), torch.inference_mode():
            yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """torch's thread count for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
