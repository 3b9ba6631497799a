"""Error tables, cached: what a key names never changes, so the first document stands."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.store.rows import insert_unless_there, plain
from app.store.tables import Score


def get(s: Session, key: str) -> dict[str, Any] | None:
    """The document of a key, if somebody worked it out before."""
    row = s.get(Score, key)
    return None if row is None else row.document


def put(s: Session, key: str, document: Mapping[str, Any]) -> None:
    """Keep a document; the key is the sha256 of all that it depends on."""
    insert_unless_there(s, Score, {"key": key, "document": plain(document)})
