"""`espalier export` and `espalier apply`: a trial's files on this machine, and its plan on other weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say

if TYPE_CHECKING:
    from app.client import Client

Search = Annotated[str, typer.Argument(help="id of a search")]
Number = Annotated[int, typer.Argument(min=0, help="number of one of its complete trials")]
Folder = Annotated[Path, typer.Option("--out", help="folder for the files")]


def export(
    search: Search,
    number: Number,
    formats: Annotated[list[str], typer.Option("--format", help="pt2, onnx, int8 or state; repeat for more")],
    folder: Folder = Path("."),
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Have files made of a trial, prove them, and download them with their passport."""
    with connected(url, token) as client:
        request = _waited(client, client.export_trial(search, number, formats))
        paths = client.download_request(request, folder)
        passport = client.get_passport(search, number)
    if as_json:
        print_json(passport)
        return
    for hop in passport["hops"]:
        out().print(_line(hop), markup=False, highlight=False)
    for path in paths.values():
        out().print(str(path), markup=False, highlight=False)
    failed = [hop for hop in passport["hops"] if hop["state"] == "failed"]
    if failed:
        raise fail(f"{failed[0]['name']} could not be made: {failed[0]['failure']['reason']}")


def apply(
    search: Search,
    number: Number,
    model: Annotated[str, typer.Option(help="id of an uploaded model with the same layers")],
    folder: Folder = Path("."),
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Apply a trial's plan, recovery and seed to other weights of the same model, and download what comes of it."""
    with connected(url, token) as client:
        request = _waited(client, client.apply_trial(search, number, model))
        paths = client.download_request(request, folder)
    if as_json:
        print_json(request)
        return
    for entry in request["result"]["measurements"]:
        line = f"{entry['split']} {entry['metric']} {entry['value']:.4g} ± {entry['standard_error']:.2g}"
        out().print(f"{line} ({entry['samples']} samples)", markup=False, highlight=False)
    for path in paths.values():
        out().print(str(path), markup=False, highlight=False)


def _waited(client: "Client", request: dict[str, Any]) -> dict[str, Any]:
    """The request once it is ready; Ctrl-C leaves it to the service."""
    say(f"asked for {request['kind']} of trial {request['number']} (request {request['id']})")
    request = client.wait_for_request(request)
    if request["state"] == "failed":
        raise fail(request["failure"]["reason"])
    return request


def _line(hop: dict[str, Any]) -> str:
    if hop["state"] == "failed":
        return f"{hop['name']}: failed: {hop['failure']['reason']}"
    moved = hop["difference"]
    words = f", outputs within {moved['absolute']:.2g} of {moved['against']}" if moved else ""
    size = f", {hop['file']['bytes']} bytes" if hop["file"] else ""
    return f"{hop['name']}: done{words}{size}"
