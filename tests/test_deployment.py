"""The compose file and the Dockerfile speak of commands, settings and files that exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.cli.main import app
from app.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", [name for name in SERVICES if "command" in SERVICES[name]])
def test_every_command_is_one_of_ours(name: str) -> None:
    program, command, *_ = SERVICES[name]["command"]
    assert program == "espalier" and command in COMMANDS
    check = SERVICES[name].get("healthcheck", {}).get("test", ["CMD", "espalier", "health"])
    assert check[2] in COMMANDS


def test_every_setting_is_one_of_ours() -> None:
    named = {
        key for service in SERVICES.values() for key in service.get("environment", {}) if key.startswith("ESPALIER_")
    }
    assert named
    assert {key.removeprefix("ESPALIER_").lower() for key in named} <= set(Settings.model_fields)


def test_every_volume_and_dependency_is_defined() -> None:
    for service in SERVICES.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_ports_are_published_on_loopback_only_and_secrets_are_required() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    text = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert all(":?" in value for value in re.findall(r"\$\{([^}]*)\}", text))


def test_the_dockerfile_copies_what_exists() -> None:
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert copied and all((ROOT / name).exists() for line in copied for name in line.split())
