"""`LocalExecutor`: the executor of one machine. A fork server with torch loaded, one process an attempt.

A start costs milliseconds because the fork server has imported what tasks need; a cancel is one signal to the
process group; an end is a file, so that a process killed after its work loses nothing.
"""

import json
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import sleep
from types import ModuleType
from typing import Any

from app.jobs import child
from app.jobs.attempts import LOG, finished_before, new_attempt, read_end
from app.jobs.child import Assignment, ResourceLimits
from app.jobs.failures import failure_of
from app.search.executor import Outcome, Progress, Task
from app.search.trial import Failure

TASKS = "app.search.tasks:TASKS"
PRELOAD = ("app.jobs.preload",)
_GIB = 2**30
LIMITS: Mapping[str, ResourceLimits] = {  # what strangers send is opened within limits
    "inspect": ResourceLimits(memory_bytes=8 * _GIB, cpu_s=900, file_bytes=4 * _GIB),
    "prepare": ResourceLimits(memory_bytes=16 * _GIB, cpu_s=3600, file_bytes=16 * _GIB),
}
_MESSAGE_BYTES = 4096


@dataclass(kw_only=True)
class _Running:
    task: Task
    folder: Path
    process: Any  # of the forkserver context
    progress: Connection | None
    cancelled: bool = False


