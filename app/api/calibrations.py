"""Calibrations of a profile: versions, each from measured latencies; the newest is pinned by searches to come."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from app.api.profile_schemas import MOST_POINTS, CalibrationBody, CalibrationOut, CalibrationPointOut, PointBody
from app.api.schemas import Page
from app.api.service import API, After, Here, Id, Limit, Service
from app.api.views import page
from app.errors import Problem, pointer
from app.store import calibrations, profiles, searches, trials
from app.store.errors import NotFound
from app.store.records import CalibrationRecord, ProfileRecord
from costmodels.calibrate import Calibration, CalibrationPoint, calibrate
from costmodels.errors import ProfileError

router = APIRouter(prefix="/profiles/{profile_id}/calibrations", tags=["profiles"])
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.post("", status_code=201)
def add_calibration(here: Here, response: Response, profile_id: Id, body: CalibrationBody) -> CalibrationOut:
    """Add measured latencies. Makes a new version from all points so far, or from these alone to start over.

    A point is `{"predicted_ms", "measured_ms"}`, or `{"search", "trial", "measured_ms"}` for what a trial was
    predicted to take on this profile, before any calibration.
    """
    with here.database.read() as session:
        record = profiles.get(session, here.project_id, profile_id)
        newest = next(iter(calibrations.page(session, here.project_id, profile_id, limit=1)), None)
    if record.digest is None:
        raise Problem(409, "not_ready", f"Profile {record.name!r} is {record.state}: it predicts nothing yet.")
    parent = _calibration(newest) if newest and not body.start_over else None
    if (known := len(parent.points) if parent else 0) + len(body.points) > MOST_POINTS:
        detail = f"{known} points are there already and {MOST_POINTS} are the most: start over."
        raise Problem(422, "too_many_points", detail, pointer="/points")
    points = [_point(here, record, index, point) for index, point in enumerate(body.points)]
    try:
        made = calibrate(record.digest, points, parent)
    except ProfileError as error:
        raise Problem(422, error.code, str(error), pointer="/points") from error
    with here.database.begin() as session:
        stored = calibrations.add(
            session,
            project_id=here.project_id,
            profile_id=record.id,
            version=newest.version + 1 if newest else 1,
            document=made.to_json(),
        )
    answer = _out(stored)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("")
def list_calibrations(here: Here, profile_id: Id, limit: Limit = 50, after: After = None) -> Page[CalibrationOut]:
    """The versions of a profile's calibration with their points and residuals, the newest first."""
    with here.database.read() as session:
        profiles.get(session, here.project_id, profile_id)
        found = calibrations.page(session, here.project_id, profile_id, limit=limit + 1, after=after)
    return page([_out(record) for record in found], limit)


@router.get("/{version}")
def get_calibration(here: Here, profile_id: Id, version: Version) -> CalibrationOut:
    """One version."""
    with here.database.read() as session:
        profiles.get(session, here.project_id, profile_id)
        return _out(calibrations.of_version(session, here.project_id, profile_id, version))


def _point(here: Service, profile: ProfileRecord, index: int, body: PointBody) -> CalibrationPoint:
    predicted_ms, label = body.predicted_ms, body.label
    if predicted_ms is None:
        assert body.search is not None and body.trial is not None
        try:
            predicted_ms = _uncalibrated_ms(here, profile.id, body.search, body.trial)
        except (NotFound, KeyError) as error:
            detail = str(error) if isinstance(error, NotFound) else "That trial was never priced on this profile."
            raise Problem(422, "unknown_trial", detail, pointer=pointer("points", index)) from error
        label = label or f"search {body.search}, trial {body.trial}"
    try:
        return CalibrationPoint(predicted_ms=predicted_ms, measured_ms=body.measured_ms, label=label)
    except ProfileError as error:
        raise Problem(422, error.code, str(error), pointer=pointer("points", index)) from error


def _uncalibrated_ms(here: Service, profile_id: str, search_id: str, number: int) -> float:
    """What the raw model predicted for a trial: its stored price, with the search's calibration taken back."""
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        stored_ms = trials.get(session, search_id, number).trial.cost(profile_id).latency_ms
        pinned = calibrations.pinned(session, here.project_id, search.spec).get(profile_id)
    if pinned is None:
        return stored_ms
    return _calibration(pinned).raw_ms(stored_ms)


def _calibration(record: CalibrationRecord) -> Calibration:
    return Calibration.from_json(dict(record.document))


def _out(record: CalibrationRecord) -> CalibrationOut:
    calibration = _calibration(record)
    return CalibrationOut(
        id=record.id,
        profile=record.profile_id,
        version=record.version,
        method=calibration.method,
        factor=calibration.factor,
        offset_ms=calibration.offset_ms,
        points=_points(calibration),
        residual_mean=calibration.residual_mean,
        residual_max=calibration.residual_max,
        held_out_mean=calibration.held_out_mean,
        half_width=calibration.half_width,
        warning=calibration.warning,
        parent=calibration.parent,
        digest=calibration.digest,
        created_at=record.created_at,
        links={"self": f"{API}/profiles/{record.profile_id}/calibrations/{record.version}"},
    )


def _points(calibration: Calibration) -> list[CalibrationPointOut]:
    return [
        CalibrationPointOut(
            label=point.label,
            predicted_ms=point.predicted_ms,
            calibrated_ms=calibration.latency_ms(point.predicted_ms),
            measured_ms=point.measured_ms,
            residual=point.measured_ms / calibration.latency_ms(point.predicted_ms) - 1.0,
        )
        for point in calibration.points
    ]
