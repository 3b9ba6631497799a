"""Everything the store raises on purpose.

StoreError
├── NotFound   nothing of that kind with that id in the project
├── NotJson    a document or a number that JSON cannot say, such as NaN
└── Conflict   what was asked cannot be done in the state it is in
"""


class StoreError(Exception):
    """Root of the store's errors."""


class NotFound(StoreError):
    """Nothing of that kind with that id in the project."""

    def __init__(self, kind: str, key: object) -> None:
        super().__init__(f"No {kind} {str(key)[:80]!r} in this project.")
        self.kind, self.key = kind, key


class NotJson(StoreError, ValueError):
    """A document or a number that JSON cannot say, such as NaN."""


class Conflict(StoreError):
    """What was asked cannot be done in the state it is in."""
