"""The cache of error tables, shared by all searches of a model. The key names weights, mask rule, data and seed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.store.tables import Score


def get(session: Session, key: str) -> Mapping[str, Any] | None:
    """The table, if somebody paid for it already."""
    row = session.get(Score, key)
    return None if row is None else row.document


def put(session: Session, key: str, document: Mapping[str, Any]) -> None:
    """Keep a table; the first one stays, because the key determines the content."""
    if session.get(Score, key) is None:
        session.add(Score(key=key, document=dict(document)))
        session.flush()
