"""`ArtefactStore`: files by the sha256 of their content, in a folder or wherever an fsspec URL leads."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Any, BinaryIO, cast
from uuid import uuid4

import fsspec
from fsspec.implementations.local import LocalFileSystem

from app.store.errors import NotFound, StoreError

_CHUNK_BYTES = 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ArtefactStore:
    """Content-addressed files. A name is there with all of its content or not at all; nothing is overwritten.

    Args:
        url: a path, or an fsspec URL such as `file:///var/espalier` or `s3://bucket/espalier`.
    """

    def __init__(self, url: str) -> None:
        try:
            self._files, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise StoreError(f"The artefact store {url.split('://')[0]!r} cannot be opened: {error}") from None
        self._root = str(root).rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    def put_file(self, path: Path) -> tuple[str, int]:
        """Keep a copy of a file; its digest and its size in bytes."""
        with path.open("rb") as source:
            return self._put(source)

    def put_bytes(self, data: bytes) -> tuple[str, int]:
        """Keep bytes; their digest and their number."""
        return self._put(BytesIO(data))

    def open(self, digest: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            NotFound: there is none, or this is no digest.
        """
        try:
            return cast(BinaryIO, self._files.open(self._path(digest), "rb"))
        except FileNotFoundError:
            raise NotFound("artefact", digest) from None

    def exists(self, digest: str) -> bool:
        """Whether the file is there."""
        return _DIGEST.fullmatch(digest) is not None and bool(self._files.exists(self._path(digest)))

    def local_path(self, digest: str, cache_dir: Path) -> Path:
        """A path of this machine under which the file can be read; it must not be written to.

        A remote file is fetched once into `cache_dir` and checked against its digest.

        Raises:
            NotFound: there is none, or this is no digest.
            StoreError: what came is not what was stored.
        """
        if self._local:
            path = Path(self._path(digest))
            if not path.is_file():
                raise NotFound("artefact", digest)
            return path
        cached = cache_dir / self._path(digest).rsplit("/", 1)[1]
        if not cached.exists():
            self._fetch(digest, cached)
        return cached

    def _path(self, digest: str) -> str:
        """Where the file lies. Only a digest can be made a path, so nothing leads out of the store."""
        if _DIGEST.fullmatch(digest) is None:
            raise NotFound("artefact", digest)
        return f"{self._root}/sha256/{digest[:2]}/{digest[2:4]}/{digest}"

    def _put(self, source: IO[bytes]) -> tuple[str, int]:
        # hashed while it is copied: what is named is what was written, even if the source changes meanwhile
        with self._partial() as partial:
            with self._files.open(partial, "wb") as target:
                digest, size = _copy(source, target)
                if self._local:
                    target.flush()
                    os.fsync(target.fileno())
            final = self._path(digest)
            if not self._files.exists(final):
                self._settle(partial, final)
        return digest, size

    @contextmanager
    def _partial(self) -> Iterator[str]:
        """A name to write under that no reader asks for; whatever is left there at the end is removed."""
        partial = f"{self._root}/incomplete/{uuid4().hex}"
        self._files.makedirs(partial.rsplit("/", 1)[0], exist_ok=True)
        try:
            yield partial
        finally:
            if self._files.exists(partial):
                self._files.rm_file(partial)

    def _settle(self, partial: str, final: str) -> None:
        self._files.makedirs(final.rsplit("/", 1)[0], exist_ok=True)
        if self._local:
            Path(partial).chmod(0o444)
            os.replace(partial, final)  # atomic; two writers of one digest bring the same bytes
            _sync_folder(Path(final).parent)  # a row may name the file as soon as we return
        else:
            self._files.mv(partial, final)

    def _fetch(self, digest: str, cached: Path) -> None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_name(f"{cached.name}.{uuid4().hex}")
        try:
            with self.open(digest) as source, partial.open("wb") as target:
                came, _ = _copy(source, target)
            if came != digest:
                raise StoreError(f"The artefact {digest[:12]}... came with other content; the store is damaged")
            partial.replace(cached)
        finally:
            partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy(source: IO[bytes], target: Any) -> tuple[str, int]:
    digest, size = sha256(), 0
    while chunk := source.read(_CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size
