"""What the service answers about searches and trials; fronts are in `front_schemas`, the rest in `schemas`."""

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
    """A predicted latency, how much of it rests on what, and what else is taken where the profile can say."""

    profile: str
    latency_ms: float
    low_ms: float | None = Field(description="lower end of the interval; null where it is not known")
    high_ms: float | None
    energy_mj: float | None = Field(description="predicted, of a batch; null where it is not known")
    weight_bytes: float | None = Field(description="predicted, as the device stores them; likewise")
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
    before_mj: float | None = Field(description="energy of a batch, dense; null where the profile cannot say")
    after_mj: float | None
    before_weight_bytes: float | None = Field(description="of the dense model as the device stores it; likewise")
    after_weight_bytes: float | None
    predicted: bool = True
    sources: dict[str, float]
    derivations: dict[str, float]


class TrialOut(TrialSummary):
    """A trial with its plan, its measurements and its per-layer table."""

    search: str
    plan: dict[str, Any]
    seed: int
    recovery_steps: int
    learning_rate_factor: float = Field(description="on the search's learning rate; 1 unless the search varies it")
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
