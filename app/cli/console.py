"""What the commands share: the console, the connection, and errors as sentences with an exit code.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 nobody answers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

if TYPE_CHECKING:
    from app.client import Client

REFUSED, UNREACHABLE = 1, 3
Url = Annotated[str, typer.Option("--url", envvar="ESPALIER_URL", help="address of the service")]
Token = Annotated[
    str | None, typer.Option("--token", envvar="ESPALIER_TOKEN", help="its token, if it has one", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
LOCAL = "http://127.0.0.1:8765"


def out() -> Console:
    """Where results go; a pipe gets lines of 140 characters, so that tables stay tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def say(text: str) -> None:
    """A line for the person at the terminal, on standard error; names in it are not read as markup."""
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def fail(text: str, code: int = REFUSED) -> typer.Exit:
    """Say why, and the exit to raise."""
    say(f"espalier: {text}")
    return typer.Exit(code)


def print_json(value: Any) -> None:
    """JSON on standard output, as it is."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def connected(url: str, token: str | None) -> Iterator["Client"]:
    """A client whose errors are told as sentences."""
    import httpx2

    from app.client import ApiError, Client

    try:
        with Client(url, token) as client:
            yield client
    except ApiError as error:
        for entry in error.errors:
            where = entry.get("pointer") or entry.get("parameter")
            if where and entry.get("detail") != error.detail:
                say(f"  {where}: {entry['detail']}")
        raise fail(error.detail) from None
    except httpx2.TransportError as error:
        hint = "Is it running? Start it with 'espalier serve'."
        raise fail(f"nobody answers at {url} ({error}). {hint}", UNREACHABLE) from None
