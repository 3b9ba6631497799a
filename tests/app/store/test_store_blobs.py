"""The artefact store: whole files or none, named by content, and nothing outside it can be reached."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from app.store.blobs import ArtefactStore
from app.store.errors import NotFound, StoreError

DATA = b"weights" * 1000
DIGEST = sha256(DATA).hexdigest()


@pytest.fixture(params=["path", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ArtefactStore]:
    """A local store by path and by URL (with a space and a percent sign in it), and one that is not local."""
    if request.param == "memory":
        root = f"memory://{uuid4().hex}"
        yield ArtefactStore(root)
        if fsspec.filesystem("memory").exists(root):
            fsspec.filesystem("memory").rm(root, recursive=True)
        return
    folder = tmp_path / "my 100% artefacts"
    yield ArtefactStore(str(folder) if request.param == "path" else f"file://{folder}")


def files(folder: Path) -> list[Path]:
    """Every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_goes_in_comes_out(store: ArtefactStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(DATA)
    assert not store.exists(DIGEST)
    assert store.put_file(source) == store.put_bytes(DATA) == (DIGEST, len(DATA))
    assert source.read_bytes() == DATA, "the source stays where it is"
    assert store.exists(DIGEST)
    with store.open(DIGEST) as stream:
        assert stream.read() == DATA
    assert store.local_path(DIGEST, tmp_path / "cache").read_bytes() == DATA
    assert store.put_bytes(b"") == (sha256().hexdigest(), 0)


def test_one_content_lies_there_once(tmp_path: Path) -> None:
    store = ArtefactStore(str(tmp_path))
    for _ in range(3):
        store.put_bytes(DATA)
    assert files(tmp_path) == [tmp_path / "sha256" / DIGEST[:2] / DIGEST[2:4] / DIGEST]
    assert files(tmp_path)[0].stat().st_mode & 0o222 == 0, "nobody writes to it by mistake"


@pytest.mark.parametrize(
    "digest",
    [
        "../" * 8 + "etc/passwd",
        "/etc/passwd",
        "..",
        "",
        DIGEST.upper(),
        DIGEST[:-1],
        DIGEST + "0",
        DIGEST + "\n",
        DIGEST[:-2] + "/x",
        "٠" * 64,
        DIGEST[:-1] + "\0",
    ],
)
def test_only_digests_name_something(store: ArtefactStore, tmp_path: Path, digest: str) -> None:
    store.put_bytes(DATA)
    assert not store.exists(digest)
    with pytest.raises(NotFound):
        store.open(digest)
    with pytest.raises(NotFound):
        store.local_path(digest, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_what_is_not_there_is_not_found(store: ArtefactStore, tmp_path: Path) -> None:
    for action in (store.open, lambda digest: store.local_path(digest, tmp_path / "cache")):
        with pytest.raises(NotFound, match="0000"):
            action("0" * 64)
    with pytest.raises(FileNotFoundError):
        store.put_file(tmp_path / "nothing")


def test_an_error_before_the_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ArtefactStore(str(tmp_path))

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            store.put_bytes(DATA)
    assert files(tmp_path) == [] and not store.exists(DIGEST)
    assert store.put_bytes(DATA) == (DIGEST, len(DATA))


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_process_killed_before_the_rename_leaves_nothing_visible(tmp_path: Path, where: str) -> None:
    script = (
        "import os, sys\n"
        "from app.store.blobs import ArtefactStore\n"
        f"os.{where} = lambda *_: os._exit(9)\n"
        "ArtefactStore(sys.argv[1]).put_bytes(b'weights' * 1000)\n"
    )
    root = Path(__file__).parents[3]
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, timeout=60)
    assert died.returncode == 9
    assert (
        len(files(tmp_path / "incomplete")) == 1
        and not (tmp_path / "sha256" / DIGEST[:2] / DIGEST[2:4] / DIGEST).exists()
    )
    store = ArtefactStore(str(tmp_path))
    assert not store.exists(DIGEST)
    with pytest.raises(NotFound):
        store.open(DIGEST)
    assert store.put_bytes(DATA) == (DIGEST, len(DATA))
    with store.open(DIGEST) as stream:
        assert stream.read() == DATA


def test_many_writers_of_one_content_agree(tmp_path: Path) -> None:
    store = ArtefactStore(str(tmp_path))
    answers: list[tuple[str, int]] = []
    threads = [threading.Thread(target=lambda: answers.append(store.put_bytes(DATA))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [(DIGEST, len(DATA))] * 8 and len(files(tmp_path)) == 1


def test_a_remote_file_is_fetched_once_and_checked(tmp_path: Path) -> None:
    root = f"memory://{uuid4().hex}"
    store = ArtefactStore(root)
    store.put_bytes(DATA)
    cache = tmp_path / "cache"
    cached = store.local_path(DIGEST, cache)
    files_there = fsspec.filesystem("memory")
    there = next(path for path in files_there.find(root) if path.endswith(DIGEST))
    files_there.pipe_file(there, b"changed by somebody")
    assert store.local_path(DIGEST, cache) == cached and cached.read_bytes() == DATA
    with pytest.raises(StoreError, match="damaged"):
        store.local_path(DIGEST, tmp_path / "another cache")
    assert files(tmp_path / "another cache") == []
    files_there.rm(root, recursive=True)


def test_an_unknown_kind_of_store_is_an_error_for_people() -> None:
    with pytest.raises(StoreError, match="gopher"):
        ArtefactStore("gopher://there/espalier")
