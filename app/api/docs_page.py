"""`/docs`: every operation of the OpenAPI document as one plain page, drawn here: no script, nothing from elsewhere."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

router = APIRouter()
_PAGE = Markup("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>API · Espalier</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/static/espalier.css"></head>
<body><header class="site"><a class="brand" href="/searches">Espalier</a>
<nav aria-label="Site"><a href="/searches">Searches</a><a href="/profiles">Profiles</a>
<a href="/docs" aria-current="page">API</a></nav></header>
<main><h1>API</h1><p>Version {version}. The same as a machine reads it: <a href="/openapi.json">openapi.json</a>.
Errors are problem details (RFC 9457). Where the service has a token, send it as
<code>Authorization: Bearer …</code>.</p>{body}</main></body></html>""")
_OPERATION = Markup("""<section class="card" id="{name}"><h3><code>{method} {path}</code></h3><p>{text}</p>
{parameters}{request}<p class="quiet">Answers {answers} · client: <code>{name}</code></p></section>""")


@router.get("/docs", response_class=HTMLResponse)
def read_docs(request: Request) -> HTMLResponse:
    """The OpenAPI document for people."""
    document: dict[str, Any] = request.app.openapi()
    tags: dict[str, list[Markup]] = {}
    for path, method, operation in _operations(document):
        tags.setdefault(operation.get("tags", ["other"])[0], []).append(_section(path, method, operation, document))
    body = Markup("").join(
        Markup("<h2>{}</h2>{}").format(tag, Markup("").join(sections)) for tag, sections in tags.items()
    )
    return HTMLResponse(_PAGE.format(version=document["info"]["version"], body=body))


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _section(path: str, method: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    return _OPERATION.format(
        name=operation["operationId"],
        method=method,
        path=path,
        text=operation.get("description", operation.get("summary", "")),
        parameters=_parameters(operation),
        request=_request(operation, document),
        answers=", ".join(code for code in operation["responses"] if code.isdecimal()),
    )


def _parameters(operation: Mapping[str, Any]) -> Markup:
    rows = Markup("").join(
        Markup("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>").format(
            parameter["name"], parameter["in"], parameter.get("description", "")
        )
        for parameter in operation.get("parameters", [])
    )
    head = Markup('<table><thead><tr><th scope="col">Parameter</th><th scope="col">In</th><th scope="col"></th></tr>')
    return head + Markup("</thead><tbody>") + rows + Markup("</tbody></table>") if rows else Markup("")


def _request(operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    parts = []
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content.get("schema", {}), document)
        parts.append(
            Markup("<details><summary>Body as <code>{}</code></summary><pre>{}</pre></details>").format(
                kind, json.dumps(schema, indent=1, ensure_ascii=False)
            )
        )
    return Markup("").join(parts)


def _resolved(value: Any, document: Mapping[str, Any]) -> Any:
    """The schema with its references put in place; our schemas are no cycles."""
    if isinstance(value, list):
        return [_resolved(item, document) for item in value]
    if not isinstance(value, dict):
        return value
    if reference := value.get("$ref"):
        return _resolved(document["components"]["schemas"][reference.rsplit("/", 1)[1]], document)
    return {key: _resolved(item, document) for key, item in value.items()}
