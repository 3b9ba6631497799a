"""`espalier upload`: a model to the service, and what its worker found in it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say

_PENDING = frozenset({"uploaded", "inspecting", "preparing", "requested", "measuring"})
Architecture = Annotated[str, typer.Option(help="the model's architecture, if the file holds weights (.safetensors)")]
Config = Annotated[str, typer.Option(help="of the architecture: JSON such as '{\"depth\": 18}', or a .json file")]
Graph = Annotated[str, typer.Option(help="which graph, of a .pt2 that holds several")]


def upload(
    file: Annotated[Path, typer.Argument(help="exported program (.pt2), or weights of an --architecture")],
    name: Annotated[str, typer.Option(help="name of the model; the file's if left out")] = "",
    architecture: Architecture = "",
    config: Config = "",
    graph: Graph = "",
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Upload a model, wait until a worker has read it, and print what it found."""
    wish = how_to_read(architecture, config, graph)
    if not file.is_file():
        raise fail(f"there is no file {str(file)!r}", 2)
    with connected(url, token) as client:
        say(f"uploading {file.name}")
        found = client.get_model(settled(client.upload_model(file, name, **wish), client.get_model, "model"))
    if as_json:
        print_json(found)
    else:
        out().print(_facts(found))


def how_to_read(architecture: str, config: str, graph: str) -> dict[str, Any]:
    """The options as keyword arguments of the client's `upload_model`."""
    return {"architecture": architecture, "config": read_config(config), "graph": graph}


def read_config(text: str) -> dict[str, Any]:
    """A JSON object, or a file with one; of a file that `espalier convert` wrote, what stands under "config"."""
    try:
        value = json.loads(Path(text).read_text("utf-8") if text.endswith(".json") else text or "{}")
    except (OSError, ValueError) as error:
        raise fail(f"--config {text[:80]!r} is neither JSON nor a file with it: {error}", 2) from None
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        value = value["config"]
    if not isinstance(value, dict):
        raise fail(f"--config {text[:80]!r} should be a JSON object", 2)
    return value


def settled(document: Mapping[str, Any], get: Any, noun: str) -> str:
    """The id of something that a worker must look at first, once it has; a refusal ends the command."""
    told = False
    begin = time.monotonic()
    while document["state"] in _PENDING:
        if not told and time.monotonic() - begin > 2.0:
            say(f"waiting for a worker: {noun} {document['name']} is {document['state']} ...")
            told = True
        time.sleep(0.3)
        document = get(document["id"])
    if document["state"] == "refused":
        raise fail(f"the {noun} was refused: {(document['failure'] or {}).get('reason', 'no reason was stored')}")
    return str(document["id"])


def _facts(model: Mapping[str, Any]) -> Table:
    table = Table(title=Text(model["name"]), show_header=False, title_justify="left")
    spec = model["spec"]
    rows = {
        "id": model["id"],
        "prunable layers": model["layers"],
        "channel groups": f"{sum(not group['reason'] for group in spec['groups'])} of {len(spec['groups'])} removable",
        "parameters": model["parameters"],
        "multiply-adds": model["macs"],
        "activations": model["activations"],
        **{f"not prunable: {name}": reason for name, reason in spec["unprunable"].items()},
    }
    for key, value in rows.items():
        table.add_row(Text(key), Text(str(value)))
    for note in spec["notes"]:
        table.add_row(Text("note"), Text(note))
    return table
