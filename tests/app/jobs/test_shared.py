"""`SharedExecutor`: turns, measurements alone, stopping a desk."""

from collections import deque
from collections.abc import Sequence
from threading import Event, Thread

import pytest

from app.jobs.shared import SharedExecutor, Stopped
from app.search.executor import Outcome, Progress, Task, TaskKind


class ByHand:
    """An executor whose tasks end when the test says so."""

    def __init__(self, capacity: int) -> None:
        self.slots = capacity
        self.running: list[str] = []
        self.started: list[str] = []
        self.events: deque[Progress | Outcome] = deque()

    def submit(self, task: Task) -> None:
        assert task.id not in self.running
        assert len(self.running) < self.slots
        self.running.append(task.id)
        self.started.append(task.id)

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:  # noqa: ARG002
        events = list(self.events)
        self.events.clear()
        return events

    def cancel(self, task_id: str) -> None:
        if task_id in self.running:
            self.end(task_id, "cancelled")

    def capacity(self) -> int:
        return self.slots

    def end(self, task_id: str, state: str = "done") -> None:
        self.running.remove(task_id)
        self.events.append(Outcome(task=task_id, state=state))  # type: ignore[arg-type]


def task(name: str, kind: TaskKind = "trial") -> Task:
    return Task(id=name, kind=kind, payload={})


def test_desks_take_turns() -> None:
    inner = ByHand(2)
    shared = SharedExecutor(inner)
    one, two = shared.desk(), shared.desk()
    for i in range(4):
        one.submit(task(f"one/{i}"))
    for i in range(2):
        two.submit(task(f"two/{i}"))
    while len(inner.started) < 6 or inner.running:
        shared.pump(0.0)
        for name in list(inner.running):
            inner.end(name)
    shared.pump(0.0)
    assert inner.started == ["one/0", "two/0", "one/1", "two/1", "one/2", "one/3"]
    assert [e.task for e in one.poll(0.0)] == [f"one/{i}" for i in range(4)]
    assert [e.task for e in two.poll(0.0)] == ["two/0", "two/1"]
    assert one.capacity() == 2


def test_a_measurement_has_the_machine_to_itself_and_is_not_overtaken() -> None:
    inner = ByHand(2)
    shared = SharedExecutor(inner)
    trials, measurements = shared.desk(), shared.desk()
    trials.submit(task("t0"))
    shared.pump(0.0)
    measurements.submit(task("m", "profile"))
    trials.submit(task("t1"))
    trials.submit(task("t2"))
    shared.pump(0.0)
    shared.pump(0.0)
    running_before = list(inner.running)
    for name in running_before:
        inner.end(name)
    shared.pump(0.0)
    for name in list(inner.running):
        if name != "m":
            inner.end(name)
    shared.pump(0.0)
    shared.pump(0.0)
    assert inner.running == ["m"], "alone, although a slot is free and trials wait"
    assert "t2" not in inner.started
    inner.end("m")
    shared.pump(0.0)
    shared.pump(0.0)
    assert "t2" in inner.started


def test_stopping_a_desk_cancels_its_tasks_and_sends_its_thread_away() -> None:
    inner = ByHand(1)
    shared = SharedExecutor(inner)
    mine, other = shared.desk(), shared.desk()
    mine.submit(task("mine/0"))
    mine.submit(task("mine/1"))
    other.submit(task("other"))
    shared.pump(0.0)
    assert inner.running == ["mine/0"]
    left = Event()

    def wait() -> None:
        try:
            mine.poll(30.0)
        except Stopped:
            left.set()

    thread = Thread(target=wait, daemon=True)
    thread.start()
    mine.stop()
    mine.stop()
    thread.join(5.0)
    assert left.is_set()
    for _ in range(3):
        shared.pump(0.0)
    assert inner.running == ["other"]
    assert "mine/1" not in inner.started
    with pytest.raises(Stopped):
        mine.submit(task("late"))
    assert not issubclass(Stopped, Exception), "no `except Exception` on the way may swallow it"


def test_a_task_that_is_being_cancelled_is_not_started_again_beside_itself() -> None:
    inner = ByHand(2)
    shared = SharedExecutor(inner)
    before = shared.desk()
    before.submit(task("t"))
    shared.pump(0.0)
    before.stop()
    after = shared.desk()
    after.submit(task("t"))
    for _ in range(3):
        shared.pump(0.0)
    assert inner.started == ["t", "t"]
    inner.end("t")
    shared.pump(0.0)
    assert [e.state for e in after.poll(0.0) if isinstance(e, Outcome)] == ["done"]


def test_cancel_of_a_waiting_and_of_a_running_task() -> None:
    inner = ByHand(1)
    shared = SharedExecutor(inner)
    desk, other = shared.desk(), shared.desk()
    desk.submit(task("runs"))
    desk.submit(task("waits"))
    shared.pump(0.0)
    other.cancel("runs")
    desk.cancel("waits")
    desk.cancel("runs")
    desk.cancel("nobody")
    shared.pump(0.0)
    ended = {e.task: e.state for e in desk.poll(0.0) if isinstance(e, Outcome)}
    assert ended == {"waits": "cancelled", "runs": "cancelled"}
    assert other.poll(0.0) == []
