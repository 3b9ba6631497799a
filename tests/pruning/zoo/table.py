"""`python -m tests.pruning.zoo.table`: every model of the zoo, hop by hop, and why one stopped."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.pruning.zoo.entries import ZOO
from tests.pruning.zoo.hops import HOPS, travel


def rows(names: list[str]) -> list[tuple[str, ...]]:
    """A row a model: what each hop found, and the reason of the one that failed."""
    made = []
    for name in names:
        with TemporaryDirectory() as folder:
            way = travel(ZOO[name], Path(folder))
        cells = [way.found.get(hop, "FAILED" if hop == way.failed else "") for hop in HOPS]
        made.append((name, *cells, way.reason))
    return made


def main() -> None:
    """Print the table as Markdown."""
    wanted = sys.argv[1:] or list(ZOO)
    found = rows(wanted)
    head = ("model", *HOPS, "reason")
    for row in (head, tuple("---" for _ in head), *found):
        sys.stdout.write(f"| {' | '.join(cell.replace(chr(10), ' ') for cell in row)} |\n")
    passed = sum(not row[-1] for row in found)
    sys.stdout.write(f"\n{passed} of {len(found)} models pass every hop\n")


if __name__ == "__main__":
    main()
