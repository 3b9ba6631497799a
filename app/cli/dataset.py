"""Data from this machine to the service: what kind a file or folder is, packed where it must be, and uploaded."""

import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.console import fail, say
from app.cli.upload import settled

if TYPE_CHECKING:
    from app.client import Client

DataKind = Annotated[str, typer.Option(help="npz, images, text, table or hf; seen from the files if left out")]
DataOptions = Annotated[str, typer.Option(help='how to read the data, as JSON: \'{"text": "review", "length": 64}\'')]
Task = Annotated[str, typer.Option(help="classification, regression or language_modelling")]
_TEXTS = (".tsv", ".csv", ".txt")
_TASKED = ("npz", "text", "table", "hf")  # kinds that are read differently for different tasks


@dataclass(frozen=True, kw_only=True)
class DataWish:
    """What the command says of its data."""

    seed: int = 0
    kind: str = ""
    task: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, Any]:
        """The options for a dataset of this kind."""
        task = {"task": self.task} if self.task and kind in _TASKED else {}
        return {"seed": self.seed, **task, **self.options}


def read_options(text: str) -> dict[str, Any]:
    """`--data-options` as an object."""
    try:
        value = json.loads(text or "{}")
    except ValueError as error:
        raise fail(f"--data-options {text[:80]!r} is no JSON: {error}", 2) from None
    if not isinstance(value, dict):
        raise fail(f"--data-options {text[:80]!r} should be a JSON object", 2)
    return value


def upload_dataset(client: "Client", text: str, wish: DataWish) -> str:
    """The id of the dataset that `text` names: the digits, a file or folder that is uploaded, or an id."""
    path = Path(text)
    if text == "digits":
        found = client.add_dataset("digits", options=wish.of("digits"))
    elif path.is_dir():
        name = path.absolute().name
        kind = wish.kind or kind_of(inside.relative_to(path).as_posix() for inside in path.rglob("*"))
        say(f"packing and uploading {path.name} ({kind})")
        with tempfile.TemporaryDirectory() as folder:
            packed = pack(path, Path(folder) / f"{name}.zip")
            found = client.add_dataset(kind, packed, name=name, options=wish.of(kind))
    elif path.is_file():
        kind = wish.kind or _kind_of_file(path)
        say(f"uploading {path.name} ({kind})")
        found = client.add_dataset(kind, path, options=wish.of(kind))
    elif "/" in text or "." in text or not text:
        raise fail(f"there is no dataset {text!r}")
    else:
        return str(client.get_dataset(text)["id"])
    return settled(found, client.get_dataset, "dataset")


def kind_of(names: Iterable[str]) -> str:
    """The kind of dataset that files of these names are."""
    paths = [Path(name) for name in names]
    if any(path.name == "state.json" for path in paths):
        return "hf"
    if any(path.suffix == ".npy" for path in paths):
        return "npz"
    if any(path.suffix.lower() in _TEXTS and path.name != "README.txt" for path in paths):
        return "text"
    return "images"


def _kind_of_file(path: Path) -> str:
    if path.suffix.lower() in _TEXTS:
        return "text"
    if path.suffix == ".npy":
        raise fail(f"{path.name} is one array: put x.npy and y.npy into a folder and give that, or save an .npz", 2)
    if path.suffix != ".zip":
        return "npz"
    try:
        with zipfile.ZipFile(path) as archive:
            return kind_of(archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return "images"  # the service says what is wrong with it


def pack(folder: Path, target: Path) -> Path:
    """A folder as a zip; hidden files and links are left out."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") for part in inside.parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                archive.write(path, inside.as_posix())
    return target
