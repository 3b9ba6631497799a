"""Numbers measured for a trial later, by this service (`verify`) or by a team's own lab; and trials that went out."""

from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api.exports import TrialRequestOut, ask, complete
from app.api.search_schemas import TrialOut
from app.api.service import Here, Id, Number, Service
from app.api.trials import detail
from app.errors import Problem
from app.search.trial import Measurement, Metric, Split
from app.store import events, searches, trials
from app.store.errors import Conflict

router = APIRouter(prefix="/searches/{search_id}/trials/{number}", tags=["trials"])


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError("must be a finite number")
    return value


Finite = Annotated[float, AfterValidator(_finite)]
Text = Annotated[str, Field(max_length=200)]


class VerifyBody(BaseModel):
    """How to measure; `batch` is the search's if left out."""

    model_config = ConfigDict(extra="forbid")
    backends: list[Literal["eager", "compile", "onnxruntime"]] = Field(
        default=["onnxruntime"], min_length=1, max_length=3, description="runtimes, one after another"
    )
    batch: int | None = Field(default=None, ge=1, le=65_536)
    threads: int = Field(default=1, ge=1, le=256)
    device: Literal["cpu", "cuda"] = "cpu"
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    budget_s: float = Field(default=10.0, ge=0.1, le=600.0, description="of timing, a runtime")


class MeasurementBody(BaseModel):
    """A number that a team measured itself, with where it comes from."""

    model_config = ConfigDict(extra="forbid")
    metric: Metric
    value: Finite
    standard_error: Finite = Field(default=0.0, ge=0.0)
    samples: int = Field(default=1, ge=1, le=2**31 - 1)
    split: Split | None = None
    profile: Annotated[str | None, Field(max_length=64)] = Field(
        default=None, description="the profile of the search whose device it was measured on"
    )
    device: Text = ""
    runtime: Text = ""
    batch: int | None = Field(default=None, ge=1, le=65_536)
    note: Annotated[str, Field(max_length=2000)] = Field(default="", description="how it was measured, and by whom")


class ShippedBody(BaseModel):
    """What the team wants to remember of it."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(max_length=2000)] = ""


@router.post("/verify", status_code=202)
def verify_trial(here: Here, response: Response, search_id: Id, number: Number, body: VerifyBody) -> TrialRequestOut:
    """Have a complete trial's exported model timed on the worker's machine, in turns with the dense one.

    Where a profile of the search was measured in the same place, the time is set beside its prediction and makes a
    new version of its calibration.
    """
    search = complete(here, search_id, number)
    asked = body.model_dump() | {"batch": body.batch or search.spec["batch"]}
    return ask(here, response, search_id, number, ("verify", asked))


@router.post("/measurements", status_code=201)
def post_measurement(here: Here, search_id: Id, number: Number, body: MeasurementBody) -> TrialOut:
    """Add a number from a team's own training or device lab. It is shown as posted, and moves no front."""
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        trial = trials.get(session, search_id, number).trial
    if body.metric in ("latency_ms", "throughput") and body.value <= 0:
        raise Problem(422, "not_positive", f"A {body.metric} of {body.value} cannot be.", pointer="/value")
    if body.metric in ("accuracy", "top5") and not 0 <= body.value <= 1:
        raise Problem(422, "not_a_share", f"{body.metric} is a share in 0 ... 1, not {body.value}.", pointer="/value")
    if body.profile is not None and body.profile not in {cost.profile for cost in trial.costs}:
        detail_ = "This trial was never priced on that profile; its prices are in `costs`."
        raise Problem(422, "unknown_profile", detail_, pointer="/profile")
    told = {key: value for key in ("device", "runtime", "batch", "note") if (value := getattr(body, key))}
    found = Measurement(
        metric=body.metric,
        value=body.value,
        standard_error=body.standard_error,
        samples=body.samples,
        seed=trial.seed,
        fidelity=trial.recovery_steps,
        split=body.split,
        profile=body.profile,
        origin={"by": "post", "at": _now(), **told},
    )
    try:
        with here.database.begin() as session:
            trials.add_measurements(session, search_id, number, [found])
            _tell(here, session, search_id, number, {"measured": body.metric})
    except Conflict as error:
        raise Problem(409, "not_ended", str(error)) from error
    with here.database.read() as session:
        return detail(here, search, trials.get(session, search_id, number))


@router.put("/shipped")
def ship_trial(here: Here, search_id: Id, number: Number, body: ShippedBody) -> TrialOut:
    """Mark a complete trial as the one that went out."""
    return _shipped(here, search_id, number, {"at": _now(), "note": body.note})


@router.delete("/shipped")
def unship_trial(here: Here, search_id: Id, number: Number) -> TrialOut:
    """Take the mark away."""
    return _shipped(here, search_id, number, None)


def _shipped(here: Service, search_id: str, number: int, mark: dict[str, str] | None) -> TrialOut:
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
    try:
        with here.database.begin() as session:
            trials.set_shipped(session, search_id, number, mark)
            _tell(here, session, search_id, number, {"shipped": mark is not None})
    except Conflict as error:
        raise Problem(409, "not_complete", str(error)) from error
    with here.database.read() as session:
        return detail(here, search, trials.get(session, search_id, number))


def _tell(here: Service, session: Any, search_id: str, number: int, what: dict[str, Any]) -> None:
    payload = {"number": number, **what}
    events.add(session, project_id=here.project_id, search_id=search_id, kind="measurement", payload=payload)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
