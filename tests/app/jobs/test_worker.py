"""The worker process, killed, stopped and frozen in the middle of a search."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.jobs.lease import Lease, new_holder
from app.store import fronts
from tests.app.jobs.world import World, results, work


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "world", lease_s=1.0)
    yield world
    world.close()


@pytest.fixture
def worker(world: World) -> "Iterator[Callable[[], subprocess.Popen[str]]]":
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        started.append(world.worker())
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], limit_s: float = 30.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_killed_in_the_middle_a_search_ends_as_if_nothing_had_happened(
    world: World, worker: "Callable[[], subprocess.Popen[str]]", tmp_path: Path
) -> None:
    calm = World(tmp_path / "calm")
    undisturbed = calm.submit(calm.parts())
    with calm.coordinator() as coordinator:
        work(coordinator, calm.over(undisturbed))
    assert calm.search(undisturbed).state == "succeeded"
    assert len(results(calm.trials(undisturbed))) == 10

    parts = world.parts()
    disturbed = world.submit(parts)
    world.order("slow", "0.3")
    world.order("kill-trial.1")  # and one child dies besides
    process = worker()
    wait_for(lambda: world.finished(disturbed) >= 3)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    wait_for(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children))
    before = world.trials(disturbed)
    assert world.search(disturbed).state == "running"
    assert 3 <= world.finished(disturbed) < 10
    world.order("slow", "0.05")
    with world.coordinator() as coordinator:
        work(coordinator, world.over(disturbed))

    assert world.search(disturbed).state == "succeeded"
    after = world.trials(disturbed)
    assert results(after) == results(calm.trials(undisturbed))
    for trial in before:
        if trial.state == "complete":
            assert trial == after[trial.number], "what was recorded is not touched again"
    assert max(trial.attempts for trial in after) > 1
    with world.database.read() as s:
        assert fronts.get(s, disturbed, parts[2]) == fronts.recomputed(s, disturbed, parts[2])
    calm.close()


def test_told_to_stop_it_leaves_the_search_and_the_lease(
    world: World, worker: "Callable[[], subprocess.Popen[str]]"
) -> None:
    world.order("slow", "60")
    search_id = world.submit(world.parts())
    process = worker()
    wait_for(lambda: any(t.state == "running" for t in world.trials(search_id)))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30.0) == 0
    wait_for(lambda: not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children))
    assert world.search(search_id).state == "running"
    assert Lease.acquire(world.database, new_holder(), 1.0) is not None, "the next one need not wait"


def test_frozen_and_overtaken_it_writes_nothing_more(
    world: World, worker: "Callable[[], subprocess.Popen[str]]"
) -> None:
    world.order("slow", "0.3")
    search_id = world.submit(world.parts())
    process = worker()
    wait_for(lambda: world.finished(search_id) >= 2)
    world.order("slow", "0.05")
    with world.database.begin():  # so that it is not frozen inside a transaction, with SQLite's one lock in its hands
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    with world.coordinator() as coordinator:
        work(coordinator, world.over(search_id))
        recorded, told = world.trials(search_id), world.events()
        process.send_signal(signal.SIGCONT)
        end = time.monotonic() + 1.5
        work(coordinator, lambda: time.monotonic() > end)
    assert world.search(search_id).state == "succeeded"
    assert world.trials(search_id) == recorded
    assert world.events() == told
    assert len(results(recorded)) == 10
