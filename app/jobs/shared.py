"""One executor for several searches: each gets a `Desk`, itself an executor, and they take turns.

All calls to the shared executor are made by whoever calls `pump`, so it need not know of threads. A desk can
be stopped from outside: what its thread asks of it next raises `Stopped`, and its tasks are cancelled.
"""

from collections import deque
from collections.abc import Sequence
from threading import Condition

from app.search.executor import Executor, Outcome, Progress, Task

ALONE = frozenset({"profile"})  # a measurement of time has the machine to itself
_TICK_S = 0.05


class Stopped(BaseException):
    """Leave now: the desk was stopped. No `Exception`, so that nobody on the way takes it for a failure."""


class SharedExecutor:
    """Deals the slots of an executor out to desks, one task a turn."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._capacity = executor.capacity()
        self._changed = Condition()
        self._desks: deque[Desk] = deque()
        self._running: dict[str, tuple[Task, Desk]] = {}
        self._cancels: list[str] = []

    def desk(self) -> "Desk":
        """A new desk, last in turn."""
        desk = Desk(self, self._changed, self._capacity)
        with self._changed:
            self._desks.append(desk)
        return desk

    def pump(self, timeout_s: float) -> None:
        """Start what can start, hear what happened, and hand it out; waits up to `timeout_s` while idle."""
        with self._changed:
            if not (self._running or self._cancels or any(desk.waiting for desk in self._desks)):
                self._changed.wait(timeout_s)
            cancels, self._cancels = self._cancels, []
            starts = self._choose()
        for task_id in cancels:
            self._executor.cancel(task_id)
        for task in starts:
            self._executor.submit(task)
        if self._running:
            self._hand_out(self._executor.poll(min(timeout_s, _TICK_S)))

    def _choose(self) -> list[Task]:
        """Whose turn it is, until the slots are full. Called with the lock held."""
        starts: list[Task] = []
        idle = 0
        while len(self._running) < self._capacity and idle < len(self._desks):
            desk = self._desks[0]
            task = desk.waiting[0] if desk.waiting else None
            if task is not None and self._must_be_alone(task):
                break  # nobody overtakes it, or its turn would never come
            self._desks.rotate(-1)
            if task is None or task.id in self._running:
                idle += 1
                continue
            idle = 0
            desk.waiting.popleft()
            self._running[task.id] = (task, desk)
            starts.append(task)
        return starts

    def _must_be_alone(self, task: Task) -> bool:
        others = [running.kind for running, _ in self._running.values()]
        return bool(others) and (task.kind in ALONE or any(kind in ALONE for kind in others))

    def _hand_out(self, events: Sequence[Progress | Outcome]) -> None:
        with self._changed:
            for event in events:
                known = self._running.get(event.task)
                if known is None:
                    continue
                known[1].happened.append(event)
                if isinstance(event, Outcome):
                    del self._running[event.task]
            self._changed.notify_all()

    def _withdraw(self, desk: "Desk", task_id: str | None = None) -> None:
        """Cancel one task of a desk, or all of them. Called with the lock held."""
        for task in [task for task in desk.waiting if task_id in (None, task.id)]:
            desk.waiting.remove(task)
            desk.happened.append(Outcome(task=task.id, state="cancelled"))
        mine = [name for name, (_, owner) in self._running.items() if owner is desk and task_id in (None, name)]
        self._cancels.extend(mine)
        self._changed.notify_all()

    def _leave(self, desk: "Desk") -> None:
        self._withdraw(desk)
        if desk in self._desks:
            self._desks.remove(desk)


class Desk:
    """An executor for one thread; its tasks run on the shared one."""

    def __init__(self, shared: SharedExecutor, changed: Condition, capacity: int) -> None:
        self._shared, self._changed, self._capacity = shared, changed, capacity
        self.waiting: deque[Task] = deque()
        self.happened: deque[Progress | Outcome] = deque()
        self.stopped = False

    def submit(self, task: Task) -> None:
        """Queue the task until this desk has its turn. Raises Stopped."""
        with self._changed:
            self._check()
            self.waiting.append(task)
            self._changed.notify_all()

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:
        """What happened to this desk's tasks; waits up to `timeout_s`. Raises Stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or self.happened, timeout_s)
            self._check()
            events = list(self.happened)
            self.happened.clear()
        return events

    def cancel(self, task_id: str) -> None:
        """Stop a task of this desk within seconds."""
        with self._changed:
            self._shared._withdraw(self, task_id)

    def capacity(self) -> int:
        """How many tasks can run at once, over all desks."""
        return self._capacity

    def stop(self) -> None:
        """Cancel all tasks of this desk and make its thread leave; from any thread, any number of times."""
        with self._changed:
            self.stopped = True
            self._shared._leave(self)

    def _check(self) -> None:
        if self.stopped:
            raise Stopped
