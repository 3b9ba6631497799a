"""The artefact store: files named by the sha256 of their content, in a directory or a bucket, by fsspec URL.

A file is written under a temporary name and moved to its own when it is whole, so a killed writer leaves nothing that
could be read. The same content is stored once.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

import fsspec

from app.store.errors import NotFound
from app.store.ids import new_id

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES = 1 << 20


class ArtefactStore:
    """Files by digest under one URL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._fs, root = fsspec.core.url_to_fs(url)
        self._root = str(root).rstrip("/")

    def put_file(self, path: Path) -> tuple[str, int]:
        """Store a file; answers its digest and size in bytes."""
        with path.open("rb") as source:
            return self._put(source)

    def put_bytes(self, data: bytes) -> tuple[str, int]:
        """Store bytes; answers their digest and number."""
        from io import BytesIO

        return self._put(BytesIO(data))

    def exists(self, digest: str) -> bool:
        """Whether it is there."""
        return bool(self._fs.exists(self._path(digest)))

    @contextmanager
    def open(self, digest: str) -> Iterator[IO[bytes]]:
        """Read it; raises NotFound."""
        if not self.exists(digest):
            raise NotFound("artefact", digest)
        with self._fs.open(self._path(digest), "rb") as stream:
            yield stream

    def local_path(self, digest: str, cache: Path) -> Path:
        """A local file with its content: the stored one itself where the store is a directory, else a cached copy.

        Raises:
            NotFound: it is not there.
        """
        if "file" in self._protocols():
            path = Path(self._path(digest))
            if not path.is_file():
                raise NotFound("artefact", digest)
            return path
        target = cache / digest
        if not target.exists():
            cache.mkdir(parents=True, exist_ok=True)
            partial = cache / f"{digest}.{new_id()}.partial"
            with self.open(digest) as source, partial.open("wb") as copy:
                shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            partial.replace(target)
        return target

    def _put(self, source: IO[bytes]) -> tuple[str, int]:
        partial = f"{self._root}/partial/{new_id()}"
        self._fs.makedirs(f"{self._root}/partial", exist_ok=True)
        hashed, size = sha256(), 0
        with self._fs.open(partial, "wb") as target:
            while chunk := source.read(_CHUNK_BYTES):
                hashed.update(chunk)
                size += len(chunk)
                target.write(chunk)
        digest = hashed.hexdigest()
        final = self._path(digest)
        if self._fs.exists(final):
            self._fs.rm_file(partial)
        else:
            self._fs.makedirs(final.rsplit("/", 1)[0], exist_ok=True)
            self._fs.mv(partial, final)
        return digest, size

    def _path(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise NotFound("artefact", digest)
        return f"{self._root}/sha256/{digest[:2]}/{digest}"

    def _protocols(self) -> tuple[str, ...]:
        protocol: Any = self._fs.protocol
        return (protocol,) if isinstance(protocol, str) else tuple(protocol)
