"""What happens in one search, written down: each event of `app.search.run` in a transaction of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.jobs.lease import Lease, Session
from app.jobs.patience import patiently
from app.search import events as happened
from app.search.judging import headline_of
from app.search.trial import Failure, Metric, Trial
from app.store import artefacts, events, fronts, scores, searches, trials
from app.store.blobs import ArtefactStore
from app.store.records import SearchRecord

MEDIA_TYPES: Mapping[str, str] = {
    "graph": "application/json",
    "weights": "application/vnd.safetensors",
    "model": "application/zip",
    "arrays": "application/zip",
    "state": "application/zip",
    "passport": "application/json",
}
_UNFINISHED = ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Under which a search's error table, and the errors of single options, are kept for all searches."""

    table: str
    options: scores.ScoreKey


class Recorder:
    """Writes one search."""

    def __init__(self, lease: Lease, blobs: ArtefactStore, search: SearchRecord) -> None:
        self._lease, self._blobs, self._search = lease, blobs, search
        self._profiles: Sequence[str] = tuple(search.spec["profiles"])
        self._metric = headline_of(search.spec).metric

    def store(self, event: happened.Event, keys: Keys | None = None) -> None:
        """Write one event; files are in the artefact store before a row names them. Scores need their keys."""
        if isinstance(event, happened.TrialFinished):
            self._finished(event)
        elif isinstance(event, happened.ScoresReady):
            table, document = _given(keys).table, event.document
            self._lease.write(lambda s: scores.put(s, table, document))
        elif isinstance(event, happened.OptionsScored):
            options, errors, samples = _given(keys).options, event.errors, event.samples
            self._lease.write(lambda s: scores.put_options(s, options, errors, samples))
        else:
            self._lease.write(lambda s: self._write(s, event))
            if isinstance(event, happened.TrialMeasured):
                drop_files(event.files)

    def finish(self, state: str, failure: Failure | None = None) -> SearchRecord | None:
        """Write the end of the search; trials that did not get to theirs are stopped with it.

        Nothing is written if it succeeded and was extended meanwhile: then the search as it is now is returned.
        """
        document = asdict(failure) if failure else None

        def write(s: Session) -> SearchRecord | None:
            if state == "succeeded" and (longer := searches.extended(s, self._search)) is not None:
                return longer
            for trial in trials.history(s, self._search.id):
                if trial.state in _UNFINISHED:
                    why = Failure(code="search_ended", reason=f"The search was over ({state}) before this trial")
                    trials.record(s, self._search.id, trial.evolve(state="stopped", failure=why))
            searches.finish(s, self._search.id, state=state, failure=document)
            self._tell(s, "search", {"state": state, "failure": document})
            return None

        return self._lease.write(write)

    def _write(self, s: Session, event: happened.Event) -> None:
        search_id = self._search.id
        match event:
            case happened.PhaseStarted(phase=phase):
                searches.set_phase(s, search_id, phase)
                self._tell(s, "phase", {"phase": phase})
            case happened.SearchProgress(fraction=fraction, text=text, task=task):
                self._tell(s, "progress", {"fraction": fraction, "text": text, "task": task})
            case happened.SpaceReady(space=space):
                searches.set_space(s, search_id, space)
                self._tell(s, "space", {})
            case happened.BoundReady(document=document):
                searches.set_bound(s, search_id, document)
                self._tell(s, "bound", {})
            case happened.TrialsAsked(trials=asked):
                trials.add_asked(s, search_id, asked)
                for trial in asked:
                    self._tell(s, "trial", _shown(trial, self._metric))
            case happened.TrialStarted(number=number, attempt=attempt):
                trials.set_running(s, search_id, number, attempt)
                self._tell(s, "trial", {"number": number, "state": "running", "attempt": attempt})
            case happened.TrialMeasured(trial=trial):
                trials.measured(s, search_id, trial)
                self._tell(s, "trial", _shown(trial, self._metric))
            case happened.TrialsPromoted(trials=promoted):
                trials.promote(s, search_id, promoted)
                for trial in promoted:
                    self._tell(s, "trial", _shown(trial, self._metric))
            case happened.SearchEnded(because=because, text=text):
                self._tell(s, "ended", {"because": because, "text": text})

    def _finished(self, event: happened.TrialFinished) -> None:
        stored = store_files(self._blobs, event.files)
        trial = event.trial.evolve(files={kind: digest for kind, (digest, _) in stored.items()})

        def write(s: Session) -> None:
            add_files(s, self._search.project_id, stored)
            trials.record(s, self._search.id, trial)
            fronts.update(s, self._search.id, self._profiles)
            self._tell(s, "trial", _shown(trial, self._metric))

        self._lease.write(write)
        drop_files(event.files)

    def _tell(self, s: Session, kind: str, payload: Mapping[str, Any]) -> None:
        project, search = self._search.project_id, self._search.id
        events.add(s, project_id=project, search_id=search, kind=kind, payload=payload)


def store_files(blobs: ArtefactStore, files: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """Put a task's files into the artefact store; kind -> digest and size in bytes."""

    def put(path: str) -> tuple[str, int]:
        return patiently(lambda: blobs.put_file(Path(path)), unless=(FileNotFoundError,))

    return {kind: put(path) for kind, path in files.items()}


def add_files(s: Session, project_id: str, stored: Mapping[str, tuple[str, int]]) -> None:
    """Write the rows of stored files."""
    for kind, (digest, size) in stored.items():
        media_type = MEDIA_TYPES.get(kind, "application/octet-stream")
        artefacts.add(s, project_id=project_id, digest=digest, bytes=size, media_type=media_type, kind=kind)


def drop_files(files: Mapping[str, str]) -> None:
    """Remove a task's own copies: the artefact store has them, and the row that says so is committed."""
    for path in files.values():
        Path(path).unlink(missing_ok=True)


def _shown(trial: Trial, metric: Metric) -> dict[str, Any]:
    """What a page needs to draw the trial without asking again."""
    found = trial.value(metric, "validation")
    return {
        "number": trial.number,
        "role": trial.role,
        "state": trial.state,
        "metric": metric,
        "value": found.value if found else None,
        "accuracy": found.value if found and metric == "accuracy" else None,
        "latency_ms": {cost.profile: cost.latency_ms for cost in trial.costs},
        "failure": asdict(trial.failure) if trial.failure else None,
    }


def _given(keys: Keys | None) -> Keys:
    if keys is None:
        raise LookupError("scores were to be stored without their keys")
    return keys
