"""A trial's files on request, its passport, and its plan applied to other weights of the same model."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import FailureOut
from app.api.service import API, Here, Id, Number, Service
from app.api.uploads import safe_filename
from app.api.views import failure
from app.errors import Problem
from app.search.exports.passport import FILES, FORMATS, Format
from app.search.exports.same import first_difference
from app.store import models, searches, trial_requests, trials
from app.store.errors import NotFound
from app.store.records import ModelRecord, RequestKind, SearchRecord, TrialRequestRecord
from pruning.layers import ModelSpec

router = APIRouter(prefix="/searches/{search_id}/trials/{number}", tags=["trials"])
Kind = Annotated[Literal["weights", "model"], Path()]


class ExportBody(BaseModel):
    """Which files are wanted; those that are there already are proven again with them."""

    model_config = ConfigDict(extra="forbid")
    formats: list[Format] = Field(
        min_length=1,
        max_length=len(FORMATS),
        description="pt2: exported program; onnx; int8: ONNX with 8-bit weights; state: plain tensors with the plan",
    )


class ApplyBody(BaseModel):
    """Whose weights the plan is applied to."""

    model_config = ConfigDict(extra="forbid")
    model: str = Field(min_length=1, max_length=64, description="an uploaded model with the same layers")


class TrialRequestOut(BaseModel):
    """Work asked for one trial. `result` says what came of it; `links.files` lead to what it made."""

    id: str
    kind: Literal["export", "apply", "verify"]
    search: str
    number: int
    state: Literal["queued", "running", "ready", "failed"]
    body: dict[str, Any]
    result: dict[str, Any] | None
    files: dict[str, str] = Field(description="kind of file -> sha256")
    failure: FailureOut | None
    created_at: str
    finished_at: str | None
    links: dict[str, str]


class TrialRequestsOut(BaseModel):
    """What was asked for one trial, newest first."""

    items: list[TrialRequestOut]


@router.post("/exports", status_code=202)
def export_trial(here: Here, response: Response, search_id: Id, number: Number, body: ExportBody) -> TrialRequestOut:
    """Have files made of a complete trial, with their passport; nothing is trained again. Follow it at `Location`."""
    complete(here, search_id, number)
    asked = {"formats": sorted(set(body.formats))}
    return ask(here, response, search_id, number, ("export", asked))


@router.post("/apply", status_code=202)
def apply_trial(here: Here, response: Response, search_id: Id, number: Number, body: ApplyBody) -> TrialRequestOut:
    """Apply a complete trial's plan, recovery and seed to newly trained weights of the same model.

    The answer has measurements and files of its own; the trial stays as it is.
    """
    search = complete(here, search_id, number)
    _check_same(here, search, body.model)
    return ask(here, response, search_id, number, ("apply", {"model": body.model}))


@router.get("/requests")
def list_trial_requests(here: Here, search_id: Id, number: Number) -> TrialRequestsOut:
    """What was asked for one trial, newest first."""
    with here.database.read() as session:
        searches.get(session, here.project_id, search_id)
        found = trial_requests.of_trial(session, search_id, number)
    return TrialRequestsOut(items=[_out(record) for record in found])


@router.get("/requests/{request_id}")
def get_trial_request(here: Here, search_id: Id, number: Number, request_id: Id) -> TrialRequestOut:
    """One request: where it stands, and what came of it."""
    return _out(_one(here, search_id, number, request_id))


@router.get("/requests/{request_id}/files/{kind}", response_class=FileResponse)
def download_request_file(here: Here, search_id: Id, number: Number, request_id: Id, kind: Kind) -> FileResponse:
    """Download what a plan made of other weights: `weights` (safetensors) or `model` (smaller, `.pt2`)."""
    record = _one(here, search_id, number, request_id)
    if kind not in record.files:
        raise Problem(404, "no_file", f"This request is {record.state} and has no file of kind {kind!r}.")
    path = here.artefacts.local_path(record.files[kind], here.settings.data_dir / "cache")
    name = f"{safe_filename('trial', number, 'applied', record.id)}.{FILES[kind]}"
    return FileResponse(path, media_type="application/octet-stream", filename=name)


@router.get("/passport")
def get_passport(here: Here, search_id: Id, number: Number) -> dict[str, Any]:
    """The passport of a trial's files: each hop with its proof, what was counted in the files, hashes and versions."""
    document = passport(here, search_id, number)
    if document is None:
        detail = f"Trial {number} has no passport yet: POST the formats you want to .../trials/{number}/exports."
        raise Problem(404, "no_passport", detail)
    return document


