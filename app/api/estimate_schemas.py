"""What the service answers about what searches will take, and what they took."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class RangeOut(BaseModel):
    """A prediction: one in ten lies below `p10`, half below `p50`, nine in ten below `p90`."""

    p10: float
    p50: float
    p90: float


class LevelOut(BaseModel):
    """What to expect at a latency. Null is not known: it is not guessed."""

    latency_ms: float
    share: float = Field(description="of the dense latency on this profile")
    quality: RangeOut | None = Field(description="best quality of a trial this fast, higher is better")
    searches: int = Field(description="earlier searches with a trial this fast")
    excess_loss: float | None = Field(description="predicted before recovery, by an earlier search's bound")


class ExpectedOut(BaseModel):
    """What a search can reach on a profile, and the front to expect there."""

    profile: str
    profile_name: str
    lowest_ms: float
    dense_ms: float
    front: list[LevelOut]


class UnreachableOut(BaseModel):
    """A limit that no plan keeps, and the range that plans do reach, in the unit that `resource` names.

    `limit_ms`, `lowest_ms` and `dense_ms` say it again of latencies alone; `lowest` and `dense` are null where the
    profile cannot price the resource.
    """

    pointer: str
    profile: str
    resource: Literal["latency_ms", "energy_mj", "weight_bytes"]
    limit: float
    lowest: float | None
    dense: float | None
    limit_ms: float | None
    lowest_ms: float | None
    dense_ms: float | None
    detail: str


class EstimateOut(BaseModel):
    """What a search will take and reach. `notes` say in words what that rests on, and what is not known."""

    seconds: RangeOut
    basis: Literal["this_model", "other_models", "assumed"]
    precedents: int = Field(description="earlier searches that the time rests on")
    trials: int
    recoveries: int
    sample_passes: int = Field(description="of all trials; 1 a sample forward, 3 forward and backward")
    table_passes: int = Field(description="of the error table, at most")
    ends_by: Literal["trials", "recoveries", "sample_passes", "wall_s"]
    profiles: list[ExpectedOut]
    unreachable: list[UnreachableOut]
    notes: list[str]


class SearchEstimateOut(BaseModel):
    """What was predicted at submission, and what it took once it has ended."""

    predicted: dict[str, Any]
    actual: dict[str, Any] | None


class ComparedOut(BaseModel):
    """A number predicted and what became of it; `ratio` is actual over predicted, null where one of them is 0."""

    predicted: float
    actual: float | None
    ratio: float | None


class PastEstimateOut(BaseModel):
    """An ended search's estimate beside what it took. Only of a search that succeeded can time be judged."""

    id: str
    name: str
    state: str
    finished_at: str | None
    basis: str
    seconds: ComparedOut
    inside: bool = Field(description="whether the time lies between p10 and p90")
    trials: ComparedOut
    recoveries: ComparedOut
    sample_passes: ComparedOut


class PastEstimatesOut(BaseModel):
    """A page of past estimates, newest first, and how good those on it were."""

    items: list[PastEstimateOut]
    next: str | None
    median_ratio: float | None = Field(description="of seconds, over searches on this page that succeeded")
    inside_share: float | None = Field(description="of these the share between p10 and p90; 0.8 is what is meant")
