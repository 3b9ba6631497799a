"""`Archive`: a zip file, opened within limits. Nothing is ever unpacked to disk."""

import io
import stat
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pruning.errors import IntakeError
from pruning.intake.fields import shown

_ENCRYPTED = 0x1
_HEADER_BYTES = 30  # the fixed part of a member's local header
_RATIO_FLOOR = 1 << 16  # members this small may compress as well as they like
_ENTRY_BYTES = 46 + 512  # of the directory: the fixed part, and a name as long as we accept
_BROKEN = (  # what `zipfile` raises on broken files
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError),
    *(ValueError, IndexError, OverflowError, NotImplementedError, RuntimeError),
)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much a model file may ask of us."""

    total_bytes: int = 2 << 30  # of the file, of all members unpacked, and of all tensors
    members: int = 20_000
    json_bytes: int = 64 << 20
    ratio: int = 200  # unpacked size over packed size, of one member
    nodes: int = 50_000
    items: int = 4096  # in one list argument


class Archive:
    """A zip archive whose members all lie in one folder, as torch writes them; names leave that folder out.

    Raises:
        IntakeError: not a zip, over a limit, or built to mislead (paths that climb, members that overlap or
            stand twice, encryption, links).
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        size = path.stat().st_size
        if size > limits.total_bytes:
            raise IntakeError(f"the file has {size} bytes; the limit is {limits.total_bytes}")
        self._limits = limits
        self._file = _Guarded(path, limits.members * _ENTRY_BYTES)
        try:
            self._zip = self._open()
            self._members = self._check(self._zip.infolist(), size)
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> zipfile.ZipFile:
        try:
            opened = zipfile.ZipFile(self._file)
        except IntakeError:
            raise
        except _BROKEN as error:
            raise IntakeError("the file is not a zip archive, or is cut short: upload it again") from error
        self._file.limit = None
        return opened

    def _check(self, infos: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
        if len(infos) > self._limits.members:
            raise IntakeError(f"the archive has {len(infos)} members; the limit is {self._limits.members}")
        for info in infos:
            _check_name(info)
            self._check_member(info)
        files = [info for info in infos if not info.is_dir()]
        unpacked = sum(info.file_size for info in files)
        if unpacked > self._limits.total_bytes:
            raise IntakeError(f"the archive unpacks to {unpacked} bytes; the limit is {self._limits.total_bytes}")
        _check_overlap(files, size)
        roots = {info.filename.partition("/")[0] for info in infos}
        if len(roots) != 1:
            raise IntakeError(
                "not an exported program: its members do not lie in one folder, as those of torch 2.13 and newer do"
            )
        members = {info.filename.partition("/")[2]: info for info in files}
        if len({name.casefold() for name in members}) != len(files):  # some disks take them for one
            raise IntakeError("the archive holds two members of one name, small and capital letters being one")
        return members

    def _check_member(self, info: zipfile.ZipInfo) -> None:
        where = f"member {shown(info.filename)}"
        if info.flag_bits & _ENCRYPTED:
            raise IntakeError(f"{where} is encrypted")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise IntakeError(f"{where} is a link")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise IntakeError(f"{where} is packed by a method other than stored and deflated")
        if info.file_size > max(_RATIO_FLOOR, self._limits.ratio * info.compress_size):
            raise IntakeError(f"{where} unpacks to more than {self._limits.ratio} times its size")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()
        self._file.close()

    @property
    def names(self) -> frozenset[str]:
        """The members' names, without their common folder."""
        return frozenset(self._members)

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of a member.

        Raises:
            IntakeError: it is not there, has more than `limit` bytes, or is damaged.
        """
        info = self._members.get(name)
        if info is None:
            raise IntakeError(f"the archive lacks its member {shown(name)}")
        if info.file_size > limit:
            raise IntakeError(f"member {shown(name)} has {info.file_size} bytes; the limit is {limit}")
        try:
            with self._zip.open(info) as member:
                data = member.read(info.file_size + 1)
        except _BROKEN as error:
            raise IntakeError(f"member {shown(name)} is damaged: upload the file again") from error
        if len(data) != info.file_size:
            raise IntakeError(f"member {shown(name)} is cut short: upload the file again")
        return data


class _Guarded(io.FileIO):
    """A file that refuses, while `limit` stands, a read as large as only an oversized directory needs.

    `zipfile` reads the whole directory before anyone can count its entries.
    """

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(path)
        self.limit: int | None = limit

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None:
            left = self._left()
            wanted = left if size is None or size < 0 else min(size, left)
            if wanted > self.limit:
                raise IntakeError("the archive's directory is larger than any model needs")
        return super().read(size) or b""

    def _left(self) -> int:
        here = self.tell()
        end = self.seek(0, io.SEEK_END)
        self.seek(here)
        return end - here


def _check_name(info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = name.removesuffix("/").split("/")
    if (
        name != info.orig_filename  # cut at a NUL, or with turned slashes
        or len(name) > 512
        or not name.isprintable()
        or any(part in ("", ".", "..") for part in parts)
        or any(character in name for character in "\\:")
    ):
        raise IntakeError(f"member {shown(name)} has a path that no exported program has")


def _check_overlap(files: list[zipfile.ZipInfo], size: int) -> None:
    """No byte of the file may serve two members: that is how small files unpack to huge ones."""
    end = 0
    for info in sorted(files, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise IntakeError(f"member {shown(info.filename)} overlaps another")
        end = info.header_offset + _HEADER_BYTES + len(info.orig_filename) + info.compress_size
    if end > size:
        raise IntakeError("the archive is cut short: upload it again")
