"""Files of any tool as a form: counted while they arrive, recognised by their content, refused with every problem.

Names are text for people and decide nothing. What a file cannot tell is stated in fields beside it.
"""

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.errors import Problem, pointer
from costmodels.errors import ProfileError
from costmodels.profile import Profile, ProfileFile

if TYPE_CHECKING:
    from costmodels.importers import Given, SourceFile

MAX_FILES = 256
MAX_FILE_BYTES = 64 * 2**20
MAX_FORM_BYTES = 128 * 2**20
TEXTS = ("name", "device", "runtime", "precision", "layer", "tool", "source")
NUMBERS = ("batch", "clock_hz", "network_latency_ms")
MOST_SHOWN = 200
_at_once = threading.BoundedSemaphore(2)  # a large file takes a gigabyte while it is read


@dataclass(frozen=True, kw_only=True)
class Brought:
    """A profile made from files: which importer read them, what was stated beside them, the files as they came."""

    profile: Profile
    importer: str
    stated: Mapping[str, Any]
    files: tuple["SourceFile", ...]


@asynccontextmanager
async def open_form(request: Request) -> AsyncIterator[FormData]:
    """The form of a request, counted while it arrives.

    Raises:
        Problem: 413 where it is too large, 422 where it is no form.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_FORM_BYTES:
        raise _too_large()
    seen = 0

    async def count() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        if seen > MAX_FORM_BYTES:
            raise _too_large()
        return message

    counted = Request(request.scope, count)
    try:
        form = await counted.form(max_files=MAX_FILES, max_fields=2 * len(TEXTS), max_part_size=4096)
    except HTTPException as error:
        if error.status_code != 400:
            raise
        raise Problem(422, "form_unreadable", f"The form cannot be read: {error.detail}", pointer="") from error
    try:
        yield form
    finally:
        await form.close()


def read_form(form: FormData) -> Brought:
    """The profile in the files of a form; takes seconds for large files, so not for the event loop.

    Raises:
        Problem: 422 with every mistake and where it stands, 413 where a file is too large.
    """
    from costmodels.importers import Given, SourceFile

    uploads = [found for found in form.getlist("file") if isinstance(found, UploadFile)]
    if not uploads:
        raise Problem(422, "missing", "The form has no file: give 1 or more parts named file.", pointer="/file")
    stated = _stated(form)
    given = Given(**{key: value for key, value in stated.items() if key not in ("tool", "source")})
    with _at_once:
        files = tuple(SourceFile(_base_name(upload.filename), _bytes(upload)) for upload in uploads)
        try:
            return _imported(files, given, stated)
        except ProfileError as error:
            raise refused(error, in_form=True) from error


def refused(error: ProfileError, *, in_form: bool = False) -> Problem:
    """The answer that lists all that is wrong with a profile; of a form also the field that is left out."""
    problems = error.problems[:MOST_SHOWN]
    errors = [
        {"pointer": _place(problem) if in_form else "", "detail": problem, "code": error.code} for problem in problems
    ]
    return Problem(422, error.code, str(error), pointer=None if errors else "", errors=errors)


def _imported(files: tuple["SourceFile", ...], given: "Given", stated: Mapping[str, Any]) -> Brought:
    from costmodels.importers import recognise

    importer, roles = recognise(files, stated.get("tool"))
    if "source" not in stated:
        profile = importer.read(roles, given)
    elif importer.name != "espalier" or len(files) > 1:
        detail = f"Only a table of your own needs its source stated; {importer.title} tells it by itself."
        raise Problem(422, "invalid", detail, pointer="/source")
    else:
        profile = _own_table(files[0], given, stated["source"])
    return Brought(profile=profile, importer=importer.name, stated=stated, files=files)


def _own_table(file: "SourceFile", given: "Given", source: str) -> Profile:
    """A table of ours that leaves out where its numbers come from."""
    from costmodels.importers.base import printable

    name = printable(file.name) or "profile"
    profile = Profile.from_bytes(file.data, {"name": name, **given.stated(), "source": source})
    return replace(profile, files=profile.files or (ProfileFile(name=name, sha256=file.sha256, format="profile"),))


def _stated(form: FormData) -> dict[str, Any]:
    """What stands in the fields; empty ones count as left out."""
    errors: list[dict[str, str]] = []
    found: dict[str, Any] = {}
    for key, value in form.multi_items():
        if key == "file" and isinstance(value, UploadFile):
            continue
        problem = _field_problem(key, value, found)
        if problem:
            errors.append({"pointer": pointer(key[:80]), "detail": problem, "code": "invalid"})
        elif str(value).strip():
            found[key] = _number(key, str(value)) if key in NUMBERS else str(value).strip()
    if errors:
        raise Problem(422, "invalid", f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors[:MOST_SHOWN])
    return found


def _field_problem(key: str, value: object, found: Mapping[str, Any]) -> str:
    text = str(value).strip()
    if key not in (*TEXTS, *NUMBERS) or isinstance(value, UploadFile):
        return f"there is no such field; there are file, {', '.join((*TEXTS, *NUMBERS))}"
    if key in found:
        return "is given twice"
    if len(text) > 200 or not text.isprintable():
        return "is longer than 200 characters, or has some that cannot be printed"
    if text and key == "batch" and not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 65_536):
        return f"{text[:40]!r} is not a whole number in 1 ... 65536"
    if text and key in NUMBERS and _number(key, text) is None:
        return f"{text[:40]!r} is not a positive number"
    return ""


def _number(key: str, text: str) -> int | float | None:
    try:
        value = int(text) if key == "batch" else float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value > 0 else None


def _bytes(upload: UploadFile) -> bytes:
    data = upload.file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        detail = f"The file {_base_name(upload.filename)[:80]!r} has more than {MAX_FILE_BYTES} bytes, the limit here."
        raise Problem(413, "too_large", detail, pointer="/file")
    return data


def _base_name(name: str | None) -> str:
    return PurePosixPath((name or "").replace("\\", "/")).name[:200] or "file"


def _place(problem: str) -> str:
    """Where in the form a person can mend it, if it is there."""
    key, _, rest = problem.partition(" ")
    absent = rest.startswith(("is missing", "is not in the file"))
    return pointer(key) if absent and key in (*TEXTS, *NUMBERS) else ""


def _too_large() -> Problem:
    return Problem(413, "too_large", f"The form is larger than {MAX_FORM_BYTES} bytes, the limit for profiles.")
