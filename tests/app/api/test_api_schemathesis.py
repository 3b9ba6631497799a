"""Whatever is thrown at an operation, the answer is one that the OpenAPI document promises, and never a 500."""

from collections.abc import Iterator
from typing import Any

import pytest

from app.settings import Settings
from tests.app.api.world import open_world

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis comes with the ci extra")
hypothesis = pytest.importorskip("hypothesis")
pytestmark = pytest.mark.slow
TOKEN = "a-long-random-text-of-32-letters"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    world = open_world(Settings(data_dir=tmp_path_factory.mktemp("fuzz") / "data", token=TOKEN))
    found = schemathesis.openapi.from_asgi("/openapi.json", world.http.app, headers=HEADERS)
    yield found.exclude(operation_id="stream_events")  # a stream has no end to wait for
    world.close()


def test_every_answer_is_one_that_was_promised(described: Any) -> None:
    from schemathesis import checks

    wanted = (
        checks.not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    )
    quiet = list(hypothesis.HealthCheck)
    some = hypothesis.settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=quiet)
    for found in described.get_all_operations():

        @some
        @hypothesis.given(case=found.ok().as_strategy())
        def throw(case: Any) -> None:
            case.call_and_validate(headers=HEADERS, checks=wanted)

        throw()
