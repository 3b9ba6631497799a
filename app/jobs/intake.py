"""Models to inspect, datasets to prepare, profiles to measure, work on single trials: each is a task and a row.

They differ in little, and the little is in `nouns` and `trial_requests`. What dies is tried again, what fails is
refused with its reason; nothing is lost when the coordinator dies, because the row says what is to be done.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from app.jobs.failures import failure_of
from app.jobs.lease import Lease, Session, StoreAway
from app.jobs.nouns import NOUNS, Noun
from app.jobs.recorder import add_files, drop_files, store_files
from app.jobs.shared import Desk
from app.jobs.trial_requests import REQUESTS
from app.search.executor import Outcome, Progress, Task
from app.search.trial import Failure
from app.store import events
from app.store.blobs import ArtefactStore
from app.store.errors import StoreError

MAX_ATTEMPTS = 3
_log = structlog.get_logger("espalier.jobs")


@dataclass(frozen=True)
class _Pending:
    noun: Noun
    record: Any
    task: Task


class Intake:
    """Follows the nouns through their tasks. Used by one thread."""

    def __init__(self, lease: Lease, blobs: ArtefactStore, desk: Desk, cache: Path) -> None:
        self._lease, self._blobs, self._desk, self._cache = lease, blobs, desk, cache
        self._pending: dict[str, _Pending] = {}
        self._happened: deque[Progress | Outcome] = deque()  # an error in one leaves the others for the next look

    def look(self) -> None:
        """Submit what waits and is not under way."""
        for noun in (*NOUNS, *REQUESTS):
            for record in self._lease.read(noun.waiting):
                if _task_id(noun, record) not in self._pending:
                    self._begin(noun, record)

    def collect(self) -> None:
        """Write down what came of the tasks."""
        self._happened.extend(self._desk.poll(0.0))
        while self._happened:
            event = self._happened.popleft()
            pending = self._pending.get(event.task)
            if pending is None:
                continue
            if isinstance(event, Progress):
                self._progress(pending, event)
            else:
                self._end(pending, event)

    def _begin(self, noun: Noun, record: Any) -> None:
        try:
            payload = noun.payload(self._lease, self._blobs, self._cache, record)
        except StoreAway:
            raise
        except Exception as error:
            self._refuse(noun, record, failure_of(error, f"{noun.name} {record.id}"))
            return
        if payload is None:
            return  # something else must be ready first
        task = Task(id=_task_id(noun, record), kind=noun.kind, payload=payload, threads=payload.get("threads", 1))

        def begin(s: Session) -> None:
            noun.begin(s, record.id)
            _tell(s, noun, record, {"state": noun.working})

        self._lease.write(begin)
        self._pending[task.id] = _Pending(noun, record, task)
        self._desk.submit(task)
        _log.info("begun", noun=noun.name, id=record.id)

    def _progress(self, pending: _Pending, step: Progress) -> None:
        payload = {"state": pending.noun.working, "fraction": step.fraction, "text": step.text}
        self._lease.write(lambda s: _tell(s, pending.noun, pending.record, payload))

    def _end(self, pending: _Pending, outcome: Outcome) -> None:
        del self._pending[outcome.task]
        noun, record, task = pending.noun, pending.record, pending.task
        if outcome.state == "done":
            self._ready(noun, record, outcome)
        elif outcome.state == "lost" and task.attempt < MAX_ATTEMPTS:
            again = replace(task, attempt=task.attempt + 1)
            self._pending[task.id] = replace(pending, task=again)
            self._desk.submit(again)
        elif outcome.state != "cancelled":
            why = outcome.failure or Failure(code="lost", reason="The process that worked on it died")
            self._refuse(noun, record, why)

    def _ready(self, noun: Noun, record: Any, outcome: Outcome) -> None:
        try:
            stored = store_files(self._blobs, outcome.files)
            ready = noun.ready(outcome.result, {kind: digest for kind, (digest, _) in stored.items()})
        except Exception as error:
            self._refuse(noun, record, failure_of(error, f"{noun.name} {record.id}"))
            return

        def write(s: Session) -> None:
            add_files(s, record.project_id, stored)
            noun.set_ready(s, record.id, ready)
            _tell(s, noun, record, {"state": "ready"})

        try:
            self._lease.write(write)
        except StoreError as error:  # the row does not take it, and would not the next time
            self._refuse(noun, record, failure_of(error, f"{noun.name} {record.id}"))
            return
        drop_files(outcome.files)
        _log.info("ready", noun=noun.name, id=record.id)

    def _refuse(self, noun: Noun, record: Any, failure: Failure) -> None:
        document = asdict(failure)

        def write(s: Session) -> None:
            noun.refuse(s, record.id, document)
            _tell(s, noun, record, {"state": noun.refused, "failure": document})

        self._lease.write(write)
        _log.warning("refused", noun=noun.name, id=record.id, code=failure.code)


def _task_id(noun: Noun, record: Any) -> str:
    return f"{noun.kind}/{record.id}"


def _tell(s: Session, noun: Noun, record: Any, payload: Mapping[str, Any]) -> None:
    events.add(s, project_id=record.project_id, kind=noun.name, payload={"id": record.id, **payload})
