"""Verifications as a noun: what a trial's model takes on this machine becomes measurements and calibration points.

A measurement belongs to a profile of the search if that profile was measured on the same device, with the same
runtime and threads, at the same batch and precision. Then it stands beside that profile's prediction, in the profile's
statistic, and makes a new version of its calibration, which later searches are priced under; this search's prices stay.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from app.jobs.failures import KnownFailure
from app.jobs.lease import Lease, Session
from app.jobs.nouns import Noun, Ready
from app.jobs.problem import model_files
from app.search.trial import Failure, Measurement, Trial
from app.store import calibrations, models, profiles, searches, trial_requests, trials
from app.store.blobs import ArtefactStore
from app.store.errors import Conflict
from app.store.records import ProfileRecord, SearchRecord, TrialRequestRecord
from costmodels.calibrate import Calibration, CalibrationPoint, calibrate
from costmodels.errors import ProfileError

Row = dict[str, Any]
_TRIES = 5


def _payload(lease: Lease, blobs: ArtefactStore, cache: Path, record: TrialRequestRecord) -> Mapping[str, Any]:
    search = lease.read(lambda s: searches.get(s, record.project_id, record.search_id))
    trial = lease.read(lambda s: trials.get(s, record.search_id, record.number)).trial
    model = lease.read(lambda s: models.get(s, record.project_id, search.spec["model"]))
    if "model" not in trial.files:
        reason = f"Trial {trial.number} is {trial.state} and left no exported model to measure"
        raise KnownFailure(Failure(code="no_file", reason=reason))
    exported = str(blobs.local_path(trial.files["model"], cache))
    return {**model_files(model, blobs, cache), "model": exported, **record.body}


def _verified(s: Session, request_id: str, ready: Ready) -> None:
    request = trial_requests.one(s, request_id)
    if request.state not in trial_requests.UNFINISHED:
        return  # written before: its points are in the calibration already
    search = searches.get(s, request.project_id, request.search_id)
    trial = trials.get(s, request.search_id, request.number).trial
    known = [profiles.get(s, request.project_id, cost.profile) for cost in trial.costs]  # later ones too
    rows: list[Row] = [dict(row) for row in ready["result"]["rows"]]
    found = []
    for row in rows:
        if "failure" not in row:
            profile = same_place(row, request.body, known)
            if profile is not None:
                row["profile"], row["predicted_ms"] = profile.id, trial.cost(profile.id).latency_ms
                row["calibration"] = _calibrated(s, row, search, trial, profile)
            found.append(measurement(row, request, trial, profile))
    if trial_requests.set_ready(s, request_id, result={"rows": rows}, files={}) and found:
        trials.add_measurements(s, request.search_id, request.number, found)


def same_place(row: Row, body: Mapping[str, Any], known: Sequence[ProfileRecord]) -> ProfileRecord | None:
    """The measured profile whose predictions these times are about; None if there is none."""
    threads = body["threads"]
    runtime = f"{row['runtime']}, {threads} thread{'s' if threads > 1 else ''}"
    wanted = {"source": "measured", "device": row["device"], "runtime": runtime}
    wanted |= {"batch": body["batch"], "precision": body["precision"]}
    for profile in known:
        if profile.document and all(profile.document.get(key) == value for key, value in wanted.items()):
            return profile
    return None


def measurement(row: Row, request: TrialRequestRecord, trial: Trial, profile: ProfileRecord | None) -> Measurement:
    """A row as the trial's measurement: the median, or the statistic of the profile it belongs to."""
    times, statistic = row["trial"], _statistic(profile)
    dense = row["dense"]
    return Measurement(
        metric="latency_ms",
        value=times[f"{statistic}_ms"],
        standard_error=times["std_ms"] / sqrt(times["runs"]),
        samples=times["runs"],
        seed=trial.seed,
        fidelity=trial.recovery_steps,
        profile=profile.id if profile else None,
        origin={
            "by": "verify",
            "request": request.id,
            "backend": row["backend"],
            "runtime": row["runtime"],
            "device": row["device"],
            "batch": request.body["batch"],
            "threads": request.body["threads"],
            "precision": request.body["precision"],
            "statistic": statistic,
            "std_ms": times["std_ms"],
            "median_ms": times["median_ms"],
            "dense_ms": dense[f"{statistic}_ms"],
            "dense_std_ms": dense["std_ms"],
            "warning": row["warning"],
        },
    )


def _statistic(profile: ProfileRecord | None) -> str:
    document = (profile.document if profile else None) or {}
    return "p10" if document.get("statistic") == "p10" else "median"


def _calibrated(s: Session, row: Row, search: SearchRecord, trial: Trial, profile: ProfileRecord) -> str:
    """Make the next version of the profile's calibration; the answer says which, or why not."""
    if row["warning"]:
        return f"no new version: {row['warning']}"
    pinned = calibrations.pinned(s, search.project_id, search.spec).get(profile.id)
    under = Calibration.from_json(dict(pinned.document)) if pinned else None
    predicted_ms = trial.cost(profile.id).latency_ms
    try:
        point = CalibrationPoint(
            predicted_ms=under.raw_ms(predicted_ms) if under else predicted_ms,
            measured_ms=row["trial"][f"{_statistic(profile)}_ms"],
            label=f"search {search.id}, trial {trial.number}",
        )
        return f"version {_next_version(s, profile, point)}"
    except (ProfileError, Conflict) as error:  # the times are worth keeping without it
        return f"no new version: {error}"


def _next_version(s: Session, profile: ProfileRecord, point: CalibrationPoint) -> int:
    """Write the newest calibration with one more point; somebody else may write a version at the same moment.

    Raises:
        ProfileError: no calibration takes that point.
        Conflict: another version came each time.
    """
    for last in (*[False] * (_TRIES - 1), True):
        newest = calibrations.latest(s, profile.project_id, [profile.id]).get(profile.id)
        parent = Calibration.from_json(dict(newest.document)) if newest else None
        version, made = newest.version + 1 if newest else 1, calibrate(profile.digest or "", [point], parent)
        key = {"project_id": profile.project_id, "profile_id": profile.id}
        try:
            calibrations.add(s, **key, version=version, document=made.to_json())
        except Conflict:
            if last:
                raise
        else:
            return version
    raise AssertionError("unreachable")


VERIFY = Noun(
    name="verify",
    kind="verify",
    working="running",
    waiting=lambda s: trial_requests.waiting(s, "verify"),
    payload=_payload,
    begin=trial_requests.set_running,
    ready=lambda result, files: {"result": result, "files": files},
    set_ready=_verified,
    refuse=lambda s, request_id, failure: trial_requests.set_failed(s, request_id, dict(failure)),
    refused="failed",
)
