"""Searches. Users write `desired`; the coordinator that holds the lease claims them and writes the rest."""

from collections.abc import Mapping
from typing import Any, Literal, cast

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.search.spec import SearchSpec
from app.store import rows
from app.store.records import SearchRecord, SearchState
from app.store.tables import Search, now

FINISHED = ("succeeded", "failed", "cancelled")


def add(
    session: Session, *, project_id: str, spec: SearchSpec, idempotency_key: str | None = None
) -> SearchRecord:
    """A new search, queued."""
    row = Search(
        project_id=project_id,
        name=spec.name,
        spec=spec.to_json(),
        state="queued",
        desired="run",
        seed=spec.seed,
        idempotency_key=idempotency_key,
        epoch=0,
    )
    session.add(row)
    session.flush()
    return _record(row)


def get(session: Session, project_id: str, search_id: str) -> SearchRecord:
    """The search; raises NotFound."""
    return _record(rows.owned(session, Search, project_id, search_id))


def by_key(session: Session, project_id: str, idempotency_key: str) -> SearchRecord | None:
    """The search that was submitted with this idempotency key."""
    wanted = select(Search).where(Search.project_id == project_id, Search.idempotency_key == idempotency_key)
    row = session.execute(wanted).scalar_one_or_none()
    return None if row is None else _record(row)


def page(
    session: Session, project_id: str, *, limit: int, after: str | None = None, state: str | None = None
) -> list[SearchRecord]:
    """A page of the project's searches, newest first."""
    found = rows.newest(session, Search, project_id, limit=limit, after=after, state=state)
    return [_record(row) for row in found]


def request_cancel(session: Session, project_id: str, search_id: str) -> None:
    """Wish for its end; a finished search stays what it is. Raises NotFound."""
    rows.owned(session, Search, project_id, search_id).desired = "cancel"


def claim(session: Session, *, holder: str, epoch: int) -> SearchRecord | None:
    """Take the oldest search that nobody of this epoch works on: queued, or left running by an earlier epoch."""
    orphaned = (Search.state == "running") & (Search.epoch < epoch)
    wanted = select(Search).where(or_(Search.state == "queued", orphaned)).order_by(Search.id).limit(1)
    row = session.execute(wanted.with_for_update(skip_locked=True)).scalar_one_or_none()
    if row is None:
        return None
    row.state, row.holder, row.epoch = "running", holder, epoch
    row.started_at = row.started_at or now()
    session.flush()
    return _record(row)


def set_phase(session: Session, search_id: str, phase: str) -> None:
    """What it is busy with."""
    rows.by_id(session, Search, search_id).phase = phase


def set_space(session: Session, search_id: str, space: Mapping[str, Any]) -> None:
    """What is searched, what was dropped and why, and what can be reached."""
    rows.by_id(session, Search, search_id).space = dict(space)


def set_bound(session: Session, search_id: str, bound: Mapping[str, Any]) -> None:
    """What nothing in the space can beat under the additive model."""
    rows.by_id(session, Search, search_id).bound = dict(bound)


def finish(
    session: Session,
    search_id: str,
    *,
    state: Literal["succeeded", "failed", "cancelled"] | str,
    failure: Mapping[str, Any] | None = None,
) -> None:
    """Its end; a search ends once."""
    row = rows.by_id(session, Search, search_id)
    if row.state in FINISHED:
        return
    row.state, row.phase, row.finished_at = state, None, now()
    row.failure = dict(failure) if failure is not None else None


def _record(row: Search) -> SearchRecord:
    return SearchRecord(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        spec=row.spec,
        state=cast(SearchState, row.state),
        phase=row.phase,
        desired=cast(Literal["run", "cancel"], row.desired),
        seed=row.seed,
        failure=row.failure,
        space=row.space,
        bound=row.bound,
        epoch=row.epoch,
        created_at=rows.iso(row.created_at),
        started_at=rows.iso_or_none(row.started_at),
        finished_at=rows.iso_or_none(row.finished_at),
    )
