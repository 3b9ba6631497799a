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
    source: Annotated[str, typer.Argument(help="package.module:factory or file.py:factory, called without arguments")],
    target: Annotated[Path, typer.Argument(help="file to write, .pt2")],
    shapes: Annotated[
        list[str], typer.Option("--input", help="shape of one sample, such as 3x32x32; repeat for more inputs")
    ],
    weights: Annotated[Path | None, typer.Option(help="weights to load first (.safetensors)")] = None,
) -> None:
    """Make an uploadable file from a module of your own. Your code runs here, on your side, and nowhere else."""
    from app.cli import convert as conversion

    conversion.run(source, target, shapes, weights)


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

    app.command()(submit)


def _register_profile() -> None:
    from app.cli.profile import profile
    from app.cli.profile_import import register

    register(profile)
    app.add_typer(profile)


_register_submit()
_register_profile()
__all__ = ["app", "fail"]

if __name__ == "__main__":
    app()
