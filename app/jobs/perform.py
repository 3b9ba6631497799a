"""One attempt, start to end: call the task's function, turn what comes of it into an `Outcome`, store it."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from app.jobs.attempts import write_end
from app.jobs.failures import failure_of
from app.search.executor import Outcome, Progress, Task

Report = Callable[[float, str], None]
TaskFunction = Callable[[Mapping[str, Any], Path, Report], tuple[Mapping[str, Any], Mapping[str, str | Path]]]
TaskTable = Mapping[Any, TaskFunction]  # by kind; a table may lack some

_TEXT_LIMIT = 200
_log = logging.getLogger("espalier.task")


class _BrokenResult(Exception):
    """A task function that returned what cannot be stored."""

    def __init__(self, reason: str, code: str = "bad_result") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(kw_only=True)
class Reporter:
    """The `report` a task is given: at most one message each `every_s`, clamped to [0, 1], never an error."""

    task: str
    send: Callable[[Progress], None]
    every_s: float = 1.0
    _next: float = field(default=0.0, init=False)

    def __call__(self, fraction: float, text: str = "") -> None:
        now = monotonic()
        if now < self._next:
            return
        self._next = now + self.every_s
        clamped = min(1.0, max(0.0, float(fraction))) if fraction == fraction else 0.0
        self.send(Progress(task=self.task, fraction=clamped, text=str(text)[:_TEXT_LIMIT]))


def perform(task: Task, table: TaskTable, folder: Path, report: Report) -> Outcome:
    """Run the task in `folder`; its end is written there before it is returned. Raises no `Exception`."""
    try:
        function = table[task.kind]
        result, files = function(task.payload, folder, report)
        outcome = _done(task, folder, result, files)
        write_end(folder, task, outcome)
    except Exception as error:
        outcome = Outcome(task=task.id, state="failed", failure=failure_of(error, f"task {task.id}"))
        _keep(folder, task, outcome)
    return outcome


def _done(task: Task, folder: Path, result: Mapping[str, Any], files: Mapping[str, str | Path]) -> Outcome:
    try:
        plain = json.loads(json.dumps(result, allow_nan=False))  # what a store gives back: lists, string keys
    except ValueError as error:
        reason = "The result holds a number that is not finite: a training that diverged, most likely"
        raise _BrokenResult(reason, "not_finite") from error
    placed = {kind: str(_inside(folder, Path(path))) for kind, path in files.items()}
    return Outcome(task=task.id, state="done", result=plain, files=placed)


def _inside(folder: Path, path: Path) -> Path:
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()) or not found.is_file():
        raise _BrokenResult(f"The task names {path.name!r} as its file, which is not in its directory")
    return found


def _keep(folder: Path, task: Task, outcome: Outcome) -> None:
    try:
        write_end(folder, task, outcome)
    except OSError as error:  # a full disk: without the file the attempt counts as lost and is tried again
        _log.error("the end of task %s could not be written", task.id, exc_info=error)
