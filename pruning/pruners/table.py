"""Every pruner and layer solver beside every pattern, as Markdown, from the classes themselves.

    python -m pruning.pruners.table docs/pruners.md

rewrites what stands between the markers of that page.
"""

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pruning.errors import PlanError
from pruning.masks import KINDS
from pruning.oneshot import SOLVERS
from pruning.pruners import PRUNERS

START, END = "<!-- generated: start -->", "<!-- generated: end -->"
COMMAND = "python -m pruning.pruners.table docs/pruners.md"
LAYERS = ("conv", "depthwise", "linear")  # what the conformance suite lays patterns on
_WEIGHTS = ("unstructured", "nm")  # what solvers serve
_NOT_SOLVED = "a layer solver chooses single weights"
_HEADS = ("name", "paper", "unstructured", "n:m", "block", "kernel", "channel", "state", "cost")
_BESIDE = ("pruning.pruners.mask_metrics", "pruning.quantise.dkm", "pruning.quantise.palette", "pruning.quantise.int8")
_UNSURE = re.compile("unverified|could not be verified|not at hand|our reading|our own reading", re.IGNORECASE)


def table() -> str:
    """The page's generated part: the table, why cells say no, the conformance count, what rests on unverified text."""
    parts = (_grid(), _refusals(), _count(), _doubts())
    return "\n\n".join("\n".join(part) for part in parts)


def combinations() -> int:
    """Pruners x patterns that they serve x kinds of layer that these can sit on."""
    return sum(len(LAYERS) - (kind == "kernel") for pruner in PRUNERS.values() for kind in pruner.patterns())


def rewritten(page: str) -> str:
    """A page with its generated part made anew.

    Raises:
        PlanError: the page has no markers.
    """
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise PlanError(f"the page has no generated part: put {START} and {END} where it belongs")
    return f"{before}{START}\n\n{table()}\n\n{END}{after}"


def _grid() -> Iterator[str]:
    yield _row(_HEADS)
    yield _row(["---"] * len(_HEADS))
    for name, pruner in PRUNERS.items():
        served = ["no" if kind in pruner.refuses else "yes" for kind in KINDS]
        yield _row([f"`{name}`", pruner.paper, *served, pruner.state, pruner.cost])
    for name, module in _solvers():
        served = ["yes" if kind in _WEIGHTS else "no" for kind in KINDS]
        yield _row([f"`{name}`", module.PAPER, *served, "columns² x 8 bytes, while it solves", module.COST])


def _refusals() -> Iterator[str]:
    yield "Where a cell says no:"
    yield ""
    for name, pruner in PRUNERS.items():
        yield from (f"- `{name}`, {kind}: {why}." for kind, why in pruner.refuses.items())
    refused = ", ".join(kind for kind in KINDS if kind not in _WEIGHTS)
    yield f"- {', '.join(f'`{name}`' for name in SOLVERS)}: {refused}: {_NOT_SOLVED}."


def _count() -> Iterator[str]:
    pairs = sum(len(pruner.patterns()) for pruner in PRUNERS.values())
    yield (
        f"Conformance: {len(PRUNERS)} pruners make {pairs} pairs with the patterns they serve, and {combinations()} "
        f"combinations with the kinds of layer these lie on ({', '.join(LAYERS)}); every check runs over all of them."
    )


def _doubts() -> Iterator[str]:
    yield "What rests on details that could not be verified, in the words of the modules:"
    yield ""
    modules = dict.fromkeys(pruner.__module__ for pruner in PRUNERS.values())
    for name in (*modules, *(module.__name__ for _, module in _solvers()), *_BESIDE):
        doubtful = [sentence for sentence in _sentences(import_module(name)) if _UNSURE.search(sentence)]
        if doubtful:
            yield f"- `{name.removeprefix('pruning.')}`: {' '.join(doubtful)}"


def _sentences(module: ModuleType) -> list[str]:
    text = " ".join((module.__doc__ or "").split())
    return re.split(r"(?<=[.;]) (?=[A-Z])", text)


def _solvers() -> Iterator[tuple[str, ModuleType]]:
    return ((name, import_module(f"pruning.oneshot.{name}")) for name in SOLVERS)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
