"""From an exception to the `Failure` a person reads: known errors speak, unknown ones get an incident id."""

import errno
import json
import logging
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.search.spec import SpecError
from app.search.trial import Failure

_log = logging.getLogger("espalier.jobs")
_REASON_LIMIT = 2_000
_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}")
_OUT_OF_MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory", re.IGNORECASE)


class KnownFailure(Exception):
    """An end that was expected, with its `failure`."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


def known_failure(error: BaseException) -> Failure | None:
    """The failure that the exception itself tells, or None if nobody expected it.

    An exception is known when it carries a `failure` or a stable word in `code`, or is about a limit of the
    process.
    """
    failure = getattr(error, "failure", None)
    if isinstance(failure, Failure):
        return failure
    if isinstance(error, SpecError):
        return Failure(code="spec", reason=_sentence(error), details={"field": error.field})
    code = getattr(error, "code", None)
    if isinstance(code, str) and _CODE.fullmatch(code):
        return Failure(code=code, reason=_sentence(error), details=_details(error))
    return _limit(error)


def failure_of(error: BaseException, what: str) -> Failure:
    """The failure to store for an exception in `what`; the trace goes to the log, never to a person."""
    known = known_failure(error)
    if known is not None:
        _log.warning("%s failed: %s: %s", what, known.code, known.reason, exc_info=error)
        return replace(known, details=_plain(known.details))
    incident = secrets.token_hex(6)
    _log.error("%s failed, incident %s", what, incident, exc_info=error)
    reason = f"Something broke on our side; the log has it as incident {incident}"
    return Failure(code="internal", reason=reason, details={"incident": incident})


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(details), allow_nan=False, default=str))
    except (TypeError, ValueError):
        return {}
    return plain


def _limit(error: BaseException) -> Failure | None:
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))):
        return Failure(code="memory_limit", reason="It needs more memory than a task may take here")
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return Failure(code="file_limit", reason="It writes a larger file than a task may write here")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(code="disk_full", reason="The disk is full; make room and try again")
    return None


def _sentence(error: BaseException) -> str:
    text = str(error)
    return text if len(text) <= _REASON_LIMIT else text[: _REASON_LIMIT - 3] + "..."


def _details(error: BaseException) -> dict[str, Any]:
    details = getattr(error, "details", None)
    if isinstance(details, Mapping):
        return dict(details)
    problems = getattr(error, "problems", None)
    return {"problems": [str(p) for p in problems[:100]]} if isinstance(problems, tuple | list) and problems else {}
