"""Datasets: the built-in digits, or arrays, images, texts, tables and saved datasets as files; prepared by a worker."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Response, UploadFile

from app.api import views
from app.api.schemas import DatasetOut, Page
from app.api.service import After, Here, Id, Limit
from app.api.uploads import receive, require_zip, title
from app.errors import Problem
from app.search.errors import DatasetError
from app.store import artefacts, datasets

router = APIRouter(prefix="/datasets", tags=["datasets"])
Kind = Literal["digits", "npz", "images", "text", "table", "hf"]
_ZIPS = {
    "npz": "an .npz file, or a zip of x.npy and y.npy, is one",
    "images": "a zip of class folders is one",
    "hf": "a zip of the folder that save_to_disk writes is one",
}


@router.post("", status_code=202)
def add_dataset(
    here: Here,
    response: Response,
    kind: Annotated[Kind, Form()],
    file: UploadFile | None = None,
    name: Annotated[str, Form(max_length=200)] = "",
    options: Annotated[str, Form(max_length=10_000, description="a JSON object")] = "{}",
) -> DatasetOut:
    """Register a dataset: `digits` (built in), or a file of one of the other kinds.

    `npz`: arrays, never pickled. `images`: a zip of class folders. `text`, `table`: CSV or TSV, or a zip of one file a
    split. `hf`: a zip of a saved Hugging Face dataset. Options that the kind does not take are answered with 422.
    """
    wanted = _options(kind, options)
    if (kind == "digits") != (file is None):
        detail = "digits are built in and take no file" if file else f"a dataset of kind {kind!r} needs a file"
        raise Problem(422, "file_mismatch", detail, pointer="/file")
    if file is not None and kind in _ZIPS:
        require_zip(file, _ZIPS[kind])
    stored = receive(here, file) if file is not None else None
    with here.database.begin() as session:
        if stored is not None:
            artefacts.add(session, **stored.row(here.project_id, "dataset_upload", "application/octet-stream"))
        record = datasets.add(
            session,
            project_id=here.project_id,
            name=title(name, file, kind),
            kind=kind,
            upload_digest=stored.digest if stored else None,
            options=wanted,
        )
    answer = views.dataset_out(record)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("")
def list_datasets(here: Here, limit: Limit = 50, after: After = None) -> Page[DatasetOut]:
    """The project's datasets, newest first."""
    with here.database.read() as session:
        records = datasets.page(session, here.project_id, limit=limit + 1, after=after)
    return views.page([views.dataset_out(record) for record in records], limit)


@router.get("/{dataset_id}")
def get_dataset(here: Here, dataset_id: Id) -> DatasetOut:
    """One dataset: classes, splits and input shape once it is prepared."""
    with here.database.read() as session:
        return views.dataset_out(datasets.get(session, here.project_id, dataset_id))


def _options(kind: str, text: str) -> dict[str, Any]:
    from app.search.sources import SOURCES, Options  # with numpy, so only here

    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()  # half a pair could be stored, never answered
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Problem(422, "invalid", 'options must be a JSON object such as {"seed": 0}', pointer="/options")
    try:
        Options.read(value, SOURCES[kind].takes)
    except DatasetError as error:
        raise Problem(422, "wrong_option", str(error), pointer="/options") from error
    return value
