"""Errors as problem details (RFC 9457). Domain errors are classes with a status; one table maps the rest."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from anyio import BrokenResourceError, ClosedResourceError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.search.spec import SpecError
from app.store.errors import Conflict, NotFound, NotJson, StoreError

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "The request cannot be read",
    401: "Who are you?",
    403: "Refused",
    404: "Not here",
    405: "Not that way",
    409: "Conflict",
    413: "Too large",
    422: "The request cannot be done as asked",
    500: "Our mistake",
    503: "Not ready",
}
_log = logging.getLogger("espalier.api")  # the standard one: its traces show no values, so no token can leak


class Problem(Exception):
    """An answer that is an error: status, stable code, a sentence for people, and where in the request it sits.

    `pointer` is a JSON pointer into the body; `more` are extra members of the problem document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        here = [{"pointer": pointer, "detail": detail, "code": code}] if pointer is not None else []
        self.errors = [*here, *errors]
        self.more = dict(more or {})


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as `application/problem+json`."""
    document: dict[str, Any] = {
        "type": f"urn:espalier:problem:{problem.code}",
        "title": _TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.more,
    }
    if problem.errors:
        document["errors"] = list(problem.errors)
    return JSONResponse(document, problem.status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register the handlers; each kind of error is mapped once, here."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(NotFound, _on_not_found)
    app.add_exception_handler(Conflict, _on_conflict)
    app.add_exception_handler(NotJson, _on_not_json)
    app.add_exception_handler(StoreError, _on_store)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return problem_response(error)


def _on_not_found(_: Request, error: Exception) -> Response:
    return problem_response(Problem(404, "not_found", f"{error}"))


def _on_conflict(_: Request, error: Exception) -> Response:
    return problem_response(Problem(409, "conflict", f"{error}"))


def _on_not_json(_: Request, error: Exception) -> Response:
    return problem_response(Problem(422, "not_json", str(error)))


def _on_store(request: Request, error: Exception) -> Response:
    _log.error("the store failed in %s %r: %s", request.method, request.url.path, error)
    detail = "The database does not answer as it should; the server's log says more."
    return problem_response(Problem(503, "store_unavailable", detail))


def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 400: "unreadable"}
    details = {404: "Nothing lives at this address; /docs lists what does."}
    detail = details.get(error.status_code, str(error.detail))
    problem = Problem(error.status_code, codes.get(error.status_code, "http"), detail)
    return problem_response(problem, error.headers)


def _on_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem_response(invalid(error.errors()))


def invalid(entries: Sequence[Mapping[str, Any]]) -> Problem:
    """What pydantic found wrong with a request, each entry located by its `loc` ("body", "query", ... first)."""
    errors = [_located(entry) for entry in entries]
    first = errors[0]
    where = first.get("pointer", first.get("parameter"))
    detail = f"{where or 'body'}: {first['detail']}" + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")
    return Problem(422, "invalid", detail, errors=errors)


def _located(entry: Mapping[str, Any]) -> dict[str, str]:
    """One of pydantic's errors as {pointer | parameter, detail, code}; the offending input is not echoed."""
    place, *path = entry["loc"] or ("body",)
    cause = entry.get("ctx", {}).get("error")
    detail = str(cause) if isinstance(cause, SpecError) else str(entry["msg"]).removeprefix("Value error, ")
    if place != "body":
        return {"parameter": str(path[-1] if path else place), "detail": detail, "code": str(entry["type"])}
    if entry["type"] == "json_invalid":
        return {"pointer": "", "detail": f"not JSON: {cause} at position {path[-1]}", "code": "json_invalid"}
    found = pointer(*path)
    if isinstance(cause, SpecError):
        found, detail = _deeper(found, cause.field), detail.removeprefix(f"{cause.field}: ")
    return {"pointer": found, "detail": detail, "code": str(entry["type"])}


def pointer(*path: object) -> str:
    """A JSON pointer (RFC 6901) from its parts."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def _deeper(found: str, named: str) -> str:
    """Join where pydantic was (`/limits/0`) and what the value says of itself (`/limits/share`)."""
    plain = [part for part in found.split("/") if part and not part.isdigit()]
    inner = named.strip("/").split("/")
    return found + pointer(*inner[len(plain) :]) if inner[: len(plain)] == plain else named


class Incidents:
    """ASGI middleware: whatever nobody expected becomes a 500 with an incident id; the trace goes to the log alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if scope["type"] != "http":
                raise
            if started and _reader_left(error):
                return
            incident = secrets.token_hex(6)
            _log.exception("incident %s in %s %r", incident, scope["method"], scope["path"])
            if started:
                return
            detail = f"Something broke on our side. The server's log has it under incident {incident}."
            await problem_response(Problem(500, "internal", detail, more={"incident": incident}))(scope, receive, send)


def _reader_left(error: BaseException) -> bool:
    """Whether all that happened is that somebody closed the connection: a browser tab, say, with a live stream."""
    if isinstance(error, BaseExceptionGroup):
        return all(_reader_left(inner) for inner in error.exceptions)
    return isinstance(error, BrokenResourceError | ClosedResourceError | ClientDisconnect)
