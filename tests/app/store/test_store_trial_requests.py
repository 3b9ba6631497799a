"""Work asked for single trials: once while it waits, ended once, its files named by the trial."""

import pytest

from app.store import trial_requests, trials
from app.store.database import Database
from app.store.errors import NotFound, NotJson
from tests.app.store.made import asked, complete, other_project, project, search


def test_a_wish_that_waits_stands_for_its_like_and_an_ended_one_does_not(database: Database) -> None:
    with database.begin() as s:
        own, where = project(s), search(s)
        common = {"project_id": own, "search_id": where, "number": 2}
        first = trial_requests.add(s, **common, kind="export", body={"formats": ["onnx"]})
        assert (first.state, first.result, first.files, first.finished_at) == ("queued", None, {}, None)
        assert trial_requests.add(s, **common, kind="export", body={"formats": ["onnx"]}) == first
        others = [
            trial_requests.add(s, **common, kind="export", body={"formats": ["state"]}),
            trial_requests.add(s, **common, kind="verify", body={"formats": ["onnx"]}),
            trial_requests.add(s, **{**common, "number": 3}, kind="export", body={"formats": ["onnx"]}),
        ]
        assert len({first.id, *(other.id for other in others)}) == 4
        trial_requests.set_running(s, first.id)
        assert trial_requests.add(s, **common, kind="export", body={"formats": ["onnx"]}).id == first.id
        assert [entry.id for entry in trial_requests.waiting(s, "verify")] == [others[1].id]
        assert [entry.id for entry in trial_requests.waiting(s, "export")] == [first.id, others[0].id, others[2].id]
        assert trial_requests.set_ready(s, first.id, result={"hops": {}}, files={"onnx": "a" * 64})
        again = trial_requests.add(s, **common, kind="export", body={"formats": ["onnx"]})
        assert again.id != first.id
        assert [entry.id for entry in trial_requests.of_trial(s, where, 2)] == [
            again.id,
            others[1].id,
            others[0].id,
            first.id,
        ]
    with database.read() as s:
        ended = trial_requests.get(s, own, first.id)
        assert (ended.state, ended.files) == ("ready", {"onnx": "a" * 64})
        assert ended.finished_at is not None


def test_the_first_end_stands(database: Database) -> None:
    with database.begin() as s:
        made = trial_requests.add(
            s, project_id=project(s), search_id=search(s), number=0, kind="apply", body={"model": "m"}
        )
        with pytest.raises(NotJson):
            trial_requests.set_ready(s, made.id, result={"loss": float("nan")}, files={})
        trial_requests.set_failed(s, made.id, {"code": "lost", "reason": "It died"})
        assert not trial_requests.set_ready(s, made.id, result={}, files={})
        trial_requests.set_failed(s, made.id, {"code": "other", "reason": "Again"})
        trial_requests.set_running(s, made.id)
        found = trial_requests.one(s, made.id)
        assert (found.state, found.failure) == ("failed", {"code": "lost", "reason": "It died"})
        assert trial_requests.waiting(s, "apply") == []


def test_nobody_elses_and_only_under_its_trial(database: Database) -> None:
    with database.begin() as s:
        where, stranger = search(s), other_project(s)
        made = trial_requests.add(s, project_id=project(s), search_id=where, number=1, kind="export", body={})
    with database.read() as s:
        assert trial_requests.one_of(s, project(s), where, 1, made.id) == made
        for arguments in ((stranger, where, 1), (project(s), where, 2), (project(s), "x", 1)):
            with pytest.raises(NotFound, match="No request"):
                trial_requests.one_of(s, *arguments, made.id)


def test_a_recorded_trial_names_the_files_made_of_it_later(database: Database) -> None:
    with database.begin() as s:
        where = search(s)
        trials.add_asked(s, where, [asked(0)])
        trials.record(s, where, complete(asked(0), 0.9).evolve(files={"weights": "a" * 64}))
        trials.add_files(s, where, 0, {"onnx": "b" * 64, "passport": "c" * 64})
        trials.add_files(s, where, 0, {"passport": "d" * 64})
    with database.read() as s:
        found = trials.get(s, where, 0).trial
        assert found.files == {"weights": "a" * 64, "onnx": "b" * 64, "passport": "d" * 64}
        assert found.state == "complete"
        with pytest.raises(NotFound):
            trials.add_files(s, where, 7, {})


def test_an_export_waits_for_the_one_before_it(database: Database) -> None:
    with database.begin() as s:
        common = {"project_id": project(s), "search_id": search(s)}
        first, second = (
            trial_requests.add(s, **common, number=2, kind="export", body={"formats": [name]})
            for name in ("onnx", "state")
        )
        other = trial_requests.add(s, **common, number=3, kind="export", body={"formats": ["onnx"]})
        behind = [trial_requests.behind_another(s, request) for request in (first, second, other)]
        assert behind == [False, True, False]
        trial_requests.set_failed(s, first.id, {"code": "lost", "reason": "It died"})
        assert not trial_requests.behind_another(s, second)
