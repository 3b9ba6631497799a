"""Whole networks against each other: the dense one and what became of it, timed in turns.

Each round gives every network a turn, so that a machine that warms up or is disturbed is so for all of them, and the
ratio of two networks is steadier than their times.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

from costmodels.measure.backends import BACKENDS
from costmodels.measure.backends.base import device_name
from costmodels.measure.busy import Load, Look
from costmodels.measure.campaign import inputs_of, place_of
from costmodels.measure.options import MeasureOptions
from costmodels.measure.timing import Clock, MachineClock, Point, Timing, Watch, find_overhead, first_decile, timing
from pruning.graphnet import GraphNet

Report = Callable[[float, str], None]
ROUNDS = 8


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What was measured, by network name; `warning` is what makes the times doubtful, "" for nothing."""

    device: str
    runtime: str
    timings: Mapping[str, Timing]
    warning: str


def compare(
    nets: Mapping[str, GraphNet],
    options: MeasureOptions | None = None,
    report: Report = lambda _fraction, _text: None,
    clock: Clock | None = None,
) -> Comparison:
    """Time networks of the same inputs in turns on this machine; they are left as they are.

    Args:
        nets: by name, such as "dense" and "pruned".
        options: batch, threads, backend, device and precision; `budget_s` is shared by all.
        report: told of the progress.
        clock: another one than this machine's, for tests.

    Raises:
        MeasureError: the device or the backend cannot be had here, or cannot run one of the networks.
    """
    options, clock = options or MeasureOptions(), clock or MachineClock()
    place = place_of(options)
    backend = BACKENDS[options.backend](place)
    watch = backend.watch(clock)
    with backend.running():
        points = []
        for number, (name, net) in enumerate(nets.items()):
            report(0.3 * number / len(nets), f"preparing {name} for {options.backend}")
            ours = deepcopy(net).eval().to(place.device, place.dtype)
            points.append(Point(name, backend.network(ours, tuple(inputs_of(net, place)))))
        overhead = find_overhead(clock, watch, backend.empty())
        for point in points:
            point.settle(watch, overhead, lambda: None)
        before, rounds_ms = Look.at(clock), []
        for turn in range(ROUNDS):
            report(0.3 + 0.7 * turn / ROUNDS, f"timing with {options.backend}, round {turn + 1} of {ROUNDS}")
            rounds_ms.append(_round(points, clock, watch, options.budget_s / ROUNDS))
        load = Load(
            before=before,
            after=Look.at(clock),
            cores=os.cpu_count() or 1,
            threads=place.threads,
            on_processor=place.device.type == "cpu",
            rounds_ms=rounds_ms,
        )
    return Comparison(
        device=device_name(place.device),
        runtime=backend.runtime,
        timings={point.name: timing(point, overhead) for point in points},
        warning=load.warning(),
    )


def _round(points: Sequence[Point], clock: Clock, watch: Watch, round_s: float) -> float:
    """A turn for each; the sum of their times in this round."""
    round_ms = 0.0
    for point in points:
        seen = len(point.times_ms)
        point.take_turn(clock, watch, round_s / len(points))
        round_ms += first_decile(point.times_ms[seen:]) / point.repeats
    return round_ms
