"""`describe`: every architecture that can be had by name, as JSON; run as a module, it writes the file anew.

The file beside this one is what the service lists: to import the architectures themselves takes torch, seconds and
hundreds of megabytes. A test compares the two.
"""

import json
from typing import Any

from pruning.architectures.hub import HUB
from pruning.architectures.table import ARCHITECTURES
from pruning.catalogue import CATALOGUE_FILE


def describe() -> dict[str, Any]:
    """By name: where it comes from ("" for our own), and each field of its config with default and limits."""
    own = {name: {"library": "", "fields": entry.config.described()} for name, entry in ARCHITECTURES.items()}
    hub = {name: {"library": entry.library, "fields": entry.config.described()} for name, entry in HUB.items()}
    return own | hub


def main() -> None:
    """Write the file anew, a line an architecture."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in describe().items()]
    CATALOGUE_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