def passport(here: Service, search_id: str, number: int) -> dict[str, Any] | None:
    """The stored passport of a trial; None if nobody asked for one."""
    with here.database.read() as session:
        searches.get(session, here.project_id, search_id)
        digest = trials.get(session, search_id, number).trial.files.get("passport")
    if digest is None:
        return None
    with here.artefacts.open(digest) as stream:
        document: dict[str, Any] = json.load(stream)
    return document


def complete(here: Service, search_id: str, number: int) -> SearchRecord:
    """The search of a complete trial that left its weights; else 409."""
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        trial = trials.get(session, search_id, number).trial
    if trial.state != "complete" or "weights" not in trial.files:
        detail = f"Trial {number} is {trial.state} and has no stored weights: only complete trials become files."
        raise Problem(409, "not_complete", detail)
    return search


def _check_same(here: Service, search: SearchRecord, model_id: str) -> None:
    """422 where the other model is known to be another; one that is not read yet is checked by the worker."""
    with here.database.read() as session:
        made_for = models.get(session, here.project_id, search.spec["model"])
        other = _model(here, session, model_id)
    if other.state == "refused":
        raise Problem(422, "model_refused", f"Model {other.name!r} was refused.", pointer="/model")
    if made_for.spec and other.spec:
        words = first_difference(ModelSpec.from_json(made_for.spec), ModelSpec.from_json(other.spec))
        if words:
            detail = f"The plan does not fit model {other.name!r}: {words}. Upload weights of the same model."
            raise Problem(422, "other_model", detail, pointer="/model")


def _model(here: Service, session: Any, model_id: str) -> ModelRecord:
    try:
        return models.get(session, here.project_id, model_id)
    except NotFound as error:
        raise Problem(422, "not_found", str(error), pointer="/model") from None


def ask(
    here: Service, response: Response, search_id: str, number: int, wish: tuple[RequestKind, Mapping[str, Any]]
) -> TrialRequestOut:
    """Queue the work, and answer with where to follow it."""
    kind, body = wish
    with here.database.begin() as session:
        record = trial_requests.add(
            session, project_id=here.project_id, search_id=search_id, number=number, kind=kind, body=body
        )
    answer = _out(record)
    response.headers["Location"] = answer.links["self"]
    return answer


def _one(here: Service, search_id: str, number: int, request_id: str) -> TrialRequestRecord:
    with here.database.read() as session:
        return trial_requests.one_of(session, here.project_id, search_id, number, request_id)


def _out(record: TrialRequestRecord) -> TrialRequestOut:
    trial = f"{API}/searches/{record.search_id}/trials/{record.number}"
    base = f"{trial}/requests/{record.id}"
    places = {kind: f"{base}/files/{kind}" for kind in record.files}
    if record.kind == "export":  # its files became the trial's
        places = {kind: f"{trial}/files/{kind}" for kind in record.files}
        if "passport" in record.files:
            places["passport_page"] = f"/searches/{record.search_id}/trials/{record.number}/passport"
    return TrialRequestOut(
        id=record.id,
        kind=record.kind,
        search=record.search_id,
        number=record.number,
        state=record.state,
        body=dict(record.body),
        result=dict(record.result) if record.result is not None else None,
        files=dict(record.files),
        failure=failure(record.failure),
        created_at=record.created_at,
        finished_at=record.finished_at,
        links={"self": base, "trial": trial, **places},
    )
