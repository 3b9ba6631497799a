"""Estimates: what a search will take and reach, asked before it is submitted; and how past estimates turned out."""

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Any

from fastapi import APIRouter

from app.api.estimate_schemas import ComparedOut, EstimateOut, PastEstimateOut, PastEstimatesOut
from app.api.service import After, Here, Limit, Service
from app.api.submit import check, pinned
from app.errors import Problem
from app.search.spec import SearchSpec
from app.store import precedents
from app.store.records import SearchRecord

router = APIRouter(tags=["searches"])


@router.post("/searches/estimate")
def estimate_search(here: Here, spec: SearchSpec) -> EstimateOut:
    """What a search would take and reach, without submitting it; limits out of reach are named, not refused."""
    from app.api.forecast import forecast  # the solver's numbers come with it, so only here

    spec = pinned(here, spec)
    check(here, replace(spec, limits=()))
    return forecast(here, spec)


@router.get("/estimates")
def list_estimates(here: Here, limit: Limit = 50, after: After = None) -> PastEstimatesOut:
    """Estimates of searches that have ended beside what they took, newest first."""
    with here.database.read() as session:
        records = precedents.estimated(session, here.project_id, limit=limit + 1, after=after)
    items = [_past(record) for record in records[:limit]]
    judged = [item for item in items if item.state == "succeeded" and item.seconds.ratio is not None]
    return PastEstimatesOut(
        items=items,
        next=items[-1].id if len(records) > limit else None,
        median_ratio=median(item.seconds.ratio or 0.0 for item in judged) if judged else None,
        inside_share=sum(item.inside for item in judged) / len(judged) if judged else None,
    )


def at_submission(here: Service, spec: SearchSpec) -> dict[str, Any] | None:
    """The estimate to keep with a search that was checked; None while parts of it are still being read."""
    from app.api.forecast import forecast

    try:
        return forecast(here, spec).model_dump(mode="json")
    except Problem as problem:
        if problem.code != "not_ready":
            raise
        return None


def _past(record: SearchRecord) -> PastEstimateOut:
    predicted: Mapping[str, Any] = record.estimate or {}
    actual: Mapping[str, Any] = record.actual or {}
    seconds = predicted["seconds"]
    return PastEstimateOut(
        id=record.id,
        name=record.name,
        state=record.state,
        finished_at=record.finished_at,
        basis=predicted["basis"],
        seconds=_compared(seconds["p50"], actual["wall_s"]),
        inside=seconds["p10"] <= actual["wall_s"] <= seconds["p90"],
        **{name: _compared(predicted[name], actual[name]) for name in ("trials", "recoveries", "sample_passes")},
    )


def _compared(predicted: float, actual: float | None) -> ComparedOut:
    ratio = actual / predicted if predicted and actual else None
    return ComparedOut(predicted=predicted, actual=actual, ratio=ratio)
