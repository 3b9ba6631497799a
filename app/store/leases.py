"""Leases: who may act under a name until when. Every new term has a later epoch, which fences the one before."""

from datetime import datetime, timedelta

from sqlalchemy import CursorResult, select, update
from sqlalchemy.orm import Session

from app.store.rows import insert_unless_there
from app.store.tables import Lease


def acquire(s: Session, *, name: str, holder: str, ttl_s: float, now: datetime) -> int | None:
    """A new term for `holder`: its epoch, or None while the lease is somebody else's.

    Whoever holds it already gets a new term too, and its old one is over.
    """
    expires_at = now + timedelta(seconds=ttl_s)
    first = {"name": name, "holder": holder, "epoch": 1, "expires_at": expires_at}
    if insert_unless_there(s, Lease, first):
        return 1
    query = select(Lease).where(Lease.name == name).with_for_update()
    row = s.scalars(query.execution_options(populate_existing=True)).one()
    if row.holder != holder and row.expires_at > now:
        return None
    row.holder, row.epoch, row.expires_at = holder, row.epoch + 1, expires_at
    s.flush()
    return row.epoch


def renew(s: Session, *, name: str, holder: str, epoch: int, ttl_s: float, now: datetime) -> bool:
    """Prolong a term to `now + ttl_s`; False if it is over because a later one began.

    A term that ran out but that nobody followed is prolonged too: only an epoch ends it, no clock. The row stays
    locked until the transaction ends, so what is written beside a renewal is written by the holder.
    """
    term = update(Lease).where(Lease.name == name, Lease.holder == holder, Lease.epoch == epoch)
    result = s.execute(term.values(expires_at=now + timedelta(seconds=ttl_s)))
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
