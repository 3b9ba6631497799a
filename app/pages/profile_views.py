"""Pages of profiles: what one says and where it came from, how it fits a model, what pays, how it was calibrated."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from app.api.calibrations import list_calibrations
from app.api.profile_matches import add_profile_aliases, get_profile_match, get_profile_pays
from app.api.profile_schemas import AliasesBody, MatchOut, PaysOut
from app.api.profiles import get_profile, list_profiles
from app.api.service import After, Here, Id, Service
from app.errors import Problem
from app.pages.views import templates
from app.store import models
from app.store.records import ModelRecord

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
Model = Annotated[str, Query(max_length=64, pattern=r"^[!-~]*$")]
MOST_LAYERS = 400  # the spreadsheet has them all


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as the profile has it: what it is, what it takes, and under how many other options it was priced."""

    name: str
    kind: str
    members: Sequence[str]
    channels: str
    dense_ms: float | None
    std_ms: float | None
    options: int


@router.get("/profiles")
def profiles_page(request: Request, here: Here, after: After = None) -> HTMLResponse:
    """The team's profiles, newest first."""
    found = list_profiles(here, limit=50, after=after)
    context: dict[str, Any] = {"profiles": found.items, "next": found.next, "after": after}
    return templates.TemplateResponse(request, "profiles.html", context)


@router.get("/profiles/{profile_id}")
def profile_page(request: Request, here: Here, profile_id: Id, model: Model = "") -> HTMLResponse:
    """One profile; with a model also how they fit and what pays."""
    return _page(request, here, profile_id, model)


@router.post("/profiles/{profile_id}/aliases")
def settle(
    request: Request,
    here: Here,
    profile_id: Id,
    model: Annotated[str, Form(max_length=64, pattern=r"^[!-~]+$")],
    ours: Annotated[list[str], Form(max_length=1000)],
    theirs: Annotated[list[str], Form(max_length=1000)],
) -> Response:
    """A person's word on what is ambiguous; leads to the new profile, or back with the reason why not."""
    chosen = [(their, our) for our, their in zip(ours, theirs, strict=False) if their]
    try:
        if not chosen or len({their for their, _ in chosen}) < len(chosen):
            raise Problem(422, "invalid", "Choose at least one layer of the profile, and none of them twice.")
        made = add_profile_aliases(here, Response(), profile_id, AliasesBody(aliases=dict(chosen)))
    except (Problem, ValueError) as error:
        said = error.detail if isinstance(error, Problem) else "These are no names of layers."
        return _page(request, here, profile_id, model, said, status=422)
    return RedirectResponse(f"/profiles/{made.id}?model={model}#match", 303)


def _page(
    request: Request, here: Service, profile_id: str, model: str, said: str = "", status: int = 200
) -> HTMLResponse:
    profile = get_profile(here, profile_id)
    fit, pays, problem = _fit(here, profile_id, model) if model and profile.document else (None, None, "")
    layers = list(_layers(profile.document or {}))
    context = {
        "profile": profile,
        "document": profile.document or {},
        "layers": layers[:MOST_LAYERS],
        "more_layers": max(0, len(layers) - MOST_LAYERS),
        "models": _models(here, model),
        "model": model,
        "match": fit,
        "pays": pays,
        "cells": {(item.layer, item.kind): item for item in pays.items} if pays else {},
        "problem": problem,
        "said": said,
        "calibrations": list_calibrations(here, profile_id, limit=20).items,
    }
    return templates.TemplateResponse(request, "profile.html", context, status)


def _fit(here: Service, profile_id: str, model: str) -> tuple[MatchOut | None, PaysOut | None, str]:
    """The mapping report, what pays, and why one of them cannot be had."""
    fit: MatchOut | None = None
    try:
        fit = get_profile_match(here, profile_id, model)
        return fit, get_profile_pays(here, profile_id, model), ""
    except Problem as problem:
        return fit, None, problem.detail


def _models(here: Service, chosen: str) -> list[ModelRecord]:
    """The newest models whose layers are known, and the one that was chosen."""
    with here.database.read() as session:
        newest = models.page(session, here.project_id, limit=100)
        if chosen and chosen not in [model.id for model in newest]:
            newest.append(models.get(session, here.project_id, chosen))
    return [model for model in newest if model.spec is not None]


def _layers(document: Mapping[str, Any]) -> Iterator[Layer]:
    """The layers in the order of the profile, those without times too."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in document.get("rows", ()):
        rows.setdefault(row["layer"], []).append(row)
    described = {layer["name"]: layer for layer in document.get("layers", ())}
    for name in dict.fromkeys((*described, *rows)):
        yield _layer(described.get(name, {"name": name}), rows.get(name, []))


def _layer(said: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Layer:
    dense = [row for row in rows if row.get("pattern", "dense") == "dense"]
    widest = max(dense, key=lambda row: row["latency_ms"], default={})
    sizes = [said.get(key) or widest.get(key) for key in ("in_channels", "out_channels")]
    return Layer(
        name=said["name"],
        kind=said.get("op") or ("not a layer of a model" if said.get("role") == "other" else ""),
        members=said.get("members", ()),
        channels=" → ".join(str(size or "?") for size in sizes) if any(sizes) else "",
        dense_ms=widest.get("latency_ms"),
        std_ms=widest.get("latency_std_ms"),
        options=max(0, len(rows) - 1),
    )
