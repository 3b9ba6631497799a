"""`espalier profile import | match | pays | calibrate`: what a team has on disk, and what it means for a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say

Profile = Annotated[str, typer.Argument(help="id of a profile")]
Model = Annotated[str, typer.Argument(help="id of an uploaded model")]
Word = str | None


def register(group: typer.Typer) -> None:
    """Put the commands into the group `profile`."""
    group.command("import")(import_files)
    for command in (match, pays, calibrate):
        group.command()(command)


def import_files(
    files: Annotated[list[Path], typer.Argument(help="the files of one tool, recognised by their content")],
    name: Annotated[Word, typer.Option(help="name of the profile")] = None,
    device: Annotated[Word, typer.Option(help="what the files cannot tell, here and below")] = None,
    runtime: Annotated[Word, typer.Option()] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=65_536)] = None,
    precision: Annotated[Word, typer.Option(help="float16, int8, ...")] = None,
    clock_hz: Annotated[float | None, typer.Option(help="for files that count cycles")] = None,
    network_latency_ms: Annotated[float | None, typer.Option(help="of the whole dense model, measured")] = None,
    layer: Annotated[Word, typer.Option(help="for files that hold one layer and do not name it")] = None,
    source: Annotated[Word, typer.Option(help="for a table of your own: measured, vendor, ...")] = None,
    tool: Annotated[Word, typer.Option(help="where the files could be those of several")] = None,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Upload profiler output, look-up tables or simulator reports as a profile, and say what was recognised."""
    given: dict[str, Any] = {
        "name": name, "device": device, "runtime": runtime, "batch": batch, "precision": precision,
        "clock_hz": clock_hz, "network_latency_ms": network_latency_ms, "layer": layer, "source": source, "tool": tool,
    }  # fmt: skip
    if missing := [str(path) for path in files if not path.is_file()]:
        raise fail(f"there is no file {missing[0]!r}", 2)
    with connected(url, token) as client:
        found = client.add_profile(*files, **given)
        if as_json:
            print_json(found)
            return
        document = found["document"]
        out().print(_facts(found, document))
        for sentence in found["warnings"]:
            say(f"warning: {sentence}")
        out().print(f"{client.url}{found['links']['page']}", markup=False, highlight=False)


def match(profile: Profile, model: Model, url: Url = LOCAL, token: Token = None, as_json: AsJson = False) -> None:
    """Say which layers of a profile are which of a model, how much of both that covers, and whether it is enough."""
    with connected(url, token) as client:
        found = client.get_profile_match(profile, model)
    if as_json:
        print_json(found)
        return
    title = Text(f"{found['profile_name']} on {found['model_name']}")
    table = _table(title, ("layer", "how", "of MACs", "dense, ms", "of time", "layers of the profile"), right=(2, 3, 4))
    for layer in found["layers"]:
        cells = (
            layer["name"],
            layer["rule"] or layer["state"],
            f"{layer['macs_share']:.1%}",
            _number(layer["dense_ms"]),
            "–" if layer["time_share"] is None else f"{layer['time_share']:.1%}",
            ", ".join(layer["partners"]),
        )
        table.add_row(*map(Text, cells))
    out().print(table)
    for case in found["ambiguous"]:
        say(f"ambiguous: {_some(case['layers'])} could be {_some(case['candidates'])}; {case['reason']}")
    if found["unused"]:
        say(f"not in the model: {_some([layer['name'] for layer in found['unused']])}")
    if found["macs_share"] is not None:
        say(f"covers {found['macs_share']:.1%} of the MACs and {found['time_share']:.1%} of the profile's time")
    gate = found["gate"]
    needs = f": acknowledge {' and '.join(gate['acknowledge'])}" if gate["acknowledge"] else ""
    say(f"{gate['verdict']}{needs}" + (f". {gate['reason']}" if gate["reason"] else ""))


