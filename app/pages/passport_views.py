"""The passport of a trial's files as a document: each hop with its proof, what was counted, what it takes to repeat."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.exports import ExportBody, export_trial, list_trial_requests, passport
from app.api.searches import get_search
from app.api.service import Here, Id, Number
from app.api.trials import get_trial
from app.errors import Problem
from app.pages.views import templates
from app.search.exports.passport import FILE_KINDS, FORMATS

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
FORM_WORDS: Mapping[str, str] = {
    "masked": "masked, shapes as uploaded",
    "smaller": "smaller, channels cut",
    "pt2": "exported program (.pt2)",
    "onnx": "ONNX",
    "int8": "ONNX, 8-bit weights",
    "state": "plain tensors with the plan",
}
FILE_WORDS: Mapping[str, str] = {
    "weights": "pruned weights",
    "model": ".pt2",
    "onnx": "ONNX",
    "int8": "ONNX, 8-bit weights",
    "state": "plain tensors",
}
HASH_WORDS: Mapping[str, str] = {
    "upload": "model as uploaded",
    "graph": "model's graph",
    "dense_weights": "model's weights",
    "dataset": "prepared data",
    "plan": "plan",
    **{kind: f"file: {words}" for kind, words in FILE_WORDS.items()},
}
_COUNTED = ("pt2", "onnx", "int8", "state")


@router.get("/searches/{search_id}/trials/{number}/passport")
def passport_page(request: Request, here: Here, search_id: Id, number: Number) -> HTMLResponse:
    """What is known of a trial's files, and a form that asks for more of them."""
    return _page(request, here, search_id, number)


@router.post("/searches/{search_id}/trials/{number}/passport")
def ask_for_files(
    request: Request, here: Here, search_id: Id, number: Number, formats: Annotated[list[str] | None, Form()] = None
) -> Response:
    """Ask for files, and come back to the page."""
    asked = [name for name in formats or () if name in FORMATS]
    if not asked:
        return _page(request, here, search_id, number, "Tick at least one kind of file.")
    try:
        export_trial(here, Response(), search_id, number, ExportBody(formats=asked))
    except Problem as problem:
        return _page(request, here, search_id, number, problem.detail)
    return RedirectResponse(f"/searches/{search_id}/trials/{number}/passport", status_code=303)


def _page(request: Request, here: Here, search_id: str, number: int, problem: str = "") -> HTMLResponse:
    trial = get_trial(here, search_id, number)
    document = passport(here, search_id, number)
    layers = document["layers"] if document else []
    requests = list_trial_requests(here, search_id, number).items
    context: dict[str, Any] = {
        "search": get_search(here, search_id),
        "trial": trial,
        "passport": document,
        "problem": problem,
        "form_words": FORM_WORDS,
        "hash_words": HASH_WORDS,
        "file_words": FILE_WORDS,
        "kinds": FILE_KINDS,
        "formats": FORMATS,
        "counted": [name for name in _COUNTED if any(name in layer["zeros"] for layer in layers)],
        "under_way": [one for one in requests if one.kind == "export" and one.state in ("queued", "running")],
        "failed": next((one for one in requests[:1] if one.kind == "export" and one.state == "failed"), None),
    }
    return templates.TemplateResponse(request, "passport.html", context, status_code=422 if problem else 200)
