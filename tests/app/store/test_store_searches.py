"""Searches: submitted once per key, claimed by one, ended once; how far they are costs two queries."""

import threading
from typing import Any

import pytest
from sqlalchemy import event, update

from app.search.spec import Limit, SearchSpec
from app.store import searches, tables, trials
from app.store.database import Database
from app.store.errors import Conflict, NotFound, StoreError
from app.store.records import SearchProgress
from tests.app.store.made import accuracy, asked, complete, other_project, project, search, spec


def test_what_add_answers_is_what_is_read_later(database: Database) -> None:
    wish = spec(seed=7, sparsities=(0.5, 0.9))
    with database.begin() as s:
        mine = project(s)
        added = searches.add(s, project_id=mine, spec=wish)
    with database.read() as s:
        assert searches.get(s, mine, added.id) == added
        assert (added.state, added.desired, added.seed, added.name) == ("queued", "run", 7, "n")
        assert SearchSpec.from_json(added.spec) == wish


def test_another_projects_searches_do_not_exist(database: Database) -> None:
    with database.begin() as s:
        mine, theirs = project(s), other_project(s)
        b = searches.add(s, project_id=theirs, spec=spec(), idempotency_key="k")
        assert searches.page(s, mine, limit=9) == [] and searches.page(s, theirs, limit=9, state="queued") == [b]
        assert searches.by_key(s, mine, "k") is None
        for action in (searches.get, searches.request_cancel):
            with pytest.raises(NotFound):
                action(s, mine, b.id)


def test_a_key_names_one_search(database: Database) -> None:
    with database.begin() as s:
        mine = project(s)
        first = searches.add(s, project_id=mine, spec=spec(), idempotency_key="k")
        assert searches.add(s, project_id=mine, spec=spec(), idempotency_key="k") == first
        assert searches.by_key(s, mine, "k") == first
        with pytest.raises(Conflict, match="new key"):
            searches.add(s, project_id=mine, spec=spec(seed=1), idempotency_key="k")
        searches.add(s, project_id=mine, spec=spec())
        searches.add(s, project_id=mine, spec=spec())
        assert len(searches.page(s, mine, limit=9)) == 3


def test_a_key_names_the_search_that_an_earlier_version_stored(database: Database) -> None:
    """Its spec lacks what came later; one that this version refuses is compared as it stands."""
    wish = spec(profiles=("p",), limits=(Limit(profile="p", share=0.5),))
    with database.begin() as s:
        mine = project(s)
        first = searches.add(s, project_id=mine, spec=wish, idempotency_key="k")
        old = {key: value for key, value in first.spec.items() if key not in ("vary", "budget")}
        old["limits"] = [{"profile": "p", "latency_ms": None, "share": 0.5}]
        s.execute(update(tables.Search).where(tables.Search.id == first.id).values(spec=old))
        assert searches.add(s, project_id=mine, spec=wish, idempotency_key="k").id == first.id
        s.execute(update(tables.Search).where(tables.Search.id == first.id).values(spec=old | {"gone": 1}))
        with pytest.raises(Conflict, match="new key"):
            searches.add(s, project_id=mine, spec=wish, idempotency_key="k")


def test_a_key_sent_twice_at_once_names_one_search(database: Database) -> None:
    gate = threading.Barrier(4)
    found: list[str] = []

    def submit() -> None:
        with database.read() as s:
            mine = project(s)
        gate.wait()
        with database.begin() as s:
            found.append(searches.add(s, project_id=mine, spec=spec(), idempotency_key="k").id)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


def test_pages_of_one_state(database: Database) -> None:
    with database.begin() as s:
        mine = project(s)
        keys = [search(s) for _ in range(6)]
        for key in keys[::2]:
            searches.finish(s, key, state="failed")
        first = searches.page(s, mine, limit=2, state="failed")
        rest = searches.page(s, mine, limit=2, state="failed", after=first[-1].id)
    assert [record.id for record in first + rest] == keys[4::-2]


