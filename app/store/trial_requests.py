"""Work asked for one trial, by kind: exports, its plan applied again, verifications. A worker does each once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.store.errors import NotFound
from app.store.records import RequestKind, TrialRequestRecord
from app.store.rows import by_id, found, plain, record
from app.store.tables import TrialRequest, now

UNFINISHED = ("queued", "running")
_R = TrialRequest


def add(
    s: Session, *, project_id: str, search_id: str, number: int, kind: RequestKind, body: Mapping[str, Any]
) -> TrialRequestRecord:
    """A request that waits for a worker. One like it that waits already, or is under way, stands for both."""
    asked = plain(body)
    query = select(_R).where(_R.search_id == search_id, _R.number == number, _R.kind == kind)
    for row in s.scalars(query.where(_R.state.in_(UNFINISHED)).order_by(_R.id)):
        if row.body == asked:
            return record(TrialRequestRecord, row)
    row = _R(project_id=project_id, search_id=search_id, number=number, kind=kind, body=asked, files={})
    s.add(row)
    s.flush()
    return record(TrialRequestRecord, row)


def one(s: Session, request_id: str) -> TrialRequestRecord:
    """One request, for the coordinator, who serves all projects; else NotFound."""
    return record(TrialRequestRecord, by_id(s, _R, "request", request_id))


def get(s: Session, project_id: str, request_id: str) -> TrialRequestRecord:
    """One request of the project, else NotFound."""
    return record(TrialRequestRecord, found(s, _R, "request", project_id, request_id))


def of_trial(s: Session, search_id: str, number: int, *, limit: int = 200) -> list[TrialRequestRecord]:
    """What was asked for one trial, newest first."""
    query = select(_R).where(_R.search_id == search_id, _R.number == number).order_by(_R.id.desc())
    return [record(TrialRequestRecord, row) for row in s.scalars(query.limit(limit))]


def waiting(s: Session, kind: RequestKind) -> Sequence[TrialRequestRecord]:
    """Every request of a kind that a worker has still to do, oldest first."""
    query = select(_R).where(_R.kind == kind, _R.state.in_(UNFINISHED)).order_by(_R.id)
    return [record(TrialRequestRecord, row) for row in s.scalars(query)]


def behind_another(s: Session, request: TrialRequestRecord) -> bool:
    """Whether an earlier request of its kind, for the same trial, has still to be done."""
    earlier = select(_R.id).where(_R.search_id == request.search_id, _R.number == request.number)
    earlier = earlier.where(_R.kind == request.kind, _R.state.in_(UNFINISHED), _R.id < request.id)
    return s.scalars(earlier.limit(1)).one_or_none() is not None


def set_running(s: Session, request_id: str) -> None:
    """A worker is at it."""
    row = by_id(s, _R, "request", request_id)
    if row.state in UNFINISHED:
        row.state = "running"


def set_ready(s: Session, request_id: str, *, result: Mapping[str, Any], files: Mapping[str, str]) -> bool:
    """It was done; `files` are digests by kind. Whether this was the first end it came to: a second changes nothing."""
    row = by_id(s, _R, "request", request_id)
    if row.state not in UNFINISHED:
        return False
    row.state, row.result, row.files, row.finished_at = "ready", plain(result), plain(files), now()
    return True


def set_failed(s: Session, request_id: str, failure: Mapping[str, Any]) -> None:
    """It could not be done, and why. Changes nothing if it has ended already."""
    row = by_id(s, _R, "request", request_id)
    if row.state in UNFINISHED:
        row.state, row.failure, row.finished_at = "failed", plain(failure), now()


def one_of(s: Session, project_id: str, search_id: str, number: int, request_id: str) -> TrialRequestRecord:
    """A request under its trial's address, else NotFound."""
    request = get(s, project_id, request_id)
    if (request.search_id, request.number) != (search_id, number):
        raise NotFound("request", request_id)
    return request