def pays(
    profiles: Annotated[list[str], typer.Argument(metavar="PROFILE... MODEL", help="ids; the model's comes last")],
    csv: Annotated[bool, typer.Option("--csv", help="print a spreadsheet instead of a table")] = False,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Say which zeros pay on which layer of a model on which device, and why not."""
    *chosen, model = profiles
    if not chosen:
        raise fail("name one or more profiles and, last, a model", 2)
    with connected(url, token) as client:
        if csv:
            typer.echo(client.get_model_pays_csv(model, chosen), nl=False)
            return
        found = client.get_model_pays(model, chosen)
    if as_json:
        print_json(found)
        return
    for device in found["profiles"]:
        mine = {(item["layer"], item["kind"]): item for item in found["items"] if item["profile"] == device["id"]}
        table = _table(Text(f"{device['name']} · {found['model_name']}"), ("layer", *found["kinds"]))
        for layer in dict.fromkeys(layer for layer, _ in mine):
            table.add_row(Text(layer), *(Text(_verdict(mine.get((layer, kind)))) for kind in found["kinds"]))
        out().print(table)


def calibrate(
    profile: Profile,
    point: Annotated[list[str] | None, typer.Option(help="predicted:measured in ms, as 2.1:2.3; repeat")] = None,
    trial: Annotated[list[str] | None, typer.Option(help="SEARCH/NUMBER:measured in ms; repeat")] = None,
    start_over: Annotated[bool, typer.Option("--start-over", help="forget the points of the versions before")] = False,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Feed measured latencies back: makes a new version of the profile's calibration, for searches to come."""
    points = [*map(read_point, point or ()), *map(read_trial, trial or ())]
    if not points:
        raise fail("give at least one --point or --trial", 2)
    with connected(url, token) as client:
        found = client.add_calibration(profile, points, start_over=start_over)
    if as_json:
        print_json(found)
        return
    title = f"version {found['version']}: measured = {found['factor']:.4g} x predicted + {found['offset_ms']:.4g} ms"
    table = _table(Text(title), ("point", "predicted, ms", "calibrated, ms", "measured, ms", "off by"), (1, 2, 3, 4))
    for one in found["points"]:
        times = (one["predicted_ms"], one["calibrated_ms"], one["measured_ms"])
        table.add_row(Text(one["label"] or "–"), *map(_number, times), f"{one['residual']:+.1%}")
    out().print(table)
    if found["warning"]:
        say(f"warning: {found['warning']}")


def read_point(text: str) -> dict[str, float]:
    """`2.1:2.3` as a predicted and a measured latency."""
    predicted, _, measured = text.partition(":")
    return {"predicted_ms": _read_ms(predicted, text), "measured_ms": _read_ms(measured, text)}


def read_trial(text: str) -> dict[str, Any]:
    """`SEARCH/7:2.3` as a trial and what it took."""
    name, _, measured = text.rpartition(":")
    search, _, number = name.rpartition("/")
    if not search or not number.isdecimal():
        raise fail(f"--trial {text!r} is not SEARCH/NUMBER:measured_ms, such as 0192.../7:2.3", 2)
    return {"search": search, "trial": int(number), "measured_ms": _read_ms(measured, text)}


def _read_ms(number: str, text: str) -> float:
    try:
        return float(number.strip().removesuffix("ms"))
    except ValueError:
        raise fail(f"{text!r} holds no latency in ms where one must stand, such as 2.3", 2) from None


def _facts(found: Mapping[str, Any], document: Mapping[str, Any]) -> Table:
    table = Table(title=Text(found["name"]), title_justify="left", show_header=False)
    facts = {
        "profile": found["id"],
        "recognised": f"{document.get('tool') or 'a profile of our own'} ({found['request'].get('importer', '')})",
        "device": f"{document['device']}, batch {document['batch']}, {document['precision']}",
        "source": f"{document['source']}, {document.get('statistic', 'unknown')} of single layers",
        "layers": f"{len({row['layer'] for row in document.get('rows', ())})} with times, {found['rows'] or 0} rows",
        "whole network": f"{_number(document.get('network_latency_ms'))} ms",
    }
    for key, value in facts.items():
        table.add_row(key, Text(value))
    return table


def _verdict(item: Mapping[str, Any] | None) -> str:
    if item is None:
        return "–"
    if item["verdict"] == "above":
        return f"from {item['from_sparsity']:.0%}, saves {item['saved_share']:.0%}"
    return f"pays, saves {item['saved_share']:.0%}" if item["verdict"] == "pays" else str(item["verdict"])


def _table(title: Text, columns: Sequence[str], right: Sequence[int] = ()) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index in right else "left")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
