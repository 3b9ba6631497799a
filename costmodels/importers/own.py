"""Espalier's own JSON and CSV: what `Profile.to_json` and `Profile.to_csv` write, or a person in a spreadsheet.

A JSON document comes back with the digest it had; a spreadsheet gains the hash of its file.
"""

from dataclasses import replace

from costmodels.importers.base import Files, Given, Importer, printable
from costmodels.importers.cells import HEAD, only
from costmodels.importers.files import SourceFile
from costmodels.profile import HEADER_FIELDS, Profile, ProfileFile


def _role(file: SourceFile) -> str | None:
    if file.text.lstrip()[:1] == "{":
        document = file.json_or_none
        stated = document.keys() & {"schema", *HEADER_FIELDS} if isinstance(document, dict) else ()
        return "profile" if len(stated) > 2 and document.keys() & {"rows", "accelerator"} else None
    return "profile" if _is_table(file.text[:HEAD]) else None


def _is_table(head: str) -> bool:
    """Whether there are `# key: value` lines of ours, or a header line with the columns layer and latency..."""
    for line in head.splitlines():
        shown = line.strip().strip('";, \t')
        if shown.startswith("#"):
            if shown[1:].partition(":")[0].strip() in HEADER_FIELDS:
                return True
        elif shown:
            cells = {cell.strip(' "') for mark in ",;\t" for cell in line.split(mark)}
            theirs = cells >= {"cin", "cout"}  # a two-sided table
            return "layer" in cells and any(cell.startswith("latency") for cell in cells) and not theirs
    return False


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "profile", "profiles of Espalier")
    is_table = file.text.lstrip()[:1] != "{"
    header = {"name": printable(file.name) or "profile"} if is_table else {}
    profile = Profile.from_bytes(file.data, header=header | given.stated())
    stated = {key: value for key, value in given.stated().items() if getattr(profile, key) != value}
    if is_table and not profile.files:
        stated["files"] = (ProfileFile(name=printable(file.name) or "file", sha256=file.sha256, format="profile"),)
    return replace(profile, **stated) if stated else profile


ESPALIER = Importer(
    name="espalier",
    title="Espalier's own JSON or CSV",
    roles={"profile": "a profile as Espalier writes it, or a table with the columns layer and latency_ms"},
    required=("profile",),
    recognise=_role,
    read=_read,
)
