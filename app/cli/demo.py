"""`espalier demo`: from nothing to a front on this machine, the way a user would walk: upload, submit, look.

The only thing done outside the product is the training of the demo's model; everything else goes over REST.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli.console import out, say
from app.cli.serve import WORKER_LEAVES_S, address, chosen, environment
from app.cli.submit import show
from app.cli.upload import settled
from app.settings import Settings

if TYPE_CHECKING:
    from app.client import Client

ACCELERATOR = "eyeriss-v2"
BATCH = 64
RECOVERY_STEPS = 30  # few, on purpose: digits are easy, and with hundreds of steps every plan would recover
START_S = 60.0
MODEL_NAME = "digits residual CNN"


def run(port: int, *, once: bool, trials: int) -> int:
    """The whole walk; returns the exit code. Run twice, the second search stands beside the first."""
    settings = chosen(None, port)
    try:
        with _service(settings) as (client, ours):
            code = _walk(client, settings, trials)
            if once or not ours:
                return code
            say(f"The service goes on at {address(settings)}; Ctrl-C ends it.")
            ours.wait()
            return code
    except KeyboardInterrupt:
        say("ended; 'espalier serve' shows the history again and goes on with searches that were not over")
        return 130 if once else 0


def _walk(client: "Client", settings: Settings, trials: int) -> int:
    begin = time.monotonic()
    model = _model(client, settings)
    dataset = _dataset(client)
    profiles = [_measured(client, model), _catalogued(client)]
    spec: dict[str, Any] = {
        "name": "demo: handwritten digits",
        "model": model,
        "dataset": dataset,
        "profiles": profiles,
        "batch": BATCH,
        "trials": trials,
        "recovery": {"steps": RECOVERY_STEPS},
        "acknowledge": ["precision"],  # the accelerator computes in a precision of its own
    }
    search = client.submit_search(spec)
    say(f"Search submitted. Watch it at {search.url}")
    search.wait()
    if not search.finished:
        raise KeyboardInterrupt  # Ctrl-C while waiting
    show(search)
    out().print(f"The front, live and clickable: {search.url}", markup=False, highlight=False, soft_wrap=True)
    say(f"From model to front in {time.monotonic() - begin:.0f} s.")
    return 0 if search.state == "succeeded" else 1


def _model(client: "Client", settings: Settings) -> str:
    path = settings.data_dir / "demo" / "digits.pt2"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        say(f"The demo's own model is there already: {path}")
    else:
        say("Training the demo's own model: a small residual CNN on scikit-learn's handwritten digits.")
        say("(This is the only training done here by the demo; from now on the product works on the file.)")
        _train(path)
    digest = sha256(path.read_bytes()).hexdigest()
    for known in client.pages("models"):
        if known["upload_digest"] == digest and known["state"] != "refused":
            return settled(known, client.get_model, "model")
    say("Uploading it as a user would: an exported program, read by the product's own reader.")
    return settled(client.upload_model(path, MODEL_NAME), client.get_model, "model")


def _train(path: Path) -> None:
    command = [sys.executable, "-m", "app.cli.demo_model", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said = _read(line)
            if "accuracy" in said:
                say(f"  trained: {said['accuracy']:.2%} accuracy on its test split")
            elif "text" in said:
                say(f"  {said['text']}")
    if process.returncode != 0:
        raise SystemExit("espalier: the demo's model could not be trained; the lines above say why")


def _read(line: str) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {"text": line.strip()}
    return said if isinstance(said, dict) else {}


def _dataset(client: "Client") -> str:
    for known in client.pages("datasets"):
        if known["kind"] == "digits" and known["options"] == {"seed": 0} and known["state"] != "refused":
            return settled(known, client.get_dataset, "dataset")
    return settled(client.add_dataset("digits", options={"seed": 0}), client.get_dataset, "dataset")


def _measured(client: "Client", model: str) -> str:
    wish = {"model": model, "batch": BATCH, "threads": 1}
    for known in client.pages("profiles"):
        if known["state"] != "refused" and _same(known["request"], wish):
            return settled(known, client.get_profile, "profile")
    say("Profile 1 of 2: the product measures this machine, layer by layer (some seconds).")
    return settled(client.add_profile({"measure": wish, "name": "this machine"}), client.get_profile, "profile")


def _same(request: Mapping[str, Any], wish: Mapping[str, Any]) -> bool:
    return all(request.get(key) == value for key, value in wish.items())


def _catalogued(client: "Client") -> str:
    for known in client.pages("profiles"):
        if known["name"] == ACCELERATOR and known["batch"] == BATCH and known["source"] == "analytical":
            return str(known["id"])
    say(f"Profile 2 of 2: the analytical accelerator {ACCELERATOR} of the catalogue, which skips zeros.")
    precision = client.get_accelerator(ACCELERATOR)["precisions"][0]
    wish = {"accelerator": ACCELERATOR, "batch": BATCH, "precision": precision, "name": ACCELERATOR}
    return str(client.add_profile(wish)["id"])


@contextmanager
def _service(settings: Settings) -> Iterator[tuple["Client", "subprocess.Popen[bytes] | None"]]:
    """A client on a running service, and the process if we had to start one; it is stopped in the end."""
    from app.client import Client

    with Client(address(settings), settings.token) as client:
        if _answers(client):
            say(f"Using the service that runs at {address(settings)}.")
            yield client, None
            return
        process = _start(settings)
        try:
            _await(client, process, settings)
            yield client, process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(WORKER_LEAVES_S + 15)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(settings: Settings) -> "subprocess.Popen[bytes]":
    import os

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = settings.data_dir / "service.log"
    say(f"Starting the service with its local worker; its log is {log}")
    command = [sys.executable, "-m", "app.cli.main", "serve", "--parent", str(os.getpid())]
    with log.open("ab") as sink:
        return subprocess.Popen(command, env=environment(settings), stdout=sink, stderr=sink, start_new_session=True)


def _await(client: "Client", process: "subprocess.Popen[bytes]", settings: Settings) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            taken = " The port is taken by something else." if _taken(settings) else ""
            raise SystemExit(f"espalier: the service ended at once.{taken} See {settings.data_dir / 'service.log'}")
        if _answers(client):
            return
        time.sleep(0.2)
    raise SystemExit(f"espalier: the service does not answer; see {settings.data_dir / 'service.log'}")


def _answers(client: "Client") -> bool:
    import httpx2

    from app.client import ApiError

    try:
        return bool(client.connection.send("GET", "/healthz", repeatable=False).json()["service"] == "espalier")
    except (httpx2.TransportError, ApiError, ValueError, KeyError, TypeError):
        return False


def _taken(settings: Settings) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((settings.host, settings.port)) == 0
