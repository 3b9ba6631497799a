"""What the service answers, as pydantic models: the response half of the OpenAPI document."""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """One page of a list, newest first; `next` is the `after` of the next page, null on the last."""

    items: list[Item]
    next: str | None


class FailureOut(BaseModel):
    """Why something did not work: a stable code, a sentence for people, details for programs."""

    code: str
    reason: str
    details: dict[str, Any] = {}


class ModelSummary(BaseModel):
    """An uploaded model; `state` says whether a worker has read it yet."""

    id: str
    name: str
    state: Literal["uploaded", "inspecting", "ready", "refused"]
    failure: FailureOut | None
    created_at: str
    layers: int | None = Field(description="number of prunable layers, once ready")
    parameters: int | None
    macs: int | None = Field(description="multiply-adds of one sample in the prunable layers")
    activations: int | None = Field(description="values that one sample makes in the prunable layers")
    upload_digest: str
    request: dict[str, Any] | None = Field(description="architecture and config, or the graph chosen, if any")
    links: dict[str, str]


class LayerSizes(BaseModel):
    """What one prunable layer costs a sample."""

    layer: str
    weights: int
    macs: int
    activations: int = Field(description="values it makes, over all its calls")


class ModelOut(ModelSummary):
    """A model with its spec: layers, channel groups, what cannot be pruned and why, what the export lost."""

    sizes: list[LayerSizes]
    spec: dict[str, Any] | None


class ArchitectureOut(BaseModel):
    """An architecture that can be uploaded by name."""

    name: str
    library: str | None = Field(description="the package that has it; null for Espalier's own")
    installed: bool = Field(description="whether that package is found where this answer was made")
    fields: dict[str, dict[str, Any]] = Field(description="of the config: default, type and limits")


class DatasetOut(BaseModel):
    """A registered dataset; `meta` has its classes, splits and input shape once a worker prepared it."""

    id: str
    name: str
    kind: str
    state: Literal["uploaded", "preparing", "ready", "refused"]
    options: dict[str, Any]
    meta: dict[str, Any] | None
    failure: FailureOut | None
    created_at: str
    links: dict[str, str]


class ProfileSummary(BaseModel):
    """A device's cost profile: uploaded, asked to be measured here, or taken from the accelerator catalogue."""

    id: str
    name: str
    state: Literal["requested", "measuring", "ready", "refused"]
    device: str | None
    source: str | None
    batch: int | None
    precision: str | None
    rows: int | None
    digest: str | None = Field(description="sha256 of the canonical JSON: which profile it is")
    request: dict[str, Any] = Field(description="what a worker was asked to measure, or how files were read")
    failure: FailureOut | None
    created_at: str
    links: dict[str, str]


class ProfileFileOut(BaseModel):
    """A file that a profile was made from; `link` is null where it is not kept here."""

    name: str
    sha256: str
    format: str
    link: str | None


class ProfileOut(ProfileSummary):
    """A profile with its document, what is odd about it, and the files it was made from."""

    warnings: list[str]
    files: list[ProfileFileOut]
    document: dict[str, Any] | None


class AcceleratorOut(BaseModel):
    """A catalogue entry: a named target with the source of its numbers."""

    name: str
    title: str
    device: str
    summary: str
    precisions: list[str]
    rewards: list[str] = Field(description="kinds of zeros that it turns into time")
    document: dict[str, Any]


class HealthOut(BaseModel):
    """Alive, and who is speaking."""

    service: Literal["espalier"] = "espalier"
    status: Literal["ok"] = "ok"
    version: str


class ProblemError(BaseModel):
    """One thing wrong with a request: where, and what."""

    pointer: str | None = Field(default=None, description="JSON pointer into the body")
    parameter: str | None = Field(default=None, description="name of the query, path or header parameter")
    detail: str
    code: str


class ProblemOut(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[ProblemError] = []
    incident: str | None = None
