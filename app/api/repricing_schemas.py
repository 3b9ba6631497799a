"""What the service takes and answers about re-pricing and fleets."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.profile_bodies import Text
from app.api.profile_schemas import Milliseconds

MOST_LIMITS = 64  # of one fleet
Key = Annotated[Text, Field(min_length=1, max_length=64)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Quality = Annotated[float, Field(allow_inf_nan=False, description="validation quality, higher is better")]


class RepriceBody(BaseModel):
    """A profile that came later. Without `calibration` its newest one counts; null is none."""

    model_config = ConfigDict(extra="forbid")
    profile: Key
    calibration: Key | None = None
    against: Key | None = Field(None, description="profile to compare fronts with; each search's first if left out")
    acknowledge: list[Literal["batch", "precision", "coverage", "ambiguity"]] = []


class MovedOut(BaseModel):
    """A trial that is on one of two fronts alone. Its quality is what it was."""

    number: int
    quality: float
    latency_ms: float = Field(description="on the new profile")
    against_ms: float | None = Field(description="on the profile that is compared with")


class FrontChangeOut(BaseModel):
    """How a search's front differs between two profiles."""

    search: str
    search_name: str
    state: str
    trials: int = Field(description="complete trials that were priced; those to come are priced by asking again")
    against: str
    before: int = Field(description="points of the front on `against`")
    after: int
    entered: list[MovedOut]
    left: list[MovedOut]
    stayed: list[int]
    front: str


class PassedOverOut(BaseModel):
    """A search that was not priced, and why."""

    search: str
    search_name: str
    reason: str


class RepricingOut(BaseModel):
    """All complete trials of a model on a new profile; nothing was trained."""

    model: str
    profile: str
    profile_name: str
    calibration: str | None
    trials: int
    searches: list[FrontChangeOut]
    passed_over: list[PassedOverOut]


class FleetLimitBody(BaseModel):
    """Some model must be as fast as this on the profile: `latency_ms`, or `share` of the dense latency there."""

    model_config = ConfigDict(extra="forbid")
    profile: Key
    latency_ms: Milliseconds | None = None
    share: Share | None = None
    least_quality: Quality | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "FleetLimitBody":
        if (self.latency_ms is None) == (self.share is None):
            raise ValueError("give latency_ms or share, one of the two")
        return self


class FleetBody(BaseModel):
    """Limits across a fleet, and how many models may serve them: the fewest if `k` is left out."""

    model_config = ConfigDict(extra="forbid")
    limits: Annotated[list[FleetLimitBody], Field(min_length=1, max_length=MOST_LIMITS)]
    k: Annotated[int, Field(ge=1, le=MOST_LIMITS)] | None = None
    objective: Literal["mean", "min"] = "mean"


class WorstPointOut(BaseModel):
    """A trial at its worst device. `share` is of the dense latency there, or of the limit."""

    number: int
    quality: float
    share: float
    profile: str = Field(description="the device where the share is largest")
    shares: dict[str, float]
    page: str


class FleetOut(BaseModel):
    """The front of the worst device: the least that every device of a fleet gets."""

    search: str
    by: Literal["dense", "limit"]
    profiles: list[str]
    reference_ms: dict[str, float] = Field(description="by profile the latency that counts as 1")
    points: list[WorstPointOut]


class ServedOut(BaseModel):
    """A limit and the chosen trial that serves it."""

    profile: str
    limit_ms: float
    least_quality: float | None
    number: int
    latency_ms: float
    quality: float


class CoverOut(BaseModel):
    """The chosen trials. `fewest` is the least number that meets all limits; `proven`: no choice is better."""

    search: str
    numbers: list[int]
    fewest: int
    objective: Literal["mean", "min"]
    mean_quality: float
    min_quality: float
    proven: bool
    limits: list[ServedOut]
