"""torch.compile: each layer with its tail, and the whole net, become one compiled graph.

Modules are exported first: each export has code of its own, so that the compiler's cache of one layer is not searched,
nor exhausted, by the others; and the net is compiled as a plain graph, without our interpreter.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from costmodels.errors import MeasureError
from costmodels.measure.backends.base import first_line, torch_unit, torch_watch
from costmodels.measure.backends.eager import threads
from costmodels.measure.problem import Chain, LayerProblem, Place
from costmodels.measure.timing import Call, Clock, Watch
from pruning.graphnet import GraphNet


class CompiledBackend:
    """Calls what the default compiler of torch (inductor) makes."""

    prepares_slowly = True

    def __init__(self, place: Place) -> None:
        self._place = place
        self.runtime = f"torch {torch.__version__} compile"
        self.original_unit = torch_unit(place)

    def layer(self, problem: LayerProblem, copies: int = 1) -> Call:
        """One graph a shape: sizes are constants in it."""
        return _compiled(Chain(problem, copies), (problem.value,))

    def network(self, net: GraphNet, inputs: tuple[Tensor, ...]) -> Call:
        """One graph; identifiers in it are ours."""
        return _compiled(net, inputs)

    def empty(self) -> Call:
        """A compiled graph of one number."""
        return _compiled(_Negative(), (torch.zeros(1, device=self._place.device, dtype=self._place.dtype),))

    def watch(self, clock: Clock) -> Watch:
        """The clock, or events on CUDA."""
        return torch_watch(self._place, clock)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The asked number of threads, no gradients, and no compiling processes that outlive the campaign."""
        import torch._inductor.config as inductor

        settings: Any = inductor
        with threads(self._place.threads), torch.no_grad(), settings.patch(compile_threads=1):
            yield


class _Negative(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        """Its negative: a graph that returns its input would not be called at all."""
        return -value


def _compiled(module: nn.Module, inputs: tuple[Tensor, ...]) -> Call:
    try:
        graph = torch.export.export(module, inputs).module(check_guards=False)
        compiled = torch.compile(graph, dynamic=False, fullgraph=True)
        compiled(*inputs)
    except Exception as error:  # compilers fail in many ways, none of which is ours to know
        raise MeasureError(
            f"torch.compile does not work here ({first_line(error)}); it needs a C++ compiler or Triton: "
            "measure with the eager backend"
        ) from error
    return lambda: compiled(*inputs)
