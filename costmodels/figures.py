"""`Figure`: a number with its status and source. Nothing in the catalogue of accelerators is a bare number."""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from costmodels.errors import AcceleratorError

Status = Literal["published", "fitted", "recalled", "assumed"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One positive number with where it comes from; `recalled` means nobody re-read the source."""

    value: float
    status: Status
    source: str

    def __post_init__(self) -> None:
        if not (isinstance(self.value, int | float) and isfinite(self.value) and self.value > 0):
            raise AcceleratorError(f"{self.value!r} is not a positive finite number")
        if self.status not in get_args(Status):
            raise AcceleratorError(f"status {self.status!r} is not one of {', '.join(get_args(Status))}")
        if not (isinstance(self.source, str) and self.source.strip()):
            raise AcceleratorError(f"the number {self.value!r} has no source")


def with_figures(document: Any) -> Any:
    """The same document, every table that holds a `value` made a Figure and every list a tuple."""
    if isinstance(document, dict):
        if "value" in document:
            return Figure(**document)
        return {key: with_figures(part) for key, part in document.items()}
    if isinstance(document, list):
        return tuple(with_figures(part) for part in document)
    return document
