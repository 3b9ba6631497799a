"""The four ways to bring a profile: a document, files, a name of the accelerator catalogue, a wish to measure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import anyio
from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.api.profile_forms import open_form, read_form, refused
from app.errors import Problem, pointer
from costmodels.catalogue import accelerator_profile
from costmodels.errors import CostModelError, ProfileError
from costmodels.measure.options import BackendName, DeviceName, Precision
from costmodels.profile import Profile

if TYPE_CHECKING:
    from costmodels.importers import SourceFile


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has characters that cannot be printed")
    return text


Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]


class MeasureWish(BaseModel):
    """Which model to measure, layer by layer, on the worker's machine."""

    model_config = ConfigDict(extra="forbid")
    model: Text
    batch: int = Field(default=1, ge=1, le=65_536)
    threads: int = Field(default=1, ge=1, le=256)
    backend: BackendName | None = Field(default=None, description="torch's eager mode where left out")
    device: DeviceName | None = Field(default=None, description="of the worker; its cpu where left out")
    precision: Precision | None = Field(default=None, description="float32 where left out; the others need cuda")


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
    """What a request brought: a profile that is ready, with the files it came in, or the wish for one.

    `request` says which importer read the files and what was stated beside them.
    """

    name: str
    profile: Profile | None = None
    files: tuple["SourceFile", ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    wish: MeasureWish | None = None


async def read_body(request: Request) -> ProfileBody:
    """Read any of the four forms.

    Raises:
        Problem: 422 with every mistake and where it stands.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with open_form(request) as form:
            brought = await anyio.to_thread.run_sync(read_form, form)
        said = {"importer": brought.importer, "stated": dict(brought.stated)}
        return ProfileBody(name=brought.profile.name, profile=brought.profile, files=brought.files, request=said)
    return await anyio.to_thread.run_sync(_from_document, kind, await request.body())


def _from_document(kind: str, raw: bytes) -> ProfileBody:
    if kind in ("text/csv", "application/octet-stream"):
        return _document(raw)
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Problem(422, "json_invalid", f"The body is not JSON: {str(error)[:120]}", pointer="") from error
    if isinstance(body, dict) and "measure" in body:
        measured: MeasureBody = _validated(MeasureBody, body)
        return ProfileBody(name=measured.name, wish=measured.measure)
    if isinstance(body, dict) and "accelerator" in body and "source" not in body:
        return _from_catalogue(_validated(AcceleratorBody, body))
    return _document(raw)


def _document(raw: bytes) -> ProfileBody:
    try:
        profile = Profile.from_bytes(raw)
    except ProfileError as error:
        raise refused(error) from error
    return ProfileBody(name=profile.name, profile=profile)


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
