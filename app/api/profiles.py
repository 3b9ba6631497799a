"""Profiles: uploaded as JSON or CSV, taken from the accelerator catalogue, or measured by a worker."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from app.api import views
from app.api.profile_bodies import AcceleratorBody, MeasureBody, ProfileBody, read_body
from app.api.schemas import Page, ProfileOut, ProfileSummary
from app.api.service import After, Here, Id, Limit
from app.api.uploads import safe_filename
from app.errors import Problem
from app.store import models, profiles
from app.store.errors import NotFound
from costmodels.profile import Profile

router = APIRouter(prefix="/profiles", tags=["profiles"])
_WISHES = (AcceleratorBody.__name__, MeasureBody.__name__)
_DOCUMENT: dict[str, Any] = {"type": "object", "description": "a profile document; see docs/concepts.md"}
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "string", "format": "binary", "description": "a profile as .json or .csv"},
        **{key: {"type": "string"} for key in ("name", "device", "runtime", "precision", "source")},
        "batch": {"type": "integer", "minimum": 1},
    },
}
_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [*({"$ref": f"#/components/schemas/{name}"} for name in _WISHES), _DOCUMENT]}
        },
        "multipart/form-data": {"schema": _FORM},
        "text/csv": {"schema": {"type": "string"}},
    },
}


@router.post("", status_code=201, openapi_extra={"requestBody": _REQUEST_BODY}, responses={202: {"model": ProfileOut}})
def add_profile(here: Here, response: Response, body: Annotated[ProfileBody, Depends(read_body)]) -> ProfileOut:
    """Bring a profile: a document, a `.json` or `.csv` file, `{"accelerator": ...}` or `{"measure": {...}}`.

    201 with a profile that is ready; 202 where a worker must measure first: follow `state`.
    """
    with here.database.begin() as session:
        if body.wish is not None:
            try:
                models.get(session, here.project_id, body.wish.model)
            except NotFound as error:
                raise Problem(422, "unknown_model", str(error), pointer="/measure/model") from error
        record = profiles.add(
            session,
            project_id=here.project_id,
            name=body.name or "this machine",
            request=body.wish.model_dump() if body.wish else {},
            document=body.profile.to_json() if body.profile else None,
            digest=body.profile.digest if body.profile else None,
        )
    answer = views.profile_out(record)
    response.status_code = 202 if body.wish else 201
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("")
def list_profiles(here: Here, limit: Limit = 50, after: After = None) -> Page[ProfileSummary]:
    """The project's profiles, newest first."""
    with here.database.read() as session:
        records = profiles.page(session, here.project_id, limit=limit + 1, after=after)
    return views.page([views.profile_summary(record) for record in records], limit)


@router.get("/{profile_id}.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def get_profile_csv(here: Here, profile_id: Id) -> Response:
    """A profile as a spreadsheet; uploading it again gives the same profile."""
    with here.database.read() as session:
        record = profiles.get(session, here.project_id, profile_id)
    if record.document is None:
        raise Problem(409, "not_ready", f"Profile {record.name!r} is {record.state}: it has no rows yet.")
    name = safe_filename("profile", record.name)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(Profile.from_json(record.document).to_csv(), media_type="text/csv", headers=headers)


@router.get("/{profile_id}")
def get_profile(here: Here, profile_id: Id) -> ProfileOut:
    """One profile with its rows."""
    with here.database.read() as session:
        return views.profile_out(profiles.get(session, here.project_id, profile_id))
