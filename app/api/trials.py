"""Trials of a search: the list, one with its per-layer table, and its files."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse

from app.api import search_views as views
from app.api.schemas import Page
from app.api.search_schemas import TrialOut, TrialSummary
from app.api.service import Here, Id, Limit, Number, Service
from app.api.uploads import safe_filename
from app.api.views import page
from app.errors import Problem
from app.search.exports.passport import FILES
from app.store import calibrations, models, profiles, searches, trials
from app.store.records import SearchRecord, StoredTrial
from pruning.layers import ModelSpec

router = APIRouter(prefix="/searches/{search_id}/trials", tags=["trials"])
AfterNumber = Annotated[int | None, Query(ge=0, le=2**31 - 1, description="the `next` of the page before")]
State = Annotated[str | None, Query(pattern="^(queued|running|complete|infeasible|stopped|failed)$")]
Kind = Literal["weights", "model", "onnx", "int8", "state", "passport"]


@router.get("")
def list_trials(
    here: Here, search_id: Id, limit: Limit = 50, after: AfterNumber = None, state: State = None
) -> Page[TrialSummary]:
    """The trials of a search by number; `after` takes only what came since."""
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        found = trials.page(session, search_id, limit=limit + 1, after_number=after, state=state)
    return page([views.trial_summary(search, entry.trial) for entry in found], limit, key="number")


@router.get("/{number}")
def get_trial(here: Here, search_id: Id, number: Number) -> TrialOut:
    """One trial: plan, measurements, and each layer's pattern, sparsity and latency before and after."""
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        return detail(here, search, trials.get(session, search_id, number))


@router.get("/{number}/files/{kind}", response_class=FileResponse)
def download_trial_file(here: Here, search_id: Id, number: Number, kind: Kind) -> FileResponse:
    """Download what a trial made: `weights` (safetensors, the model's own names) or `model` (smaller, `.pt2`).

    The others are there once they were asked for with `POST .../exports`: `onnx`, `int8`, `state`, `passport`.
    """
    with here.database.read() as session:
        search = searches.get(session, here.project_id, search_id)
        trial = trials.get(session, search_id, number).trial
    if kind not in trial.files:
        raise Problem(404, "no_file", f"Trial {number} is {trial.state} and has no file of kind {kind!r}.")
    path = here.artefacts.local_path(trial.files[kind], here.settings.data_dir / "cache")
    name = f"{safe_filename(search.name or search.id, 'trial', number)}.{FILES[kind]}"
    return FileResponse(path, media_type="application/octet-stream", filename=name)


def detail(here: Service, search: SearchRecord, stored: StoredTrial) -> TrialOut:
    """A trial with its tables, which are priced now from the stored profiles."""
    from app.api.pricing import devices_and_layers

    trial = stored.trial
    with here.database.read() as session:
        model = models.get(session, here.project_id, search.spec["model"])
        records = [profiles.get(session, here.project_id, key) for key in search.spec["profiles"]]
        pinned = calibrations.pinned(session, here.project_id, search.spec)
    ready = [record for record in records if record.document is not None]
    tables = devices_and_layers(ModelSpec.from_json(model.spec), trial, ready, pinned) if model.spec else ([], [])
    document: dict[str, Any] = trial.to_json()
    report = trial.report
    return TrialOut(
        **vars(views.trial_summary(search, trial)),
        search=search.id,
        plan=document["plan"],
        seed=trial.seed,
        recovery_steps=trial.recovery_steps,
        learning_rate_factor=trial.learning_rate_factor,
        measurements=document["measurements"],
        shipped=dict(stored.shipped) if stored.shipped else None,
        report=dict(report),
        checks=dict(report.get("checks", {})),
        macs_before=report.get("macs_before"),
        macs_after=report.get("macs_after"),
        parameters_before=report.get("parameters_before"),
        parameters_after=report.get("parameters_after"),
        devices=tables[0],
        layers=tables[1],
    )
