"""Fronts as answers. Pure: records in, answers out."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.front_schemas import CalibrationNote, FrontOut, GapOut, LimitOut, PointOut
from app.api.search_views import file_links, judged, pattern_counts
from app.search.judging import headline_of
from app.search.trial import Measurement, TrialState
from app.store.records import CalibrationRecord, FrontTrial, ProfileRecord, SearchRecord
from costmodels.calibrate import Calibration


def front_out(
    search: SearchRecord,
    profile: ProfileRecord,
    calibration: CalibrationRecord | None,
    numbers: Sequence[int],
    trials: Sequence[FrontTrial],
) -> FrontOut:
    """The stored front (`numbers`, by latency) on one profile, and every complete or stopped trial there."""
    headline = headline_of(search.spec)
    document: Mapping[str, Any] = profile.document or {}
    batch = document.get("batch", search.spec["batch"])
    points = {point.number: point for point in _points(search, trials, batch, "complete")}
    by_role = {point.role: point for point in points.values() if point.role != "searched"}
    dense = by_role.get("dense")
    return FrontOut(
        search=search.id,
        profile=profile.id,
        profile_name=profile.name,
        source=document.get("source", "measured"),
        batch=batch,
        precision=document.get("precision", search.spec["precision"]),
        metric=headline.metric,
        better=headline.better,
        calibration=calibration_note(calibration) if calibration else None,
        dense=dense,
        dense_recovered=by_role.get("dense_recovered"),
        limits=_limits(search, profile.id, dense),
        points=sorted((points[n] for n in numbers if n in points), key=lambda point: point.latency_ms),
        trials=list(points.values()),
        stopped=_points(search, trials, batch, "stopped"),
        bound=list((search.bound or {}).get(profile.id, [])),
        gaps=[GapOut.model_validate(gap) for gap in (search.bound or {}).get("gaps", {}).get(profile.id, [])],
    )


def calibration_note(record: CalibrationRecord) -> CalibrationNote:
    """A calibration in a line, without its points."""
    calibration = Calibration.from_json(dict(record.document))
    return CalibrationNote(
        id=record.id,
        version=record.version,
        method=calibration.method,
        points=len(calibration.points),
        half_width=calibration.half_width,
        warning=calibration.warning,
    )


def _points(search: SearchRecord, trials: Sequence[FrontTrial], batch: int, state: TrialState) -> list[PointOut]:
    """The trials in that state that were judged; `batch` is the profile's."""
    headline = headline_of(search.spec)
    whole = next((trial.cost.latency_ms for trial in trials if trial.role == "dense"), None)
    return [
        PointOut(
            number=trial.number,
            role=trial.role,
            **judged(headline, trial.validation, trial.test),
            latency_ms=trial.cost.latency_ms,
            low_ms=trial.cost.low_ms,
            high_ms=trial.cost.high_ms,
            latency_share=trial.cost.latency_ms / whole if whole else 1.0,
            throughput_per_s=1000 * batch / trial.cost.latency_ms,
            fidelity=trial.validation.fidelity,
            energy_mj=trial.cost.energy_mj,
            weight_bytes=trial.cost.weight_bytes,
            **_measured(trial.measured, batch),
            shipped=dict(trial.shipped) if trial.shipped else None,
            sources=dict(trial.cost.sources),
            derivations=dict(trial.cost.derivations),
            pruner=trial.plan["pruner"],
            patterns=pattern_counts(pattern["kind"] for pattern in trial.plan["patterns"].values()),
            page=f"/searches/{search.id}/trials/{trial.number}",
            files=file_links(search.id, trial.number, trial.files),
        )
        for trial in trials
        if trial.state == state and trial.validation is not None
    ]


def _measured(found: Measurement | None, batch: int) -> dict[str, Any]:
    """A measured latency; one of another batch size than the profile's stands beside no prediction of it."""
    if found is None or found.origin.get("batch", batch) != batch:
        return {"measured_ms": None, "measured_spread_ms": None}
    return {"measured_ms": found.value, "measured_spread_ms": found.standard_error}


def _limits(search: SearchRecord, profile_id: str, dense: PointOut | None) -> list[LimitOut]:
    found = []
    for limit in search.spec["limits"]:
        if limit["profile"] != profile_id or limit["latency_ms"] is limit["share"] is None:  # of something else
            continue
        whole = dense.latency_ms if dense else None
        latency_ms = limit["latency_ms"]
        if latency_ms is None and whole is not None:
            latency_ms = limit["share"] * whole
        if latency_ms is not None:
            share = limit["share"] if limit["share"] is not None else latency_ms / whole if whole else None
            found.append(LimitOut(latency_ms=latency_ms, share=share))
    return found
