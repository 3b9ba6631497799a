"""The coordinator: claims what is to be done, has it done, and writes down what came of it.

It works in terms: a term begins with the lease and ends when the lease is lost, or at `close`. What a term
left running is claimed again in the next one, here or elsewhere, and goes on from its stored trials.
"""

import time
from pathlib import Path

import structlog

from app.jobs.following import Following
from app.jobs.intake import Intake
from app.jobs.lease import Lease, LeaseLost, Renewal, Session, new_holder
from app.jobs.shared import SharedExecutor
from app.search.executor import Executor
from app.settings import Settings
from app.store import events, searches
from app.store.blobs import ArtefactStore
from app.store.database import Database
from app.store.records import SearchRecord

MAX_SEARCHES = 4
_log = structlog.get_logger("espalier.jobs")


class Coordinator:
    """Call `step` for ever, then `close`, from one thread; searches are drained in threads of their own."""

    def __init__(self, db: Database, blobs: ArtefactStore, executor: Executor, settings: Settings) -> None:
        self._db, self._blobs, self._settings = db, blobs, settings
        self._shared = SharedExecutor(executor)
        self._term: _Term | None = None
        self._next_try = 0.0

    def step(self, timeout_s: float) -> None:
        """Do what is due; waits up to `timeout_s` when nothing is."""
        if self._term is None and time.monotonic() >= self._next_try:
            self._begin_term()
        if self._term is not None:
            try:
                self._term.work(self._settings.poll_s)
            except LeaseLost:
                self._term.lost = True
            finally:
                if self._term.over():
                    self._end_term()
        self._shared.pump(min(timeout_s, self._settings.poll_s))

    def close(self) -> None:
        """Leave what runs as it is stored, and let the next coordinator in at once."""
        if self._term is not None:
            self._end_term()

    def _begin_term(self) -> None:
        # a new holder each time: searches of an earlier term are claimed again only under a later epoch
        lease = Lease.acquire(self._db, new_holder(), self._settings.lease_s)
        if lease is None:
            self._next_try = time.monotonic() + self._settings.poll_s
            return
        cache = self._settings.data_dir / "cache"
        self._term = _Term(lease, self._blobs, self._shared, cache)
        _log.info("coordinating", epoch=lease.epoch)

    def _end_term(self) -> None:
        term, self._term = self._term, None
        if term is not None:
            term.end(self._shared)
            _log.info("no longer coordinating")


class _Term:
    """One time of holding the lease."""

    def __init__(self, lease: Lease, blobs: ArtefactStore, shared: SharedExecutor, cache: Path) -> None:
        self.lost = False
        self._lease, self._blobs, self._shared, self._cache = lease, blobs, shared, cache
        self._renewal = Renewal(lease)
        self._desk = shared.desk()
        self._intake = Intake(lease, blobs, self._desk, cache)
        self._followed: dict[str, Following] = {}
        self._next_look = 0.0

    def over(self) -> bool:
        """Whether nothing more may be written in this term."""
        return self.lost or self._renewal.lost.is_set()

    def work(self, every_s: float) -> None:
        """Collect outcomes; every now and then look for new work and for cancelled searches."""
        self._intake.collect()
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + every_s
        self._intake.look()
        self._tend()
        self._claim()

    def end(self, shared: SharedExecutor) -> None:
        """Stop everything without a word in the rows, and give the lease back."""
        self._desk.stop()
        for thread in self._followed.values():
            thread.leave()
        until = time.monotonic() + 10.0
        while any(thread.is_alive() for thread in self._followed.values()) and time.monotonic() < until:
            shared.pump(0.05)
        shared.pump(0.0)
        self._renewal.end()
        try:
            self._lease.release()
        except Exception as error:
            _log.warning("the lease runs out by itself", error=type(error).__name__)

    def _tend(self) -> None:
        """Forget what ended, take up again what could not be written, pass on the wish to cancel."""
        for search_id, thread in list(self._followed.items()):
            if not thread.is_alive():
                del self._followed[search_id]
                if thread.broken:
                    self._follow(thread.search, thread.strikes + 1)
        threads = list(self._followed.values())
        searches_now = [(t.search.project_id, t.search.id) for t in threads]
        records = self._lease.read(lambda s: [searches.get(s, *key) for key in searches_now]) if threads else []
        for thread, record in zip(threads, records, strict=True):
            if record.desired == "cancel":
                thread.cancel()

    def _claim(self) -> None:
        while len(self._followed) < MAX_SEARCHES:
            try:
                search = self._lease.write(self._claim_one, patient=False)
            except Exception:
                self.lost = True  # claimed or not? A later epoch may claim it in any case
                raise
            if search is None:
                return
            _log.info("claimed", search=search.id)
            self._follow(search)

    def _claim_one(self, s: Session) -> SearchRecord | None:
        search = searches.claim(s, holder=self._lease.holder, epoch=self._lease.epoch)
        if search is not None:
            payload = {"state": search.state}
            events.add(s, project_id=search.project_id, search_id=search.id, kind="search", payload=payload)
        return search

    def _follow(self, search: SearchRecord, strikes: int = 0) -> None:
        thread = Following(self._lease, self._blobs, self._shared.desk(), self._cache, search)
        thread.strikes = strikes
        self._followed[search.id] = thread
        thread.start()