class LocalExecutor:
    """Runs tasks in child processes under `workdir`. Not for several threads at once; `close` it in the end.

    At most `slots` tasks run; without it as many as their threads fit on the cores this process may use.
    `tasks` names the task table as `module:attribute` and is written by our own code only. A process has one
    fork server: the `preload` of its first executor counts.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        slots: int | None = None,
        tasks: str = TASKS,
        preload: Sequence[str] = PRELOAD,
        limits: Mapping[str, ResourceLimits] = LIMITS,
    ) -> None:
        self._workdir, self._tasks, self._limits = Path(workdir).resolve(), tasks, limits
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._slots = slots
        self._waiting: deque[Task] = deque()
        self._running: dict[str, _Running] = {}
        self._ready: list[Progress | Outcome] = []
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        forkserver.ensure_running()  # it loads torch while nobody waits yet

    def submit(self, task: Task) -> None:
        """Start the task, or queue it until a slot is free; a task that ended before answers at once."""
        if task.id in self._running or any(task.id == other.id for other in self._waiting):
            raise ValueError(f"task {task.id!r} is already under way")
        before = finished_before(self._workdir, task)
        if before is not None:
            self._ready.append(before)
            return
        self._waiting.append(task)
        self._fill()

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:
        """What happened since the last call; waits up to `timeout_s` for something to happen."""
        self._fill()
        self._look(0.0 if self._ready else timeout_s)
        self._fill()
        happened, self._ready = self._ready, []
        return happened

    def cancel(self, task_id: str) -> None:
        """Kill the task's process group; its outcome is `cancelled` unless its end is already written."""
        if (running := self._running.get(task_id)) is not None:
            running.cancelled = True
            _kill(running.process, os.killpg, os.kill)
            return
        for task in [task for task in self._waiting if task.id == task_id]:
            self._waiting.remove(task)
            self._ready.append(Outcome(task=task_id, state="cancelled"))

    def capacity(self) -> int:
        """How many tasks of one thread can run at once."""
        return self._slots or self._cores

    def close(self) -> None:
        """Kill what runs and forget what waits; nothing outlives its executor."""
        self._waiting.clear()
        for running in self._running.values():
            _kill(running.process, os.killpg, os.kill)
        for running in self._running.values():
            running.process.join(5.0)
        self._running.clear()

    def _fill(self) -> None:
        while self._waiting and self._fits(self._waiting[0]):
            self._start(self._waiting.popleft())

    def _fits(self, task: Task) -> bool:
        if self._slots is not None:
            return len(self._running) < self._slots
        busy = sum(running.task.threads for running in self._running.values())
        return not self._running or busy + task.threads <= self._cores

    def _start(self, task: Task) -> None:
        try:
            folder = new_attempt(self._workdir, task)
        except OSError as error:
            self._ready.append(Outcome(task=task.id, state="failed", failure=failure_of(error, f"task {task.id}")))
            return
        limits = self._limits.get(task.kind, ResourceLimits())
        told = Assignment(task=task, folder=str(folder), tasks=self._tasks, limits=limits)
        ours, theirs = self._context.Pipe(duplex=False)
        try:
            process = self._process(told, theirs)
        except (OSError, EOFError):
            ours.close()
            failure = Failure(code="lost", reason="Its process could not be started")
            self._ready.append(Outcome(task=task.id, state="lost", failure=failure))
            return
        finally:
            theirs.close()
        self._running[task.id] = _Running(task=task, folder=folder, process=process, progress=ours)

    def _process(self, told: Assignment, progress: Connection) -> Any:
        """A started child; patient, for a fork server that died is noticed only a moment later."""
        for pause_s in (0.05, 0.2, 1.0, None):
            process = self._context.Process(target=child.main, args=(told, progress), daemon=True)
            try:
                with _no_main():
                    process.start()
            except (OSError, EOFError):
                if pause_s is None:
                    raise
                sleep(pause_s)
            else:
                break
        return process

    def _look(self, timeout_s: float) -> None:
        sources: dict[Any, _Running] = {}
        for running in self._running.values():
            sources[running.process.sentinel] = running
            if running.progress is not None:
                sources[running.progress] = running
        if not sources:
            return  # nothing runs, so nothing can happen
        for source in wait(list(sources), timeout_s):
            running = sources[source]
            if source is running.progress:
                self._hear(running)
        for running in list(self._running.values()):
            if wait([running.process.sentinel], 0):
                self._bury(running)

    def _hear(self, running: _Running) -> None:
        assert running.progress is not None
        try:
            fraction, text = json.loads(running.progress.recv_bytes(_MESSAGE_BYTES))
            step = Progress(task=running.task.id, fraction=float(fraction), text=str(text))
        except (EOFError, OSError, ValueError, TypeError):  # gone, or not one of our messages
            running.progress.close()
            running.progress = None
            return
        self._ready.append(step)

    def _bury(self, running: _Running) -> None:
        while running.progress is not None and running.progress.poll(0):
            self._hear(running)
        _kill(running.process, os.killpg)  # whatever the task itself started
        running.process.join()
        if running.progress is not None:
            running.progress.close()
        del self._running[running.task.id]
        self._ready.append(self._end(running))
        running.process.close()

    def _end(self, running: _Running) -> Outcome:
        written = read_end(running.folder, running.task)
        if written is not None:
            return written
        if running.cancelled:
            return Outcome(task=running.task.id, state="cancelled")
        if running.process.exitcode == -signal.SIGXCPU:
            limits = self._limits.get(running.task.kind, ResourceLimits())
            reason = f"It took more than the {limits.cpu_s} s of processor time that such a task may take"
            failure = Failure(code="cpu_limit", reason=reason, details={"cpu_s": limits.cpu_s})
            return Outcome(task=running.task.id, state="failed", failure=failure)
        failure = Failure(code="lost", reason=_how_it_died(running), details={"exit": running.process.exitcode})
        return Outcome(task=running.task.id, state="lost", failure=failure)


@contextmanager
def _no_main() -> Iterator[None]:
    """Keep `multiprocessing` from running the owner's `__main__` again in every child."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _how_it_died(running: _Running) -> str:
    code = running.process.exitcode
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"Its process was killed by {signal.Signals(-code).name}"
    return f"Its process ended with status {code} and no result; {LOG} in its directory may say more"


def _kill(process: Any, *ways: Callable[[int, int], None]) -> None:
    """SIGKILL to the group; a process that runs is also hit alone, for it may not lead its group yet."""
    for kill in ways:
        with suppress(ProcessLookupError, PermissionError):
            kill(process.pid, signal.SIGKILL)
