"""Records of models, datasets and profiles as answers. Pure: no session, no request."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from app.api.schemas import DatasetOut, FailureOut, ModelOut, ModelSummary, Page, ProfileOut, ProfileSummary
from app.api.service import API
from app.store.records import DatasetRecord, ModelRecord, ProfileRecord
from pruning.layers import ModelSpec

Item = TypeVar("Item")


def page(items: Sequence[Item], limit: int, key: str = "id") -> Page[Item]:
    """One page of at most `limit` items; one item more was fetched to know whether there is a next page."""
    shown = list(items[:limit])
    following = str(getattr(shown[-1], key)) if len(items) > limit else None
    return Page[Item](items=shown, next=following)


def failure(document: Mapping[str, Any] | None) -> FailureOut | None:
    """A stored failure, if there is one."""
    return FailureOut.model_validate(document) if document else None


def _plain(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if document is None else dict(document)


def model_summary(record: ModelRecord) -> ModelSummary:
    """A model for the list."""
    spec = ModelSpec.from_json(record.spec) if record.spec else None
    return ModelSummary(
        id=record.id,
        name=record.name,
        state=record.state,
        failure=failure(record.failure),
        created_at=record.created_at,
        layers=len(spec.layers) if spec else None,
        parameters=spec.parameter_count if spec else None,
        macs=spec.macs if spec else None,
        upload_digest=record.upload_digest,
        links={"self": f"{API}/models/{record.id}"},
    )


def model_out(record: ModelRecord) -> ModelOut:
    """A model with its spec."""
    return ModelOut(**vars(model_summary(record)), spec=_plain(record.spec))


def dataset_out(record: DatasetRecord) -> DatasetOut:
    """A dataset."""
    return DatasetOut(
        id=record.id,
        name=record.name,
        kind=record.kind,
        state=record.state,
        options=dict(record.options),
        meta=_plain(record.meta),
        failure=failure(record.failure),
        created_at=record.created_at,
        links={"self": f"{API}/datasets/{record.id}"},
    )


def profile_summary(record: ProfileRecord) -> ProfileSummary:
    """A profile for the list."""
    document = record.document or {}
    return ProfileSummary(
        id=record.id,
        name=record.name,
        state=record.state,
        device=document.get("device"),
        source=document.get("source"),
        batch=document.get("batch"),
        precision=document.get("precision"),
        rows=len(document["rows"]) if "rows" in document else None,
        request=dict(record.request),
        failure=failure(record.failure),
        created_at=record.created_at,
        links={"self": f"{API}/profiles/{record.id}", "csv": f"{API}/profiles/{record.id}.csv"},
    )


def profile_out(record: ProfileRecord) -> ProfileOut:
    """A profile with its document."""
    return ProfileOut(**vars(profile_summary(record)), document=_plain(record.document))
