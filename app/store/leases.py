"""Leases: who may act under a name, until when, and since which epoch.

An epoch grows by one each time the lease changes hands; `renew` takes the row's lock, so a transaction that begins
with it excludes every other holder until it ends.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.store.tables import Lease


def acquire(session: Session, *, name: str, holder: str, ttl_s: float, now: datetime) -> int | None:
    """Take the lease if it is free or run out; answers the epoch, or None while another holds it."""
    row = session.execute(select(Lease).where(Lease.name == name).with_for_update()).scalar_one_or_none()
    until = now + timedelta(seconds=ttl_s)
    if row is None:
        row = Lease(name=name, holder=holder, epoch=1, expires_at=until)
        session.add(row)
    elif row.holder == holder:
        row.expires_at = until
    elif _utc(row.expires_at) <= now:
        row.holder, row.epoch, row.expires_at = holder, row.epoch + 1, until
    else:
        return None
    session.flush()
    return row.epoch


def renew(session: Session, *, name: str, holder: str, epoch: int, ttl_s: float, now: datetime) -> bool:
    """Prolong the lease; False if it has passed to another holder or epoch."""
    mine = (Lease.name == name) & (Lease.holder == holder) & (Lease.epoch == epoch)
    done = session.execute(update(Lease).where(mine).values(expires_at=now + timedelta(seconds=ttl_s)))
    return bool(getattr(done, "rowcount", 0))


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
