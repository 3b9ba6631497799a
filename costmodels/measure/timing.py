"""The arithmetic of timing: turns, warm-up, short calls, and what many samples say. No torch; the clock is given.

A call that is too short for the clock is repeated. Where the layer fits behind itself, a chain of it is timed too and
the difference is its marginal time, free of what every call costs (the method of NVIDIA's Puzzletron, which repeats
whole blocks); elsewhere the call is looped and the time of an empty loop is taken off.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Protocol

import psutil  # type: ignore[import-untyped]

Call = Callable[[], object]
Method = Literal["single", "loop", "chain"]
Watch = Callable[[Call, int], float]  # milliseconds of so many calls, one after another

WARM_UPS = 2
SHORT = 50  # clock resolutions and call overheads
EXTRA = 4  # further copies in the longer chain
MAX_REPEATS = 1000
MAX_SAMPLES = 200  # in one turn
LOOP = 100  # empty calls: short enough to fall between two disturbances
_LOOKS = 20


class Clock(Protocol):
    """What time it is, and who has used the processors."""

    def wall_ns(self) -> int:
        """Time that never goes back."""

    def process_ns(self) -> int:
        """Processor time of this process, all threads."""

    def machine_ns(self) -> int:
        """Processor time of every process; 0 where the system does not tell."""


class MachineClock:
    """The clocks of this machine."""

    def wall_ns(self) -> int:
        """As `time.perf_counter_ns`."""
        return time.perf_counter_ns()

    def process_ns(self) -> int:
        """As `time.process_time_ns`."""
        return time.process_time_ns()

    def machine_ns(self) -> int:
        """All processors' time less the idle one. Guests are in user time already."""
        times = psutil.cpu_times()._asdict()
        idle = ("idle", "iowait", "guest", "guest_nice")
        return int(1e9 * sum(value for name, value in times.items() if name not in idle))


def wall_watch(clock: Clock) -> Watch:
    """A watch that reads the clock before the first and after the last call."""

    def watch(call: Call, repeats: int) -> float:
        start = clock.wall_ns()
        for _ in range(repeats):
            call()
        return (clock.wall_ns() - start) / 1e6

    return watch


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """What the measuring itself costs."""

    resolution_ms: float  # the smallest step of the clock
    once_ms: float  # an empty call between two looks at the clock
    looped_ms: float  # an empty call in a long loop

    @property
    def short_ms(self) -> float:
        """Calls below this are not timed one by one."""
        return SHORT * (self.resolution_ms + self.once_ms)


def find_overhead(clock: Clock, watch: Watch, empty: Call) -> Overhead:
    """Time nothing, in the way that the layers are timed."""
    looks = [clock.wall_ns() for _ in range(_LOOKS)]
    steps = [after - before for before, after in pairwise(looks) if after > before]
    watch(empty, WARM_UPS)
    return Overhead(
        resolution_ms=min(steps, default=0) / 1e6,
        once_ms=statistics.median(watch(empty, 1) for _ in range(_LOOKS)),
        looped_ms=min(watch(empty, LOOP) for _ in range(_LOOKS)) / LOOP,
    )


@dataclass
class Point:
    """One thing to be timed, and its times so far: of one call, and of the longer chain where there is one."""

    name: str
    call: Call
    method: Method = "single"
    repeats: int = 1  # calls in one sample
    longer: Call | None = None
    times_ms: list[float] = field(default_factory=list)  # of `repeats` calls
    longer_ms: list[float] = field(default_factory=list)

    def settle(self, watch: Watch, overhead: Overhead, chain: Callable[[], Call | None]) -> None:
        """Choose the method by a first look. `chain` prepares the longer chain, or says that there is none."""
        watch(self.call, WARM_UPS)
        once_ms = min(watch(self.call, 1) for _ in range(2))
        if once_ms >= overhead.short_ms:
            return
        self.longer = chain()
        self.method = "loop" if self.longer is None else "chain"
        wanted = math.ceil(overhead.short_ms / max(once_ms, 1e-9))
        self.repeats = min(MAX_REPEATS, wanted)

    def take_turn(self, clock: Clock, watch: Watch, turn_s: float) -> None:
        """Warm up, then sample until the turn is over: at least two samples of each kind."""
        watch(self.call, WARM_UPS)
        if self.longer is not None:
            watch(self.longer, 1)
        end = clock.wall_ns() + round(turn_s * 1e9)
        taken = 0
        while taken < 2 or (clock.wall_ns() < end and taken < MAX_SAMPLES):
            self.times_ms.append(watch(self.call, self.repeats))
            if self.longer is not None:
                self.longer_ms.append(watch(self.longer, self.repeats))
            taken += 1


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the samples of a point say of one call."""

    p10_ms: float
    median_ms: float
    std_ms: float
    runs: int  # samples

    def of(self, statistic: str) -> float:
        """The statistic of that name."""
        return self.median_ms if statistic == "median" else self.p10_ms


def timing(point: Point, overhead: Overhead) -> Timing:
    """One call's time; a loop loses the empty loop's time, a chain is the difference over its further copies.

    A difference that noise has made negative is no time: the loop's answer stands in. The spread is that of single
    calls, as far as calls in one sample are independent; for a chain it is that of the difference.
    """
    p10_ms, median_ms = (_one_call(point, overhead, quantile) for quantile in (first_decile, statistics.median))
    variance = statistics.pvariance(point.times_ms)
    if point.longer_ms:
        variance = (variance + statistics.pvariance(point.longer_ms)) / EXTRA**2
    return Timing(
        p10_ms=p10_ms, median_ms=median_ms, std_ms=math.sqrt(variance / point.repeats), runs=len(point.times_ms)
    )


def _one_call(point: Point, overhead: Overhead, quantile: Callable[[Sequence[float]], float]) -> float:
    one_ms = quantile(point.times_ms) / point.repeats
    if point.longer_ms:
        marginal_ms = (quantile(point.longer_ms) / point.repeats - one_ms) / EXTRA
        if marginal_ms > 0:
            return marginal_ms
    least_ms = max(overhead.resolution_ms, 1e-6)
    return one_ms if point.method == "single" else max(one_ms - overhead.looped_ms, least_ms)


def first_decile(times_ms: Sequence[float]) -> float:
    """A tenth of the samples lies below."""
    return statistics.quantiles(times_ms, n=10, method="inclusive")[0]
