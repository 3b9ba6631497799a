"""Records of models, datasets and profiles as answers. Pure: no session, no request."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from app.api.schemas import (
    DatasetOut,
    FailureOut,
    LayerSizes,
    ModelOut,
    ModelSummary,
    Page,
    ProfileFileOut,
    ProfileOut,
    ProfileSummary,
)
from app.api.service import API
from app.store.records import DatasetRecord, ModelRecord, ProfileRecord
from costmodels.profile import Profile
from costmodels.profile_warnings import warnings
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
        activations=spec.activations if spec else None,
        upload_digest=record.upload_digest,
        request=_plain(record.request),
        links={"self": f"{API}/models/{record.id}"},
    )


def model_out(record: ModelRecord) -> ModelOut:
    """A model with its spec."""
    layers = ModelSpec.from_json(record.spec).layers if record.spec else ()
    sizes = [LayerSizes(layer=x.name, weights=x.weights, macs=x.macs, activations=x.activations) for x in layers]
    return ModelOut(**vars(model_summary(record)), sizes=sizes, spec=_plain(record.spec))


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
        digest=record.digest,
        request=dict(record.request),
        failure=failure(record.failure),
        created_at=record.created_at,
        links=_profile_links(record.id),
    )


def _profile_links(profile_id: str) -> dict[str, str]:
    base = f"{API}/profiles/{profile_id}"
    parts = {name: f"{base}/{name}" for name in ("match", "pays", "aliases", "calibrations")}
    return {"self": base, "page": f"/profiles/{profile_id}", "csv": f"{base}.csv", **parts}


def file_digests(record: ProfileRecord) -> list[str]:
    """The files that a profile says it was made from."""
    return [file["sha256"] for file in (record.document or {}).get("files", ())]


def profile_out(record: ProfileRecord, kept: Collection[str]) -> ProfileOut:
    """A profile with its document; `kept` are the digests of files that can be had here."""
    document = record.document or {}
    files = [
        ProfileFileOut(
            name=file["name"],
            sha256=file["sha256"],
            format=file.get("format", ""),
            link=f"{API}/profiles/{record.id}/files/{file['sha256']}" if file["sha256"] in kept else None,
        )
        for file in document.get("files", ())
    ]
    return ProfileOut(
        **vars(profile_summary(record)),
        warnings=list(warnings(Profile.from_json(document))) if document else [],
        files=files,
        document=_plain(record.document),
    )
