"""Models: uploaded here as files, opened by a worker only."""

from typing import Annotated

from fastapi import APIRouter, Form, Response, UploadFile

from app.api import views
from app.api.schemas import ModelOut, ModelSummary, Page
from app.api.service import After, Here, Id, Limit
from app.api.uploads import receive, require_zip, title
from app.store import artefacts, models

router = APIRouter(prefix="/models", tags=["models"])


@router.post("", status_code=202)
def upload_model(
    here: Here, response: Response, file: UploadFile, name: Annotated[str, Form(max_length=200)] = ""
) -> ModelOut:
    """Upload an exported program (`.pt2`, from `torch.export.save` or `espalier convert`).

    A worker reads it next: follow `state` from `uploaded` to `ready` or `refused`.
    """
    require_zip(file, "a model is an exported program (.pt2), which is one; make it with 'espalier convert'")
    stored = receive(here, file)
    with here.database.begin() as session:
        artefacts.add(session, **stored.row(here.project_id, "model_upload", "application/zip"))
        record = models.add(
            session, project_id=here.project_id, name=title(name, file, "model"), upload_digest=stored.digest
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
    """One model: its layers, channel groups, and what cannot be pruned and why."""
    with here.database.read() as session:
        return views.model_out(models.get(session, here.project_id, model_id))
