"""Print the fidelity report.

Run: `python -m benchmarks.fidelity [--shared ../shared]`. Reads the validation figures and latency tables kept beside
the checkout; a file that is not there is named and skipped. Takes seconds.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fidelity import estimators, sparse, tensorrt
from benchmarks.fidelity.scores import HEAD, Score

PARTS: tuple[Callable[[Path], Iterator[Score]], ...] = (
    lambda shared: tensorrt.scores(shared / "validation"),
    lambda shared: sparse.curve_scores(shared / "validation"),
    lambda shared: sparse.network_scores(shared / "latency_tables" / "sparseml_resnet50.json"),
    lambda shared: sparse.product_scores(shared / "validation"),
    lambda shared: estimators.scores(shared / "validation"),
)


def main() -> None:
    """Print every score that can be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--shared", type=Path, default=Path("../shared"), help="folder with validation/ and latency_tables/"
    )
    shared = parser.parse_args().shared
    sys.stdout.write(HEAD + "\n")
    for part in PARTS:
        try:
            for found in part(shared):
                sys.stdout.write(found.line() + "\n")
                sys.stdout.flush()
        except FileNotFoundError as error:
            sys.stdout.write(f"| {Path(str(error.filename)).name} | not here | – | 0 | – | – | – | – | skipped |\n")


if __name__ == "__main__":
    main()
