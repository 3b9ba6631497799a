"""Uploads as archives. They are untrusted: sizes are checked before anything is unpacked, and nothing lands on disk."""

import zipfile
from pathlib import Path, PurePosixPath

from app.search.errors import refused

MAX_BYTES = 64 * 2**30  # of a dataset once unpacked: it is prepared on disk
MAX_MEMBERS = 4_000_000
MAX_RATIO = 200  # of more than `SMALL_BYTES`, unpacked to packed: real data are not packed closer, bombs are
SMALL_BYTES = 2**30


def opened(upload: Path | None) -> zipfile.ZipFile:
    """The upload as an archive.

    Raises:
        DatasetError: there is none, it is no archive, or unpacks to more than the limits.
    """
    if upload is None:
        raise refused("this kind of dataset needs a file")
    try:
        archive = zipfile.ZipFile(upload)
    except Exception:  # a broken directory is reported in many ways
        raise refused("the file is no zip archive (an .npz is one as well)") from None
    members = archive.infolist()
    total_bytes = sum(info.file_size for info in members)
    reason = ""
    if len(members) > MAX_MEMBERS or total_bytes > MAX_BYTES:
        reason = f"the limits are {MAX_MEMBERS} and {MAX_BYTES}: give fewer or smaller samples"
    elif total_bytes > max(SMALL_BYTES, MAX_RATIO * upload.stat().st_size):
        reason = f"that is more than {MAX_RATIO} times its size, as archives made to fill a disk are: pack it plainly"
    if reason:
        archive.close()
        raise refused(f"the file unpacks to {len(members)} members of {total_bytes} bytes; {reason}")
    return archive


def is_zip(upload: Path) -> bool:
    """Whether the file begins like an archive."""
    with upload.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def checked_path(info: zipfile.ZipInfo) -> PurePosixPath | None:
    """The path that a member claims; None for folders and what systems leave behind.

    Raises:
        DatasetError: it leads out of the archive.
    """
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or len(info.filename) > 500:
        shown = repr(info.filename[:80])
        raise refused(f"member {shown} has a path that is not allowed: use relative paths with forward slashes")
    if info.filename.endswith("/") or "__MACOSX" in path.parts[:1] or path.name.startswith("."):
        return None
    return path
