"""A file on its way from a request into the artefact store. Names are text for people; nothing is opened here."""

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import UploadFile

from app.api.service import Service
from app.errors import Problem
from pruning.errors import IntakeError
from pruning.intake.safetensors import read_header

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A file that lies in the artefact store."""

    digest: str
    bytes: int

    def row(self, project_id: str, kind: str, media_type: str) -> dict[str, Any]:
        """The arguments of `artefacts.add` for this file."""
        return {
            "project_id": project_id,
            "digest": self.digest,
            "bytes": self.bytes,
            "media_type": media_type,
            "kind": kind,
        }


def receive(here: Service, upload: UploadFile) -> Stored:
    """Stream the upload into the artefact store; 422 if it is empty."""
    incoming = here.settings.data_dir / "incoming"
    incoming.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=incoming) as partial:
        shutil.copyfileobj(upload.file, partial, 2**20)
        if partial.tell() == 0:
            raise Problem(422, "empty_file", "The uploaded file is empty.", pointer="/file")
        partial.flush()
        digest, size = here.artefacts.put_file(Path(partial.name))
    return Stored(digest=digest, bytes=size)


def require_zip(upload: UploadFile, what: str) -> None:
    """Answer 422 at once if the file does not even begin like a zip archive; a worker reads the rest."""
    head = upload.file.read(4)
    upload.file.seek(0)
    if head != b"PK\x03\x04":
        raise Problem(422, "not_a_zip", f"The file is no zip archive, but {what}.", pointer="/file")


def require_safetensors(upload: UploadFile) -> None:
    """Answer 422 at once if the header is not that of a safetensors file; its tensors are looked at by a worker."""
    size = upload.file.seek(0, os.SEEK_END)
    upload.file.seek(0)
    try:
        read_header(upload.file, size)
    except IntakeError as error:
        raise Problem(422, "not_safetensors", f"{str(error)[:1].upper()}{str(error)[1:]}.", pointer="/file") from error
    upload.file.seek(0)


def title(name: str, upload: UploadFile | None, fallback: str) -> str:
    """The name that was given, else the file's without its ending, else `fallback`."""
    stem = Path((upload.filename or "").replace("\\", "/")).stem if upload is not None else ""
    printable = "".join(letter for letter in name.strip() or stem if letter.isprintable())
    return printable[:200] or fallback


def safe_filename(*parts: object) -> str:
    """A file name of plain ASCII from untrusted words, for downloads."""
    words = [_UNSAFE.sub("-", str(part)).strip("-") for part in parts]
    return "-".join(word for word in words if word)[:120] or "download"
