"""The arithmetic of timing, exact: a clock that only moves when a call says so."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle

import pytest

from costmodels.measure.busy import Load, Look
from costmodels.measure.timing import (
    EXTRA,
    LOOP,
    WARM_UPS,
    Overhead,
    Point,
    find_overhead,
    first_decile,
    timing,
    wall_watch,
)

MS = 1_000_000


@dataclass
class FakeClock:
    """Moves by `look_ns` with each look."""

    now: int = 0
    look_ns: int = 0

    def wall_ns(self) -> int:
        self.now += self.look_ns
        return self.now

    def process_ns(self) -> int:
        return self.now

    def machine_ns(self) -> int:
        return self.now

    def call(self, times_ns: Iterable[int], log: list[str] | None = None, name: str = "") -> "FakeCall":
        return FakeCall(self, cycle(times_ns), log if log is not None else [], name)


@dataclass
class FakeCall:
    """Takes the scripted times, one after another."""

    clock: FakeClock
    times: "cycle[int]"
    log: list[str]
    name: str

    def __call__(self) -> None:
        self.clock.now += next(self.times)
        self.log.append(self.name)


NOTHING = Overhead(resolution_ms=0.0, once_ms=0.0, looped_ms=0.0)


def test_warm_ups_are_dropped_and_the_statistics_are_those_of_the_rest() -> None:
    clock = FakeClock()
    script = [90 * MS] * WARM_UPS + [n * MS for n in (5, 1, 4, 2, 3)]
    point = Point("layer", clock.call(script))
    point.take_turn(clock, wall_watch(clock), turn_s=0.0149)  # 5 + 1 + 4 + 2 ms are less, one more is not
    assert point.times_ms == [5, 1, 4, 2, 3]
    found = timing(point, NOTHING)
    assert (found.median_ms, found.of("median"), found.runs) == (3, 3, 5)
    assert found.p10_ms == found.of("p10") == pytest.approx(1.4)  # 0.4 of the way from 1 to 2
    assert found.std_ms == pytest.approx(2**0.5)


def test_two_samples_are_taken_however_short_the_turn() -> None:
    clock = FakeClock()
    point = Point("layer", clock.call([7 * MS]))
    point.take_turn(clock, wall_watch(clock), turn_s=1e-9)
    assert point.times_ms == [7, 7]


def test_the_overhead_is_that_of_empty_calls() -> None:
    clock = FakeClock(look_ns=30)
    found = find_overhead(clock, wall_watch(clock), clock.call([200]))
    assert (found.resolution_ms, found.once_ms) == (30 / MS, 230 / MS)
    assert found.looped_ms == pytest.approx((200 + 30 / LOOP) / MS)
    assert found.short_ms == pytest.approx(50 * 260 / MS)


def test_a_long_call_is_timed_as_it_is() -> None:
    clock = FakeClock()
    overhead = Overhead(resolution_ms=0.01, once_ms=0.01, looped_ms=0.005)
    point = Point("layer", clock.call([MS]))
    point.settle(wall_watch(clock), overhead, lambda: pytest.fail("no chain is needed"))
    assert (point.method, point.repeats, point.longer) == ("single", 1, None)
    point.take_turn(clock, wall_watch(clock), 0.0)
    assert timing(point, overhead).median_ms == 1.0


def test_a_short_call_is_looped_and_the_empty_loop_taken_off() -> None:
    clock = FakeClock()
    overhead = Overhead(resolution_ms=0.001, once_ms=0.001, looped_ms=0.0005)  # short is below 0.1 ms
    point = Point("layer", clock.call([3000]))
    point.settle(wall_watch(clock), overhead, lambda: None)
    assert (point.method, point.repeats) == ("loop", 34)  # 34 calls of 3 us are 0.1 ms
    point.take_turn(clock, wall_watch(clock), 0.0)
    assert timing(point, overhead).median_ms == pytest.approx(0.0025)


def test_a_chain_gives_the_marginal_time_free_of_the_call() -> None:
    call_ns, layer_ns = 5000, 2000
    clock = FakeClock()
    overhead = Overhead(resolution_ms=0.001, once_ms=0.005, looped_ms=0.005)
    point = Point("layer", clock.call([call_ns + layer_ns]))
    point.settle(wall_watch(clock), overhead, lambda: clock.call([call_ns + (1 + EXTRA) * layer_ns]))
    assert point.method == "chain"
    point.take_turn(clock, wall_watch(clock), 0.0)
    found = timing(point, overhead)
    assert found.p10_ms == pytest.approx(layer_ns / MS) and found.median_ms == pytest.approx(layer_ns / MS)
    assert found.std_ms == 0.0


def test_a_chain_that_noise_made_faster_than_one_falls_back_to_the_loop() -> None:
    clock = FakeClock()
    overhead = Overhead(resolution_ms=0.001, once_ms=0.005, looped_ms=0.005)
    point = Point("layer", clock.call([8000]), method="chain", longer=clock.call([6000]))
    point.take_turn(clock, wall_watch(clock), 0.0)
    assert timing(point, overhead).median_ms == pytest.approx(0.003)


def test_a_loop_as_fast_as_nothing_still_takes_time() -> None:
    clock = FakeClock()
    overhead = Overhead(resolution_ms=0.0001, once_ms=0.005, looped_ms=0.005)
    point = Point("layer", clock.call([5000]), method="loop")
    point.take_turn(clock, wall_watch(clock), 0.0)
    assert timing(point, overhead).median_ms == 0.0001


def test_the_spread_is_that_of_single_calls() -> None:
    point = Point("layer", lambda: None, method="loop", repeats=4, times_ms=[4.0, 12.0])
    assert timing(point, NOTHING).std_ms == pytest.approx(2.0)  # 4 ms over 4 independent calls: 2 ms each
    chain = Point("layer", lambda: None, method="chain", times_ms=[1.0, 3.0], longer_ms=[8.0, 12.0])
    assert timing(chain, NOTHING).std_ms == pytest.approx((1 + 4) ** 0.5 / EXTRA)


def test_the_first_decile() -> None:
    values = [float(n) for n in range(11)]
    assert first_decile(values[::-1]) == 1.0 == statistics.quantiles(values, n=10, method="inclusive")[0]


def load(
    *, ran: float = 1.0, machine: float = 1.0, cores: int = 4, threads: int = 1, on_processor: bool = True,
    rounds: tuple[float, ...] = (5.0, 5.5),
) -> Load:  # fmt: skip
    """Ten seconds, of which the process ran `ran` and everybody together `machine` times as long."""
    wall = 10_000 * MS
    return Load(
        before=Look(wall=0, process=0, machine=0),
        after=Look(wall=wall, process=round(ran * wall), machine=round(machine * wall)),
        cores=cores,
        threads=threads,
        on_processor=on_processor,
        rounds_ms=rounds,
    )


def test_a_quiet_machine_needs_no_warning() -> None:
    assert load().warning() == ""
    assert load(machine=1.75).warning() == ""  # 0.75 of 4 processors: below a fifth
    assert load(machine=0.0).warning() == ""  # a system that does not tell
    assert load(ran=0.01, machine=0.01, on_processor=False).warning() == ""  # the accelerator works, the process waits


@pytest.mark.parametrize(
    ("found", "sign"),
    [
        (load(machine=2.0), "other processes used 1.0 of its 4 processors"),
        (load(ran=4.0, machine=4.2, threads=4), "other processes used 0.2 of its 4 processors"),
        (load(ran=0.8), "kept waiting for 20% of the time"),
        (load(rounds=(5.0, 6.0, 4.0)), "took 4 ms in one round and 6 ms in another"),
    ],
)
def test_each_sign_of_a_busy_machine_is_said(found: Load, sign: str) -> None:
    assert found.warning().startswith("the machine was busy: ") and sign in found.warning()
    assert len(list(found.signs())) == 1
