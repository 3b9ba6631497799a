"""Fronts, stored per search and profile: updated with the trial that changes them, equal to a recomputation."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.search.front import pareto_front
from app.store.records import FrontPoint
from app.store.tables import FrontPoint as FrontRow
from app.store.tables import Measurement, Trial, TrialCost


def update(session: Session, search_id: str, profile_ids: Sequence[str]) -> None:
    """Bring the stored fronts of a search up to date; call it in the transaction that records a trial."""
    for profile_id in profile_ids:
        mine = (FrontRow.search_id == search_id) & (FrontRow.profile_id == profile_id)
        session.execute(delete(FrontRow).where(mine))
        for point in recomputed(session, search_id, profile_id):
            session.add(
                FrontRow(
                    search_id=search_id,
                    profile_id=profile_id,
                    number=point.number,
                    latency_ms=point.latency_ms,
                    accuracy=point.accuracy,
                )
            )
    session.flush()


def get(session: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The stored front, fastest first."""
    wanted = (
        select(FrontRow)
        .where(FrontRow.search_id == search_id, FrontRow.profile_id == profile_id)
        .order_by(FrontRow.latency_ms, FrontRow.number)
    )
    return [
        FrontPoint(number=row.number, latency_ms=row.latency_ms, accuracy=row.accuracy)
        for row in session.execute(wanted).scalars()
    ]


def recomputed(session: Session, search_id: str, profile_id: str) -> list[FrontPoint]:
    """The front as its trials say: complete ones, validation accuracy at the highest fidelity, predicted latency."""
    wanted = (
        select(Trial.number, TrialCost.latency_ms, Measurement.value)
        .join(TrialCost, TrialCost.trial_id == Trial.id)
        .join(Measurement, Measurement.trial_id == Trial.id)
        .where(Trial.search_id == search_id, Trial.state == "complete", TrialCost.profile_id == profile_id)
        .where(Measurement.metric == "accuracy", Measurement.split == "validation")
        .order_by(Trial.number, Measurement.fidelity, Measurement.position)
    )
    points = {
        number: FrontPoint(number=number, latency_ms=latency_ms, accuracy=accuracy)
        for number, latency_ms, accuracy in session.execute(wanted).tuples()
    }
    candidates = list(points.values())
    chosen = pareto_front([(1.0 - point.accuracy, point.latency_ms) for point in candidates])
    return sorted((candidates[i] for i in chosen), key=lambda point: (point.latency_ms, point.number))
