"""Pages of models and data: what was uploaded, what became of it, and forms that bring more."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.architectures import list_architectures
from app.api.datasets import Kind, add_dataset, list_datasets
from app.api.models import get_model, list_models, upload_model
from app.api.profiles import list_profiles
from app.api.schemas import ModelOut
from app.api.service import After, Here, Id, Service
from app.errors import Problem
from app.pages.views import templates

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
MOST_LAYERS = 400  # the API has them all
Name = Annotated[str, Form(max_length=200)]
_KINDS: Mapping[str, str] = {
    "digits": "built-in digits, no file",
    "npz": "arrays: .npz, or a zip of .npy files",
    "images": "images: a zip of class folders",
    "text": "texts: CSV or TSV, or a zip of one file a split",
    "table": "numbers: CSV or TSV, or a zip of one file a split",
    "hf": "a zip of a saved Hugging Face dataset",
}


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """A prunable layer for the table: what it is, what it costs a sample, whose channels go with its own."""

    name: str
    op: str
    shape: str
    macs: int
    weights: int
    activations: int
    group: str
    reason: str


@router.get("/models")
def models_page(request: Request, here: Here, after: After = None) -> HTMLResponse:
    """The team's models, newest first, and a form that brings one."""
    return _models(request, here, after)


@router.post("/models")
def bring_model(
    request: Request,
    here: Here,
    file: UploadFile | None = None,
    name: Name = "",
    architecture: Annotated[str, Form(max_length=80)] = "",
    config: Annotated[str, Form(max_length=20_000)] = "",
    graph: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """Upload a model as REST takes it; leads to its page, or back with the reason why not."""
    typed = {"name": name, "architecture": architecture, "config": config, "graph": graph}
    try:
        if file is None or not file.filename:
            raise Problem(422, "missing", "Choose a file.", pointer="/file")
        made = upload_model(here, Response(), file, name, architecture, config.strip(), graph.strip())
    except Problem as problem:
        return _models(request, here, None, typed, problem)
    return RedirectResponse(f"/models/{made.id}", status_code=303)


@router.get("/models/{model_id}")
def model_page(request: Request, here: Here, model_id: Id) -> HTMLResponse:
    """One model: its layers and what they cost, its channel groups, what no plan can touch, what its export lost."""
    model = get_model(here, model_id)
    layers = list(_layers(model))
    context: dict[str, Any] = {
        "model": model,
        "spec": model.spec or {},
        "layers": layers[:MOST_LAYERS],
        "more_layers": max(0, len(layers) - MOST_LAYERS),
        "profiles": [one for one in list_profiles(here, limit=50).items if one.state == "ready"],
    }
    return templates.TemplateResponse(request, "model.html", context)


@router.get("/datasets")
def datasets_page(request: Request, here: Here, after: After = None) -> HTMLResponse:
    """The team's data, newest first, with what is stated of each, and a form that brings more."""
    return _datasets(request, here, after)


@router.post("/datasets")
def bring_dataset(
    request: Request,
    here: Here,
    kind: Annotated[Kind, Form()],
    file: UploadFile | None = None,
    name: Name = "",
    options: Annotated[str, Form(max_length=10_000)] = "",
) -> Response:
    """Register data as REST takes them, and come back to the list, with the reason where it is refused."""
    given = file if file is not None and file.filename else None
    try:
        add_dataset(here, Response(), kind, given, name, options.strip() or "{}")
    except Problem as problem:
        return _datasets(request, here, None, {"kind": kind, "name": name, "options": options}, problem)
    return RedirectResponse("/datasets", status_code=303)


def _models(
    request: Request,
    here: Service,
    after: str | None,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    found = list_models(here, limit=50, after=after)
    context = {
        "models": found.items,
        "next": found.next,
        "after": after,
        "architectures": list_architectures().items,
        "typed": typed or {},
        "wrong": _wrong(problem),
    }
    return templates.TemplateResponse(request, "models.html", context, problem.status if problem else 200)


def _datasets(
    request: Request,
    here: Service,
    after: str | None,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    from app.search.sources import SOURCES  # with numpy, so only here

    found = list_datasets(here, limit=50, after=after)
    context = {
        "datasets": found.items,
        "next": found.next,
        "after": after,
        "kinds": _KINDS,
        "takes": {kind: sorted(source.takes) for kind, source in SOURCES.items()},
        "typed": typed or {},
        "wrong": _wrong(problem),
    }
    return templates.TemplateResponse(request, "datasets.html", context, problem.status if problem else 200)


def _wrong(problem: Problem | None) -> dict[str, str]:
    """What is wrong, by field; "" where it is none of them."""
    if problem is None:
        return {}
    return {error.get("pointer", "").strip("/"): error["detail"] for error in problem.errors} or {"": problem.detail}


def _layers(model: ModelOut) -> Iterator[LayerRow]:
    spec = model.spec or {}
    groups: dict[str, list[str]] = defaultdict(list)
    for group in spec.get("groups", ()):
        for layer in group["producers"]:
            groups[layer].append(f"{group['name']} ({group['channels']})")
    sizes = {one.layer: one for one in model.sizes}
    for layer in spec.get("layers", ()):
        size = sizes[layer["name"]]
        kernel = "×".join(str(side) for side in layer["kernel"])
        yield LayerRow(
            name=layer["name"],
            op=layer["op"] + (f" {kernel}" if kernel else ""),
            shape=f"{layer['in_channels']} → {layer['out_channels']}"
            + (f", {layer['groups']} groups" if layer["groups"] > 1 else ""),
            macs=size.macs,
            weights=size.weights,
            activations=size.activations,
            group=", ".join(groups[layer["name"]]),
            reason=spec["unprunable"].get(layer["name"], ""),
        )
