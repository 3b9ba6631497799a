"""`LocalExecutor` under fault injection, with real processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psutil
import pytest

from app.jobs.child import ResourceLimits
from app.jobs.local import LocalExecutor
from app.search.executor import Outcome, Progress, Task
from tests.app.jobs import fake_tasks
from tests.app.jobs.test_every_executor import drain
from tests.app.jobs.world import PRELOAD

TABLE = f"{fake_tasks.__name__}:TASKS"
ROOT = Path(__file__).parents[3]
Make = Callable[..., LocalExecutor]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[LocalExecutor] = []

    def build(**options: Any) -> LocalExecutor:
        made.append(LocalExecutor(tmp_path / "work", **{"tasks": TABLE, "preload": PRELOAD, "slots": 2} | options))
        return made[-1]

    yield build
    for executor in made:
        executor.close()


def linger(tmp_path: Path, name: str = "stay", **payload: Any) -> Task:
    told = {"seconds": 600.0, "pids": str(tmp_path / f"{name}.pids"), **payload}
    return Task(id=name, kind="profile", payload=told)


def wait_for(condition: Callable[[], bool], limit_s: float = 15.0) -> None:
    end = monotonic() + limit_s
    while not condition():
        assert monotonic() < end, "waited in vain"
        sleep(0.02)


def pids(tmp_path: Path, name: str = "stay") -> tuple[int, int]:
    file = tmp_path / f"{name}.pids"
    wait_for(file.exists)
    child, grandchild = file.read_text().split()
    return int(child), int(grandchild)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("busy", [False, True])
def test_cancel_kills_the_whole_group(make: Make, tmp_path: Path, busy: bool) -> None:
    executor = make()
    executor.submit(linger(tmp_path, busy=busy))
    family = pids(tmp_path)
    executor.cancel("stay")
    assert drain(executor, 1)[0]["stay"].state == "cancelled"
    wait_for(lambda: all(gone(pid) for pid in family))


def test_a_killed_child_is_lost_and_can_be_tried_again(make: Make, tmp_path: Path) -> None:
    executor = make()
    task = linger(tmp_path, marks=str(tmp_path / "marks"))
    executor.submit(task)
    child, grandchild = pids(tmp_path)
    os.kill(child, signal.SIGKILL)
    outcome = drain(executor, 1)[0]["stay"]
    assert outcome.state == "lost"
    assert outcome.failure is not None
    assert "SIGKILL" in outcome.failure.reason
    wait_for(lambda: gone(grandchild))
    executor.submit(Task(id="stay", kind="profile", payload={**task.payload, "seconds": 0.0}, attempt=2))
    assert drain(executor, 1)[0]["stay"].state == "done"
    assert len(list((tmp_path / "marks").iterdir())) == 2


def test_a_result_survives_the_death_of_its_reader(make: Make, tmp_path: Path) -> None:
    """The child ended, nobody heard it: whoever asks next gets the result without the work."""
    first = make()
    task = Task(id="t", kind="trial", payload={"x": 4, "marks": str(tmp_path / "marks")})
    first.submit(task)
    wait_for(lambda: bool(list((tmp_path / "work").rglob("result.json"))))
    second = make()
    second.submit(Task(id="t", kind="trial", payload=task.payload, attempt=2))
    assert drain(second, 1)[0]["t"].result["y"] == 8
    assert len(list((tmp_path / "marks").iterdir())) == 1


def test_children_leave_when_their_owner_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom app.jobs.local import LocalExecutor\n"
        "from app.search.executor import Task\n"
        "executor = LocalExecutor(Path(sys.argv[1]), slots=1, tasks=sys.argv[2], preload=())\n"
        "executor.submit(Task(id='stay', kind='profile', payload={'seconds': 600.0, 'pids': sys.argv[3]}))\n"
        "while True:\n    executor.poll(1.0)\n"
    )
    arguments = [str(tmp_path / "work"), TABLE, str(tmp_path / "stay.pids")]
    owner = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT)
    family = pids(tmp_path)
    assert not any(gone(pid) for pid in family)
    owner.kill()
    owner.wait()
    wait_for(lambda: all(gone(pid) for pid in family))


def test_children_leave_when_the_fork_server_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom app.jobs.local import LocalExecutor\n"
        "from app.search.executor import Outcome, Task\n"
        "executor = LocalExecutor(Path(sys.argv[1]), slots=1, tasks=sys.argv[2], preload=())\n"
        "executor.submit(Task(id='stay', kind='profile', payload={'seconds': 600.0, 'pids': sys.argv[3]}))\n"
        "ended = []\n"
        "while not ended:\n    ended = [e for e in executor.poll(1.0) if isinstance(e, Outcome)]\n"
        "executor.submit(Task(id='again', kind='trial', payload={'x': 1}))\n"
        "while len(ended) < 2:\n    ended += [e for e in executor.poll(1.0) if isinstance(e, Outcome)]\n"
        "print(*(e.state for e in ended))\n"
        "executor.close()\n"
    )
    arguments = [str(tmp_path / "work"), TABLE, str(tmp_path / "stay.pids")]
    owner = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child, grandchild = pids(tmp_path)
    server = psutil.Process(child).ppid()
    assert server != owner.pid
    os.kill(server, signal.SIGKILL)
    said, _ = owner.communicate(timeout=20)
    assert said.split() == ["lost", "done"], "the loss is told, and a new fork server serves the next task"
    wait_for(lambda: gone(child) and gone(grandchild))


@pytest.mark.parametrize(
    ("what", "limits", "code"),
    [
        ("memory", ResourceLimits(memory_bytes=2**30), "memory_limit"),
        ("file", ResourceLimits(file_bytes=2**22), "file_limit"),
        ("cpu", ResourceLimits(cpu_s=1), "cpu_limit"),
    ],
)
def test_limits_end_a_task_with_a_reason(make: Make, what: str, limits: ResourceLimits, code: str) -> None:
    executor = make(limits={"inspect": limits})
    executor.submit(Task(id="greedy", kind="inspect", payload={"what": what}))
    outcome = drain(executor, 1)[0]["greedy"]
    assert outcome.state == "failed"
    assert outcome.failure is not None
    assert outcome.failure.code == code


def test_the_log_holds_the_trace_and_what_was_printed(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(Task(id="bad", kind="score", payload={"how": "unknown"}))
    outcome = drain(executor, 1)[0]["bad"]
    assert outcome.failure is not None
    log = next((tmp_path / "work").rglob("task.log")).read_text()
    assert "a word on the way" in log
    assert "ZeroDivisionError" in log
    assert outcome.failure.details["incident"] in log


def test_slots_bound_what_runs_at_once(make: Make, tmp_path: Path) -> None:
    executor = make(slots=1)
    for i in range(2):
        executor.submit(linger(tmp_path, f"stay{i}"))
    pids(tmp_path, "stay0")
    executor.poll(0.3)
    assert not (tmp_path / "stay1.pids").exists()
    executor.cancel("stay0")
    pids_of_the_next = executor.poll(2.0)
    assert any(isinstance(event, Outcome) for event in [*pids_of_the_next, *executor.poll(0.5)])
    pids(tmp_path, "stay1")


def test_threads_count_against_the_cores(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    executor = make(slots=None)
    assert executor.capacity() == 4
    waits = {"how": "known"}
    executor.submit(Task(id="wide", kind="score", payload=waits, threads=64))
    executor.submit(Task(id="next", kind="score", payload=waits, threads=1))
    ended, _ = drain(executor, 2)
    assert set(ended) == {"wide", "next"}, "a task wider than the machine runs alone, and does run"


def test_a_child_knows_its_threads_and_nothing_of_our_main(make: Make) -> None:
    executor = make()
    executor.submit(Task(id="tell", kind="export", payload={}, threads=3))
    told = drain(executor, 1)[0]["tell"].result
    assert told["omp"] == "3"
    assert told["main"] is None or "forkserver" in told["main"], "the test runner is not run again in a child"
    assert told["pid"] != os.getpid()


def test_progress_is_throttled_and_never_blocks_the_task(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(linger(tmp_path, seconds=1.4))
    ended, steps = drain(executor, 1)
    assert ended["stay"].state == "done"
    assert 1 <= len(steps) <= 2
    assert all(isinstance(step, Progress) for step in steps)


def test_close_leaves_nothing_behind(make: Make, tmp_path: Path) -> None:
    executor = make()
    executor.submit(linger(tmp_path))
    family = pids(tmp_path)
    executor.close()
    wait_for(lambda: all(gone(pid) for pid in family))


@pytest.mark.slow
def test_torch_is_there_before_the_task(tmp_path: Path) -> None:
    """In a process of its own, for a fork server keeps the preload of its first executor."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom app.jobs.local import LocalExecutor\n"
        "from app.search.executor import Outcome, Task\n"
        "executor = LocalExecutor(Path(sys.argv[1]), slots=1, tasks=sys.argv[2])\n"
        "executor.submit(Task(id='tell', kind='export', payload={}))\n"
        "ended = []\n"
        "while not ended:\n    ended = [e for e in executor.poll(1.0) if isinstance(e, Outcome)]\n"
        "print(ended[0].result['torch'], 'torch' in sys.modules)\n"
        "executor.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "work"), TABLE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["True", "False"], "the owner itself never loads it"