def test_the_oldest_is_claimed_first_and_by_one_epoch(database: Database) -> None:
    with database.begin() as s:
        old, new = search(s), search(s)
        claimed = searches.claim(s, holder="a", epoch=1)
        assert claimed is not None
        assert (claimed.id, claimed.state, claimed.epoch) == (old, "running", 1)
        second = searches.claim(s, holder="a", epoch=1)
        assert second is not None and second.id == new
        assert searches.claim(s, holder="a", epoch=1) is None
    with database.begin() as s:  # the coordinator died; a later one takes up what it left, once
        again = [searches.claim(s, holder="b", epoch=2) for _ in range(3)]
        assert [record.id if record else None for record in again] == [old, new, None]
        assert again[0] is not None and again[0].started_at == claimed.started_at
        assert searches.claim(s, holder="a", epoch=1) is None, "the earlier epoch gets nothing back"
        searches.finish(s, old, state="succeeded")
        revived = searches.claim(s, holder="c", epoch=3)
        assert revived is not None and revived.id == new, "what has ended is not claimed"


@pytest.mark.parametrize("end", searches.ENDED)
def test_the_first_end_stands(database: Database, end: str) -> None:
    failure = {"code": "c", "reason": "r", "details": {}} if end == "failed" else None
    with database.begin() as s:
        key = search(s)
        searches.claim(s, holder="a", epoch=1)
        searches.set_phase(s, key, "searching")
        searches.set_space(s, key, {"units": ()})
        searches.set_bound(s, key, {"p": []})
        assert searches.finish(s, key, state=end, failure=failure)
        record = searches.get(s, project(s), key)
        assert (record.state, record.failure, record.phase) == (end, failure, None)
        assert (record.space, record.bound) == ({"units": []}, {"p": []})
        assert record.finished_at is not None and record.started_at is not None
        assert record.created_at <= record.started_at <= record.finished_at
        assert not searches.finish(s, key, state="cancelled")
        searches.set_phase(s, key, "searching")
        searches.request_cancel(s, project(s), key)
        assert searches.get(s, project(s), key) == record


def test_a_wish_to_cancel_is_only_a_wish(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        for _ in range(2):
            searches.request_cancel(s, project(s), key)
            record = searches.get(s, project(s), key)
            assert (record.desired, record.state) == ("cancel", "queued")
        claimed = searches.claim(s, holder="a", epoch=1)
        assert claimed is not None and claimed.desired == "cancel"


def test_an_end_has_a_name_and_a_search(database: Database) -> None:
    with database.begin() as s:
        key = search(s)
        with pytest.raises(StoreError, match="no end"):
            searches.finish(s, key, state="running")
        with pytest.raises(NotFound):
            searches.finish(s, "nobody", state="failed")
        with pytest.raises(NotFound):
            searches.set_phase(s, "nobody", "searching")
        with pytest.raises(NotFound):
            searches.set_space(s, "nobody", {})


def test_how_far_searches_are_takes_two_queries_however_many(database: Database) -> None:
    with database.begin() as s:
        keys = [search(s) for _ in range(5)]
        for k, key in enumerate(keys[:4]):
            batch = [asked(n) for n in range(k + 2)]
            trials.add_asked(s, key, batch)
            for trial in batch[: k + 1]:
                trials.record(s, key, complete(trial, 0.5 + trial.number / 10))
        lost = asked(2).evolve(state="failed", measurements=(accuracy(0.99),))
        trials.add_asked(s, keys[0], [lost])
        trials.record(s, keys[0], lost)
    statements: list[str] = []
    with database.read() as s:
        event.listen(s.connection(), "before_cursor_execute", lambda *a: statements.append(a[2]))
        found = trials.progress(s, keys)
        assert len(statements) == 2 and list(found) == keys
        for k, key in enumerate(keys):
            stored = trials.stored(s, key)
            ended = [e for e in stored if e.trial.state in trials.FINISHED]
            best = [e.trial.measurements[0].value for e in ended if e.trial.number > 1 and e.trial.state == "complete"]
            assert found[key] == SearchProgress(
                done=len(ended),
                failed=sum(e.trial.state == "failed" for e in ended),
                asked=len(stored),
                best_quality=max(best, default=None),
                first_asked_at=min((e.created_at for e in stored), default=None),
            ), k
        assert trials.progress(s, []) == {}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_counting_reads_indexes_and_no_trial(database: Database) -> None:
    statements: list[tuple[str, Any]] = []
    with database.read() as s:
        connection = s.connection()
        event.listen(connection, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
        trials.progress(s, ["a", "b"])
        for sql, parameters in statements[:]:
            plan = " ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + sql, parameters))
            assert "SCAN" not in plan and "INDEX" in plan, plan
            assert "COVERING INDEX" in plan or "count(" not in sql, plan
