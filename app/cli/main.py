"""`espalier`: every command. The bodies live beside this file and are loaded when they run."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.console import LOCAL, AsJson, Token, Url, connected, fail, out, print_json

app = typer.Typer(
    name="espalier",
    help="The best accuracy a pruned PyTorch model can keep at every latency, on the accelerators it must run on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Host = Annotated[str | None, typer.Option(help="address to listen on; others than loopback need ESPALIER_TOKEN")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="port to listen on")]
Parent = Annotated[int | None, typer.Option(hidden=True, help="leave when this process is gone")]


@app.command()
def serve(host: Host = None, port: Port = None, parent: Parent = None) -> None:
    """Run the service: API, pages and one local worker. Ctrl-C ends all of it; searches go on at the next start."""
    from app.cli import serve as service

    service.run(service.chosen(host, port), with_worker=True, parent=parent)


@app.command()
def api(host: Host = None, port: Port = None) -> None:
    """Run API and pages alone; workers run elsewhere against the same database and artefacts."""
    from app.cli import serve as service

    service.run(service.chosen(host, port), with_worker=False)


@app.command()
def worker(parent: Parent = None) -> None:
    """Run a worker alone: it reads models, measures profiles and runs searches."""
    from app.cli import serve as service

    service.run_worker(parent)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration."""
    from app.cli import serve as service

    service.migrate()


@app.command()
def health(url: Url = LOCAL) -> None:
    """Exit with 0 if a service answers at the address."""
    with connected(url, None) as client:
        print_json(client.health())


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="file.py:factory, package.module:factory, or an architecture's name")],
    target: Annotated[Path, typer.Argument(help="file to write: .pt2, or .safetensors for an architecture")],
    shapes: Annotated[
        list[str] | None,
        typer.Option("--input", help="one sample: 3x32x32; 128:30522 for 128 whole numbers below 30522; repeat"),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="to load first: .safetensors, or a state dict (.pt)")] = None,
    config: Annotated[str, typer.Option(help="of an architecture: JSON, or a .json file")] = "",
    mode: Annotated[str | None, typer.Option(help="train or eval; train where that can be had, if left out")] = None,
) -> None:
    """Make an uploadable file from a module of your own. Your code runs here, on your side, and nowhere else."""
    from app.cli import convert as conversion

    conversion.run(source, target, conversion.Wish(inputs=shapes or (), weights=weights, config=config, mode=mode))


@app.command()
def front(
    search: Annotated[str, typer.Argument(help="id of a search")],
    profile: Annotated[str | None, typer.Option(help="id of one of its profiles; all if left out")] = None,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Print the front of a search."""
    from app.cli import tables

    with connected(url, token) as client:
        handle = client.search(search)
        fronts = [handle.front(key) for key in ([profile] if profile else handle.document["profiles"])]
        if as_json:
            print_json(fronts)
            return
        for found in fronts:
            out().print(tables.front_table(found))
        out().print(handle.url, markup=False, highlight=False)


@app.command()
def extend(
    search: Annotated[str, typer.Argument(help="id of a search that runs or succeeded")],
    trials: Annotated[int, typer.Argument(min=1, help="how many trials more")],
    wait: Annotated[bool, typer.Option(help="wait for the end and print the fronts")] = True,
    url: Url = LOCAL,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Ask for more trials of a search; those that were run stay as they are."""
    from app.cli import submit as submission

    with connected(url, token) as client:
        handle = client.search(search).extend(trials)
        if wait:
            handle.wait()
        submission.show(handle, as_json=as_json)


def _listing(noun: str) -> None:
    def command(url: Url = LOCAL, token: Token = None, as_json: AsJson = False) -> None:
        from app.cli import tables

        with connected(url, token) as client:
            items = list(client.pages(noun))
            if as_json:
                print_json(items)
            else:
                out().print(tables.listing(noun, items))

    command.__doc__ = f"List the {noun}, newest first."
    app.command(noun)(command)


for _noun in ("models", "datasets", "profiles", "searches"):
    _listing(_noun)


@app.command()
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    once: Annotated[bool, typer.Option("--once", help="end after the front instead of serving on")] = False,
    trials: Annotated[int, typer.Option(min=1, help="trials beside the two dense ones")] = 24,
) -> None:
    """From nothing to a front: trains a small network on handwritten digits, searches, and shows the result."""
    from app.cli import demo as walk

    raise typer.Exit(walk.run(port, once=once, trials=trials))


def _register_submit() -> None:
    from app.cli.submit import submit
    from app.cli.upload import upload

    app.command()(upload)
    app.command()(submit)


def _register_profile() -> None:
    from app.cli.profile import profile
    from app.cli.profile_import import register

    register(profile)
    app.add_typer(profile)


def _register_export() -> None:
    from app.cli.export import apply, export

    app.command()(export)
    app.command()(apply)


def _register_fleet() -> None:
    from app.cli.fleet import fleet, reprice

    app.command()(fleet)
    app.command()(reprice)


_register_submit()


def _register_verify() -> None:
    from app.cli.verify import ship, verify

    app.command()(verify)
    app.command()(ship)


_register_fleet()
_register_export()
_register_verify()
_register_profile()
__all__ = ["app", "fail"]

if __name__ == "__main__":
    app()
