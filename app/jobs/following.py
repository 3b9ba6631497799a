"""One claimed search from its claim to its end, in a thread of its own."""

from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import structlog

from app.jobs.failures import failure_of
from app.jobs.lease import Lease, LeaseLost, StoreAway
from app.jobs.problem import Parts, build_problem, find_parts, option_key, score_key
from app.jobs.recorder import Keys, Recorder
from app.jobs.remembering import memory_of
from app.jobs.shared import Desk, Stopped
from app.search.events import Phase, PhaseStarted
from app.search.run import run
from app.search.trial import Failure
from app.store import scores, trials
from app.store.blobs import ArtefactStore
from app.store.records import SearchRecord

MAX_STRIKES = 3
_WAIT_S = 0.3
_log = structlog.get_logger("espalier.jobs")


class Following(Thread):
    """Drains `app.search.run.run` for one search and records what happens.

    It ends in one of four ways: the search ended or failed, and its row says so; it was cancelled, likewise;
    it was told to leave or lost the lease, and the row still says running for the next one; or the
    database did not take something, then `broken` is true and the search is taken up again.
    """

    def __init__(self, lease: Lease, blobs: ArtefactStore, desk: Desk, cache: Path, search: SearchRecord) -> None:
        super().__init__(name=f"search-{search.id}", daemon=True)
        self.search = search
        self.broken = False
        self.strikes = 0
        self._lease, self._blobs, self._desk, self._cache = lease, blobs, desk, cache
        self._recorder = Recorder(lease, blobs, search)
        self._cancelled = Event()

    def cancel(self) -> None:
        """Stop its tasks and write it down as cancelled."""
        self._cancelled.set()
        self._desk.stop()

    def leave(self) -> None:
        """Stop its tasks and leave the search for the next one who claims it."""
        self._desk.stop()

    def run(self) -> None:
        """The thread's work."""
        log = _log.bind(search=self.search.id)
        try:
            state, failure = self._follow()
            while state is not None and (longer := self._recorder.finish(state, failure)) is not None:
                log.info("extended")
                self.search, self._recorder = longer, Recorder(self._lease, self._blobs, longer)
                state, failure = self._follow()
            if state is None:
                log.info("left")
                return
            log.info("ended", state=state, code=failure.code if failure else None)
        except LeaseLost:
            log.warning("left: another coordinator has taken over")
        except Exception as error:
            self.broken = True
            log.error("something could not be written", error=type(error).__name__, exc_info=error)
        finally:
            self._desk.stop()

    def _follow(self) -> tuple[str | None, Failure | None]:
        """Drain the search; its final state, or None to leave it as it is."""
        try:
            if self.search.desired == "cancel":
                return "cancelled", None
            self._drain(self._wait_for_parts())
        except Stopped:
            return ("cancelled" if self._cancelled.is_set() else None), None
        except LeaseLost:
            raise
        except Exception as error:
            if isinstance(error, StoreAway) and self.strikes < MAX_STRIKES:
                raise
            return "failed", failure_of(error, f"search {self.search.id}")
        return "succeeded", None

    def _wait_for_parts(self) -> Parts:
        """The search's records, as soon as model, data and profiles are ready."""
        phase: Phase | None = None
        while True:
            parts = self._lease.read(lambda s: find_parts(s, self.search))
            waiting_for = parts.waiting_for
            if waiting_for is None:
                return parts
            if waiting_for != phase:
                phase = waiting_for
                self._recorder.store(PhaseStarted(phase=phase))
            self._desk.poll(_WAIT_S)

    def _drain(self, parts: Parts) -> None:
        problem = build_problem(self.search, parts, self._blobs, self._cache)
        keys = Keys(table=score_key(self.search, parts), options=option_key(self.search, parts))
        history = self._lease.read(lambda s: trials.history(s, self.search.id))
        known = self._lease.read(lambda s: scores.get(s, keys.table) or scores.options(s, keys.options.key))
        memory = self._lease.read(lambda s: memory_of(s, self.search, parts))
        events = run(problem, self._desk, history, known, memory, elapsed_s=self._elapsed_s)
        for event in events:
            self._recorder.store(event, keys)

    def _elapsed_s(self) -> float:
        """Since it was first claimed, or claimed again after an extension."""
        began = self.search.started_at
        return (datetime.now(UTC) - datetime.fromisoformat(began)).total_seconds() if began else 0.0
