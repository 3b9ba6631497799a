"""Models: uploaded here as files, opened by a worker only."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Response, UploadFile

from app.api import views
from app.api.schemas import ModelOut, ModelSummary, Page
from app.api.service import After, Here, Id, Limit
from app.api.uploads import receive, require_safetensors, require_zip, title
from app.errors import Problem
from app.store import artefacts, models
from pruning.catalogue import catalogue

router = APIRouter(prefix="/models", tags=["models"])
_MEDIA_TYPES = {True: "application/octet-stream", False: "application/zip"}


@router.post("", status_code=202)
def upload_model(
    here: Here,
    response: Response,
    file: UploadFile,
    name: Annotated[str, Form(max_length=200)] = "",
    architecture: Annotated[str, Form(max_length=80, description="a name of `GET /api/v1/architectures`")] = "",
    config: Annotated[str, Form(max_length=20_000, description="a JSON object; fields left out have defaults")] = "",
    graph: Annotated[str, Form(max_length=200, description="which graph, of a .pt2 that holds several")] = "",
) -> ModelOut:
    """Upload an exported program (`.pt2`, from `torch.export.save` or `espalier convert`), or weights of a known
    architecture (`.safetensors`, with `architecture` and `config`).

    A worker reads it next: follow `state` from `uploaded` to `ready` or `refused`.
    """
    request = _request(architecture, config, graph)
    if architecture:
        require_safetensors(file)
    else:
        require_zip(file, "a model is an exported program (.pt2), which is one; make it with 'espalier convert'")
    stored = receive(here, file)
    with here.database.begin() as session:
        media_type = _MEDIA_TYPES[bool(architecture)]
        artefacts.add(session, **stored.row(here.project_id, "model_upload", media_type))
        record = models.add(
            session,
            project_id=here.project_id,
            name=title(name, file, architecture or "model"),
            upload_digest=stored.digest,
            request=request,
        )
    answer = views.model_out(record)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("")
def list_models(here: Here, limit: Limit = 50, after: After = None) -> Page[ModelSummary]:
    """The project's models, newest first."""
    with here.database.read() as session:
        records = models.page(session, here.project_id, limit=limit + 1, after=after)
    return views.page([views.model_summary(record) for record in records], limit)


@router.get("/{model_id}")
def get_model(here: Here, model_id: Id) -> ModelOut:
    """One model: its layers and their sizes, channel groups, and what cannot be pruned and why."""
    with here.database.read() as session:
        return views.model_out(models.get(session, here.project_id, model_id))


def _request(architecture: str, config: str, graph: str) -> dict[str, Any] | None:
    """How the upload is to be read; values of the config are checked by the worker, which has the classes."""
    if not architecture:
        if config:
            raise Problem(422, "invalid", "A config goes with an architecture by name.", pointer="/config")
        return {"graph": graph} if graph else None
    if graph:
        raise Problem(422, "invalid", "A graph is chosen in a .pt2, not in an architecture by name.", pointer="/graph")
    if architecture not in catalogue():
        known = ", ".join(catalogue())
        detail = f"There is no architecture {architecture!r}; there are {known}."
        raise Problem(422, "unknown_architecture", detail, pointer="/architecture")
    return {"architecture": architecture, "config": _config(config)}


def _config(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()  # half a pair could be stored, never answered
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Problem(422, "invalid", 'A config is a JSON object such as {"depth": 18}.', pointer="/config")
    return value
