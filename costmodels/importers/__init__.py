"""The importers, by name: one file a tool. A new one adds its file and its line here."""

from collections.abc import Sequence

from costmodels.errors import ProfileError
from costmodels.importers.aihub import AIHUB
from costmodels.importers.base import Files, Given, Importer
from costmodels.importers.files import SourceFile
from costmodels.importers.maestro import MAESTRO
from costmodels.importers.ofa import OFA
from costmodels.importers.onnxruntime import ONNXRUNTIME
from costmodels.importers.openvino import OPENVINO
from costmodels.importers.option_tables import OPTION_TABLES
from costmodels.importers.own import ESPALIER
from costmodels.importers.scalesim import SCALESIM
from costmodels.importers.sparseml import SPARSEML
from costmodels.importers.spdy import SPDY
from costmodels.importers.tensorrt import TENSORRT
from costmodels.importers.tflite import TFLITE
from costmodels.importers.timeloop import TIMELOOP
from costmodels.importers.torch_profiler import TORCH_PROFILER
from costmodels.importers.two_sided import TWO_SIDED
from costmodels.importers.vela import VELA
from costmodels.importers.zigzag import ZIGZAG
from costmodels.profile import Profile

IMPORTERS: dict[str, Importer] = {
    "espalier": ESPALIER,
    "aihub": AIHUB,
    "maestro": MAESTRO,
    "ofa": OFA,
    "onnxruntime": ONNXRUNTIME,
    "openvino": OPENVINO,
    "option_tables": OPTION_TABLES,
    "scalesim": SCALESIM,
    "sparseml": SPARSEML,
    "spdy": SPDY,
    "tensorrt": TENSORRT,
    "tflite": TFLITE,
    "timeloop": TIMELOOP,
    "torch_profiler": TORCH_PROFILER,
    "two_sided": TWO_SIDED,
    "vela": VELA,
    "zigzag": ZIGZAG,
}

__all__ = ["IMPORTERS", "Files", "Given", "Importer", "SourceFile", "import_profile", "recognise"]
MAX_FILES = 256


def import_profile(files: Sequence[SourceFile], given: Given | None = None, tool: str | None = None) -> Profile:
    """The profile in the files of one tool, which is recognised by their content unless `tool` says it.

    Raises:
        ProfileError: no tool or several recognise the files, one is missing, or they are wrong inside.
    """
    importer, found = recognise(files, tool)
    return importer.read(found, given or Given())


def recognise(files: Sequence[SourceFile], tool: str | None = None) -> tuple[Importer, Files]:
    """Whose files these are, and which role each of them has.

    Raises:
        ProfileError: as `import_profile`.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise ProfileError(f"{len(files)} files were given; one profile is made from 1 ... {MAX_FILES}")
    if tool is not None and tool not in IMPORTERS:
        raise ProfileError(f"there is no importer {tool[:40]!r}; there are {', '.join(IMPORTERS)}")
    wanted = [IMPORTERS[tool]] if tool else list(IMPORTERS.values())
    for file in files:
        _ = file.text  # too large, a pickle, an archive: refused before anybody looks inside
    claims = {importer.name: [importer.recognise(file) for file in files] for importer in wanted}
    whole = [importer for importer in wanted if all(role is not None for role in claims[importer.name])]
    if not whole:
        raise _unknown(files, claims)
    if len(whole) > 1:
        raise ProfileError(f"the files could be those of {', '.join(i.name for i in whole)}: say which tool wrote them")
    roles: dict[str, tuple[SourceFile, ...]] = {}
    for role, file in zip(claims[whole[0].name], files, strict=True):
        assert role is not None
        roles[role] = (*roles.get(role, ()), file)
    for role in whole[0].required:
        if role not in roles:
            raise ProfileError(f"{whole[0].title}: {whole[0].roles[role]} is missing; give it with the other file(s)")
    return whole[0], roles


def _unknown(files: Sequence[SourceFile], claims: dict[str, list[str | None]]) -> ProfileError:
    strangers = [file for index, file in enumerate(files) if not any(roles[index] for roles in claims.values())]
    if not strangers:
        return ProfileError("the files are of different tools: give those of one tool at a time")
    known = ", ".join(importer.title for importer in IMPORTERS.values())
    problems = [f"{file.name[:80]}: {_broken(file) or 'of no tool that is known'}" for file in strangers]
    return ProfileError(
        f"nobody recognises {strangers[0].name[:80]!r} ({_broken(strangers[0]) or 'it is of no tool that is known'}); "
        f"files of {known} are read; or write the rows as a CSV: layer, pattern, latency_ms",
        problems,
    )


def _broken(file: SourceFile) -> str:
    """Why a file that starts like JSON or XML is neither: most files that nobody recognises are cut off."""
    try:
        match file.text.lstrip()[:1]:
            case "{" | "[":
                _ = file.json
            case "<":
                _ = file.xml
    except ProfileError as error:
        return error.problems[0].removeprefix(f"{file.name[:80]}: ")
    return ""
