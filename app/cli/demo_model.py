"""The demo's own model, in a process of its own: `python -m app.cli.demo_model TARGET.pt2`.

Prints one JSON object a line on standard output: {"text": ...} while it works, {"accuracy": ...} at the end. This is
the only training that the demo does outside the product.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def main(target: Path) -> None:
    """Train the reference network on the digits and convert it into an uploadable file."""
    import torch

    from app.search.reference import train_digits
    from pruning.convert import convert

    module, accuracy = train_digits(seed=0)
    _tell(text="exporting it with torch.export")
    partial = target.with_name(f"{target.stem}-{os.getpid()}{target.suffix}")
    convert(module, torch.rand(2, 1, 8, 8), partial)
    partial.replace(target)
    _tell(accuracy=accuracy)


def _tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
