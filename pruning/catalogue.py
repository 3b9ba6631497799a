"""What can be had by name, read without torch: names, config fields with defaults and limits, and where it runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CATALOGUE_FILE = Path(__file__).parent / "architectures" / "catalogue.json"


@dataclass(frozen=True, kw_only=True)
class ArchitectureEntry:
    """One architecture; `library` is the package that has it, "" for our own."""

    name: str
    library: str
    fields: Mapping[str, Mapping[str, Any]]

    @property
    def installed(self) -> bool:
        """Whether its library is found here; that it can be imported, only an import would show."""
        return not self.library or find_spec(self.library) is not None


@cache
def catalogue() -> Mapping[str, ArchitectureEntry]:
    """Every architecture by name."""
    document = json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))
    return {name: ArchitectureEntry(name=name, **entry) for name, entry in document.items()}
