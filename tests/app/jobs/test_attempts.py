"""Directories of attempts and their ends."""

import os
import time
from pathlib import Path

from app.jobs.attempts import (
    RESULT,
    finished_before,
    new_attempt,
    question,
    read_end,
    sweep,
    task_folder,
    write_end,
)
from app.search.executor import Outcome, Task
from app.search.trial import Failure


def task(**changes: object) -> Task:
    return Task(**{"id": "t", "kind": "trial", "payload": {"x": 1}, **changes})  # type: ignore[arg-type]


def test_the_end_reads_back_as_written(tmp_path: Path) -> None:
    folder = new_attempt(tmp_path, task())
    (folder / "w.bin").write_bytes(b"w")
    done = Outcome(task="t", state="done", result={"a": [1, 2.5, None]}, files={"weights": str(folder / "w.bin")})
    assert read_end(folder, task()) is None
    write_end(folder, task(), done)
    assert read_end(folder, task()) == done
    assert not list(folder.glob("*.part"))


def test_half_a_result_is_no_result(tmp_path: Path) -> None:
    folder = new_attempt(tmp_path, task())
    write_end(folder, task(), Outcome(task="t", state="done"))
    text = (folder / RESULT).read_text()
    for length in (0, 1, len(text) // 2):
        (folder / RESULT).write_text(text[:length])
        assert read_end(folder, task()) is None
        assert finished_before(tmp_path, task()) is None


def test_the_question_decides_and_the_attempt_does_not() -> None:
    asked = question(task())
    assert question(task(attempt=3)) == asked
    different = [task(payload={"x": 2}), task(kind="score"), task(threads=2)]
    assert asked not in {question(other) for other in different}


def test_a_failure_is_kept_but_not_taken_for_a_result(tmp_path: Path) -> None:
    folder = new_attempt(tmp_path, task())
    failed = Outcome(task="t", state="failed", failure=Failure(code="c", reason="r", details={"d": 1}))
    write_end(folder, task(), failed)
    assert read_end(folder, task()) == failed
    assert finished_before(tmp_path, task()) is None


def test_attempts_of_one_number_do_not_meet(tmp_path: Path) -> None:
    folders = {new_attempt(tmp_path, task()) for _ in range(5)}
    assert len(folders) == 5


def test_ids_that_look_alike_have_their_own_folders(tmp_path: Path) -> None:
    ids = ["a/b", "a-b", "a b", "../a-b", "A-B"]
    assert len({task_folder(tmp_path, name) for name in ids}) == len(ids)


def test_sweep_takes_what_is_old_and_nothing_else(tmp_path: Path) -> None:
    old, new = new_attempt(tmp_path, task(id="old")), new_attempt(tmp_path, task(id="new"))
    long_ago = time.time() - 1000
    for path in (old, old.parent):
        os.utime(path, (long_ago, long_ago))
    assert sweep(tmp_path / "absent", older_than_s=1.0) == 0
    assert sweep(tmp_path, older_than_s=500.0) == 1
    assert not old.parent.exists()
    assert new.exists()
