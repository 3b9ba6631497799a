"""Models, datasets, profiles, files and tables of scores: each is its project's, waits, and ends once."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.store import artefacts, datasets, models, profiles, scores
from app.store.database import Database
from app.store.errors import NotFound
from tests.app.store.made import other_project, project

FAILURE = {"code": "no_good", "reason": "it is no good", "details": {"layers": ["a", "b"]}}
Add = Callable[[Session, str, str], Any]


def _model(s: Session, owner: str, name: str) -> Any:
    return models.add(s, project_id=owner, name=name, upload_digest="a" * 64)


def _dataset(s: Session, owner: str, name: str) -> Any:
    return datasets.add(s, project_id=owner, name=name, kind="npz", upload_digest="a" * 64, options={"seed": (1, 2)})


def _profile(s: Session, owner: str, name: str) -> Any:
    return profiles.add(s, project_id=owner, name=name, request={"model": "m", "batch": 64})


def _ready(noun: Any, s: Session, key: str) -> None:
    more = {
        models: {"graph_digest": "b" * 64, "weights_digest": "c" * 64, "spec": {"layers": ({"name": "x"},)}},
        datasets: {"meta": {"classes": ("a", "b")}, "arrays_digest": "d" * 64},
        profiles: {"document": {"rows": []}, "digest": "e" * 64},
    }
    noun.set_ready(s, key, **more[noun])


NOUNS = [
    pytest.param(models, _model, "set_inspecting", id="models"),
    pytest.param(datasets, _dataset, "set_preparing", id="datasets"),
    pytest.param(profiles, _profile, "set_measuring", id="profiles"),
]
each = pytest.mark.parametrize(("noun", "add", "begin"), NOUNS)


@each
def test_what_add_answers_is_what_is_read_later(database: Database, noun: Any, add: Add, begin: str) -> None:
    with database.begin() as s:
        mine = project(s)
        added = add(s, mine, "first")
        assert added.state in ("uploaded", "requested") and added.failure is None
    with database.read() as s:
        assert noun.get(s, mine, added.id) == added
        assert noun.waiting(s) == [added]
    with database.begin() as s:
        getattr(noun, begin)(s, added.id)
        assert noun.get(s, mine, added.id).state == begin.removeprefix("set_")
        assert [record.id for record in noun.waiting(s)] == [added.id], "what was cut off waits too"


@each
@pytest.mark.parametrize("first_refused", [False, True])
def test_it_ends_once(database: Database, noun: Any, add: Add, begin: str, first_refused: bool) -> None:
    with database.begin() as s:
        key = add(s, project(s), "it").id
        getattr(noun, begin)(s, key)
        ends: list[Callable[[], None]] = [
            lambda: _ready(noun, s, key),
            lambda: noun.set_refused(s, key, FAILURE),
        ]
        ends[first_refused]()
        end = noun.get(s, project(s), key)
        for again in (ends[not first_refused], lambda: getattr(noun, begin)(s, key), ends[first_refused]):
            again()
            assert noun.get(s, project(s), key) == end
    with database.read() as s:
        assert noun.get(s, project(s), key) == end
        assert end.state == ("refused" if first_refused else "ready")
        assert end.failure == (FAILURE if first_refused else None)
        assert noun.waiting(s) == []


@each
def test_another_projects_rows_do_not_exist(database: Database, noun: Any, add: Add, begin: str) -> None:  # noqa: ARG001
    with database.begin() as s:
        mine, theirs = project(s), other_project(s)
        a, b = add(s, mine, "mine"), add(s, theirs, "theirs")
        assert noun.page(s, mine, limit=9) == [a] and noun.page(s, theirs, limit=9) == [b]
        with pytest.raises(NotFound, match=b.id):
            noun.get(s, mine, b.id)
        assert {record.id for record in noun.waiting(s)} == {a.id, b.id}, "a worker serves every project"


@each
def test_pages_run_from_the_newest_to_the_oldest(database: Database, noun: Any, add: Add, begin: str) -> None:  # noqa: ARG001
    with database.begin() as s:
        mine = project(s)
        made = [add(s, mine, f"n{k}").id for k in range(7)]
        assert [record.id for record in noun.waiting(s)] == made
    walked: list[str] = []
    with database.read() as s:
        while page := noun.page(s, mine, limit=3, after=walked[-1] if walked else None):
            walked += [record.id for record in page]
            assert len(page) <= 3
    assert walked == made[::-1]


@each
def test_what_is_not_there_is_not_found(database: Database, noun: Any, add: Add, begin: str) -> None:  # noqa: ARG001
    missing = "01900000-0000-7000-8000-00000000dead"
    with database.begin() as s:
        for action in (
            lambda: noun.get(s, project(s), missing),
            lambda: getattr(noun, begin)(s, missing),
            lambda: _ready(noun, s, missing),
            lambda: noun.set_refused(s, missing, FAILURE),
        ):
            with pytest.raises(NotFound) as caught:
                action()
            assert caught.value.key == missing


def test_a_profile_with_its_document_is_ready_at_once(database: Database) -> None:
    with database.begin() as s:
        given = profiles.add(s, project_id=project(s), name="p", document={"rows": []}, digest="e" * 64)
        assert (given.state, given.document, profiles.waiting(s)) == ("ready", {"rows": []}, [])


def test_a_file_is_noted_once_per_project(database: Database) -> None:
    file = {"digest": "f" * 64, "bytes": 5 * 2**30, "media_type": "application/zip"}
    with database.begin() as s:
        mine, theirs = project(s), other_project(s)
        artefacts.add(s, project_id=mine, kind="model_upload", **file)
        artefacts.add(s, project_id=mine, kind="model", **file)
        assert (artefacts.get(s, mine, "f" * 64).bytes, artefacts.get(s, mine, "f" * 64).kind) == (
            5 * 2**30,
            "model_upload",
        )
        with pytest.raises(NotFound):
            artefacts.get(s, theirs, "f" * 64)


def test_scores_are_kept_by_their_key(database: Database) -> None:
    with database.begin() as s:
        assert scores.get(s, "1" * 64) is None
        scores.put(s, "1" * 64, {"errors": ((0.0, 0.5),)})
        scores.put(s, "1" * 64, {"errors": "of somebody who came later"})
    with database.read() as s:
        assert scores.get(s, "1" * 64) == {"errors": [[0.0, 0.5]]}
