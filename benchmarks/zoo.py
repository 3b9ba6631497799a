"""`python -m benchmarks.zoo [name ...]`: every model of the zoo, hop by hop, as Markdown, and why one stopped.

From the user's module to the pruned model in ONNX Runtime: converted and compared, its eval-mode twin, trained a step,
described, counted three ways, pruned, made smaller, exported, read again, and run by another runtime.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tests.pruning.zoo.entries import ZOO
from tests.pruning.zoo.hops import ALL_HOPS, travel


def rows(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """A row a model: what each hop found, and the reason of the one that failed."""
    for name in names:
        with TemporaryDirectory() as folder:
            way = travel(ZOO[name], Path(folder), ALL_HOPS)
        cells = [way.found.get(hop, "FAILED" if hop == way.failed else "") for hop in ALL_HOPS]
        yield (name, *cells, way.reason)


def main() -> None:
    """Print the table; models may be named."""
    torch.set_num_threads(1)
    head = ("model", *ALL_HOPS, "reason")
    passed, all_ = 0, 0
    for row in (head, tuple("---" for _ in head)):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    for row in rows(sys.argv[1:] or list(ZOO)):
        sys.stdout.write(f"| {' | '.join(cell.replace(chr(10), ' ') for cell in row)} |\n")
        sys.stdout.flush()
        passed, all_ = passed + (not row[-1]), all_ + 1
    sys.stdout.write(f"\n{passed} of {all_} models pass every hop\n")


if __name__ == "__main__":
    main()
