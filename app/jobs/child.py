"""What runs in the process of one attempt. The API imports nothing of it; nothing here opens a database.

The process leads a group of its own, so that one signal reaches whatever the task starts; it leaves when its
owner dies; what it prints goes to `task.log` in its directory.
"""

import ctypes
import faulthandler
import importlib
import json
import logging
import os
import resource
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path

from app.jobs.attempts import LOG
from app.jobs.perform import Reporter, TaskTable, perform
from app.search.executor import Progress, Task

_PR_SET_PDEATHSIG = 1
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class ResourceLimits:
    """What one process may take; None means no limit. Memory is counted beyond what it starts with."""

    memory_bytes: int | None = None
    cpu_s: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All that a child is told. `tasks` names the task table as `module:attribute`: our own words only."""

    task: Task
    folder: str
    tasks: str
    limits: ResourceLimits


def main(assignment: Assignment, progress: Connection) -> None:
    """Entry point of the child."""
    os.setsid()
    _leave_with_the_parent()
    folder = Path(assignment.folder)
    _log_into(folder)
    _forget_secrets()
    _apply(assignment.limits)
    _use_threads(assignment.task.threads)
    os.chdir(folder)  # a stray relative path lands where it does no harm
    os.set_blocking(progress.fileno(), False)
    reporter = Reporter(task=assignment.task.id, send=lambda step: _send(progress, step))
    perform(assignment.task, load_table(assignment.tasks), folder, reporter)


def load_table(name: str) -> TaskTable:
    """The task table behind `module:attribute`."""
    module, _, attribute = name.partition(":")
    table: TaskTable = getattr(importlib.import_module(module), attribute)
    return table


def _leave_with_the_parent() -> None:
    """Die with the fork server (a signal of the kernel) and with the process behind it (a pipe)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    owner = parent_process()
    assert owner is not None, "a task's child has a parent"
    threading.Thread(target=_watch, args=(owner.sentinel,), name="parent-watch", daemon=True).start()


def _watch(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)


def _log_into(folder: Path) -> None:
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)


def _forget_secrets() -> None:
    """The service's settings (the database's password, the token) are not for what opens strangers' files."""
    for name in [name for name in os.environ if name.startswith("ESPALIER_")]:
        del os.environ[name]


def _apply(limits: ResourceLimits) -> None:
    """Lower the soft and hard limits; a limit that is already lower stays."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_AS: None if limits.memory_bytes is None else _address_space() + limits.memory_bytes,
    }
    for kind, value in wanted.items():
        if value is None:
            continue
        hard = resource.getrlimit(kind)[1]
        spare = 5 if kind == resource.RLIMIT_CPU else 0  # at the soft one comes SIGXCPU, which says why; then SIGKILL
        most = [v if hard == resource.RLIM_INFINITY else min(v, hard) for v in (value, value + spare)]
        resource.setrlimit(kind, (most[0], most[1]))


def _address_space() -> int:
    """Bytes of address space in use; torch alone maps gigabytes that cost nothing."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 4 * 2**30
    return pages * resource.getpagesize()


def _use_threads(threads: int) -> None:
    """A fixed thread count is part of the result: sums are taken in its order."""
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def _send(progress: Connection, step: Progress) -> None:
    try:
        progress.send_bytes(json.dumps([step.fraction, step.text]).encode())
    except OSError:  # nobody reads, or not fast enough: losing one does no harm
        return
