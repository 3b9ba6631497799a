"""MAESTRO's result CSV: one line a layer, 51 columns with leading blanks, one of them twice.

It counts cycles at no stated clock and says neither batch nor shape: weights and multiply-adds are all it tells of a
layer. Its residual additions are modelled as layers too; they are kept as times that pass.
"""

from costmodels.importers.base import Files, Given, Importer, build, printable, unique
from costmodels.importers.cells import only, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.tables import Line, clock_hz, columns, lines, of_one
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_NETWORK, _LAYER, _CYCLES = "neural network name", "layer number", "runtime (cycles)"
_MACS, _WEIGHTS, _ENERGY = "num macs", "num total weight pixels", "activity count-based energy (nj)"
_DESIGN = (_NETWORK, "numpes")
_REQUIRED = (*_DESIGN, _LAYER, _CYCLES, _ENERGY, _WEIGHTS, _MACS)


def _role(file: SourceFile) -> str | None:
    return "layers" if columns(file).issuperset((_NETWORK, _LAYER, _CYCLES)) else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "layers", "results of MAESTRO")
    problems: list[str] = []
    table = list(lines(file, _REQUIRED, problems))
    layers = unique(_layer(line, given.batch) for line in table)
    cycles = [line.count(_CYCLES, least=1) for line in table]
    energies = [line.number(_ENERGY) * 1e-6 for line in table]
    problems += _mixed(table)
    refuse(file, problems)
    hz = clock_hz(file, given)
    rows = [
        ProfileRow(layer=layer.name, latency_ms=n / hz * 1e3, energy_mj=energy_mj)
        for layer, n, energy_mj in zip(layers, cycles, energies, strict=True)
    ]
    return build(
        files,
        given,
        layers,
        rows,
        name=printable(table[0].cells[_NETWORK]) or None if table else None,
        source="simulated",
        tool="maestro",
        original_unit="cycles",
        clock_hz=hz,
    )


def _layer(line: Line, batch: int | None) -> ProfileLayer:
    name, macs, weights = line.text(_LAYER), line.count(_MACS), line.count(_WEIGHTS)
    return ProfileLayer(
        name=name,
        role="other" if "residual" in name.lower() else "layer",
        weights=weights or None,
        macs=of_one(macs, batch),
    )


def _mixed(table: list[Line]) -> list[str]:
    """A sweep of designs stands in one file; a profile is one network on one of them."""
    found = []
    for column in _DESIGN:
        values = list(dict.fromkeys(line.cells[column] for line in table))
        if len(values) > 1:
            shown = ", ".join(printable(value)[:40] for value in values[:3])
            found.append(f"{column!r} has {len(values)} values ({shown}): keep the lines of one of them")
    return found


MAESTRO = Importer(
    name="maestro",
    title="MAESTRO",
    roles={"layers": "the result CSV, a line a layer"},
    required=("layers",),
    recognise=_role,
    read=_read,
)
