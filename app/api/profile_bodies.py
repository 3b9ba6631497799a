"""The four ways to bring a profile: a document, a file, a name of the accelerator catalogue, a wish to measure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile

from app.errors import Problem, pointer
from costmodels.catalogue import accelerator_profile
from costmodels.errors import CostModelError, ProfileError
from costmodels.profile import MAX_BYTES, Profile


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
_HEADER_FIELDS = ("device", "runtime", "precision", "source")


class MeasureWish(BaseModel):
    """Which model to measure, layer by layer, on the worker's machine."""

    model_config = ConfigDict(extra="forbid")
    model: Text
    batch: int = Field(default=1, ge=1, le=65_536)
    threads: int = Field(default=1, ge=1, le=256)


class MeasureBody(BaseModel):
    """Ask for a profile of the worker's machine."""

    model_config = ConfigDict(extra="forbid")
    measure: MeasureWish
    name: Text = ""


class AcceleratorBody(BaseModel):
    """Ask for a profile of an accelerator of the catalogue (`GET /accelerators`), analytical."""

    model_config = ConfigDict(extra="forbid")
    accelerator: Text
    batch: int = Field(default=1, ge=1, le=65_536)
    precision: Text | None = Field(default=None, description="may be left out where the target has only one")
    name: Text = ""


@dataclass(frozen=True, kw_only=True)
class ProfileBody:
    """What a request brought: a profile that is ready, or the wish for one. `raw` is the file as it came."""

    name: str
    profile: Profile | None = None
    raw: bytes | None = None
    wish: MeasureWish | None = None


async def read_body(request: Request) -> ProfileBody:
    """Read any of the four forms.

    Raises:
        Problem: 422 with every mistake and where it stands.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=16) as form:
            return await _from_form(dict(form.items()))
    raw = await request.body()
    if kind in ("text/csv", "application/octet-stream"):
        return _document(raw, {}, "")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(422, "json_invalid", f"The body is not JSON: {str(error)[:120]}", pointer="") from error
    if isinstance(body, dict) and "measure" in body:
        measured: MeasureBody = _validated(MeasureBody, body)
        return ProfileBody(name=measured.name, wish=measured.measure)
    if isinstance(body, dict) and "accelerator" in body and "source" not in body:
        return _from_catalogue(_validated(AcceleratorBody, body))
    return _document(raw, {}, "")


async def _from_form(form: Mapping[str, Any]) -> ProfileBody:
    upload = form.get("file")
    if not isinstance(upload, UploadFile):
        raise Problem(422, "missing", "The form has no file.", pointer="/file")
    header: dict[str, Any] = {key: form[key] for key in _HEADER_FIELDS if form.get(key)}
    if batch := form.get("batch"):
        if not str(batch).isdecimal():
            raise Problem(422, "invalid", f"batch {str(batch)[:40]!r} is not a whole number", pointer="/batch")
        header["batch"] = int(str(batch))
    name = str(form.get("name") or "")[:200]
    header["name"] = name or str(upload.filename or "profile").rpartition(".")[0][:200] or "profile"
    return _document(await upload.read(MAX_BYTES + 1), header, name)


def _document(raw: bytes, header: Mapping[str, Any], name: str) -> ProfileBody:
    try:
        profile = Profile.from_bytes(raw, header)
    except ProfileError as error:
        errors = [{"pointer": "", "detail": problem, "code": error.code} for problem in error.problems[:200]]
        raise Problem(422, error.code, str(error), errors=errors) from error
    return ProfileBody(name=name or profile.name, profile=profile, raw=raw)


def _from_catalogue(body: AcceleratorBody) -> ProfileBody:
    try:
        profile = accelerator_profile(body.accelerator, body.batch, body.precision, body.name)
    except CostModelError as error:
        raise Problem(422, error.code, str(error), pointer="/accelerator") from error
    return ProfileBody(name=profile.name, profile=profile)


def _validated(kind: type[Any], body: Mapping[str, Any]) -> Any:
    try:
        return TypeAdapter(kind).validate_python(body)
    except ValidationError as error:
        errors = [{"pointer": pointer(*e["loc"]), "detail": e["msg"], "code": e["type"]} for e in error.errors()]
        first = errors[0]
        raise Problem(422, "invalid", f"{first['pointer']}: {first['detail']}", errors=errors) from error
