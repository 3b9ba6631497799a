"""Arm Vela's estimates for Ethos-U: the per-layer CSV, and the summary CSV that holds its clock.

Op Cycles are the largest of what the NPU and each memory need, so they add up to the network. Operators that Vela
leaves to the CPU have no estimate: they are named in the note and the total is then not taken for the network's.
Fused activations stand as lines of 0 cycles. Names are those of the fused tensors, joined by ";" in no fixed order.
MAC Count is what the NPU carries out: on the U85 fewer than the layer has where Vela skips (2:4 weights, strides).
All rows are called dense: the files do not say whether the compiled model was pruned.
Columns differ between Vela 3 and 5, which added `Target`; both are read by name.
"""

import re

from costmodels.importers.base import Files, Given, Importer, Timed, build, printable, tabulated
from costmodels.importers.cells import only, refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.tables import Line, clock_hz, columns, lines, of_one
from costmodels.profile import Profile, ProfileLayer

_LAYERS = ("nng operator", "op cycles", "mac count", "name")
_SUMMARY = ("accelerator_configuration", "core_clock", "inference_time", "batch_size")
_MAX_MEMBERS = 64
_WEIGHTED = re.compile(r"conv|fullyconnected|matmul", re.IGNORECASE)
_SHOWN = 5


def _role(file: SourceFile) -> str | None:
    found = columns(file)
    return "layers" if found.issuperset(_LAYERS) else "summary" if found.issuperset(_SUMMARY) else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "layers", "per-layer reports of Vela")
    problems: list[str] = []
    table = list(lines(file, _LAYERS, problems))
    cycles = [line.number("op cycles") for line in table]
    summary = _summary(files)
    hz = clock_hz(file, given, summary.number("core_clock") if summary else None)
    batch = given.batch if given.batch is not None else summary.count("batch_size") if summary else None
    timed = [Timed(layer=_layer(line, batch), latency_ms=n / hz * 1e3) for line, n in zip(table, cycles, strict=True)]
    refuse(file, problems)
    layers, rows = tabulated(timed)
    on_cpu = [layer.name for layer, line in zip(layers, table, strict=True) if _on_cpu(line)]
    _check_total(file, summary, sum(cycles))
    return build(
        files,
        given,
        layers,
        rows,
        source="vendor",
        tool="vela",
        original_unit="cycles",
        clock_hz=hz,
        network_latency_ms=sum(cycles) / hz * 1e3 if summary and not on_cpu else None,
        note=_note(on_cpu, sum(n == 0.0 for n in cycles), summary),
        **(_header(summary) if summary else {}),
    )


def _summary(files: Files) -> Line | None:
    """The one line of the summary."""
    if not files.get("summary"):
        return None
    file = only(files, "summary", "summaries of Vela")
    problems: list[str] = []
    found = list(lines(file, _SUMMARY, problems))
    if len(found) != 1:
        refuse(file, problems)
        raise file.refusal(f"has {len(found)} lines under its header, not one: keep that of this network")
    for column in ("core_clock", "inference_time"):
        found[0].number(column)
    found[0].count("batch_size", least=1)
    refuse(file, problems)
    return found[0]


def _layer(line: Line, batch: int | None) -> ProfileLayer:
    operator, macs = line.text("nng operator"), line.count("mac count")
    names = [name for part in line.cells["name"].split(";", _MAX_MEMBERS) if (name := printable(part))]
    is_layer = bool(_WEIGHTED.search(operator)) and (macs > 0 or _on_cpu(line))
    return ProfileLayer(
        name=printable(line.cells["name"]) or operator,
        role="layer" if is_layer else "other",
        op=_op(operator),
        members=tuple(dict.fromkeys(names)) if is_layer and len(names) > 1 else (),
        macs=of_one(macs, batch),
    )


def _op(operator: str) -> str:
    word = operator.lower()
    if word.startswith(("conv2d", "depthwiseconv2d")) and "backprop" not in word:
        return "conv2d"
    return "linear" if word.startswith("fullyconnected") else "matmul" if "matmul" in word else operator


def _on_cpu(line: Line) -> bool:
    return line.cells.get("target", "").upper() == "CPU"


def _check_total(file: SourceFile, summary: Line | None, cycles: float) -> None:
    """The two files of one run agree to the cycle."""
    stated = summary.number("inference_time") * summary.number("core_clock") if summary else cycles
    if not abs(stated - cycles) <= 1.0 + 1e-6 * cycles:
        raise file.refusal(
            f"adds up to {cycles:.0f} cycles and the summary says {stated:.0f}: "
            "one of them is cut off or is of another run; give the two files of one run"
        )


def _header(summary: Line) -> dict[str, object]:
    return {
        "device": printable(summary.cells["accelerator_configuration"]) or None,
        "batch": summary.count("batch_size"),
        "name": printable(summary.cells.get("network", "")) or None,
    }


def _note(on_cpu: list[str], idle: int, summary: Line | None) -> str:
    parts = []
    if on_cpu:
        shown = ", ".join(name[:80] for name in on_cpu[:_SHOWN])
        parts.append(
            f"{len(on_cpu)} operators run on the CPU, where Vela estimates nothing ({shown}): the total is incomplete."
        )
    if idle:
        parts.append(f"{idle} operators of 0 cycles have no row.")
    stated = (
        {key: printable(summary.cells.get(key, ""))[:80] for key in ("system_config", "memory_mode")} if summary else {}
    )
    parts += [f"{key.replace('_', ' ').capitalize()}: {value}." for key, value in stated.items() if value]
    return " ".join(parts)


VELA = Importer(
    name="vela",
    title="Arm Vela",
    roles={"layers": "the per-layer CSV", "summary": "the summary CSV of the same run"},
    required=("layers",),
    recognise=_role,
    read=_read,
)
