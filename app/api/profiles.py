"""Profiles: made from files of any tool, given as JSON or CSV, taken from the catalogue, or measured by a worker."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response
from fastapi.responses import FileResponse

from app.api import views
from app.api.profile_bodies import AcceleratorBody, MeasureBody, ProfileBody, read_body
from app.api.profile_forms import MAX_FILES
from app.api.schemas import Page, ProfileOut, ProfileSummary
from app.api.service import After, Here, Id, Limit, Service
from app.api.uploads import Stored, safe_filename
from app.errors import Problem
from app.store import artefacts, models, profiles
from app.store.errors import NotFound
from app.store.records import ProfileRecord
from costmodels.profile import Profile

router = APIRouter(prefix="/profiles", tags=["profiles"])
Digest = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_WISHES = (AcceleratorBody.__name__, MeasureBody.__name__)
_DOCUMENT: dict[str, Any] = {"type": "object", "description": "a profile document; see docs/concepts.md"}
_FIELDS = {
    "name": "name of the profile",
    "device": "what the files cannot tell, here and below",
    "runtime": "for example onnxruntime 1.20",
    "precision": "for example float16 or int8",
    "layer": "for files that hold one layer and do not name it",
    "tool": "name of the importer, where the files could be those of several",
    "source": "for a table of your own: measured, simulated, vendor or published",
}
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "minItems": 1,
            "maxItems": MAX_FILES,
            "description": "the files of one tool, recognised by their content; one part each",
        },
        **{key: {"type": "string", "maxLength": 200, "description": text} for key, text in _FIELDS.items()},
        "batch": {"type": "integer", "minimum": 1, "maximum": 65_536},
        "clock_hz": {"type": "number", "exclusiveMinimum": 0, "description": "for files that count cycles"},
        "network_latency_ms": {"type": "number", "exclusiveMinimum": 0, "description": "the whole dense model"},
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
    """Bring a profile: a document, the files of any tool, `{"accelerator": ...}` or `{"measure": {...}}`.

    Files come as parts named `file` of a form; what they cannot tell is stated in fields beside them.
    201 with a profile that is ready; 202 where a worker must measure first: follow `state`.
    """
    for file in body.files:  # before a row names them
        here.artefacts.put_bytes(file.data)
    with here.database.begin() as session:
        for file in body.files:
            stored = Stored(digest=file.sha256, bytes=len(file.data))
            artefacts.add(session, **stored.row(here.project_id, "profile_upload", "application/octet-stream"))
        if body.wish is not None:
            try:
                models.get(session, here.project_id, body.wish.model)
            except NotFound as error:
                raise Problem(422, "unknown_model", str(error), pointer="/measure/model") from error
        record = profiles.add(
            session,
            project_id=here.project_id,
            name=body.name or "this machine",
            request=body.wish.model_dump(exclude_none=True) if body.wish else body.request,
            document=body.profile.to_json() if body.profile else None,
            digest=body.profile.digest if body.profile else None,
        )
    answer = answered(here, record)
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
    """One profile with its rows, what is odd about it, and the files it was made from."""
    with here.database.read() as session:
        record = profiles.get(session, here.project_id, profile_id)
    return answered(here, record)


@router.get("/{profile_id}/files/{digest}", response_class=FileResponse)
def download_profile_file(here: Here, profile_id: Id, digest: Digest) -> FileResponse:
    """Download a file that a profile was made from, as it came."""
    with here.database.read() as session:
        record = profiles.get(session, here.project_id, profile_id)
        if digest not in views.file_digests(record):
            raise Problem(404, "no_file", f"Profile {record.name!r} was not made from such a file.")
        artefacts.get(session, here.project_id, digest)
    path = here.artefacts.local_path(digest, here.settings.data_dir / "cache")
    name = next(file["name"] for file in (record.document or {})["files"] if file["sha256"] == digest)
    stem, _, ending = name.rpartition(".")
    filename = ".".join(filter(None, (safe_filename(stem or "file"), safe_filename(ending))))
    return FileResponse(path, media_type="application/octet-stream", filename=filename)


def answered(here: Service, record: ProfileRecord) -> ProfileOut:
    """A profile as an answer."""
    with here.database.read() as session:
        kept = artefacts.known(session, here.project_id, views.file_digests(record))
    return views.profile_out(record, kept)
