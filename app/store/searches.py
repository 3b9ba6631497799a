"""Searches. Users write `desired`; only the coordinator, under its lease, writes `state`."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.search.spec import SearchSpec, SpecError
from app.store import precedents
from app.store.errors import Conflict, StoreError
from app.store.records import Document, SearchRecord, SearchState
from app.store.rows import behind, by_id, found, label, newest, plain, plain_or_none, record
from app.store.tables import Search, now

ENDED: tuple[SearchState, ...] = ("succeeded", "failed", "cancelled")


def add(s: Session, *, project_id: str, spec: SearchSpec, idempotency_key: str | None = None) -> SearchRecord:
    """A queued search; with a key that was used before, the search of then.

    Raises:
        Conflict: the key was used for another spec.
    """
    document = plain(spec.to_json())
    if (known := _same(s, project_id, idempotency_key, document)) is not None:
        return known
    row = Search(
        project_id=project_id,
        name=label(spec.name),
        spec=document,
        seed=spec.seed,
        idempotency_key=idempotency_key,
    )
    try:
        with s.begin_nested():
            s.add(row)
    except IntegrityError:  # the same key was committed between our look and our insert
        if (known := _same(s, project_id, idempotency_key, document)) is None:
            raise
        return known
    return record(SearchRecord, row)


def get(s: Session, project_id: str, search_id: str) -> SearchRecord:
    """One search of the project, else NotFound."""
    return record(SearchRecord, found(s, Search, "search", project_id, search_id))


def by_key(s: Session, project_id: str, key: str) -> SearchRecord | None:
    """The project's search that was submitted with this idempotency key."""
    query = select(Search).where(Search.project_id == project_id, Search.idempotency_key == key)
    row = s.scalars(query).one_or_none()
    return None if row is None else record(SearchRecord, row)


def page(
    s: Session, project_id: str, *, limit: int, after: str | None = None, state: str | None = None
) -> list[SearchRecord]:
    """The project's searches, newest first, from behind the id `after`; of one state if that is given."""
    if state is None:
        return [record(SearchRecord, row) for row in newest(s, Search, project_id, limit, after)]
    query = select(Search).where(Search.project_id == project_id, Search.state == state, behind(Search, after))
    return [record(SearchRecord, row) for row in s.scalars(query.order_by(Search.id.desc()).limit(limit))]


def of_model(s: Session, project_id: str, model_id: str) -> list[SearchRecord]:
    """Every search of a model in the project, newest first."""
    of_it = Search.spec["model"].as_string() == model_id
    query = select(Search).where(Search.project_id == project_id, of_it).order_by(Search.id.desc())
    return [record(SearchRecord, row) for row in s.scalars(query)]


def request_cancel(s: Session, project_id: str, search_id: str) -> None:
    """Wish for the end of a search. Idempotent; says nothing to one that has ended."""
    found(s, Search, "search", project_id, search_id)
    # asked again in the statement: the search may end between the look and the write
    wish = update(Search).where(Search.id == search_id, Search.state.not_in(ENDED))
    s.execute(wish.values(desired="cancel"))


def extend(s: Session, project_id: str, search_id: str, trials: int) -> SearchRecord:
    """Ask for more trials of a search; one that succeeded goes back into the queue, and its clock starts anew.

    Raises:
        Conflict: it failed or was cancelled.
        SpecError: more trials than a search may ask for.
    """
    found(s, Search, "search", project_id, search_id)
    row = s.scalars(select(Search).where(Search.id == search_id).with_for_update()).one()
    if row.state in ("failed", "cancelled") or row.desired == "cancel":
        word = "being cancelled" if row.state not in ENDED else row.state
        raise Conflict(f"Search {search_id} is {word}: submit a new one, with this one in its `warm_start`.")
    spec = SearchSpec.from_json(row.spec)
    row.spec = plain(replace(spec, extensions=(*spec.extensions, trials)).to_json())
    if row.state == "succeeded":
        row.state, row.started_at, row.finished_at = "queued", None, None
    s.flush()
    return record(SearchRecord, row)


