"""The seam: a backend turns a layer, or a whole net, into a callable without arguments that can be timed."""

import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from costmodels.errors import MeasureError
from costmodels.measure.problem import LayerProblem, Place
from costmodels.measure.timing import Call, Clock, Watch, wall_watch
from pruning.graphnet import GraphNet


class Backend(Protocol):
    """One way to run layers and nets at a place. Made with the place; raises MeasureError where it cannot be had.

    `runtime` is its name and version for people. `prepares_slowly`: preparing a layer takes seconds, so that not every
    width can be had. `original_unit` is the unit in which its watch counts.
    """

    runtime: str
    prepares_slowly: bool
    original_unit: str

    def layer(self, problem: LayerProblem, copies: int = 1) -> Call:
        """The layer and its tail on the problem's input, so many times behind itself."""

    def network(self, net: GraphNet, inputs: tuple[Tensor, ...]) -> Call:
        """The whole net; `net` and `inputs` are at the place already and the net is in eval mode."""

    def empty(self) -> Call:
        """A call that does nothing, made the same way: what a call costs by itself."""

    def watch(self, clock: Clock) -> Watch:
        """How its calls are timed."""

    def running(self) -> AbstractContextManager[object]:
        """Settings that hold while the backend prepares and runs, put back afterwards."""


def torch_watch(place: Place, clock: Clock) -> Watch:
    """The clock on a processor; events of the stream on CUDA, whose calls return before their work is done."""
    if place.device.type != "cuda":
        return wall_watch(clock)
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def watch(call: Call, repeats: int) -> float:
        torch.cuda.synchronize()
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))

    return watch


def torch_unit(place: Place) -> str:
    """The unit in which `torch_watch` counts."""
    return "ms" if place.device.type == "cuda" else "ns"


def require_device(device: torch.device) -> None:
    """Refuse an accelerator that is not there.

    Raises:
        MeasureError: torch sees no CUDA device.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ": this torch is built without CUDA"
        raise MeasureError(f"there is no CUDA device on this machine{built}; measure on cpu, or where there is one")


def device_name(device: torch.device) -> str:
    """The processor or accelerator by name, as far as the system tells."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))[:200]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    found = next(named, "") or platform.processor() or platform.machine() or "unknown processor"
    return "".join(c for c in found if c.isprintable())[:200].strip()


def first_line(error: BaseException) -> str:
    """What went wrong, short enough for a sentence."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
