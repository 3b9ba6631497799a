"""What was asked for single trials, as nouns: what a task needs to know, and what becomes of its files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.jobs.failures import KnownFailure
from app.jobs.lease import Lease, Session
from app.jobs.nouns import Noun, Ready
from app.jobs.problem import model_files
from app.jobs.verifying import VERIFY
from app.search.exports.passport import FILE_KINDS
from app.search.exports.same import first_difference
from app.search.trial import Failure, Trial
from app.store import datasets, models, profiles, searches, trial_requests, trials
from app.store.blobs import ArtefactStore
from app.store.records import DatasetRecord, ModelRecord, SearchRecord, TrialRequestRecord
from pruning.layers import ModelSpec

Payload = Callable[[Lease, ArtefactStore, Path, TrialRequestRecord], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The records a request speaks of; `model` is the one that the task runs on."""

    search: SearchRecord
    trial: Trial
    model: ModelRecord
    dataset: DatasetRecord


def _find(lease: Lease, record: TrialRequestRecord, model_id: str | None = None) -> _Asked:
    def read(s: Session) -> _Asked:
        search = searches.get(s, record.project_id, record.search_id)
        return _Asked(
            search=search,
            trial=trials.get(s, record.search_id, record.number).trial,
            model=models.get(s, record.project_id, model_id or search.spec["model"]),
            dataset=datasets.get(s, record.project_id, search.spec["dataset"]),
        )

    return lease.read(read)


def _payload(asked: _Asked, blobs: ArtefactStore, cache: Path) -> dict[str, Any]:
    arrays = asked.dataset.arrays_digest
    if arrays is None:
        raise _known(
            "not_ready", f"Dataset {asked.dataset.name!r} is {asked.dataset.state}, so nothing can be measured"
        )
    return {
        **model_files(asked.model, blobs, cache),
        "dataset": str(blobs.local_path(arrays, cache)),
        "model_spec": asked.model.spec,
        "search_spec": asked.search.spec,
        "trial": asked.trial.to_json(),
        "threads": asked.search.spec.get("threads", 1),
    }


def _export(lease: Lease, blobs: ArtefactStore, cache: Path, record: TrialRequestRecord) -> Mapping[str, Any] | None:
    if lease.read(lambda s: trial_requests.behind_another(s, record)):
        return None  # its passport is to speak of the other's files too
    asked = _find(lease, record)
    there = asked.trial.files
    made_before = [name for name, kind in FILE_KINDS.items() if kind in there]  # one passport speaks of all files
    stored = {kind: str(blobs.local_path(there[kind], cache)) for kind in ("weights", "model") if kind in there}
    names = lease.read(
        lambda s: {key: profiles.get(s, record.project_id, key).name for key in asked.search.spec["profiles"]}
    )
    hashes = {
        "upload": asked.model.upload_digest,
        "graph": asked.model.graph_digest,
        "dense_weights": asked.model.weights_digest,
        "dataset": asked.dataset.arrays_digest,
    }
    provenance = {"search": asked.search.id, "hashes": hashes, "profiles": names}
    formats = sorted({*record.body["formats"], *made_before})
    return {**_payload(asked, blobs, cache), "stored": stored, "formats": formats, "provenance": provenance}


def _apply(lease: Lease, blobs: ArtefactStore, cache: Path, record: TrialRequestRecord) -> Mapping[str, Any] | None:
    asked = _find(lease, record, record.body["model"])
    other = asked.model
    if other.state == "refused":
        raise _known("model_refused", f"Model {other.name!r}, to which the plan was to be applied, was refused")
    if other.state != "ready":
        return None
    made_for = lease.read(lambda s: models.get(s, record.project_id, asked.search.spec["model"]))
    if words := first_difference(_spec(made_for), _spec(other)):
        raise _known("other_model", f"The plan does not fit model {other.name!r}: {words}")
    return _payload(asked, blobs, cache)


def _spec(record: ModelRecord) -> ModelSpec:
    if record.spec is None:
        raise _known("not_ready", f"Model {record.name!r} is {record.state}: its layers are not known yet")
    return ModelSpec.from_json(record.spec)


def _known(code: str, reason: str) -> KnownFailure:
    return KnownFailure(Failure(code=code, reason=reason))


def _exported(s: Session, request_id: str, ready: Ready) -> None:
    if trial_requests.set_ready(s, request_id, **ready):
        request = trial_requests.one(s, request_id)
        trials.add_files(s, request.search_id, request.number, ready["files"])


def _applied(s: Session, request_id: str, ready: Ready) -> None:
    trial_requests.set_ready(s, request_id, **ready)


def _refuse(s: Session, request_id: str, failure: Mapping[str, Any]) -> None:
    trial_requests.set_failed(s, request_id, dict(failure))


def _ready(result: Mapping[str, Any], files: Mapping[str, str]) -> Ready:
    return {"result": result, "files": files}


def _noun(kind: Literal["export", "apply"], payload: Payload, set_ready: Callable[[Session, str, Ready], None]) -> Noun:
    return Noun(
        name=kind,
        kind=kind,
        working="running",
        waiting=lambda s: trial_requests.waiting(s, kind),
        payload=payload,
        begin=trial_requests.set_running,
        ready=_ready,
        set_ready=set_ready,
        refuse=_refuse,
        refused="failed",
    )


REQUESTS = (_noun("export", _export, _exported), _noun("apply", _apply, _applied), VERIFY)
