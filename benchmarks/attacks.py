"""`python -m benchmarks.attacks`: files built to harm, and what our reader answers, as a Markdown table.

The last rows plant a payload in every string of a graph's JSON, one at a time, and count the answers.
"""

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from tests.pruning.intake.attacks import ATTACKS, Build, answer, walk
from tests.pruning.intake.exporting import export
from tests.pruning.intake.payloads import PAYLOADS, changed
from tests.pruning.intake.test_refusals import BROKEN, BROKEN_WEIGHTS

_WEIGHTS = "model_weights_config.json"


def _good(folder: Path) -> Path:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    return export(nn.Sequential(*layers).eval(), (torch.randn(2, 1, 6, 6),), folder / "good.pt2")


def _all() -> Iterator[tuple[str, Build]]:
    yield from ATTACKS.items()
    for name, plant in PAYLOADS.items():

        def planted(good: Path, folder: Path, marker: Path, plant=plant) -> Path:  # type: ignore[no-untyped-def]
            plant(good, folder / "attack.pt2", marker)
            return folder / "attack.pt2"

        yield f"payload: {name.replace('_', ' ')}", planted
    for name, (change, _) in BROKEN.items():
        yield f"broken: {name}", lambda good, folder, _, change=change: changed(good, folder, change)
    for name, (change, _) in BROKEN_WEIGHTS.items():
        yield f"weights: {name}", lambda good, folder, _, change=change: changed(good, folder, change, _WEIGHTS)


def rows(root: Path) -> Iterator[tuple[str, str]]:
    """Attack and answer; a payload that ran is said so."""
    good, marker = _good(root), root / "marker"
    for number, (name, build) in enumerate(_all()):
        folder = root / str(number)
        folder.mkdir()
        said = answer(build(good, folder, marker), folder / "out")
        yield name, "THE PAYLOAD RAN" if marker.exists() else said
    found = walk(good, root, marker)
    total: Counter[str] = Counter()
    for group in found.values():
        total.update(said.partition(":")[0].partition(",")[0] for said in group)
    counted = ", ".join(f"{count} {kind}" for kind, count in total.most_common())
    ran = "THE PAYLOAD RAN" if marker.exists() else "nothing ran"
    yield f"payload in each of {total.total()} strings and keys of the graph, one at a time", f"{counted}; {ran}"


def main() -> None:
    """Print the table."""
    sys.stdout.write("| attack | answer |\n| --- | --- |\n")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, said in rows(Path(folder)):
            sys.stdout.write(f"| {name} | {said.replace('|', '/')} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
