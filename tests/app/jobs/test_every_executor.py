"""What every executor must do: one suite, each member."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from app.jobs.inline import InlineExecutor
from app.jobs.local import LocalExecutor
from app.search.executor import Executor, Outcome, Progress, Task
from tests.app.jobs import fake_tasks
from tests.app.jobs.world import PRELOAD


@pytest.fixture(params=["inline", "local"])
def executor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Executor]:
    if request.param == "inline":
        yield InlineExecutor(tmp_path / "work", tasks=fake_tasks.TASKS)
        return
    local = LocalExecutor(tmp_path / "work", slots=2, tasks=f"{fake_tasks.__name__}:TASKS", preload=PRELOAD)
    yield local
    local.close()


Drain = Callable[[Executor, int], tuple[dict[str, Outcome], list[Progress]]]


def drain(executor: Executor, outcomes: int, limit_s: float = 30.0) -> tuple[dict[str, Outcome], list[Progress]]:
    """Poll until that many tasks ended; then once more, for nothing may follow."""
    ended: dict[str, Outcome] = {}
    steps: list[Progress] = []
    end = monotonic() + limit_s
    while len(ended) < outcomes and monotonic() < end:
        for event in executor.poll(0.2):
            if isinstance(event, Progress):
                steps.append(event)
            else:
                assert event.task not in ended, "a task ends once"
                ended[event.task] = event
    assert len(ended) == outcomes
    assert executor.poll(0.0) == []
    return ended, steps


def double(x: int, **changes: Any) -> Task:
    return Task(**{"id": f"double/{x}", "kind": "trial", "payload": {"x": x}} | changes)


def test_results_files_and_progress_come_back(executor: Executor) -> None:
    for x in range(5):
        executor.submit(double(x))
    ended, steps = drain(executor, 5)
    for x in range(5):
        outcome = ended[f"double/{x}"]
        assert outcome.state == "done"
        assert outcome.failure is None
        assert outcome.result == {"y": 2 * x, "pair": [1, 2]}, "the result is what JSON keeps of it"
        assert Path(outcome.files["answer"]).read_text() == str(2 * x)
    assert {step.task for step in steps} == set(ended)
    assert len(steps) == 5, "the first report of each; the next ones come within the same second"
    assert all(0.0 <= step.fraction <= 1.0 for step in steps)


def test_each_attempt_has_its_own_directory(executor: Executor) -> None:
    executor.submit(double(1))
    first, _ = drain(executor, 1)
    executor.submit(double(1, payload={"x": 7}, attempt=2))
    second, _ = drain(executor, 1)
    assert second["double/1"].result["y"] == 14, "another question is not answered by an old result"
    folders = {Path(outcome.files["answer"]).parent for outcome in (first["double/1"], second["double/1"])}
    assert len(folders) == 2
    assert Path(first["double/1"].files["answer"]).read_text() == "2"


def test_a_retry_of_a_finished_task_returns_its_result(executor: Executor, tmp_path: Path) -> None:
    task = double(3, payload={"x": 3, "marks": str(tmp_path / "marks")})
    executor.submit(task)
    first, _ = drain(executor, 1)
    executor.submit(double(3, payload=dict(task.payload), attempt=2))
    second, _ = drain(executor, 1)
    assert second == first
    assert len(list((tmp_path / "marks").iterdir())) == 1


def test_a_result_whose_files_are_gone_is_computed_again(executor: Executor) -> None:
    executor.submit(double(3))
    first, _ = drain(executor, 1)
    Path(first["double/3"].files["answer"]).unlink()
    executor.submit(double(3, attempt=2))
    second, _ = drain(executor, 1)
    assert Path(second["double/3"].files["answer"]).read_text() == "6"


def test_a_known_error_speaks_for_itself(executor: Executor) -> None:
    executor.submit(Task(id="bad", kind="score", payload={"how": "known"}))
    outcome = drain(executor, 1)[0]["bad"]
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.code == "model_refused"
    assert outcome.failure.reason == "node 'n7' uses an operator that is not allowed"


def test_an_unknown_error_tells_only_its_incident(executor: Executor) -> None:
    executor.submit(Task(id="bad", kind="score", payload={"how": "unknown"}))
    outcome = drain(executor, 1)[0]["bad"]
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.code == "internal"
    shown = json.dumps([outcome.failure.reason, dict(outcome.failure.details)])
    assert outcome.failure.details["incident"] in outcome.failure.reason
    for word in ("secret", "Traceback", "ZeroDivision", ".py"):
        assert word not in shown


@pytest.mark.parametrize(("how", "code"), [("nan", "not_finite"), ("no json", "internal"), ("outside", "bad_result")])
def test_what_cannot_be_stored_is_a_failure(executor: Executor, how: str, code: str) -> None:
    executor.submit(Task(id="bad", kind="score", payload={"how": how}))
    outcome = drain(executor, 1)[0]["bad"]
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.code == code
    assert outcome.files == {}


def test_a_failed_task_can_be_tried_again(executor: Executor) -> None:
    for attempt in (1, 2):
        executor.submit(Task(id="bad", kind="score", payload={"how": "known"}, attempt=attempt))
        assert drain(executor, 1)[0]["bad"].state == "failed"


def test_a_kind_without_a_function_fails(executor: Executor) -> None:
    executor.submit(Task(id="odd", kind="prepare", payload={}))
    outcome = drain(executor, 1)[0]["odd"]
    assert outcome.state == "failed"


def test_cancel_ends_a_task_once_and_ignores_strangers(executor: Executor, tmp_path: Path) -> None:
    for i in range(2):
        waits = {"seconds": 0.3, "pids": str(tmp_path / f"pids{i}")}  # a file each: both may be written at once
        executor.submit(Task(id=f"first/{i}", kind="profile", payload=waits))
    executor.submit(double(1))
    executor.cancel("double/1")
    executor.cancel("double/1")
    executor.cancel("nobody")
    ended, _ = drain(executor, 3)
    assert ended["double/1"].state == "cancelled"
    assert {ended[f"first/{i}"].state for i in range(2)} == {"done"}
    executor.cancel("double/1")
    assert executor.poll(0.0) == []


def test_a_task_under_way_is_not_taken_twice(executor: Executor) -> None:
    executor.submit(double(1))
    with pytest.raises(ValueError, match="already under way"):
        executor.submit(double(1))
    drain(executor, 1)


def test_ids_are_text_and_no_paths(executor: Executor, tmp_path: Path) -> None:
    ids = ["../../outside", "a/b", "a-b", "ä" * 300, "."]
    for i, name in enumerate(ids):
        executor.submit(double(i, id=name))
    ended, _ = drain(executor, len(ids))
    work = (tmp_path / "work").resolve()
    folders = {Path(outcome.files["answer"]).parent for outcome in ended.values()}
    assert len(folders) == len(ids)
    assert all(folder.is_relative_to(work) and len(folder.relative_to(work).parts) == 2 for folder in folders)


def test_capacity_is_at_least_one(executor: Executor) -> None:
    assert executor.capacity() >= 1


def test_poll_without_work_is_empty(executor: Executor) -> None:
    assert executor.poll(0.0) == []
