"""The form of a new search: what can be pruned and pays, what it would take, and the start."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import TypeAdapter, ValidationError

from app.api.datasets import get_dataset, list_datasets
from app.api.estimate_schemas import EstimateOut
from app.api.estimates import estimate_search
from app.api.models import get_model, list_models
from app.api.profiles import get_profile, list_profiles
from app.api.schemas import DatasetOut, ModelOut, ModelSummary, ProfileSummary
from app.api.searches import get_search, list_searches, submit_search
from app.api.service import Here, Service
from app.errors import Problem, invalid
from app.pages.search_form import FIELDS, Typed, body_of, further_of, limits_of, places, typed_of
from app.pages.views import templates
from app.search.judging import headline_of
from app.search.spec import SearchSpec
from app.store.errors import NotFound

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_SPEC = TypeAdapter(SearchSpec)
_OPEN = {"profiles": [], "error_table": "auto"}  # a spec resolves it for its pruners, which are yet to be chosen
_DEFAULTS = typed_of(SearchSpec(model="", dataset="", profiles=("",)).to_json() | _OPEN)
_MOST = 100  # of each kind that can be chosen from
Listed = TypeVar("Listed", ModelSummary, DatasetOut, ProfileSummary)
_Key = Annotated[str, Query(max_length=64, pattern=r"^[!-~]*$")]


@dataclass(frozen=True, kw_only=True)
class Filled:
    """What stands in the form, what is wrong with it by field, and what it would take."""

    typed: Typed
    wrong: Mapping[str, list[str]] = field(default_factory=dict)
    spec: SearchSpec | None = None  # which the estimate is of
    estimate: EstimateOut | None = None


async def _typed(request: Request) -> Typed:
    form = await request.form()
    found: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str):
            found.setdefault(name, []).append(value)
    return found


@router.get("/searches/new")
def new_search_page(request: Request, here: Here, like: _Key = "", model: _Key = "") -> HTMLResponse:
    """An empty form; `like` fills it as another search was, `model` chooses one."""
    typed = typed_of(get_search(here, like).spec) if like else dict(_DEFAULTS)
    if model:
        typed["model"] = [model]
    return _page(request, here, Filled(typed=typed))


@router.post("/searches/new")
def new_search(request: Request, here: Here, typed: Annotated[Typed, Depends(_typed)]) -> Response:
    """Look at the model, estimate, or start; with mistakes the form comes back and says where."""
    wish = typed.get("do", [""])[0]
    if wish not in ("estimate", "start"):
        return _page(request, here, Filled(typed=typed))
    try:
        spec = _spec(typed)
        if wish == "estimate":
            return _page(request, here, Filled(typed=typed, spec=spec, estimate=estimate_search(here, spec)))
        made = submit_search(here, Response(), spec, _idempotency_key(typed, spec))
    except Problem as problem:
        return _page(request, here, Filled(typed=typed, wrong=places(typed, problem)))
    return RedirectResponse(f"/searches/{made.id}", status_code=303)


def _spec(typed: Typed) -> SearchSpec:
    """The search that was typed, read as REST reads a body.

    Raises:
        Problem: 422 with a pointer to each mistake.
    """
    for index, (profile, _) in enumerate(limits_of(typed)):
        if profile not in typed.get("profiles", ()):
            detail = "This device has a limit but is not ticked: tick it, or clear its limit."
            raise Problem(422, "not_ticked", detail, pointer=f"/limits/{index}")
    try:
        return _SPEC.validate_python(body_of(typed))
    except ValidationError as error:
        entries = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise invalid(entries) from error


def _idempotency_key(typed: Typed, spec: SearchSpec) -> str:
    """The same form sent twice is one search; another search from the same page is another."""
    said = json.dumps([typed.get("nonce", [""])[0], spec.to_json()], sort_keys=True)
    return f"page-{sha256(said.encode()).hexdigest()}"


def _page(request: Request, here: Service, form: Filled) -> HTMLResponse:
    typed = {name: list(texts) for name, texts in form.typed.items()}
    searched = typed.get("profiles", [])
    models = _with(list_models(here, limit=_MOST).items, typed.get("model", []), lambda key: get_model(here, key))
    datasets = _with(
        list_datasets(here, limit=_MOST).items, typed.get("dataset", []), lambda key: get_dataset(here, key)
    )
    profiles = _with(list_profiles(here, limit=_MOST).items, searched, lambda key: get_profile(here, key))
    profiles.sort(key=lambda one: searched.index(one.id) if one.id in searched else len(searched))  # the first is first
    for name, there in (("model", models), ("dataset", datasets)):
        if not any(typed.get(name, [])):
            typed[name] = [one.id for one in there if one.state == "ready"][:1]
    chosen = (typed["model"] or [""])[0]
    model, missing = _model(here, chosen)
    limits = dict(zip(*(typed.get(f"limit.{part}", []) for part in ("profile", "share")), strict=False))
    limits_ms = dict(zip(*(typed.get(f"limit.{part}", []) for part in ("profile", "ms")), strict=False))
    context: dict[str, Any] = {
        "typed": typed,
        "wrong": {**form.wrong, **({"model": [missing]} if missing and "model" not in form.wrong else {})},
        "estimate": form.estimate,
        "headline": headline_of(form.spec.to_json()) if form.spec else None,
        "words": {one.name: one.words for one in FIELDS if one.words},
        "models": models,
        "datasets": datasets,
        "profiles": profiles,
        "limits": {one.id: (limits.get(one.id, ""), limits_ms.get(one.id, "")) for one in profiles},
        "further": list(further_of(typed)),
        "model": model,
        "stuck": [group for group in (model.spec or {}).get("groups", []) if group["reason"]] if model else [],
        "earlier": [one for one in list_searches(here, limit=_MOST).items if one.model == chosen],
        "nonce": typed.get("nonce", [secrets.token_hex(8)])[0],
    }
    return templates.TemplateResponse(request, "new_search.html", context, status_code=422 if form.wrong else 200)


def _with(newest: Sequence[Listed], chosen: Sequence[str], get: Callable[[str], Listed]) -> list[Listed]:
    """The newest, and those that were chosen although they are older; what is not there stays away."""
    found = list(newest)
    for key in chosen:
        if key and all(one.id != key for one in found):
            with suppress(NotFound):
                found.append(get(key))
    return found


def _model(here: Service, model_id: str) -> tuple[ModelOut | None, str]:
    """The chosen model, or why there is none."""
    try:
        return (get_model(here, model_id), "") if model_id else (None, "")
    except NotFound as error:
        return None, str(error)
