"""Who may ask: ASGI middleware in front of every route, default deny.

Without a token the service is for one person on this machine: the peer must be this machine, the `Host` header must
name it (a page that rebinds its DNS name to 127.0.0.1 still sends its own name), and unsafe methods must not come
from another origin. With a token every path outside `OPEN_PATHS` needs it, as a bearer token or as the password of
HTTP Basic (which browsers can ask for).
"""

import base64
import binascii
import hmac
import ipaddress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import Problem, problem_response
from app.settings import Settings

OPEN_PATHS = frozenset({"/healthz"})
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
DOCUMENT_LIMIT_BYTES = 32 * 2**20
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class SecurityHeaders:
    """ASGI middleware: the headers every answer carries; a page may bring a policy of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def decorate(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, decorate)


class Guard:
    """ASGI middleware: lets a request in or answers 401 or 403."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.token = settings.token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        headers = {"www-authenticate": 'Basic realm="Espalier", Bearer'} if refusal.status == 401 else {}
        await problem_response(refusal, headers)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Problem | None:
        headers = Headers(scope=scope)
        if self.token is None:
            if (refusal := _not_this_machine(scope, headers)) is not None:
                return refusal
        elif scope["path"] not in OPEN_PATHS and not _carries(headers, self.token):
            detail = "Send the service's token: 'Authorization: Bearer <token>', or as the password of HTTP Basic."
            return Problem(401, "unauthorized", detail)
        if scope.get("method", "GET") not in SAFE_METHODS and _from_elsewhere(headers):
            return Problem(403, "foreign_origin", "A page of another site may not change anything here.")
        return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine only."""
    if host.lower() in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_this_machine(scope: Scope, headers: Headers) -> Problem | None:
    peer: Any = scope.get("client")
    if peer is not None and not is_loopback(peer[0]):
        return Problem(403, "loopback_only", "This service has no token set, so it answers this machine alone.")
    try:
        name = urlsplit("//" + headers.get("host", "")).hostname or ""
    except ValueError:
        name = ""
    if not is_loopback(name):
        detail = "This service has no token set, so it answers to localhost and 127.0.0.1 alone, by that name."
        return Problem(403, "unknown_host", detail)
    return None


def _carries(headers: Headers, token: str) -> bool:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.strip().encode(), token.encode())


def _from_elsewhere(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


class BodyLimit:
    """ASGI middleware: uploads (multipart) up to `max_upload_bytes`, any other body up to 32 MiB; 413 beyond."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.upload_bytes = settings.max_upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        multipart = headers.get("content-type", "").lower().startswith("multipart/form-data")
        limit = self.upload_bytes if multipart else min(DOCUMENT_LIMIT_BYTES, self.upload_bytes)
        detail = f"The body is larger than {limit} bytes, the limit here."
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            await problem_response(Problem(413, "too_large", detail))(scope, receive, send)
            return
        seen = 0

        async def count() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise HTTPException(413, detail)
            return message

        await self.app(scope, count, send)
