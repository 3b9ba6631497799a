"""What repositories answer with. Frozen; no session, no lazy loading; times are ISO 8601 in UTC."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.search.trial import Measurement, Trial, TrialCost, TrialRole, TrialState

ModelState = Literal["uploaded", "inspecting", "ready", "refused"]
DatasetState = Literal["uploaded", "preparing", "ready", "refused"]
ProfileState = Literal["requested", "measuring", "ready", "refused"]
SearchState = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
RequestKind = Literal["export", "apply", "verify"]
RequestState = Literal["queued", "running", "ready", "failed"]
Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ProjectRecord:
    """Who shares what."""

    id: str
    slug: str
    name: str


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """An uploaded model; `spec` is the JSON of a ModelSpec once a worker has read the file.

    `request` says how to read it: the name of a graph in the file, or architecture and config; None if by itself.
    """

    id: str
    project_id: str
    name: str
    state: ModelState
    upload_digest: str
    request: Document | None
    graph_digest: str | None
    weights_digest: str | None
    spec: Document | None
    failure: Document | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class DatasetRecord:
    """A registered dataset; `meta` states classes, splits and input shape once it is prepared."""

    id: str
    project_id: str
    name: str
    kind: str
    state: DatasetState
    upload_digest: str | None
    options: Document
    meta: Document | None
    arrays_digest: str | None
    failure: Document | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class ProfileRecord:
    """A device's cost profile; `document` is its JSON once it is there."""

    id: str
    project_id: str
    name: str
    state: ProfileState
    request: Document
    document: Document | None
    digest: str | None
    failure: Document | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class CalibrationRecord:
    """A version of a profile's calibration; `document` is the JSON of a Calibration."""

    id: str
    project_id: str
    profile_id: str
    version: int
    document: Document
    created_at: str


@dataclass(frozen=True, kw_only=True)
class SearchRecord:
    """A submitted search. Users write `desired`; only a coordinator that holds the lease writes `state`."""

    id: str
    project_id: str
    name: str
    spec: Document
    state: SearchState
    phase: str | None
    desired: Literal["run", "cancel"]
    seed: int
    failure: Document | None
    space: Document | None
    bound: Document | None
    estimate: Document | None
    actual: Document | None
    epoch: int
    created_at: str
    started_at: str | None
    finished_at: str | None


@dataclass(frozen=True, kw_only=True)
class StoredTrial:
    """A trial and when it was asked for and recorded."""

    id: str
    search_id: str
    trial: Trial
    created_at: str
    finished_at: str | None
    shipped: Document | None = None  # when the team put it to use, and what it said of that


@dataclass(frozen=True, kw_only=True)
class FrontTrial:
    """What a front shows of a trial on one profile; the headline is that at the highest fidelity."""

    number: int
    role: TrialRole
    state: TrialState
    plan: Document  # as stored: to rebuild ten thousand plans takes longer than to read them
    files: Mapping[str, str]
    cost: TrialCost
    validation: Measurement | None
    test: Measurement | None
    measured: Measurement | None = None  # the newest latency that was measured for this profile
    shipped: Document | None = None


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """How far a search is, counted by the database."""

    done: int
    failed: int
    asked: int
    best_quality: float | None  # of pruned trials; higher is better
    first_asked_at: str | None
    infeasible: int = 0
    stopped: int = 0


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """One point of a stored front, by latency."""

    number: int
    latency_ms: float
    quality: float


@dataclass(frozen=True, kw_only=True)
class RepricingRecord:
    """That a search's trials were priced on a later profile, and under which calibration."""

    search_id: str
    profile_id: str
    calibration_id: str | None
    created_at: str


@dataclass(frozen=True, kw_only=True)
class CompletePlan:
    """A complete trial, as far as a price needs it; the plan as stored."""

    trial_id: str
    number: int
    plan: Document


@dataclass(frozen=True, kw_only=True)
class KnownPlan:
    """What an earlier trial found: its plan as stored, its quality, and the noise of that."""

    search_id: str
    plan: Document
    quality: float
    standard_error: float
    recovery_steps: int


@dataclass(frozen=True, kw_only=True)
class FleetRow:
    """A complete trial over all devices: its validation quality, higher is better, and its latency by profile."""

    number: int
    quality: float
    latency_ms: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class EventRecord:
    """Something that happened. `id` grows; it is also the id of the server-sent event."""

    id: int
    project_id: str
    search_id: str | None
    kind: str
    payload: Document
    at: str


@dataclass(frozen=True, kw_only=True)
class TrialRequestRecord:
    """Work asked for one trial: `body` says what, `result` and `files` (digests by kind) what came of it."""

    id: str
    project_id: str
    search_id: str
    number: int
    kind: RequestKind
    state: RequestState
    body: Document
    result: Document | None
    files: Mapping[str, str]
    failure: Document | None
    created_at: str
    finished_at: str | None


@dataclass(frozen=True, kw_only=True)
class ArtefactRecord:
    """A file in the artefact store, named by the sha256 of its content."""

    digest: str
    bytes: int
    media_type: str
    kind: str
