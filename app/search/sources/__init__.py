"""Where datasets come from: `SOURCES`, one file a kind. All of them yield the one form of `app.search.samples.dataset`.

Uploads are untrusted: nothing is unpickled or run, sizes are checked before anything is unpacked, images are decoded
within limits, and large arrays are written row by row, so that a dataset need not fit into memory.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.search.errors import refused
from app.search.samples.dataset import Prepared
from app.search.sources.arrays import read_arrays
from app.search.sources.base import Report, Source, checked
from app.search.sources.digits import read_digits
from app.search.sources.images import read_images
from app.search.sources.options import LOOK, SHEET, SPLIT, TOKENS, Options
from app.search.sources.saved import read_saved
from app.search.sources.table import read_table
from app.search.sources.text import read_text

__all__ = ["SOURCES", "Options", "Report", "prepare"]

SOURCES: Mapping[str, Source] = {
    "digits": Source(read=read_digits, takes=SPLIT),
    "npz": Source(read=read_arrays, takes=SPLIT | {"layout", "task"}),
    "images": Source(read=read_images, takes=SPLIT | LOOK),
    "text": Source(read=read_text, takes=SPLIT | SHEET | TOKENS | {"text", "label", "task"}),
    "table": Source(read=read_table, takes=SPLIT | SHEET | {"numbers", "label", "task"}),
    "hf": Source(read=read_saved, takes=SPLIT | LOOK | TOKENS | {"text", "image", "numbers", "label", "task"}),
}


def prepare(
    kind: str, upload: Path | None, options: Mapping[str, Any], report: Report, folder: Path | None = None
) -> Prepared:
    """Bring a dataset into the one form; what is large is kept in nameless files in `folder`.

    Raises:
        DatasetError: it is refused; the message says what is wrong and what would help.
    """
    if kind not in SOURCES:
        raise refused(f"unknown kind {kind[:80]!r}; known are {sorted(SOURCES)}")
    source = SOURCES[kind]
    asked = Options.read(options, source.takes)
    if upload is None and kind != "digits":
        raise refused("this kind of dataset needs a file")
    return checked(source.read(upload, asked, report, folder), asked)
