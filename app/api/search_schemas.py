"""What the service answers about searches, trials and fronts; the other half is in `schemas`."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.estimate_schemas import SearchEstimateOut
from app.api.schemas import FailureOut


class MeasuredOut(BaseModel):
    """What a trial is judged by, on validation and on test data: `metric` is its task's headline."""

    metric: str
    better: Literal["higher", "lower"]
    value: float | None
    standard_error: float | None
    test_value: float | None
    test_standard_error: float | None
    accuracy: float | None = Field(description="`value` where the task is classification, else null")
    accuracy_standard_error: float | None
    test_accuracy: float | None
    samples: int | None


class ProgressOut(BaseModel):
    """How far a search is. `best` is the best validation value of a pruned trial so far, of the headline `metric`."""

    metric: str
    best: float | None

    done: int
    total: int
    failed: int
    infeasible: int = Field(description="trials that broke a limit or diverged: each says why in its `failure`")
    stopped: int = Field(description="trials that ended at a lower fidelity than the last")
    best_accuracy: float | None = Field(description="`best` where the task is classification, else null")
    seconds_left: float | None


class DenseOut(MeasuredOut):
    """A dense model to compare with: as uploaded, or with the same recovery as the trials."""

    number: int
    latency_ms: dict[str, float] = Field(description="predicted, by profile id")


class ExtendIn(BaseModel):
    """How many trials more."""

    model_config = ConfigDict(extra="forbid")
    trials: int = Field(ge=1, le=100_000)


class SearchSummary(BaseModel):
    """A search in the list."""

    id: str
    name: str
    state: Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
    desired: str
    phase: str | None
    progress: ProgressOut
    model: str
    dataset: str
    profiles: list[str]
    failure: FailureOut | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    links: dict[str, str]


class EndingOut(BaseModel):
    """Why a search asked for no more trials: the part of the budget that was used up first, and a sentence."""

    because: str
    text: str


class SearchOut(SearchSummary):
    """A search with its spec, its dense references, its space and its bound."""

    spec: dict[str, Any]
    seed: int
    dense: DenseOut | None
    dense_recovered: DenseOut | None
    space: dict[str, Any] | None
    bound: dict[str, Any] | None
    estimate: SearchEstimateOut | None = Field(description="null where a part was still being read at submission")
    ending: EndingOut | None = Field(description="null while it asks for more trials, and of searches before 0.2")


class CostOut(BaseModel):
    """A predicted latency, and how much of it rests on what."""

    profile: str
    latency_ms: float
    low_ms: float | None = Field(description="lower end of the interval; null where it is not known")
    high_ms: float | None
    predicted: bool = True
    sources: dict[str, float]
    derivations: dict[str, float]


class TrialSummary(MeasuredOut):
    """A trial in the list: its plan in a word, its costs, how good it is."""

    number: int
    role: Literal["dense", "dense_recovered", "searched"]
    state: Literal["queued", "running", "complete", "infeasible", "stopped", "failed"]
    attempts: int
    pruner: str
    patterns: dict[str, int] = Field(description="number of layers by kind of pattern")
    costs: list[CostOut]
    failure: FailureOut | None
    links: dict[str, str]


class BeforeAfter(BaseModel):
    """A count in the dense model and under the plan."""

    before: int
    after: int


class LayerLatencyOut(BaseModel):
    """A layer's predicted latency on one profile, dense and under the plan, with the interval of the latter."""

    before_ms: float
    after_ms: float
    low_ms: float | None = Field(description="lower end of the interval; null where it is not known")
    high_ms: float | None
    source: str
    derivation: str


class LayerOut(BaseModel):
    """One row of a trial's table; `latency` is by profile id."""

    name: str
    op: str
    pattern: str
    sparsity: float | None = Field(description="zeros counted in the final weights, null before the trial ran")
    weights: int
    macs: BeforeAfter
    in_channels: BeforeAfter
    out_channels: BeforeAfter
    latency: dict[str, LayerLatencyOut]


class DeviceOut(BaseModel):
    """The whole network's predicted latency on one profile, dense and under the plan, with the interval of that."""

    id: str
    name: str
    before_ms: float
    after_ms: float
    low_ms: float | None = Field(description="lower end of the interval; null where it is not known")
    high_ms: float | None
    throughput_per_s: float = Field(description="samples a second at the predicted latency, one batch after another")
    predicted: bool = True
    sources: dict[str, float]
    derivations: dict[str, float]


class TrialOut(TrialSummary):
    """A trial with its plan, its measurements and its per-layer table."""

    search: str
    plan: dict[str, Any]
    seed: int
    recovery_steps: int
    measurements: list[dict[str, Any]] = Field(description="`origin` says where one comes from that was made later")
    shipped: dict[str, str] | None = Field(description="when the team put it to use, and what it said of that")
    report: dict[str, Any]
    checks: dict[str, Any]
    macs_before: int | None
    macs_after: int | None
    parameters_before: int | None
    parameters_after: int | None
    devices: list[DeviceOut]
    layers: list[LayerOut]


class PointOut(MeasuredOut):
    """A trial as a point of its headline against predicted latency. Chosen on validation, scored on test."""

    number: int
    role: str
    value: float
    standard_error: float
    samples: int
    latency_ms: float
    low_ms: float | None = Field(description="lower end of the interval; null where it is not known")
    high_ms: float | None
    latency_share: float = Field(description="of the dense latency on this profile")
    throughput_per_s: float = Field(description="samples a second at the predicted latency, one batch after another")
    fidelity: int = Field(description="recovery steps behind `value`")
    measured_ms: float | None = Field(description="the newest latency measured on this device; null if none was")
    measured_spread_ms: float | None = Field(description="its standard deviation over runs, else its standard error")
    shipped: dict[str, str] | None = Field(description="when the team put it to use, and what it said of that")
    predicted: bool = True
    sources: dict[str, float]
    derivations: dict[str, float]
    pruner: str
    patterns: dict[str, int] = Field(description="number of layers by kind of pattern")
    page: str
    files: dict[str, str] = Field(description="kind of file -> address to download it from")


class LimitOut(BaseModel):
    """A latency limit of the search on this profile."""

    latency_ms: float
    share: float | None


class CalibrationNote(BaseModel):
    """The version of a profile's calibration that a search is priced under."""

    id: str
    version: int
    method: Literal["none", "scale", "offset", "affine"]
    points: int
    half_width: float | None = Field(description="of the interval of a network's latency, as a share")
    warning: str = Field(description="what a person should know before trusting it; empty if nothing")


class GapOut(BaseModel):
    """A trial on the front by validation loss, and the least loss that is predicted to be possible as fast as it."""

    number: int
    latency_ms: float
    loss: float
    predicted_loss: float = Field(description="the additive model's: nothing is predicted, not proven, to beat this")
    gap: float = Field(description="loss - predicted_loss")


class FrontOut(BaseModel):
    """The stored front of a search on one profile, and every complete trial, dominated ones too."""

    search: str
    profile: str
    profile_name: str
    source: str
    batch: int
    precision: str
    metric: str = Field(description="the headline of the search's task, which the front is drawn with")
    better: Literal["higher", "lower"]
    calibration: CalibrationNote | None
    dense: PointOut | None
    dense_recovered: PointOut | None
    limits: list[LimitOut]
    points: list[PointOut]
    trials: list[PointOut]
    stopped: list[PointOut] = Field(description="trials that ended at a lower fidelity; on no front")
    bound: list[dict[str, Any]]
    gaps: list[GapOut] = Field(description="of the best trials to the bound; empty before the search has ended")
