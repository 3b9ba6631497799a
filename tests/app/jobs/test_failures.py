"""What a person is told, for each kind of exception."""

import errno
import logging

import pytest

from app.jobs.failures import KnownFailure, failure_of, known_failure
from app.search.spec import SpecError
from app.search.trial import Failure
from costmodels.errors import MatchError, ProfileError
from pruning.errors import IntakeError, PlanError, PruningError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (IntakeError("refused"), "model_refused"),
        (PlanError("refused"), "plan"),
        (PruningError("refused"), "pruning"),
        (MatchError("refused"), "profile_mismatch"),
        (ProfileError("refused", ["row 3"]), "profile_refused"),
        (SpecError("/limits", "refused"), "spec"),
        (MemoryError(), "memory_limit"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory_limit"),
        (OSError(errno.EFBIG, "File too large"), "file_limit"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (KnownFailure(Failure(code="limit_unreachable", reason="no")), "limit_unreachable"),
    ],
)
def test_known_errors_have_their_code(error: Exception, code: str) -> None:
    failure = known_failure(error)
    assert failure is not None
    assert failure.code == code
    assert failure.reason


@pytest.mark.parametrize(
    "error", [ValueError("x"), RuntimeError("shape mismatch"), SystemExit(3), OSError(errno.EPERM, "x")]
)
def test_others_are_unknown(error: BaseException) -> None:
    assert known_failure(error) is None


def test_a_code_that_is_no_word_is_not_taken() -> None:
    error = Exception("x")
    error.code = "Not A Word"  # type: ignore[attr-defined]
    assert known_failure(error) is None


def test_details_travel_as_json() -> None:
    assert failure_of(ProfileError("refused", ["row 3: NaN"]), "x").details == {"problems": ["row 3: NaN"]}
    odd = KnownFailure(Failure(code="odd", reason="odd", details={"what": {1, 2}, "nan": float("nan")}))
    assert failure_of(odd, "x").details == {}


def test_a_long_message_is_cut() -> None:
    failure = known_failure(IntakeError("x" * 10_000))
    assert failure is not None
    assert len(failure.reason) == 2_000


def test_the_unknown_goes_to_the_log_and_only_there(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise KeyError("/secret/path")
    except KeyError as error:
        with caplog.at_level(logging.ERROR):
            failure = failure_of(error, "task t")
    assert failure.code == "internal"
    assert "secret" not in failure.reason
    assert failure.details["incident"] in caplog.text
    assert "/secret/path" in caplog.text
