"""Whether a search can begin with what earlier ones know: of the same model and data, judged in the same way."""

from dataclasses import replace

from app.api.service import Service
from app.errors import Problem, pointer
from app.search.spec import SearchSpec
from app.store import datasets, models, searches
from app.store.errors import NotFound
from app.store.records import DatasetRecord, ModelRecord, SearchRecord


def check_warm_start(here: Service, spec: SearchSpec, model: ModelRecord, dataset: DatasetRecord) -> None:
    """Refuse sources that are not there, or that say nothing of this search.

    Raises:
        Problem: 422 with a pointer to the source, both sides and the way out.
    """
    for index, source in enumerate(spec.warm_start):
        place = pointer("warm_start", index)
        known = SearchSpec.from_json(_found(here, source, place).spec)
        with here.database.read() as session:
            its_model = models.get(session, here.project_id, known.model)
            its_dataset = datasets.get(session, here.project_id, known.dataset)
        mine, theirs = (replace(task, augment=()) for task in (spec.task, known.task))  # augments training alone
        if not _same_model(model, its_model):
            raise _mismatch("model", its_model.name, model.name, place)
        if not _same_data(dataset, its_dataset):
            raise _mismatch("dataset", its_dataset.name, dataset.name, place)
        if mine != theirs:
            raise _mismatch("task", theirs.kind, mine.kind, place)


def _mismatch(what: str, theirs: str, mine: str, place: str) -> Problem:
    detail = f"That search has another {what} ({theirs!r}, here {mine!r}), so its trials say nothing of this one"
    way_out = f"leave it out of warm_start, or search with its {what}."
    return Problem(422, "warm_start_mismatch", f"{detail}: {way_out}", pointer=place)


def _found(here: Service, source: str, place: str) -> SearchRecord:
    try:
        with here.database.read() as session:
            return searches.get(session, here.project_id, source)
    except NotFound as error:
        detail = f"There is no search {source[:80]!r} here; GET /api/v1/searches lists what there is."
        raise Problem(422, "unknown_search", detail, pointer=place) from error


def _same_model(one: ModelRecord, other: ModelRecord) -> bool:
    """The same upload, or one with the same graph and weights."""
    digests = [(record.graph_digest, record.weights_digest) for record in (one, other)]
    return one.id == other.id or (None not in digests[0] and digests[0] == digests[1])


def _same_data(one: DatasetRecord, other: DatasetRecord) -> bool:
    return one.id == other.id or (one.arrays_digest is not None and one.arrays_digest == other.arrays_digest)
