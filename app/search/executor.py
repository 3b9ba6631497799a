"""The executor seam: where work of minutes runs, each piece in a process of its own.

`app.search` says what must be done (`Task`) and reads what came of it (`Outcome`); `app.jobs` brings the members.
A task is a pure function call: same payload, same result; it never sees a database. Its files stay in its own
directory until the outcome is known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from app.search.trial import Failure

TaskKind = Literal["apply", "export", "inspect", "prepare", "profile", "score", "trial", "verify"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One piece of work. `payload` is JSON; files in it are local paths. The id outlives attempts and restarts."""

    id: str
    kind: TaskKind
    payload: Mapping[str, Any]
    threads: int = 1
    attempt: int = 1


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a running task is, in [0, 1], with a word for people. Losing one does no harm."""

    task: str
    fraction: float
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The end of one attempt. `done` has a result, `failed` the task's own failure; `lost`: the process died."""

    task: str
    state: Literal["done", "failed", "lost", "cancelled"]
    result: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)  # kind -> local path of a file the task wrote
    failure: Failure | None = None


class Executor(Protocol):
    """At most four methods; one conformance suite serves every member."""

    def submit(self, task: Task) -> None:
        """Start the task, or queue it until a slot is free."""

    def poll(self, timeout_s: float) -> Sequence[Progress | Outcome]:
        """What happened since the last call; waits up to `timeout_s` for something to happen."""

    def cancel(self, task_id: str) -> None:
        """Stop a task within seconds; its outcome is `cancelled`. Unknown ids are ignored."""

    def capacity(self) -> int:
        """How many tasks can run at once."""
