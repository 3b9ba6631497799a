"""What the service answers about fronts."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.api.search_schemas import MeasuredOut


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
    energy_mj: float | None = Field(description="predicted, of a batch; null where it is not known")
    weight_bytes: float | None = Field(description="predicted, as the device stores them; likewise")
    measured_ms: float | None = Field(description="the newest latency measured on this device; null if none was")
    measured_spread_ms: float | None = Field(description="its standard error; how single runs vary is with the trial")
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
