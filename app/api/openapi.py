"""The OpenAPI document: FastAPI's, with our problems in place of its validation errors, and how to authenticate.

`python -m app.api.openapi` writes `docs/openapi.json` anew; a test compares it with what the service says.
"""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.profile_bodies import AcceleratorBody, MeasureBody
from app.api.schemas import ProblemOut

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"
_PROBLEM = {
    "description": "A problem (RFC 9457): what is wrong, where in the request, and the way out",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "the token of ESPALIER_TOKEN, where one is set"},
    "basic": {"type": "http", "scheme": "basic", "description": "any user name, the token as password"},
}


def describe(app: FastAPI) -> None:
    """Let `app.openapi()` answer with the amended document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _amended(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _amended(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    schemas = found["components"]["schemas"]
    for kind in (ProblemOut, AcceleratorBody, MeasureBody):
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {}) | {kind.__name__: schema}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    found["components"]["securitySchemes"] = _SCHEMES
    for path, operations in found["paths"].items():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            operation["responses"] |= {"4XX": _PROBLEM, "5XX": _PROBLEM}
            if path != "/healthz":
                operation["security"] = [{}, {"bearer": []}, {"basic": []}]
    return found


def text() -> str:
    """The document as it is committed."""
    from app.main import create_app
    from app.settings import Settings

    return json.dumps(create_app(Settings()).openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    COMMITTED.write_text(text(), encoding="utf-8")
