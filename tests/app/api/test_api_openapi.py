"""The OpenAPI document is committed, current and true; `/docs` shows it without help from elsewhere."""

import json
import re

import pytest

from app.api.openapi import COMMITTED, text
from tests.app.api.world import World


def test_the_committed_document_is_current() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "run: python -m app.api.openapi"


def test_every_operation_is_documented_and_named_once(calm: World) -> None:
    document = calm.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["description"].strip(), operation["operationId"]
        assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_every_reference_leads_somewhere() -> None:
    document = json.loads(text())
    for reference in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert reference in document["components"]["schemas"]


def test_the_docs_page_needs_nothing_from_elsewhere(calm: World) -> None:
    answer = calm.http.get("/docs")
    assert answer.status_code == 200
    assert "submit_search" in answer.text and "/api/v1/searches" in answer.text
    assert "<script" not in answer.text
    assert not re.findall(r"""(?:src|href)=["']https?:""", answer.text)


@pytest.mark.parametrize("path", ["/", "/searches"])
def test_pages_are_there(calm: World, path: str) -> None:
    assert "text/html" in calm.http.get(path).headers["content-type"]
