"""What merely importing costs: the API and `--help` load nothing heavy. Each case runs in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = ("torch", "fvcore", "optuna", "pandas", "scipy", "sklearn")
CASES = {
    "app.main, with an application": "from app.main import create_app; create_app()",
    "app.client": "from app.client import Client; Client()",
    "the command line": "import app.cli.main, app.cli.serve, app.cli.submit, app.cli.demo, app.cli.tables",
    "espalier --help": "from typer.testing import CliRunner; from app.cli.main import app; "
    "r = CliRunner().invoke(app, ['--help']); assert r.exit_code == 0 and 'submit' in r.output, r.output",
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_heavy_is_loaded(name: str) -> None:
    code = f"{CASES[name]}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_command_line_needs_no_web_framework_to_say_what_it_can() -> None:
    heavy = ("fastapi", "sqlalchemy", "uvicorn", "httpx2")
    code = f"import sys, app.cli.main\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
