"""`espalier fleet` and `espalier reprice`: several devices, and later ones; and how an estimate is shown."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json

Search = Annotated[str, typer.Argument(help="id of a search")]
Many = list[str] | None


def fleet(
    search: Search,
    limit: Annotated[Many, typer.Option(help="profile=0.5 (share of dense) or profile=4.2ms; repeat")] = None,
    least: Annotated[float | None, typer.Option(help="quality that every limit asks for at least")] = None,
    k: Annotated[int | None, typer.Option("--k", min=1, help="models at most; the fewest if left out")] = None,
    objective: Annotated[Literal["mean", "min"], typer.Option(help="quality over the limits to make high")] = "mean",
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print the front of the worst device; with limits also the fewest trials that meet them across the fleet."""
    limits = [_limit(text, least) for text in limit or []]
    with connected(url, token) as client:
        worst = client.get_fleet(search)
        names = {key: client.get_profile(key)["name"] for key in worst["profiles"]}
        chosen = client.cover_fleet(search, limits, k=k, objective=objective) if limits else None
        names |= {key: client.get_profile(key)["name"] for key in {one["profile"] for one in limits} - names.keys()}
    if as_json:
        print_json({"worst": worst, "cover": chosen})
        return
    out().print(_worst(worst, names))
    if chosen is not None:
        told = f"{len(chosen['numbers'])} trial(s) meet {len(chosen['limits'])} limit(s); {chosen['fewest']} at least"
        _print(told + ("" if chosen["proven"] else "; not proven to be the best"))
        out().print(_cover(chosen, names))


def reprice(
    model: Annotated[str, typer.Argument(help="id of a model")],
    profile: Annotated[str, typer.Argument(help="id of the profile that came later")],
    against: Annotated[str | None, typer.Option(help="profile to compare with; each search's first otherwise")] = None,
    acknowledge: Annotated[Many, typer.Option(help="batch, precision, coverage or ambiguity; repeat")] = None,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Price all trials of a model on another profile, without training, and print how the fronts change."""
    with connected(url, token) as client:
        found = client.reprice_model(model, profile, against=against, acknowledge=acknowledge or ())
    if as_json:
        print_json(found)
        return
    title = f"{found['trials']} trials priced on {found['profile_name']}; nothing was trained"
    table = Table(title=Text(title), title_justify="left")
    for column in ("search", "name", "trials", "points before", "points now", "enter", "leave"):
        table.add_column(column, no_wrap=column == "search")
    for change in found["searches"]:
        moved = [", ".join(str(point["number"]) for point in change[key]) or "–" for key in ("entered", "left")]
        counts = [str(change[key]) for key in ("trials", "before", "after")]
        table.add_row(*map(Text, (change["search"], change["search_name"], *counts, *moved)))
    out().print(table)
    for passed in found["passed_over"]:
        _print(f"{passed['search']} was passed over: {passed['reason']}")


def show_estimate(found: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a search will take and reach."""
    if as_json:
        print_json(found)
        return
    seconds = found["seconds"]
    ends = " to ".join(_duration(seconds[key]) for key in ("p10", "p90"))
    lines = [
        f"about {_duration(seconds['p50'])}, eight times in ten {ends}",
        f"{found['trials']} trials, {found['recoveries']} of them trained, {found['sample_passes']:,} sample passes "
        f"(and up to {found['table_passes']:,} for the error table); it ends by {found['ends_by']}",
        *found["notes"],
    ]
    for line in lines:
        _print(line)
    for expected in found["profiles"]:
        out().print(_expected(expected))
    for missed in found["unreachable"]:
        _print(f"{missed['pointer']}: {missed['detail']}")


def _print(text: str) -> None:
    out().print(text, markup=False, highlight=False, soft_wrap=True)


def _limit(text: str, least: float | None) -> dict[str, Any]:
    from app.cli.submit import read_limit

    profile, sign, wanted = text.rpartition("=")
    if not sign or not profile:
        raise fail(f"--limit {text!r} names no profile: write PROFILE=0.5 or PROFILE=4.2ms", 2)
    return {"profile": profile, **read_limit(wanted), **({} if least is None else {"least_quality": least})}


def _worst(worst: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = Table(title="front of the worst device", title_justify="left", caption="share of the dense latency there")
    for column in ("trial", "quality", "worst share", "on"):
        table.add_column(column)
    for point in worst["points"]:
        cells = (str(point["number"]), f"{point['quality']:.4g}", f"{point['share']:.1%}", names[point["profile"]])
        table.add_row(*map(Text, cells))
    return table


def _cover(chosen: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = Table(title="which trial serves which limit", title_justify="left")
    for column in ("profile", "limit", "trial", "latency", "quality"):
        table.add_column(column)
    for served in chosen["limits"]:
        limit, latency = (f"{served[key]:.4g} ms" for key in ("limit_ms", "latency_ms"))
        number, quality = str(served["number"]), f"{served['quality']:.4g}"
        table.add_row(*map(Text, (names[served["profile"]], limit, number, latency, quality)))
    return table


def _expected(expected: Mapping[str, Any]) -> Table:
    low, dense = expected["lowest_ms"], expected["dense_ms"]
    table = Table(title=Text(f"{expected['profile_name']}: {low:.4g} to {dense:.4g} ms"), title_justify="left")
    for column in ("latency", "of dense", "quality to expect", "p10 to p90", "predicted excess loss"):
        table.add_column(column)
    for level in expected["front"]:
        quality, loss = level["quality"], level["excess_loss"]
        range_ = f"{quality['p10']:.3f} to {quality['p90']:.3f}" if quality else "–"
        middle = f"{quality['p50']:.3f}" if quality else "not known"
        latency, share = f"{level['latency_ms']:.4g} ms", f"{level['share']:.0%}"
        table.add_row(latency, share, middle, range_, "–" if loss is None else f"{loss:.3g}")
    return table


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
