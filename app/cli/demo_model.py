"""The demo's own model, in a process of its own: `python -m app.cli.demo_model TARGET.pt2`.

Prints one JSON object a line on standard output: {"text": ...} while it works, {"accuracy": ...} at the end. This is
the only training that the demo does outside the product.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main(target: Path) -> None:
    """Train the reference network on the digits and convert it into an uploadable file."""
    import torch

    from app.search.reference import digits_accuracy, train_digits
    from pruning.convert import convert

    module = train_digits(seed=0, report=_quarters())
    accuracy = digits_accuracy(module)
    _tell(text="exporting it with torch.export")
    partial = target.with_name(f"{target.stem}-{os.getpid()}{target.suffix}")
    convert(module, torch.rand(2, 1, 8, 8), partial)
    partial.replace(target)
    _tell(accuracy=accuracy)


def _quarters() -> Callable[[float, str], None]:
    """A report that speaks four times on the way."""
    told = 0

    def report(fraction: float, text: str) -> None:
        nonlocal told
        if int(fraction * 4) > told:
            told = int(fraction * 4)
            _tell(text=text)

    return report


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
