"""What the service takes and answers about how a profile fits a model: matching, what pays, calibration."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.api.profile_bodies import Text

MOST_POINTS = 1000  # of one calibration: fitting each point from the others takes half a second for as many
Milliseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
LayerName = Annotated[str, Field(min_length=1, max_length=300)]


class GateOut(BaseModel):
    """Whether a search may use the profile on the model: as it is, once the words are acknowledged, or not at all."""

    verdict: Literal["ok", "acknowledge", "refused"]
    acknowledge: list[Literal["coverage", "ambiguity"]]
    reason: str


class MatchLayerOut(BaseModel):
    """A layer of the model and its partners in the profile. `share` is the part of the partners' time that is its."""

    name: str
    op: str
    state: Literal["matched", "missing", "misshapen", "ambiguous", "analytical"]
    rule: str | None
    partners: list[str]
    share: float | None
    macs: int
    macs_share: float
    dense_ms: float | None
    time_share: float | None = Field(description="of the profile's dense time")


class UnusedOut(BaseModel):
    """A layer of the profile that is none of the model's; its time counts as overhead."""

    name: str
    dense_ms: float
    time_share: float


class AmbiguityOut(BaseModel):
    """Layers and candidates that fit each other equally well but not in number."""

    layers: list[str]
    candidates: list[str]
    reason: str


class MatchOut(BaseModel):
    """How a profile's layers were paired with a model's, what is left over on both sides, and the gate."""

    profile: str
    profile_name: str
    model: str
    model_name: str
    gate: GateOut
    macs_share: float | None = Field(description="of the model's multiply-adds; null for analytical profiles")
    time_share: float | None = Field(description="of the profile's dense time; null for analytical profiles")
    rules: dict[str, int] = Field(description="how many layers each rule matched")
    layers: list[MatchLayerOut]
    unused: list[UnusedOut]
    ambiguous: list[AmbiguityOut]


class AliasesBody(BaseModel):
    """Which layer of the profile is which of the model: `{"profile layer": "model layer"}`."""

    model_config = ConfigDict(extra="forbid")
    aliases: dict[LayerName, LayerName] = Field(min_length=1, max_length=1000)
    name: Text = Field(default="", description="of the new profile; the old one's if left out")


class PayoffOut(BaseModel):
    """One kind of zeros on one layer of one device: whether it pays, from how many zeros on, and why not."""

    profile: str
    device: str
    layer: str
    kind: str
    verdict: Literal["pays", "above", "never", "cannot"]
    from_sparsity: float | None
    at_sparsity: float | None
    saved_share: float
    reason: str


class NamedOut(BaseModel):
    """An id and its name."""

    id: str
    name: str


class PaysOut(BaseModel):
    """Does it pay: every layer of a model, under every kind of zeros, on every device asked about."""

    model: str
    model_name: str
    profiles: list[NamedOut]
    kinds: list[str]
    items: list[PayoffOut]


class PointBody(BaseModel):
    """A network whose latency was measured: with its prediction, or as a trial of a search, which knows it."""

    model_config = ConfigDict(extra="forbid")
    measured_ms: Milliseconds
    predicted_ms: Milliseconds | None = Field(default=None, description="before calibration")
    label: Text = ""
    search: Text | None = None
    trial: int | None = Field(default=None, ge=0, le=2**31 - 1)

    @model_validator(mode="after")
    def _one_or_the_other(self) -> "PointBody":
        by_trial = (self.search is not None, self.trial is not None)
        if any(by_trial) != all(by_trial) or all(by_trial) == (self.predicted_ms is not None):
            raise ValueError("give predicted_ms, or search and trial")
        return self


class CalibrationBody(BaseModel):
    """Points that refine the newest calibration of a profile, or start a new one."""

    model_config = ConfigDict(extra="forbid")
    points: list[PointBody] = Field(min_length=1, max_length=MOST_POINTS)
    start_over: bool = Field(default=False, description="forget the points of the versions before")


class CalibrationPointOut(BaseModel):
    """A network as predicted, as calibrated and as measured; `residual` is measured over calibrated, less one."""

    label: str
    predicted_ms: float
    calibrated_ms: float
    measured_ms: float
    residual: float


class CalibrationOut(BaseModel):
    """A version of a profile's calibration: measured = factor x predicted + offset_ms."""

    id: str
    profile: str
    version: int
    method: Literal["none", "scale", "offset", "affine"]
    factor: float
    offset_ms: float
    points: list[CalibrationPointOut]
    residual_mean: float | None
    residual_max: float | None
    held_out_mean: float | None = Field(description="each point predicted by a fit to the others; four points or more")
    half_width: float | None = Field(description="of the interval, as a share; null with too few points")
    warning: str
    parent: str = Field(description="digest of the version before, empty where it started over")
    digest: str
    created_at: str
    links: dict[str, str]
