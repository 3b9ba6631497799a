"""Searches: submitted here, run by a worker. Users write what they wish; only the coordinator writes the state."""

import json
from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from app.api import search_views as views
from app.api.estimates import at_submission
from app.api.schemas import Page
from app.api.search_schemas import ExtendIn, SearchOut, SearchSummary
from app.api.service import After, Here, Id, Limit, Service
from app.api.submit import check, pinned
from app.api.views import page
from app.errors import Problem
from app.search.spec import SearchSpec
from app.store import events, searches, trials
from app.store.records import SearchProgress, SearchRecord

router = APIRouter(prefix="/searches", tags=["searches"])
State = Annotated[str | None, Query(pattern="^(queued|running|paused|succeeded|failed|cancelled)$")]
Key = Annotated[str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
NOTHING = SearchProgress(done=0, failed=0, asked=0, best_quality=None, first_asked_at=None)


@router.post("", status_code=202)
def submit_search(here: Here, response: Response, spec: SearchSpec, idempotency_key: Key = None) -> SearchOut:
    """Submit a search. Answers at once; follow it at `Location`, live at `links.events`.

    Sent again with the same `Idempotency-Key` and body it answers with the first search instead of a second one.
    """
    record = _known(here, idempotency_key, spec)
    if record is None:
        spec = pinned(here, spec)
        check(here, spec)
        estimate = at_submission(here, spec)
        with here.database.begin() as session:  # the key is looked up again in there: two requests may race
            record = searches.add(session, project_id=here.project_id, spec=spec, idempotency_key=idempotency_key)
            if estimate is not None:
                record = searches.set_estimate(session, record.id, estimate)
    answer = _answer(here, record)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("")
def list_searches(here: Here, limit: Limit = 50, after: After = None, state: State = None) -> Page[SearchSummary]:
    """The project's searches, newest first."""
    with here.database.read() as session:
        records = searches.page(session, here.project_id, limit=limit + 1, after=after, state=state)
        counts = trials.progress(session, [record.id for record in records])
    return page([views.search_summary(record, counts.get(record.id, NOTHING)) for record in records], limit)


@router.get("/{search_id}")
def get_search(here: Here, search_id: Id) -> SearchOut:
    """One search: state, phase, progress, spec, dense references, space and bound."""
    with here.database.read() as session:
        record = searches.get(session, here.project_id, search_id)
    return _answer(here, record)


@router.post("/{search_id}/cancel", status_code=202)
def cancel_search(here: Here, search_id: Id) -> SearchOut:
    """Ask for the end of a search: running trials are stopped within seconds, finished ones stay. Idempotent."""
    with here.database.begin() as session:
        searches.get(session, here.project_id, search_id)
        searches.request_cancel(session, here.project_id, search_id)
    with here.database.read() as session:
        record = searches.get(session, here.project_id, search_id)
    return _answer(here, record)


@router.post("/{search_id}/extend", status_code=202)
def extend_search(here: Here, search_id: Id, body: ExtendIn) -> SearchOut:
    """Ask for more trials: the search goes on where it stands, and its first trials stay as they are.

    Not for one that failed or was cancelled; a new search can begin with its results (`warm_start`).
    """
    with here.database.begin() as session:
        record = searches.extend(session, here.project_id, search_id, body.trials)
    return _answer(here, record)


def _answer(here: Service, record: SearchRecord) -> SearchOut:
    with here.database.read() as session:
        counts = trials.progress(session, [record.id]).get(record.id, NOTHING)
        first = trials.page(session, record.id, limit=views.DENSE_TRIALS, after_number=None)
        ending = events.newest(session, record.id, "ended")
    return views.search_out(record, counts, [entry.trial for entry in first], ending)


def _known(here: Service, key: str | None, spec: SearchSpec) -> SearchRecord | None:
    if key is None:
        return None
    with here.database.read() as session:
        record = searches.by_key(session, here.project_id, key)
    if record is not None and not searches.same_wish(record.spec, json.loads(json.dumps(spec.to_json()))):
        detail = f"Idempotency-Key {key!r} was used for another search ({record.id}): use a new key."
        entry = {"parameter": "Idempotency-Key", "detail": detail, "code": "key_reused"}
        raise Problem(422, "key_reused", detail, errors=[entry])
    return record
