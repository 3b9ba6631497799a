"""Searches and trials as answers; fronts are in `front_views`. Pure: records in, answers out."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from app.api.estimate_schemas import SearchEstimateOut
from app.api.schemas import FailureOut
from app.api.search_schemas import (
    CostOut,
    DenseOut,
    EndingOut,
    ProgressOut,
    SearchOut,
    SearchSummary,
    TrialSummary,
)
from app.api.service import API
from app.api.views import failure
from app.search.exports.passport import FILES
from app.search.judging import Headline, headline_of
from app.search.trial import Measurement, Trial
from app.store.records import EventRecord, SearchProgress, SearchRecord

DENSE_TRIALS = 2  # trial 0 as uploaded, trial 1 with the same recovery


def search_links(search_id: str) -> dict[str, str]:
    """Where a search, its page and its parts live."""
    base = f"{API}/searches/{search_id}"
    parts = {name: f"{base}/{name}" for name in ("front", "trials", "events", "cancel")}
    return {"self": base, "page": f"/searches/{search_id}", **parts}


def trial_links(search_id: str, trial: Trial) -> dict[str, str]:
    """Where a trial and its files live."""
    base = f"{API}/searches/{search_id}/trials/{trial.number}"
    page = f"/searches/{search_id}/trials/{trial.number}"
    files = file_links(search_id, trial.number, trial.files)
    more = {"exports": f"{base}/exports", "requests": f"{base}/requests"}
    return {"self": base, "page": page, "search": f"{API}/searches/{search_id}", **more, **files}


def file_links(search_id: str, number: int, files: Mapping[str, str]) -> dict[str, str]:
    """Kind of file -> where to download it."""
    base = f"{API}/searches/{search_id}/trials/{number}/files"
    return {kind: f"{base}/{kind}" for kind in FILES if kind in files}


def progress(search: SearchRecord, counts: SearchProgress, now: datetime | None = None) -> ProgressOut:
    """How far a search is; the time left is the time per finished trial so far times the trials to come."""
    total = max(int(search.spec["trials"]) + DENSE_TRIALS, counts.asked)
    left: float | None = None
    if search.state == "running" and counts.done and counts.first_asked_at:
        begin = datetime.fromisoformat(counts.first_asked_at)
        elapsed_s = ((now or datetime.now(UTC)) - begin).total_seconds()
        left = max(0.0, elapsed_s / counts.done * (total - counts.done))
    headline = headline_of(search.spec)
    best = None if counts.best_quality is None else headline.value(counts.best_quality)
    return ProgressOut(
        metric=headline.metric,
        best=best,
        done=counts.done,
        total=total,
        failed=counts.failed,
        infeasible=counts.infeasible,
        stopped=counts.stopped,
        best_accuracy=best if headline.metric == "accuracy" else None,
        seconds_left=left,
    )


def search_summary(search: SearchRecord, counts: SearchProgress) -> SearchSummary:
    """A search for the list."""
    return SearchSummary(
        id=search.id,
        name=search.name,
        state=search.state,
        desired=search.desired,
        phase=search.phase,
        progress=progress(search, counts),
        model=search.spec["model"],
        dataset=search.spec["dataset"],
        profiles=list(search.spec["profiles"]),
        failure=failure(search.failure),
        created_at=search.created_at,
        started_at=search.started_at,
        finished_at=search.finished_at,
        links=search_links(search.id),
    )


def search_out(
    search: SearchRecord, counts: SearchProgress, dense: Sequence[Trial], ending: EventRecord | None = None
) -> SearchOut:
    """A search with all that belongs to it; `dense` has the two dense trials, as far as there are any.

    `ending` is the event that says why it asks for no more trials; before it has ended, it may still be extended.
    """
    over = ending is not None and search.finished_at is not None
    return SearchOut(
        **vars(search_summary(search, counts)),
        spec=dict(search.spec),
        seed=search.seed,
        dense=_dense(search, dense, "dense"),
        dense_recovered=_dense(search, dense, "dense_recovered"),
        space=dict(search.space) if search.space else None,
        bound=dict(search.bound) if search.bound else None,
        estimate=_estimate(search),
        ending=EndingOut.model_validate(ending.payload) if ending is not None and over else None,
    )


def _estimate(search: SearchRecord) -> SearchEstimateOut | None:
    if search.estimate is None:
        return None
    return SearchEstimateOut(predicted=dict(search.estimate), actual=dict(search.actual) if search.actual else None)


def trial_summary(search: SearchRecord, trial: Trial) -> TrialSummary:
    """A trial for the list."""
    return TrialSummary(
        number=trial.number,
        role=trial.role,
        state=trial.state,
        attempts=trial.attempts,
        pruner=trial.plan.pruner,
        patterns=pattern_counts(pattern.kind for pattern in trial.plan.patterns.values()),
        **_measured(search, trial),
        costs=[CostOut(**asdict(cost)) for cost in trial.costs],
        failure=FailureOut(**asdict(trial.failure)) if trial.failure else None,
        links=trial_links(search.id, trial),
    )


def pattern_counts(kinds: Iterable[str]) -> dict[str, int]:
    """Number of layers by kind of pattern; dense layers are not in a plan's text and not counted."""
    return dict(sorted(Counter(kind for kind in kinds if kind != "dense").items()))


def _dense(search: SearchRecord, trials: Sequence[Trial], role: str) -> DenseOut | None:
    trial = next((trial for trial in trials if trial.role == role), None)
    if trial is None:
        return None
    latency_ms = {cost.profile: cost.latency_ms for cost in trial.costs}
    return DenseOut(number=trial.number, latency_ms=latency_ms, **_measured(search, trial))


def _measured(search: SearchRecord, trial: Trial) -> dict[str, Any]:
    headline = headline_of(search.spec)
    metric = headline.metric
    return judged(headline, trial.value(metric, "validation"), trial.value(metric, "test"))


def judged(headline: Headline, validation: Measurement | None, test: Measurement | None) -> dict[str, Any]:
    """The fields of a `MeasuredOut`."""
    found = {
        "value": validation.value if validation else None,
        "standard_error": validation.standard_error if validation else None,
        "test_value": test.value if test else None,
        "test_standard_error": test.standard_error if test else None,
    }
    known = headline.metric == "accuracy"
    return {
        "metric": headline.metric,
        "better": headline.better,
        **found,
        "accuracy": found["value"] if known else None,
        "accuracy_standard_error": found["standard_error"] if known else None,
        "test_accuracy": found["test_value"] if known else None,
        "samples": validation.samples if validation else None,
    }
