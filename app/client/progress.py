"""The progress bar of a search: phase, trials done, best accuracy so far, time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

if TYPE_CHECKING:
    from app.client.handles import Search


def duration(seconds: float | None) -> str:
    """A time left in words."""
    if seconds is None:
        return "–"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def describe(document: dict[str, Any]) -> str:
    """Where a search stands, in a line."""
    progress = document["progress"]
    metric, best = progress["metric"], progress["best"]
    return (
        f"{document['phase'] or document['state']}"
        f" · best {metric} {'–' if best is None else f'{best:.1%}' if metric == 'accuracy' else f'{best:.4g}'}"
        f" · {duration(progress['seconds_left'])} left"
    )


@contextmanager
def bar(search: "Search", console: Console | None = None) -> Iterator[Callable[["Search"], None]]:
    """A bar that follows the search; on a console that is no terminal, a line for every change instead."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trials"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(describe(search.document), total=search.document["progress"]["total"])

        def update(now: "Search") -> None:
            counts = now.document["progress"]
            text = describe(now.document)
            progress.update(task, description=text, completed=counts["done"], total=counts["total"])

        yield update


def _lines(console: Console) -> Callable[["Search"], None]:
    said: list[tuple[Any, ...]] = []

    def update(now: "Search") -> None:
        progress = now.document["progress"]
        key = (now.state, now.document["phase"], progress["done"])
        if said[-1:] != [key]:
            said.append(key)
            console.print(f"{progress['done']}/{progress['total']} trials · {describe(now.document)}", highlight=False)

    return update
