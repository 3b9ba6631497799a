"""The page of a trial: what was done to each layer, what it is predicted and measured to buy, what to do next."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, Field, ValidationError

from app.api.exports import TrialRequestOut, list_trial_requests
from app.api.measurements import ShippedBody, VerifyBody, ship_trial, unship_trial, verify_trial
from app.api.search_schemas import TrialOut
from app.api.searches import get_search
from app.api.service import Here, Id, Number, Service
from app.api.trials import get_trial
from app.errors import Problem
from app.pages.forms import complaint, filled
from app.pages.passport_views import FILE_WORDS
from app.pages.views import templates
from app.search.exports.passport import FILES

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
BACKENDS: Mapping[str, str] = {
    "onnxruntime": "ONNX Runtime",
    "eager": "PyTorch, eager",
    "compile": "PyTorch, torch.compile",
}
_PAGE = "/searches/{search_id}/trials/{number}"


Short = Annotated[str, Field(max_length=20)]


class VerifyForm(BaseModel):
    """A wish to measure as it was typed; what is left empty has the default of REST."""

    backends: Annotated[list[Short], Field(max_length=8)] = []
    threads: Short = ""
    budget_s: Short = ""
    device: Short = ""
    precision: Short = ""


@router.get(_PAGE)
def trial_page(request: Request, here: Here, search_id: Id, number: Number) -> HTMLResponse:
    """One trial: what was done to each layer, what it buys on each device, and its files."""
    return _page(request, here, search_id, number)


@router.post(f"{_PAGE}/verify")
def verify_on_page(
    request: Request,
    here: Here,
    search_id: Id,
    number: Number,
    form: Annotated[VerifyForm, Form()],
) -> Response:
    """Ask for a measurement on the worker's machine, and come back to the page."""
    typed = form.model_dump()
    backends = typed.pop("backends")
    try:
        body = VerifyBody.model_validate({"backends": backends, **filled(typed)})
        verify_trial(here, Response(), search_id, number, body)
    except (Problem, ValidationError) as error:
        return _page(request, here, search_id, number, complaint(error))
    return _back(search_id, number, "#measured")


@router.post(f"{_PAGE}/ship")
def ship_on_page(
    request: Request, here: Here, search_id: Id, number: Number, note: Annotated[str, Form(max_length=2000)] = ""
) -> Response:
    """Mark the trial as the one that went out, and come back."""
    try:
        ship_trial(here, search_id, number, ShippedBody(note=note.strip()))
    except Problem as problem:
        return _page(request, here, search_id, number, problem.detail)
    return _back(search_id, number)


@router.post(f"{_PAGE}/unship")
def unship_on_page(here: Here, search_id: Id, number: Number) -> Response:
    """Take the mark away, and come back."""
    unship_trial(here, search_id, number)
    return _back(search_id, number)


def _back(search_id: str, number: int, place: str = "") -> RedirectResponse:
    return RedirectResponse(f"/searches/{search_id}/trials/{number}{place}", status_code=303)


def _page(request: Request, here: Service, search_id: str, number: int, said: str = "") -> HTMLResponse:
    trial = get_trial(here, search_id, number)
    asked = [one for one in list_trial_requests(here, search_id, number).items if one.kind == "verify"]
    posted = [m for m in trial.measurements if m["origin"].get("by") == "post"]
    context: dict[str, Any] = {
        "search": get_search(here, search_id),
        "trial": trial,
        "timed": list(_timed(trial)),
        "posted": posted,
        "fidelities": _fidelities(trial),
        "backends": BACKENDS,
        "file_words": {kind: words for kind, words in FILE_WORDS.items() if kind in FILES and kind in trial.links},
        "under_way": [one for one in asked if one.state in ("queued", "running")],
        "broken": list(_broken(asked)),
        "said": said,
    }
    return templates.TemplateResponse(request, "trial.html", context, status_code=422 if said else 200)


def _timed(trial: TrialOut) -> Iterator[Mapping[str, Any]]:
    """What `verify` measured, newest first, each beside its prediction where it belongs to a device of the search."""
    predicted = {cost.profile: cost for cost in trial.costs}
    names = {device.id: device.name for device in trial.devices}
    for measured in reversed(trial.measurements):
        origin = measured["origin"]
        if origin.get("by") == "verify":
            yield {
                **origin,
                "ms": measured["value"],
                "samples": measured["samples"],
                "ratio": measured["value"] / origin["dense_ms"] if origin.get("dense_ms") else None,
                "throughput_per_s": 1000 * origin["batch"] / measured["value"],
                "predicted": predicted.get(measured["profile"]),
                "profile_name": names.get(measured["profile"], ""),
            }


def _fidelities(trial: TrialOut) -> list[Mapping[str, Any]]:
    """Validation loss and headline at every number of recovery steps that the trial reached."""
    found: dict[int, dict[str, Any]] = {}
    for measured in trial.measurements:
        if measured["split"] == "validation" and not measured["origin"]:
            found.setdefault(measured["fidelity"], {"steps": measured["fidelity"]})[measured["metric"]] = measured
    return [found[steps] for steps in sorted(found)]


def _broken(asked: list[TrialRequestOut]) -> Iterator[str]:
    """What did not work in the last measurement that was asked for."""
    last = next((one for one in asked if one.state in ("ready", "failed")), None)
    if last is not None and last.failure is not None:
        yield last.failure.reason
    for row in (last.result or {}).get("rows", []) if last else []:
        if "failure" in row:
            yield f"{BACKENDS.get(row['backend'], row['backend'])}: {row['failure']}"