def extended(s: Session, known: SearchRecord) -> SearchRecord | None:
    """The search as it is now, if more trials were asked for than the known record says."""
    row = s.scalars(select(Search).where(Search.id == known.id).with_for_update()).one()
    longer = len(row.spec.get("extensions", ())) > len(known.spec.get("extensions", ()))
    return record(SearchRecord, row) if longer else None


def claim(s: Session, *, holder: str, epoch: int) -> SearchRecord | None:
    """Take the oldest search that is queued, or was left running by an earlier epoch; it runs under ours now."""
    left = and_(Search.state == "running", Search.epoch < epoch)
    query = select(Search).where(or_(Search.state == "queued", left)).order_by(Search.id).limit(1)
    row = s.scalars(query.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return None
    row.state, row.holder, row.epoch = "running", holder, epoch
    row.started_at = row.started_at or now()
    s.flush()
    return record(SearchRecord, row)


def set_phase(s: Session, search_id: str, phase: str) -> None:
    """What the search does now. Changes nothing once it has ended."""
    row = by_id(s, Search, "search", search_id)
    if row.state not in ENDED:
        row.phase = phase


def set_space(s: Session, search_id: str, space: Mapping[str, Any]) -> None:
    """What it chooses from: units, dropped options with their reasons, reachable ranges."""
    by_id(s, Search, "search", search_id).space = plain(space)


def set_bound(s: Session, search_id: str, bound: Mapping[str, Any]) -> None:
    """What no plan of its space can beat, per profile."""
    by_id(s, Search, "search", search_id).bound = plain(bound)


def set_estimate(s: Session, search_id: str, estimate: Mapping[str, Any]) -> SearchRecord:
    """What was predicted when it was submitted. The first estimate stands."""
    row = by_id(s, Search, "search", search_id)
    if row.estimate is None:
        row.estimate = plain(estimate)
        s.flush()
    return record(SearchRecord, row)


def finish(s: Session, search_id: str, *, state: str, failure: Mapping[str, Any] | None = None) -> bool:
    """The end of a search. The first end stands: of a search that has ended nothing changes. Whether this was it.

    Raises:
        StoreError: `state` is no end.
    """
    ended = next((end for end in ENDED if end == state), None)
    if ended is None:
        raise StoreError(f"{state!r} is no end of a search; its ends are {', '.join(ENDED)}")
    row = by_id(s, Search, "search", search_id)
    if row.state in ENDED:
        return False
    row.state, row.phase, row.failure, row.finished_at = ended, None, plain_or_none(failure), now()
    if row.actual is None:  # an extension is no part of what was estimated
        wall_s = (row.finished_at - row.started_at).total_seconds() if row.started_at else 0.0
        row.actual = plain({"wall_s": wall_s, **precedents.spent(s, search_id)})
    return True


def same_wish(stored: Document, wished: Document) -> bool:
    """Whether two specs ask for the same, but for calibrations that submission filled in, and later extensions.

    What an earlier version stored lacks fields of this one; they are then as they are by default.
    """
    with suppress(SpecError, TypeError, KeyError):  # this version may refuse what that one took
        stored = plain(SearchSpec.from_json(stored).to_json())
    pinned = stored.get("calibrations", {})
    given: Document = wished.get("calibrations", {})
    since = {"calibrations": pinned, "extensions": []}
    rest = {**wished, **since} == {**stored, **since}
    return rest and all(profile in pinned and pinned[profile] == given[profile] for profile in given)


def _same(s: Session, project_id: str, key: str | None, document: Mapping[str, Any]) -> SearchRecord | None:
    known = None if key is None else by_key(s, project_id, key)
    if known is not None and not same_wish(known.spec, document):
        raise Conflict(f"The idempotency key {key!r} was used for another search ({known.id}): use a new key.")
    return known
