"""Task functions for the executor tests: small, deterministic, and able to misbehave on demand."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.jobs.perform import Report, TaskTable
from pruning.errors import IntakeError

Answer = tuple[dict[str, Any], dict[str, str]]


def _count(payload: Mapping[str, Any]) -> None:
    """Leave a mark outside, so that a test can count the runs."""
    if (marks := payload.get("marks")) is not None:
        Path(marks).mkdir(exist_ok=True)
        (Path(marks) / f"{time.time_ns()}-{os.getpid()}").touch()


def double(payload: Mapping[str, Any], folder: Path, report: Report) -> Answer:
    _count(payload)
    for step in range(3):
        report(step / 3, f"step {step}")
    (folder / "answer.txt").write_text(str(payload["x"] * 2))
    return {"y": payload["x"] * 2, "pair": (1, 2)}, {"answer": str(folder / "answer.txt")}


def fail(payload: Mapping[str, Any], _folder: Path, _report: Report) -> Answer:
    sys.stderr.write("a word on the way\n")
    match payload["how"]:
        case "known":
            raise IntakeError("node 'n7' uses an operator that is not allowed")
        case "unknown":
            raise ZeroDivisionError("secret path /home/somebody")
        case "nan":
            return {"loss": float("nan")}, {}
        case "no json":
            return {"what": object()}, {}
        case "outside":
            return {}, {"answer": "/etc/hostname"}
    raise AssertionError(payload)


def linger(payload: Mapping[str, Any], _folder: Path, report: Report) -> Answer:
    """Write the process ids of this process and of a child of it, then stay."""
    _count(payload)
    other = subprocess.Popen(["sleep", "600"])
    ids = Path(payload["pids"])
    fresh = ids.with_suffix(".part")
    fresh.write_text(f"{os.getpid()} {other.pid}")
    fresh.rename(ids)
    end = time.monotonic() + payload["seconds"]
    while time.monotonic() < end:
        if payload.get("busy"):
            sum(range(10_000))
        else:
            time.sleep(0.02)
        report(0.5, "staying")
    other.kill()
    other.wait()
    return {"stayed": payload["seconds"]}, {}


def take(payload: Mapping[str, Any], folder: Path, _report: Report) -> Answer:
    """Take more than is allowed."""
    match payload["what"]:
        case "memory":
            return {"bytes": len(bytearray(4 * 2**30))}, {}
        case "file":
            with (folder / "large.bin").open("wb") as stream:
                for _ in range(64):
                    stream.write(bytes(2**20))
        case "cpu":
            while True:
                pass
    return {}, {}


def tell(_payload: Mapping[str, Any], folder: Path, _report: Report) -> Answer:
    return {
        "pid": os.getpid(),
        "folder": str(folder),
        "omp": os.environ.get("OMP_NUM_THREADS"),
        "main": getattr(sys.modules["__main__"], "__file__", None),
        "torch": "torch" in sys.modules,
    }, {}


TASKS: TaskTable = {"trial": double, "score": fail, "profile": linger, "inspect": take, "export": tell}
