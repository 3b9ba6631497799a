"""`InlineExecutor`: the executor without processes, for library use, notebooks and tests."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from app.jobs.attempts import finished_before, new_attempt
from app.jobs.perform import Reporter, TaskTable, perform
from app.search.executor import Outcome, Progress, Task


class InlineExecutor:
    """Runs each task inside `poll`, in submission order. Without `tasks` it takes the product's own table."""

    def __init__(self, workdir: Path, *, tasks: TaskTable | None = None) -> None:
        self._workdir, self._tasks = Path(workdir).resolve(), tasks
        self._waiting: deque[Task] = deque()
        self._ready: list[Progress | Outcome] = []

    def submit(self, task: Task) -> None:
        """Queue the task for the next `poll`; a task that ended before answers at once."""
        if any(task.id == other.id for other in self._waiting):
            raise ValueError(f"task {task.id!r} is already under way")
        before = finished_before(self._workdir, task)
        if before is not None:
            self._ready.append(before)
        else:
            self._waiting.append(task)

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:  # noqa: ARG002 - the work is done here
        """What happened since the last call; runs the next task to its end."""
        if not self._ready and self._waiting:
            self._run(self._waiting.popleft())
        happened, self._ready = self._ready, []
        return happened

    def cancel(self, task_id: str) -> None:
        """Take a waiting task off the queue; none runs while this can be called."""
        for task in [task for task in self._waiting if task.id == task_id]:
            self._waiting.remove(task)
            self._ready.append(Outcome(task=task_id, state="cancelled"))

    def capacity(self) -> int:
        """One."""
        return 1

    def _run(self, task: Task) -> None:
        reporter = Reporter(task=task.id, send=self._ready.append)
        folder = new_attempt(self._workdir, task)
        self._ready.append(perform(task, self._table(), folder, reporter))

    def _table(self) -> TaskTable:
        if self._tasks is None:
            from app.search.tasks import TASKS  # imports torch when called, not before

            self._tasks = TASKS
        return self._tasks
