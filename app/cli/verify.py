"""`espalier verify` and `espalier ship`: what a trial really takes on the worker's machine, and which one went out."""

from typing import Annotated, Any

import typer

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say

Search = Annotated[str, typer.Argument(help="id of a search")]
Number = Annotated[int, typer.Argument(min=0, help="number of one of its complete trials")]
Backends = Annotated[list[str] | None, typer.Option("--backend", help="onnxruntime, eager or compile; repeat for more")]


def verify(
    search: Search,
    number: Number,
    backends: Backends = None,
    batch: Annotated[int | None, typer.Option(min=1, help="samples a call; the search's if left out")] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32; on cuda also float16 or bfloat16")] = "float32",
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Time a trial's exported model in turns with the dense one; predicted and measured side by side."""
    how = {"batch": batch, "threads": threads, "device": device, "precision": precision}
    with connected(url, token) as client:
        request = client.verify_trial(search, number, backends or ["onnxruntime"], **how)
        say(f"asked for a verification of trial {number} (request {request['id']})")
        request = client.wait_for_request(request)
    if as_json:
        print_json(request)
        return
    if request["state"] == "failed":
        raise fail(request["failure"]["reason"])
    for row in request["result"]["rows"]:
        for line in _lines(row):
            out().print(line, markup=False, highlight=False)


def ship(
    search: Search,
    number: Number,
    note: Annotated[str, typer.Option(help="what to remember of it")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="take the mark away")] = False,
    url: Url = LOCAL,
    token: Token = None,
) -> None:
    """Mark a trial as the one that went out."""
    with connected(url, token) as client:
        trial = client.unship_trial(search, number) if undo else client.ship_trial(search, number, note)
    say(f"trial {number} is {'marked as shipped' if trial['shipped'] else 'not marked'}")


def _lines(row: dict[str, Any]) -> list[str]:
    if "failure" in row:
        return [f"{row['backend']}: {row['failure']}"]
    dense, trial = row["dense"], row["trial"]
    measured = f"measured {trial['median_ms']:.4g} ms ± {trial['std_ms']:.2g} (p10 {trial['p10_ms']:.4g})"
    beside = f"dense {dense['median_ms']:.4g} ms ± {dense['std_ms']:.2g}, ratio {row['ratio']:.3f}"
    lines = [f"{row['runtime']} on {row['device']}: {measured}; {beside}"]
    if "predicted_ms" in row:
        lines.append(f"  predicted {row['predicted_ms']:.4g} ms; calibration: {row['calibration']}")
    return [*lines, *([f"  {row['warning']}"] if row["warning"] else [])]
