"""A campaign: prepare every shape and the whole net, find out how each is to be timed, and let them take turns."""

import os
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from costmodels.measure.backends import BACKENDS
from costmodels.measure.backends.base import Backend, device_name, require_device
from costmodels.measure.busy import Load, Look
from costmodels.measure.document import Findings, Measured, Network, Shape, measured
from costmodels.measure.grid import fits_behind_itself, shapes, signature
from costmodels.measure.options import MeasureOptions
from costmodels.measure.problem import LayerProblem, Place, pool_for
from costmodels.measure.sparse24 import PATTERN, has_kernels, sparse_layer
from costmodels.measure.timing import (
    EXTRA,
    Call,
    Clock,
    MachineClock,
    Overhead,
    Point,
    Watch,
    find_overhead,
    first_decile,
    timing,
)
from pruning.calls import DTYPES
from pruning.graphnet import GraphNet
from pruning.layers import LayerSpec, ModelSpec
from pruning.trace import single_shape

__all__ = ["BACKENDS", "measure"]

Report = Callable[[float, str], None]
ROUNDS = 4
_PREPARING = 5.0  # budgets that a slow backend may take to prepare narrower shapes
_NETWORK_SHARE = 0.15  # of the budget: the overhead of every plan hangs on this one number


def measure(
    net: GraphNet,
    spec: ModelSpec,
    options: MeasureOptions | None = None,
    report: Report | None = None,
    clock: Clock | None = None,
) -> Measured:
    """A measured profile of this machine for a model, and what is odd about it. The net is left as it is.

    Raises:
        MeasureError: the device or the backend cannot be had here, or cannot run the model; the message says why.
    """
    options = options or MeasureOptions()
    place = place_of(options)
    backend = BACKENDS[options.backend](place)
    clock = clock or MachineClock()
    campaign = _Campaign(backend, place, options, clock, backend.watch(clock), report or _silent)
    with backend.running():
        findings = campaign.run(net, spec)
    return measured(spec, options, findings)


def _silent(_fraction: float, _text: str) -> None:
    """Nobody asked for progress."""


def place_of(options: MeasureOptions) -> Place:
    """Where and how it is measured; raises MeasureError if this machine has no such device."""
    device = torch.device(options.device)
    require_device(device)
    dtype: torch.dtype = getattr(torch, options.precision)
    return Place(batch=options.batch, threads=options.threads, device=device, dtype=dtype)


@dataclass(frozen=True)
class _Campaign:
    backend: Backend
    place: Place
    options: MeasureOptions
    clock: Clock
    watch: Watch
    report: Report

    def run(self, net: GraphNet, spec: ModelSpec) -> Findings:
        """Everything that was found out."""
        begin = self.clock.wall_ns()
        wanted = _wanted(spec)
        self.report(0.0, "preparing the whole network")
        whole = Point("the whole network", self._network(net))
        overhead = find_overhead(self.clock, self.watch, self.backend.empty())
        points = self._points(wanted, {signature(layer) for layer in spec.layers}, overhead)
        before = Look.at(self.clock)
        rounds = self._rounds(whole, list(points.values()))
        load = Load(
            before=before,
            after=Look.at(self.clock),
            cores=os.cpu_count() or 1,
            threads=self.place.threads,
            on_processor=self.place.device.type == "cpu",
            rounds_ms=[first_decile(times_ms) for times_ms in rounds],
        )
        self.report(1.0, "done")
        return Findings(
            device=device_name(self.place.device),
            runtime=self.backend.runtime,
            original_unit=self.backend.original_unit,
            network=Network(whole, timing(whole, overhead)),
            timings={shape: (point, timing(point, overhead)) for shape, point in points.items()},
            left_out=sum(Shape(signature(layer)) not in points for layer in wanted),
            busy=load.warning(),
            seconds=(self.clock.wall_ns() - begin) / 1e9,
        )

    def _network(self, net: GraphNet) -> Call:
        ours = deepcopy(net).eval().to(self.place.device, self.place.dtype)
        return self.backend.network(ours, tuple(inputs_of(net, self.place)))

    def _points(self, wanted: Sequence[LayerSpec], full: set[LayerSpec], overhead: Overhead) -> dict[Shape, Point]:
        """One point a shape, prepared and settled. Full sizes come first and are never left out."""
        pool = pool_for(list(wanted), self.place)
        end = self.clock.wall_ns() + round(1e9 * _PREPARING * self.options.budget_s)
        points: dict[Shape, Point] = {}
        for number, layer in enumerate(wanted):
            if self.backend.prepares_slowly and signature(layer) not in full and self.clock.wall_ns() > end:
                break
            self.report((number + 1) / ((ROUNDS + 1) * len(wanted)), f"preparing {layer.name}")
            problem = LayerProblem(layer, self.place, pool)
            for pattern, call in self._calls(problem):
                point = Point(layer.name, call)
                point.settle(self.watch, overhead, partial(self._chain, problem, pattern))
                points[Shape(signature(layer), pattern)] = point
        return points

    def _calls(self, problem: LayerProblem) -> Iterator[tuple[str, Call]]:
        yield "dense", self.backend.layer(problem)
        if self.options.backend == "eager" and has_kernels(self.place):
            sparse = sparse_layer(problem)
            if sparse is not None:
                yield PATTERN, sparse

    def _chain(self, problem: LayerProblem, pattern: str) -> Call | None:
        if pattern != "dense" or self.backend.prepares_slowly or not fits_behind_itself(problem.layer):
            return None
        return self.backend.layer(problem, 1 + EXTRA)

    def _rounds(self, whole: Point, points: Sequence[Point]) -> list[list[float]]:
        """Fill the points' times; the answer is the whole net's, by round."""
        round_s = self.options.budget_s / ROUNDS
        turn_s = (1.0 - _NETWORK_SHARE) * round_s / len(points)
        steps = (ROUNDS + 1) * len(points)
        rounds: list[list[float]] = []
        for turn in range(ROUNDS):
            seen = len(whole.times_ms)
            whole.take_turn(self.clock, self.watch, _NETWORK_SHARE * round_s)
            rounds.append(whole.times_ms[seen:])
            for index, point in enumerate(points, start=(turn + 1) * len(points) + 1):
                point.take_turn(self.clock, self.watch, turn_s)
                self.report(index / steps, f"timing {point.name}")
        return rounds


def _wanted(spec: ModelSpec) -> list[LayerSpec]:
    """One of each signature: full sizes in the model's order, then the widths, the wider ones first."""
    full: dict[LayerSpec, LayerSpec] = {}
    narrower: dict[LayerSpec, LayerSpec] = {}
    for layer in spec.layers:
        first, *others = shapes(layer, spec)
        full.setdefault(signature(first), first)
        for shape in others:
            narrower.setdefault(signature(shape), shape)
    rest = [shape for key, shape in narrower.items() if key not in full]
    return [*full.values(), *sorted(rest, key=lambda shape: -_share(shape, spec))]


def _share(shape: LayerSpec, spec: ModelSpec) -> float:
    return shape.weights / spec.layer(shape.name).weights


def inputs_of(net: GraphNet, place: Place) -> Iterator[Tensor]:
    """Inputs to call a whole net with: noise, and zeros for whole numbers."""
    for entry in net.document.inputs:
        shape, dtype = (place.batch, *single_shape(entry)), DTYPES[entry.dtype]
        if dtype.is_floating_point:
            yield torch.randn(shape, device=place.device).to(place.dtype)
        else:
            yield torch.zeros(shape, dtype=dtype, device=place.device)
