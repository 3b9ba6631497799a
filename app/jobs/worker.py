"""The worker of one machine: a coordinator over a local executor, until it is told to stop."""

import logging
import signal
import threading
from collections.abc import Sequence
from types import FrameType

import structlog

from app.jobs.attempts import sweep
from app.jobs.coordinator import Coordinator
from app.jobs.local import PRELOAD, TASKS, LocalExecutor
from app.settings import Settings
from app.store.blobs import ArtefactStore
from app.store.database import Database
from app.store.errors import StoreError

_KEEP_ATTEMPTS_S = 7 * 24 * 3600.0
_PAUSE_S = 2.0
_log = structlog.get_logger("espalier.worker")


def run_worker(
    settings: Settings,
    stop: threading.Event | None = None,
    *,
    tasks: str = TASKS,
    preload: Sequence[str] = PRELOAD,
) -> None:
    """Work until `stop` is set or, in the main thread, SIGTERM or SIGINT arrives.

    Running trials are stopped and done again by whoever goes on: a stop loses no search. A database that is
    away is asked again. `tasks` and `preload` are for tests of the machinery without torch.
    """
    stop = stop or threading.Event()
    _stop_on_signals(stop)
    logging.getLogger("optuna").setLevel(logging.WARNING)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    workdir = settings.data_dir / "work"
    sweep(workdir, older_than_s=_KEEP_ATTEMPTS_S)
    database = Database(settings.resolved_database_url)
    blobs = ArtefactStore(settings.resolved_artefact_url)
    executor = LocalExecutor(workdir, slots=settings.slots, tasks=tasks, preload=preload)
    coordinator = Coordinator(database, blobs, executor, settings)
    _log.info("ready", slots=executor.capacity())
    try:
        _wait_for_tables(database, stop)
        while not stop.is_set():
            _step(coordinator, settings, stop)
    finally:
        coordinator.close()
        executor.close()
        database.dispose()
        _log.info("stopped")


def _wait_for_tables(database: Database, stop: threading.Event) -> None:
    """Whoever starts the service migrates; a worker that is there first waits, and says for what."""
    while not stop.is_set():
        try:
            database.require_current()
        except StoreError as error:
            _log.warning("waiting for the database", reason=str(error))
            stop.wait(_PAUSE_S)
        else:
            return


def _step(coordinator: Coordinator, settings: Settings, stop: threading.Event) -> None:
    try:
        coordinator.step(settings.poll_s)
    except Exception as error:
        _log.error("a step failed and is tried again", error=type(error).__name__, exc_info=error)
        stop.wait(_PAUSE_S)


def _stop_on_signals(stop: threading.Event) -> None:
    if threading.current_thread() is not threading.main_thread():
        return

    def heed(number: int, _: FrameType | None) -> None:
        _log.info("stopping", signal=signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, heed)
    signal.signal(signal.SIGINT, heed)
