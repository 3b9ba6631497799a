"""The directories of attempts: one a start, and `result.json` in it once the attempt has ended by itself.

    <workdir>/<task>/<attempt>-<random>/result.json, task.log, and the files the task wrote

The result is written to a temporary name and renamed, so it is there whole or not at all; whoever finds it,
finds the end of the work. Nothing in a directory without it is ever read.
"""

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.search.executor import Outcome, Task
from app.search.trial import Failure

RESULT = "result.json"
LOG = "task.log"


def question(task: Task) -> str:
    """sha256 of all that decides a task's result; the attempt is not part of it."""
    asked = {"kind": task.kind, "payload": task.payload, "threads": task.threads}
    return sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def task_folder(workdir: Path, task_id: str) -> Path:
    """Where the attempts of a task live. Ids are text: only harmless characters of them show in the name."""
    shown = re.sub(r"[^A-Za-z0-9_-]", "-", task_id)[:80]
    return workdir / f"{shown}-{sha256(task_id.encode()).hexdigest()[:12]}"


def new_attempt(workdir: Path, task: Task) -> Path:
    """A fresh directory, shared with nobody, not even with the same attempt that a killed owner left."""
    folder = task_folder(workdir, task.id)
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{task.attempt:03d}-", dir=folder)).resolve()


def write_end(folder: Path, task: Task, outcome: Outcome) -> None:
    """Write how the attempt ended, at once or not at all."""
    document = {
        "question": question(task),
        "state": outcome.state,
        "result": outcome.result,
        "files": {kind: os.path.relpath(path, folder) for kind, path in outcome.files.items()},
        "failure": asdict(outcome.failure) if outcome.failure else None,
    }
    fresh = folder / f"{RESULT}.part"
    with fresh.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(folder / RESULT)


def read_end(folder: Path, task: Task) -> Outcome | None:
    """How the attempt ended; None if it never did, answered another question, or its files are gone."""
    try:
        document: Mapping[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = {kind: str(folder / name) for kind, name in document["files"].items()}
    if document["question"] != question(task) or not all(os.path.isfile(path) for path in files.values()):
        return None
    failure = Failure(**document["failure"]) if document["failure"] else None
    return Outcome(task=task.id, state=document["state"], result=document["result"], files=files, failure=failure)


def finished_before(workdir: Path, task: Task) -> Outcome | None:
    """The result of an earlier attempt at the same question, if one got to its end."""
    folder = task_folder(workdir, task.id)
    attempts = sorted(folder.iterdir()) if folder.is_dir() else []
    ends = (read_end(attempt, task) for attempt in attempts)
    return next((end for end in ends if end is not None and end.state == "done"), None)


def sweep(workdir: Path, *, older_than_s: float) -> int:
    """Remove what tasks left behind whose directory did not change for that long; how many went."""
    if not workdir.is_dir():
        return 0
    limit = time.time() - older_than_s
    old = [folder for folder in workdir.iterdir() if folder.is_dir() and _touched(folder) < limit]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return len(old)


def _touched(folder: Path) -> float:
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:
        return time.time()  # somebody works in it
