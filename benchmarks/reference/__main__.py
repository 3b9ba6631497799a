"""`python -m benchmarks.reference {models,run,report} --folder DIR`; the last two with a running service (`--url`)."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from app.client import Client
from benchmarks.reference.cases import cases, make
from benchmarks.reference.report import report
from benchmarks.reference.run import run

_ALL = "digits,encoder,resnet20,mobilenet"


def _lines(asked: argparse.Namespace) -> Iterator[str]:
    known = cases(asked.folder)
    chosen = [known[name] for name in asked.cases.split(",")]
    if asked.what == "models":
        for case in chosen:
            yield from make(case, asked.folder)
        return
    with Client(asked.url) as client:
        if asked.what == "report":
            yield from report(client)
            return
        for case in chosen:
            yield from run(client, case, asked.folder, asked.trials)


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reference")
    parser.add_argument("what", choices=["models", "run", "report"])
    parser.add_argument("--folder", type=Path, default=Path("data/reference"))
    parser.add_argument("--cases", default=_ALL)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--url", default="http://127.0.0.1:8765")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    for line in _lines(asked):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
