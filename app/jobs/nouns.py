"""The rows that a worker makes ready: what waits, what its task needs, what becomes of the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.jobs.failures import KnownFailure
from app.jobs.lease import Lease, Session
from app.jobs.problem import model_files
from app.search.executor import TaskKind
from app.search.trial import Failure
from app.store import datasets, models, profiles
from app.store.blobs import ArtefactStore
from app.store.records import DatasetRecord, ModelRecord, ProfileRecord

Ready = Mapping[str, Any]  # the keyword arguments of the repository's `set_ready`


@dataclass(frozen=True, kw_only=True)
class Noun:
    """One kind of row. `payload` answers None while another row must be ready first."""

    name: str
    kind: TaskKind
    working: str
    waiting: Callable[[Session], Sequence[Any]]
    payload: Callable[[Lease, ArtefactStore, Path, Any], Mapping[str, Any] | None]
    begin: Callable[[Session, str], None]
    ready: Callable[[Mapping[str, Any], Mapping[str, str]], Ready]
    set_ready: Callable[[Session, str, Ready], None]
    refuse: Callable[[Session, str, Mapping[str, Any]], None]
    refused: str = "refused"  # the row's word for that


def _inspect(_: Lease, blobs: ArtefactStore, cache: Path, record: ModelRecord) -> Mapping[str, Any]:
    return {"upload": str(blobs.local_path(record.upload_digest, cache)), **(record.request or {})}


def _prepare(_: Lease, blobs: ArtefactStore, cache: Path, record: DatasetRecord) -> Mapping[str, Any]:
    upload = record.upload_digest and str(blobs.local_path(record.upload_digest, cache))
    return {"kind": record.kind, "upload": upload, "options": dict(record.options)}


def _measure(lease: Lease, blobs: ArtefactStore, cache: Path, record: ProfileRecord) -> Mapping[str, Any] | None:
    request = record.request
    model = lease.read(lambda s: models.get(s, record.project_id, request["model"]))
    if model.state == "refused":
        reason = f"The model {model.name!r}, on which it was to be measured, was refused"
        raise KnownFailure(Failure(code="model_refused", reason=reason, details={"model": model.id}))
    if model.state != "ready":
        return None
    asked = {"batch": request.get("batch", 64), "threads": request.get("threads", 1)}
    asked |= {key: request[key] for key in ("backend", "device", "precision") if key in request}
    return {**model_files(model, blobs, cache), "spec": model.spec, **asked}


def _measured(result: Mapping[str, Any], _: Mapping[str, str]) -> Ready:
    from costmodels.profile import Profile  # it checks every row, as for a profile that somebody uploads

    profile = Profile.from_json(result["profile"])
    return {"document": profile.to_json(), "digest": profile.digest}


NOUNS = (
    Noun(
        name="model",
        kind="inspect",
        working="inspecting",
        waiting=models.waiting,
        payload=_inspect,
        begin=models.set_inspecting,
        ready=lambda result, files: {
            "spec": result["spec"],
            "graph_digest": files["graph"],
            "weights_digest": files["weights"],
        },
        set_ready=lambda s, record_id, ready: models.set_ready(s, record_id, **ready),
        refuse=lambda s, record_id, failure: models.set_refused(s, record_id, dict(failure)),
    ),
    Noun(
        name="dataset",
        kind="prepare",
        working="preparing",
        waiting=datasets.waiting,
        payload=_prepare,
        begin=datasets.set_preparing,
        ready=lambda result, files: {"meta": result["meta"], "arrays_digest": files["arrays"]},
        set_ready=lambda s, record_id, ready: datasets.set_ready(s, record_id, **ready),
        refuse=lambda s, record_id, failure: datasets.set_refused(s, record_id, dict(failure)),
    ),
    Noun(
        name="profile",
        kind="profile",
        working="measuring",
        waiting=profiles.waiting,
        payload=_measure,
        begin=profiles.set_measuring,
        ready=_measured,
        set_ready=lambda s, record_id, ready: profiles.set_ready(s, record_id, **ready),
        refuse=lambda s, record_id, failure: profiles.set_refused(s, record_id, dict(failure)),
    ),
)
