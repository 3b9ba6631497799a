"""A database or an artefact store that is away for a moment is asked again."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

T = TypeVar("T")
_PAUSES_S = (0.1, 0.5, 2.0, 4.0)
_log = structlog.get_logger("espalier.jobs")


def patiently(action: Callable[[], T], *, unless: tuple[type[Exception], ...] = ()) -> T:
    """What `action` gives, at the fifth go at the latest; errors in `unless` are not waited for."""
    for pause_s in _PAUSES_S:
        try:
            return action()
        except unless:
            raise
        except Exception as error:
            _log.warning("failed, and is tried again", error=type(error).__name__, pause_s=pause_s)
            time.sleep(pause_s)
    return action()
