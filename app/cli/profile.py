"""`espalier profile`: measure a machine, and look at a profile, whichever tool wrote it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json, say
from costmodels.errors import CostModelError
from costmodels.measure.options import BackendName, DeviceName, MeasureOptions, Precision, Statistic
from costmodels.profile import Profile, ProfileRow

if TYPE_CHECKING:
    from costmodels.measure.document import Measured

profile = typer.Typer(name="profile", help="Cost profiles of machines: measure one, look at one.", no_args_is_help=True)
_SUFFIXES = (".json", ".csv")


@profile.command()
def measure(
    model: Annotated[str, typer.Argument(help="exported program (.pt2) to measure here, or an uploaded model's id")],
    batch: Annotated[int, typer.Option(min=1, max=65_536, help="batch size of the deployment")] = 1,
    threads: Annotated[int, typer.Option(min=1, max=256, help="processor threads")] = 1,
    backend: Annotated[BackendName, typer.Option(help="what runs the layers")] = "eager",
    device: Annotated[DeviceName, typer.Option(help="where they run")] = "cpu",
    precision: Annotated[Precision, typer.Option(help="float16 and bfloat16 on cuda alone, with 2:4 rows")] = "float32",
    statistic: Annotated[Statistic, typer.Option(help="which one of each layer's times is its latency")] = "p10",
    budget_s: Annotated[float, typer.Option(min=0.1, help="seconds of timing; compilers take more")] = 12.0,
    target: Annotated[Path | None, typer.Option("--out", help="file to write, .csv or .json")] = None,
    upload: Annotated[bool, typer.Option("--upload", help="keep it on the server too")] = False,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Measure the latency of a model's layers: of a file on this machine, of an uploaded model on a worker's machine.

    --statistic and --budget-s are for files: a worker measures the first decile for 12 seconds.
    """
    if target is not None and target.suffix not in _SUFFIXES:
        raise fail(f"--out {str(target)!r} ends neither in .csv nor in .json", 2)
    path = Path(model)
    if path.is_file():
        with _refusals(code=2):
            options = MeasureOptions(
                batch=batch,
                threads=threads,
                backend=backend,
                device=device,
                precision=precision,
                statistic=statistic,
                budget_s=budget_s,
            )
        found = _measured_here(path, options)
        made, warnings = found.profile, found.warnings
        say(f"measured in {found.seconds:.0f} s")
    else:
        wish = {"batch": batch, "threads": threads, "backend": backend, "device": device, "precision": precision}
        made, warnings, upload = _measured_there(model, wish, url, token), (), False
    if target is not None:
        _write(made, target)
    if upload:
        with connected(url, token) as client:
            say(f"uploaded as profile {client.add_profile(made.to_json())['id']}")
    _tell(made, warnings, as_json=as_json)


@profile.command()
def show(
    files: Annotated[list[Path], typer.Argument(help="a profile of ours, or the files of a tool that is known")],
    every: Annotated[bool, typer.Option("--all", help="every row, not only the layers as the model has them")] = False,
    as_json: AsJson = False,
) -> None:
    """Show a profile and what is odd about it."""
    from costmodels.importers import SourceFile, import_profile

    with _refusals():
        try:
            sources = [SourceFile(path.name, path.read_bytes()) for path in files]
        except OSError as error:
            raise fail(f"cannot read {error.filename}: {error.strerror}") from None
        found = import_profile(sources)
    _tell(found, (), as_json=as_json, every=every)


def _measured_here(path: Path, options: MeasureOptions) -> "Measured":
    say("importing torch ...")
    from costmodels.measure.campaign import measure as run
    from pruning.graphnet import load
    from pruning.intake.reader import read_exported_program, write_model
    from pruning.trace import trace

    with _refusals(), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(*read_exported_program(path), folder)
        net = load(folder)
        with _progress() as report:
            return run(net, trace(net), options, report)


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """A bar that is drawn between two timings and never during one."""
    with Progress(console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def report(fraction: float, text: str) -> None:
            bar.update(task, completed=fraction, description=_plain(text), refresh=True)

        yield report


def _plain(text: str) -> str:
    """Layer names are the uploader's: no markup, no more than a line of them."""
    return "".join(c for c in text if c.isprintable())[:40].replace("[", "(")


def _measured_there(model: str, wish: Mapping[str, Any], url: str, token: str | None) -> Profile:
    from app.cli.upload import settled

    if "/" in model or "." in model or not model:
        raise fail(f"there is no model file {model!r}")
    with connected(url, token) as client:
        found = client.add_profile({"measure": {"model": model, **wish}, "name": "a worker's machine"})
        key = settled(found, client.get_profile, "profile")
        say(f"it is profile {key}")
        return Profile.from_json(client.get_profile(key)["document"])


def _write(made: Profile, target: Path) -> None:
    import json

    text = made.to_csv() if target.suffix == ".csv" else json.dumps(made.to_json(), indent=1)
    try:
        target.write_text(text, "utf-8")
    except OSError as error:
        raise fail(f"cannot write {target}: {error.strerror}") from None
    say(f"wrote {target}")


def _tell(made: Profile, told: tuple[str, ...], *, as_json: bool, every: bool = False) -> None:
    from costmodels.profile_warnings import warnings

    sentences = (*told, *warnings(made))
    if as_json:
        print_json({"profile": made.to_json(), "warnings": list(sentences)})
        return
    out().print(_table(made, every=every))
    for sentence in sentences:
        say(f"warning: {sentence}")


def _table(made: Profile, *, every: bool) -> Table:
    """A line a row; without `every` a line a layer, as the model has it."""
    from costmodels.profile_warnings import layer_sum_ms

    title = f"{made.name} · {made.runtime or made.device}, batch {made.batch}, {made.precision}, {made.source}"
    caption = [f"layers {layer_sum_ms(made):.4g} ms ({made.statistic})"] if made.rows else []
    if made.network_latency_ms is not None:
        caption.append(f"whole network {made.network_latency_ms:.4g} ms{_spread(made.network_latency_std_ms)}")
    table = Table(title=Text(title), title_justify="left", caption=Text(", ".join(caption)))
    columns = ("layer", "pattern", "channels", "latency") if every else ("layer", "channels", "latency", "rows")
    for column in columns:
        table.add_column(column, justify="left" if column in ("layer", "pattern") else "right")
    for name, rows in made.rows_by_layer.items():
        if every:
            for row in rows:
                table.add_row(*map(Text, (name, row.pattern, _channels(row), _latency(row))))
        else:
            row = max((row for row in rows if row.pattern == "dense"), key=_width)
            table.add_row(*map(Text, (name, _channels(row), _latency(row), str(len(rows)))))
    return table


def _width(row: ProfileRow) -> float:
    """Channels of a row; left out means as in the model."""
    return (row.in_channels or float("inf")) * (row.out_channels or float("inf"))


def _channels(row: ProfileRow) -> str:
    return f"{row.in_channels or '–'} → {row.out_channels or '–'}"


def _latency(row: ProfileRow) -> str:
    return f"{row.latency_ms:.4g} ms{_spread(row.latency_std_ms)}"


def _spread(std_ms: float | None) -> str:
    return "" if std_ms is None else f" ± {std_ms:.2g}"


@contextmanager
def _refusals(code: int = 1) -> Iterator[None]:
    """The packages' own errors as sentences."""
    from pruning.errors import PruningError

    try:
        yield
    except (CostModelError, PruningError) as error:
        raise fail(str(error), code) from None
