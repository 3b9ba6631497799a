"""What the store knows that a search can begin with: trials of earlier searches, errors of other models.

Only what had ended when the search was submitted counts, so that a search taken up again begins with the same.
"""

from app.jobs.lease import Session
from app.jobs.problem import Parts, option_key
from app.search.proposals.rungs import as_whole
from app.search.table.memory import Memory, Observed, pooled
from app.search.trial import Trial
from app.store import scores, trials
from app.store.records import SearchRecord
from pruning.layers import ModelSpec


def memory_of(s: Session, search: SearchRecord, parts: Parts) -> Memory:
    """The memory of a search: empty unless its spec asks for some."""
    sources = search.spec.get("warm_start", ())
    return Memory(
        trials=tuple(trial for source in sources for trial in _ended(s, search, source)),
        prior=_prior(s, search, parts) if search.spec.get("pooled") else {},
    )


def _ended(s: Session, search: SearchRecord, source: str) -> list[Trial]:
    """The complete trials of an earlier search; the two dense ones are every search's own."""
    there = trials.stored(s, source)
    ended = [
        entry.trial
        for entry in there
        if entry.trial.state == "complete"
        and entry.trial.role == "searched"
        and entry.finished_at is not None
        and entry.finished_at <= search.created_at
    ]
    return as_whole(ended, max((entry.trial.recovery_steps for entry in there), default=0))  # the dense one has all


def _prior(s: Session, search: SearchRecord, parts: Parts) -> dict[str, float]:
    others = scores.of_other_models(s, search.project_id, option_key(search, parts), search.created_at)
    observed = [Observed(model=ModelSpec.from_json(dict(r.spec)), errors=errors) for r, errors in others if r.spec]
    return pooled(observed, ModelSpec.from_json(dict(parts.model.spec or {})))
