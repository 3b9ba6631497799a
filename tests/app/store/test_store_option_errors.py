"""Errors of single options: the first stands, keys do not mix, and other models' are found by their weights."""

from dataclasses import replace

import pytest

from app.store import models, scores
from app.store.database import Database
from app.store.errors import NotJson
from app.store.scores import ScoreKey
from app.store.tables import now
from tests.app.store.made import other_project, project

KEY = ScoreKey(key="1" * 64, weights_digest="a" * 64, how="oneshot")
HALF, MOST = '{"a":{"kind":"unstructured","sparsity":0.5}}', '{"a":{"kind":"unstructured","sparsity":0.9}}'


def test_the_first_error_of_an_option_stands(database: Database) -> None:
    with database.begin() as s:
        assert scores.options(s, KEY.key) == {"options": {}, "samples": 0}
        scores.put_options(s, KEY, {HALF: 0.25}, 64)
    with database.begin() as s:
        scores.put_options(s, KEY, {HALF: 99.0, MOST: 1.5}, 64)
        scores.put_options(s, KEY, {}, 64)
        scores.put_options(s, replace(KEY, key="2" * 64), {HALF: 7.0}, 32)
    with database.read() as s:
        assert scores.options(s, KEY.key) == {"options": {HALF: 0.25, MOST: 1.5}, "samples": 64}
        assert scores.options(s, "2" * 64) == {"options": {HALF: 7.0}, "samples": 32}


def test_what_is_no_number_is_not_stored(database: Database) -> None:
    with database.begin() as s, pytest.raises(NotJson, match="sparsity"):
        scores.put_options(s, KEY, {HALF: float("nan")}, 64)


def test_other_models_of_the_project_with_the_means_of_their_errors(database: Database) -> None:
    other = replace(KEY, key="6" * 64, weights_digest="b" * 64)
    with database.begin() as s:
        mine, theirs = project(s), other_project(s)
        for owner, name, digest in ((mine, "this", "a"), (mine, "other", "b"), (mine, "twin", "b"), (theirs, "x", "c")):
            found = models.add(s, project_id=owner, name=name, upload_digest=digest * 64)
            models.set_ready(s, found.id, graph_digest="0" * 64, weights_digest=digest * 64, spec={"layers": []})
        scores.put_options(s, KEY, {HALF: 1.0}, 64)
        scores.put_options(s, other, {HALF: 1.0, MOST: 4.0}, 64)
        scores.put_options(s, replace(other, key="2" * 64), {HALF: 3.0}, 64)
        scores.put_options(s, replace(other, key="3" * 64, how="prior"), {HALF: 0.001}, 0)
        scores.put_options(s, replace(KEY, key="4" * 64, weights_digest="c" * 64), {HALF: 5.0}, 64)
        scored, soon = now().isoformat(), "9999-01-01T00:00:00+00:00"
        scores.put_options(s, replace(other, key="5" * 64), {HALF: 1000.0}, 64)
    with database.read() as s:
        ((model, errors),) = scores.of_other_models(s, mine, KEY, scored)
        assert (model.name, errors) == ("other", {HALF: 2.0, MOST: 4.0})
        assert scores.of_other_models(s, mine, KEY, soon)[0][1][HALF] > 300
        assert scores.of_other_models(s, mine, KEY, "2000-01-01T00:00:00+00:00") == []
        assert scores.of_other_models(s, mine, replace(KEY, how="reconstructed"), soon) == []
