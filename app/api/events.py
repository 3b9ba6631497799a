"""Server-sent events of a search, straight from the events table: a row's id is the event's id, so a client that
comes back with `Last-Event-ID` misses nothing. Works over several API processes; no broker."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.api.service import Here, Id, Service
from app.store import events, searches
from app.store.records import EventRecord, SearchRecord

router = APIRouter(prefix="/searches", tags=["events"])
LIFETIME_S = 600.0
POLL_S = 0.5
BATCH = 500
FINISHED = ("succeeded", "failed", "cancelled")


def _existing(here: Here, search_id: Id) -> SearchRecord:
    with here.database.read() as session:
        return searches.get(session, here.project_id, search_id)


@router.get("/{search_id}/events", response_class=EventSourceResponse)
async def stream_events(
    here: Here,
    search: Annotated[SearchRecord, Depends(_existing)],
    last_event_id: Annotated[int | None, Header(ge=0, le=2**53)] = None,
    after: Annotated[int, Query(ge=0, le=2**53, description="like Last-Event-ID, for clients that cannot set it")] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """What happens in a search, live: events `phase`, `progress`, `trial`, `search`, and `end` when it is over.

    A connection lives ten minutes at most; reconnect with the last id (browsers do so by themselves).
    """
    seen = last_event_id if last_event_id is not None else after
    until = time.monotonic() + LIFETIME_S
    while time.monotonic() < until and not here.stopping.is_set():
        rows, over = await anyio.to_thread.run_sync(_news, here, search.id, seen)
        for row in rows:
            seen = row.id
            yield ServerSentEvent(event=row.kind, id=str(row.id), data=dict(row.payload))
        if over and len(rows) < BATCH:
            yield ServerSentEvent(event="end", data={"search": search.id})
            return
        if not rows:
            await anyio.sleep(POLL_S)


def _news(here: Service, search_id: str, seen: int) -> tuple[list[EventRecord], bool]:
    """Events after `seen`; the state is read first, so that "over" is never said before its last event."""
    with here.database.read() as session:
        over = searches.get(session, here.project_id, search_id).state in FINISHED
        rows = events.after(session, here.project_id, search_id=search_id, after_id=seen, limit=BATCH)
    return rows, over
