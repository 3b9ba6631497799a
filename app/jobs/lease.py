"""Who may write: a lease with an epoch, held in the database and checked inside every transaction.

A coordinator that was paused or cut off may wake up and go on; what it then tries to write meets a lease of a
later epoch and is rolled back. So of two coordinators never both write, whatever their clocks say.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from threading import Event, Thread
from typing import Any, TypeVar

import structlog

from app.jobs.failures import KnownFailure
from app.jobs.patience import patiently
from app.store import leases
from app.store.database import Database
from app.store.errors import StoreError

NAME = "coordinator"
T = TypeVar("T")
Session = Any  # SQLAlchemy's; its name stays in the store
_log = structlog.get_logger("espalier.jobs")


class LeaseLost(Exception):
    """Somebody else coordinates now: nothing of this holder may be written any more."""


class StoreAway(Exception):
    """The database could not be reached, or did not take what was to be written."""


def new_holder() -> str:
    """A name for this process that no other and no restart shares, readable in the table."""
    return f"{socket.gethostname()}/{os.getpid()}/{token_hex(4)}"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """One holder's time as the coordinator. A new time is a new lease with a later epoch."""

    database: Database
    holder: str
    epoch: int
    ttl_s: float

    @classmethod
    def acquire(cls, database: Database, holder: str, ttl_s: float) -> "Lease | None":
        """The lease, if nobody else holds it."""
        with database.begin() as session:
            epoch = leases.acquire(session, name=NAME, holder=holder, ttl_s=ttl_s, now=datetime.now(UTC))
        return None if epoch is None else cls(database=database, holder=holder, epoch=epoch, ttl_s=ttl_s)

    def guard(self, session: Session) -> None:
        """Prolong the lease in this transaction, which thereby excludes every other holder until it ends.

        Raises:
            LeaseLost: it is somebody else's.
        """
        if not self._prolong(session, self.ttl_s):
            raise LeaseLost

    def release(self) -> None:
        """Let the next one in at once."""
        with self.database.begin() as session:
            self._prolong(session, 0.0)

    def write(self, action: Callable[[Session], T], *, patient: bool = True) -> T:
        """Run `action` in a transaction of its own that holds the lease.

        A database that is away for a moment is asked again, so `action` may run more than once, unless it is
        better not `patient`.

        Raises:
            LeaseLost: nothing was written, and nothing may be.
            StoreError: the action's own.
            StoreAway: the database did not take it.
        """

        def once() -> T:
            with self.database.begin() as session:
                self.guard(session)
                return action(session)

        try:
            return patiently(once, unless=(LeaseLost, StoreError)) if patient else once()
        except (LeaseLost, StoreError):
            raise
        except Exception as error:
            raise StoreAway from error

    def read(self, action: Callable[[Session], T]) -> T:
        """Run `action` on a consistent view of the database.

        Raises:
            StoreAway: the database did not answer.
        """

        def once() -> T:
            with self.database.read() as session:
                return action(session)

        try:
            return patiently(once, unless=(StoreError, KnownFailure))
        except (StoreError, KnownFailure):
            raise
        except Exception as error:
            raise StoreAway from error

    def _prolong(self, session: Session, ttl_s: float) -> bool:
        now = datetime.now(UTC)
        return leases.renew(session, name=NAME, holder=self.holder, epoch=self.epoch, ttl_s=ttl_s, now=now)


class Renewal:
    """Renews a lease in a thread, a third of its time at a go; `lost` is set when that fails for too long."""

    def __init__(self, lease: Lease) -> None:
        self.lost = Event()
        self._lease = lease
        self._ended = Event()
        self._thread = Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop renewing."""
        self._ended.set()
        self._thread.join(5.0)

    def _renew(self) -> None:
        held_until = time.monotonic() + self._lease.ttl_s
        while not self._ended.wait(self._lease.ttl_s / 3):
            asked = time.monotonic()
            try:
                with self._lease.database.begin() as session:
                    self._lease.guard(session)
                held_until = asked + self._lease.ttl_s
            except LeaseLost:
                self.lost.set()
            except Exception as error:
                _log.warning("the lease could not be renewed", error=type(error).__name__)
            if time.monotonic() > held_until:
                self.lost.set()
            if self.lost.is_set():
                return
