"""Everything the search raises on purpose.

SearchFailed           the search cannot go on; carries a `Failure` with code, reason and details
└── DatasetError       data that is refused, or that does not fit the model
"""

from collections.abc import Mapping
from typing import Any

from app.search.trial import Failure


class SearchFailed(ValueError):
    """The search cannot go on; `failure` says why, for people and programs."""

    def __init__(self, code: str, reason: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.details = dict(details or {})

    @property
    def failure(self) -> Failure:
        """What is stored and shown."""
        return Failure(code=self.code, reason=str(self), details=self.details)


class DatasetError(SearchFailed):
    """Data that is refused, or that does not fit the model."""


def refused(reason: str) -> DatasetError:
    """Data that cannot be taken; the reason names the culprit and what would help."""
    return DatasetError("dataset_refused", reason)
