"""Error tables and the errors of single options, cached: what a key names never changes, so the first one stands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from math import isfinite
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.store.errors import NotJson
from app.store.records import ModelRecord
from app.store.rows import insert_new, insert_unless_there, plain, record
from app.store.tables import Model, OptionError, Score


@dataclass(frozen=True, kw_only=True)
class ScoreKey:
    """What the error of an option depends on, whose weights it is about, and how it is measured."""

    key: str
    weights_digest: str
    how: str


def get(s: Session, key: str) -> dict[str, Any] | None:
    """The document of a key, if somebody worked it out before."""
    row = s.get(Score, key)
    return None if row is None else row.document


def put(s: Session, key: str, document: Mapping[str, Any]) -> None:
    """Keep a document; the key is the sha256 of all that it depends on."""
    insert_unless_there(s, Score, {"key": key, "document": plain(document)})


def options(s: Session, key: str) -> dict[str, Any]:
    """The errors known under a key: `{"options": {option: error}, "samples": n}`, options as canonical JSON."""
    query = select(OptionError.option, OptionError.error, OptionError.samples).where(OptionError.key == key)
    rows = s.execute(query.order_by(OptionError.option_digest)).all()
    samples = max((row.samples for row in rows), default=0)
    return {"options": {row.option: row.error for row in rows}, "samples": samples}


def put_options(s: Session, key: ScoreKey, errors: Mapping[str, float], samples: int) -> None:
    """Keep errors by option; those that are there already stay as they are.

    Raises:
        NotJson: an error is no finite number.
    """
    if strange := [option for option, error in errors.items() if not isfinite(error)]:
        raise NotJson(f"The error of option {strange[0][:80]} is {errors[strange[0]]}, which is no finite number")
    rows = [
        {
            "key": key.key,
            "option_digest": sha256(option.encode()).hexdigest(),
            "option": option,
            "weights_digest": key.weights_digest,
            "how": key.how,
            "error": error,
            "samples": samples,
        }
        for option, error in errors.items()
    ]
    if rows:
        s.execute(insert_new(s, OptionError), rows)


def of_other_models(
    s: Session, project_id: str, key: ScoreKey, before: str
) -> list[tuple[ModelRecord, dict[str, float]]]:
    """The project's other models whose options were scored in this way, the oldest first, with errors by option.

    Only what was known at `before` (ISO 8601) counts; where an option has several errors, their mean.
    """
    e, then = OptionError, datetime.fromisoformat(before)
    others = select(e.weights_digest).where(e.weights_digest != key.weights_digest, e.how == key.how).distinct()
    wanted = select(Model).where(
        Model.project_id == project_id, Model.weights_digest.in_(others), Model.state == "ready"
    )
    rows: dict[str, Model] = {}
    for row in s.scalars(wanted.order_by(Model.id)):
        rows.setdefault(str(row.weights_digest), row)  # the same weights uploaded twice are one model
    found = ((row, _means(s, replace(key, weights_digest=digest), then)) for digest, row in rows.items())
    return [(record(ModelRecord, row), errors) for row, errors in found if errors]


def _means(s: Session, key: ScoreKey, then: datetime) -> dict[str, float]:
    e = OptionError
    query = select(e.option, func.avg(e.error).label("error")).where(e.weights_digest == key.weights_digest)
    query = query.where(e.how == key.how, e.created_at <= then).group_by(e.option).order_by(e.option)
    return {row.option: row.error for row in s.execute(query)}
