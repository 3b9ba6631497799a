"""The wish to measure with a backend and a device: kept for the worker, or pointed at."""

from typing import Any, get_args

import pytest

from costmodels.measure.backends import BACKENDS
from costmodels.measure.options import BackendName
from tests.app.api.world import API, World


def test_the_backends_that_can_be_asked_for_are_those_there_are() -> None:
    assert set(get_args(BackendName)) == set(BACKENDS)


def test_a_wish_says_how_to_measure(world: World) -> None:
    wish = {"model": world.model, "batch": 8, "threads": 1, "backend": "onnxruntime", "device": "cuda"}
    answer = world.http.post(f"{API}/profiles", json={"measure": wish})
    assert answer.status_code == 202 and answer.json()["request"] == wish


@pytest.mark.parametrize(
    "wrong", [{"backend": "tensorrt"}, {"device": "tpu"}, {"precision": "int8"}, {"backend": 5}], ids=str
)
def test_what_is_not_known_is_pointed_at(calm: World, wrong: dict[str, Any]) -> None:
    answer = calm.http.post(f"{API}/profiles", json={"measure": {"model": calm.model, **wrong}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"/measure/{next(iter(wrong))}"
