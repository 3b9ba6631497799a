"""The service as processes: the API here, one worker below it that ends with it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import typer
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app.api.guard import is_loopback
from app.cli.console import fail, say
from app.settings import Settings

MAKE_TOKEN = "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
WORKER_LEAVES_S = 30.0
_RESTART_S = (1.0, 2.0, 5.0, 15.0, 30.0)


def settings_from_environment(**changes: Any) -> Settings:
    """The settings of `ESPALIER_...`, with what the command line says instead; a wrong one is said in a sentence."""
    try:
        return Settings(**{key: value for key, value in changes.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        hint = f"; make one with {MAKE_TOKEN}" if name == "TOKEN" else ""
        raise fail(f"ESPALIER_{name}: {first['msg']}{hint}", 2) from None


def chosen(host: str | None, port: int | None) -> Settings:
    """The settings to serve with; refuses to listen to other machines without a token."""
    settings = settings_from_environment(host=host, port=port)
    if not is_loopback(settings.host) and settings.token is None:
        raise fail(
            f"without a token the service listens on loopback only, not on {settings.host}: anyone who reaches it "
            "could use it. Set ESPALIER_TOKEN to a long random text first, or leave --host out.",
            2,
        )
    return settings


def environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a child process the same settings."""
    document: Mapping[str, Any] = settings.model_dump(mode="json")
    mine = {f"ESPALIER_{key.upper()}": str(value) for key, value in document.items() if value is not None}
    mine["ESPALIER_DATA_DIR"] = str(settings.data_dir.absolute())
    return {**os.environ, **mine}


def address(settings: Settings) -> str:
    """Where a browser on this machine finds the service."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def run(settings: Settings, *, with_worker: bool, parent: int | None = None) -> None:
    """Serve until a signal says stop."""
    from app.main import create_app
    from app.store.errors import StoreError

    listening = _listen(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, proxy_headers=False, timeout_graceful_shutdown=10
    )
    server = Server(config, app)
    if parent is not None:
        leave_with(parent)
    worker = Worker(settings) if with_worker else None
    try:
        _prepared(settings)  # before the worker starts, so that only one process migrates
        if worker:
            worker.start()
        say(f"Espalier is at {address(settings)} (Ctrl-C ends it)")
        server.run(sockets=[listening])
    except StoreError as error:
        raise fail(str(error)) from None
    finally:
        if worker:
            worker.stop()
    if not server.started:
        raise typer.Exit(1)


def run_worker(parent: int | None) -> None:
    """Run a worker until a signal, or until its parent is gone."""
    from app.jobs.worker import run_worker as work

    if parent is not None:
        leave_with(parent)
    work(settings_from_environment())


def migrate() -> None:
    """Bring the database to the newest migration."""
    _prepared(settings_from_environment(), migrate=True)
    say("the database is at the newest migration")


def _prepared(settings: Settings, *, migrate: bool = False) -> None:
    """Migrate an embedded database; one that is shared is only looked at, unless asked for."""
    from app.store.database import Database
    from app.store.errors import StoreError

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    try:
        database = Database(settings.resolved_database_url)
        if migrate or settings.database_is_embedded:
            database.migrate()
        else:
            database.require_current()
        database.dispose()
    except StoreError as error:
        raise fail(str(error)) from None


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        reason = error.strerror or error
        raise fail(f"cannot listen on {settings.host}:{settings.port} ({reason}); choose another with --port") from None
    return listening


class Server(uvicorn.Server):
    """uvicorn's server; on a signal it first ends the live event streams, which would otherwise hold it up."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._stopping: threading.Event = app.state.stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn on SIGINT and SIGTERM."""
        self._stopping.set()
        super().handle_exit(sig, frame)


class Worker:
    """The worker process below a service: started again if it dies, stopped with the service.

    It has a session of its own, so that Ctrl-C reaches the service alone, which then stops it in order.
    """

    def __init__(self, settings: Settings) -> None:
        self._environment = environment(settings)
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="worker-watch", daemon=True)

    def start(self) -> None:
        """Start the process and the thread that watches it."""
        self._process = self._spawn()
        self._thread.start()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for one that does not leave."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(WORKER_LEAVES_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "app.cli.main", "worker", "--parent", str(os.getpid())]
        return subprocess.Popen(command, env=self._environment, start_new_session=True)

    def _watch(self) -> None:
        deaths = 0
        while not self._stopping.wait(0.5):
            if self._process is None or self._process.poll() is None:
                continue
            pause_s = _RESTART_S[min(deaths, len(_RESTART_S) - 1)]
            deaths += 1
            say(f"the worker ended with code {self._process.returncode}; it is started again in {pause_s:g} s")
            if self._stopping.wait(pause_s):
                return
            self._process = self._spawn()


def leave_with(parent: int) -> None:
    """End this process, in order, when the process that started it is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(WORKER_LEAVES_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
