"""The service as processes: it starts, answers, stops in order, and its worker never outlives it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from app.cli import serve
from app.cli.main import app
from app.settings import Settings

WORKER = "import sys, time\nopen(sys.argv[1], 'a').write(f'{__import__(\"os\").getpid()}\\n')\ntime.sleep(60)"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    port = free_port()
    environment = serve.environment(Settings(data_dir=tmp_path / "data", port=port))
    command = [sys.executable, "-m", "app.cli.main", "api"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        try:
            return httpx2.get(f"{url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    until(answers)
    yield process, url
    if process.poll() is None:
        process.kill()
    process.wait()


def submitted(url: str) -> str:
    """A search that waits for a worker, made over REST alone."""
    api = f"{url}/api/v1"
    spec = {
        "model": httpx2.post(f"{api}/models", files={"file": ("m.pt2", b"PK\x03\x04")}).json()["id"],
        "dataset": httpx2.post(f"{api}/datasets", data={"kind": "digits"}).json()["id"],
        "profiles": [httpx2.post(f"{api}/profiles", json={"accelerator": "eyeriss-v2"}).json()["id"]],
        "acknowledge": ["precision"],
    }
    return str(httpx2.post(f"{api}/searches", json=spec).json()["id"])


def test_it_ends_live_streams_and_leaves(service: tuple["subprocess.Popen[bytes]", str]) -> None:
    process, url = service
    search = submitted(url)
    address = f"{url}/api/v1/searches/{search}/events"
    with httpx2.stream("GET", address, timeout=30.0) as stream:
        assert stream.status_code == 200
        process.send_signal(signal.SIGTERM)
        assert "".join(stream.iter_text()) == ""  # the stream ends in order; a cut connection would raise
    process.wait(15)
    assert process.returncode in (0, -signal.SIGTERM)


def test_a_port_that_is_taken_is_said_in_a_sentence(runner: CliRunner) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        result = runner.invoke(app, ["api", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1
    assert "choose another with --port" in result.stderr


def fake_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[serve.Worker, Callable[[], list[int]]]:
    log = tmp_path / "pids"
    log.touch()
    worker = serve.Worker(Settings(data_dir=tmp_path))
    monkeypatch.setattr(
        worker, "_spawn", lambda: subprocess.Popen([sys.executable, "-c", WORKER, str(log)], start_new_session=True)
    )
    return worker, lambda: [int(line) for line in log.read_text().split()]


def test_a_worker_that_dies_is_started_again_and_ends_with_the_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(serve, "_RESTART_S", (0.05,))
    worker, pids = fake_worker(monkeypatch, tmp_path)
    worker.start()
    until(lambda: len(pids()) == 1)
    os.kill(pids()[0], signal.SIGKILL)
    until(lambda: len(pids()) == 2)
    worker.stop()
    assert not any(alive(pid) for pid in pids())


def test_a_process_leaves_when_its_parent_is_gone(tmp_path: Path) -> None:
    child = (
        "import os, sys, time\nfrom app.cli.serve import leave_with\nleave_with(int(sys.argv[2]))\n"
        "open(sys.argv[1], 'w').write(str(os.getpid()))\ntime.sleep(60)"
    )
    log = tmp_path / "pid"
    command = f"[sys.executable, '-c', {child!r}, {str(log)!r}, str(os.getpid())]"
    parent = f"import os, subprocess, sys, time\nsubprocess.Popen({command})\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent])
    until(lambda: log.exists() and bool(log.read_text()))
    pid = int(log.read_text())
    assert alive(pid)
    process.kill()
    process.wait()
    until(lambda: not alive(pid))
