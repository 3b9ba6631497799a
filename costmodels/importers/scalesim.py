"""SCALE-Sim, versions 2 and 3: COMPUTE_REPORT.csv with its topology; for N:M weights SPARSE_REPORT.csv too.

Reports hold only a running number of the layer, so the topology says what was run. The two belong together if
utilisation x cycles / multiply-adds is the same in every layer, one over the size of the array, which is checked.
`Total Cycles` are read, stalls included and the first prefetch left out; the clock is the person's.

A sparse run has rows of its pattern, which need the dense run of the same array: both are given at once. A sparse
report knows its compute report, since `Filter Metadata Storage` over its bandwidth is that run's cycles, and its
topology, since what is left of the filters is N of M (N kept) rounded up to groups. The tool counts storage in words
of 32 bits. Its groups run along the whole flattened filter.

The tool knows neither padding nor batches nor grouped convolutions; a depthwise layer is written as one filter.
"""

from dataclasses import dataclass, replace
from math import ceil

from costmodels.importers.base import Files, Given, Importer, build
from costmodels.importers.cells import refuse
from costmodels.importers.files import SourceFile
from costmodels.importers.scalesim_topology import (
    Topology,
    TopologyLayer,
    is_configuration,
    read_array,
    read_topology,
    topology_kind,
)
from costmodels.importers.tables import clock_hz, columns, lines
from costmodels.profile import Profile, ProfileRow

_COMPUTE = ("layerid", "total cycles", "stall cycles", "overall util %")
_STORAGE = ("original filter storage", "new storage (filter+metadata)", "filter metadata storage")
_SPARSE = ("layerid", *_STORAGE, "avg filter metadata sram bw")
_UNREAD = ("avg ifmap sram bw", "sram ifmap start cycle")
_WORD_BYTES = 4
_NOTE = "Times hold for feature maps without padding; the first prefetch is not in them."


@dataclass(frozen=True)
class _Compute:
    """Cycles and utilisation (a share of the array, dense multiply-adds even in a sparse run) of every layer."""

    file: SourceFile
    cycles: tuple[int, ...]
    utilisation: tuple[float, ...]

    def belongs_to(self, layers: tuple[TopologyLayer, ...]) -> bool:
        """Whether one array carries out these layers in these cycles."""
        if len(layers) != len(self.cycles):
            return False
        work = [share * cycles for share, cycles in zip(self.utilisation, self.cycles, strict=True)]
        elements = [layer.macs / done for layer, done in zip(layers, work, strict=True) if done > 0.0]
        return len(elements) == len(work) and max(elements) <= 1.001 * min(elements)


@dataclass(frozen=True)
class _Sparse:
    """Words of every layer's filters: dense, and what is left with its metadata; and the cycles of its run."""

    file: SourceFile
    original: tuple[float, ...]
    stored: tuple[float, ...]
    metadata: tuple[float, ...]
    cycles: tuple[float, ...]

    def is_of(self, run: _Compute) -> bool:
        """Whether that run's cycles are this report's; a layer without metadata tells none."""
        if len(self.cycles) != len(run.cycles) or not any(self.cycles):
            return False
        pairs = zip(self.cycles, run.cycles, strict=True)
        return all(mine == 0.0 or abs(mine - cycles) <= 1e-6 * cycles for mine, cycles in pairs)

    def kept(self) -> list[float]:
        """Words of weights that are left."""
        return [stored - metadata for stored, metadata in zip(self.stored, self.metadata, strict=True)]


def _role(file: SourceFile) -> str | None:
    found = columns(file)
    if found.issuperset(("layerid", "total cycles", "stall cycles")):
        return "compute"
    if found.issuperset(_SPARSE[:3]):
        return "sparse"
    if "layerid" in found and found.intersection(_UNREAD):
        return "unread"
    if is_configuration(file):
        return "config"
    return "topology" if topology_kind(file) else None


def _read(files: Files, given: Given) -> Profile:
    computes = [_compute(file) for file in files["compute"]]
    sparse = [_sparse(file) for file in files.get("sparse", ())]
    topologies = [read_topology(file) for file in files["topology"]]
    dense_run, sparse_runs = _runs(computes, sparse)
    dense = _dense_topology(dense_run, topologies)
    hz = clock_hz(dense_run.file, given)
    batch = 1 if dense.kind == "conv" else given.batch  # the rows of a matrix may hold a batch; a feature map does not
    names = [layer.described.name for layer in dense.layers]
    rows = [
        ProfileRow(layer=name, latency_ms=cycles / hz * 1e3, weight_bytes=_dense_bytes(sparse, index))
        for index, (name, cycles) in enumerate(zip(names, dense_run.cycles, strict=True))
    ]
    for report, run in sparse_runs:
        rows += _sparse_rows(report, run, _sparse_topology(report, dense, topologies), names, hz)
    return build(
        files,
        given,
        [replace(layer.described, **layer.of_one_sample(batch)) for layer in dense.layers],
        rows,
        source="simulated",
        tool="scale-sim",
        device=_device(files, dense_run),
        batch=1 if dense.kind == "conv" else None,
        original_unit="cycles",
        clock_hz=hz,
        note=_NOTE if dense.kind == "conv" else "",
    )


def _compute(file: SourceFile) -> _Compute:
    problems: list[str] = []
    table = list(lines(file, _COMPUTE, problems))
    ids = [line.count("layerid") for line in table]
    cycles = tuple(line.count("total cycles", least=1) for line in table)
    utilisation = tuple(line.number("overall util %") for line in table)
    if ids != list(range(len(ids))) or not ids:
        problems.append("LayerID does not count 0, 1, 2, ...: lines are missing or doubled, export it again")
    refuse(file, problems)
    return _Compute(file, cycles, utilisation)


def _sparse(file: SourceFile) -> _Sparse:
    problems: list[str] = []
    table = list(lines(file, _SPARSE, problems))
    original, stored, metadata = (tuple(line.number(column) for line in table) for column in _STORAGE)
    bandwidth = [line.number("avg filter metadata sram bw") for line in table]
    refuse(file, problems)
    cycles = tuple(words / rate if rate > 0.0 else 0.0 for words, rate in zip(metadata, bandwidth, strict=True))
    return _Sparse(file, original, stored, metadata, cycles)


def _runs(computes: list[_Compute], sparse: list[_Sparse]) -> tuple[_Compute, list[tuple[_Sparse, _Compute]]]:
    """The one compute report that is no sparse report's, and the others with theirs."""
    pairs = []
    for report in sparse:
        own = [run for run in computes if report.is_of(run)]
        if len(own) != 1:
            raise report.file.refusal(f"is of {len(own)} of the compute reports given: give that of the same run, once")
        pairs.append((report, own[0]))
    dense = [run for run in computes if not any(run is own for _, own in pairs)]
    if not dense:
        raise computes[0].file.refusal(
            "is a sparse run alone, which does not say what sparsity gains: "
            "give COMPUTE_REPORT.csv and topology of the dense run on the same array with it"
        )
    if len(dense) > 1:
        raise dense[1].file.refusal(
            "is a second run without a SPARSE_REPORT.csv: give that report if it is sparse; two arrays are two profiles"
        )
    return dense[0], pairs


def _dense_topology(run: _Compute, topologies: list[Topology]) -> Topology:
    dense = [topology for topology in topologies if not any(layer.pattern for layer in topology.layers)]
    if not dense:
        raise run.file.refusal(
            "has only topologies with sparsity beside it: give SPARSE_REPORT.csv of the sparse run, "
            "and COMPUTE_REPORT.csv and topology of the dense run on the same array"
        )
    if len(dense) > 1:
        raise dense[1].file.refusal("is a second dense topology: give that of the report alone")
    if not run.belongs_to(dense[0].layers):
        raise run.file.refusal(
            f"({len(run.cycles)} layers) is not of the topology {dense[0].file.name[:80]!r} ({len(dense[0].layers)} "
            "layers): utilisation times cycles does not follow its multiply-adds; give the topology that was run"
        )
    return dense[0]


def _sparse_topology(report: _Sparse, dense: Topology, topologies: list[Topology]) -> Topology:
    """The one with the dense one's layers whose patterns leave as many weights as the report says."""
    for topology in topologies:
        same = [layer.sizes for layer in topology.layers] == [layer.sizes for layer in dense.layers]
        if topology is not dense and same and _left_over(topology, report):
            return topology
    raise report.file.refusal(
        "fits no topology that has a Sparsity column and the dense one's layers: give the topology of that run"
    )


def _sparse_rows(report: _Sparse, run: _Compute, topology: Topology, names: list[str], hz: float) -> list[ProfileRow]:
    return [
        ProfileRow(
            layer=name,
            pattern=str(layer.pattern),
            latency_ms=cycles / hz * 1e3,
            weight_bytes=words * _WORD_BYTES,
        )
        for name, layer, cycles, words in zip(names, topology.layers, run.cycles, report.stored, strict=True)
        if layer.pattern
    ]


def _left_over(topology: Topology, report: _Sparse) -> bool:
    """Whether N of every M weights along each flattened filter, a started group counted whole, are what is left."""
    if len(topology.layers) != len(report.original):
        return False
    for layer, words in zip(topology.layers, report.kept(), strict=True):
        keep, group = (layer.pattern.keep, layer.pattern.group) if layer.pattern else (1, 1)
        if not abs(words - ceil(layer.filter_length / group) * keep * layer.filters) <= 0.5 + group * layer.filters:
            return False
    return True


def _device(files: Files, run: _Compute) -> str | None:
    """As the configurations say, which must be those of one array."""
    arrays = list(dict.fromkeys(map(read_array, files.get("config", ()))))
    if len(arrays) > 1:
        raise run.file.refusal(f"has configurations of {len(arrays)} arrays beside it: two arrays are two profiles")
    return arrays[0] if arrays else None


def _dense_bytes(sparse: list[_Sparse], index: int) -> float | None:
    return sparse[0].original[index] * _WORD_BYTES if sparse else None


SCALESIM = Importer(
    name="scalesim",
    title="SCALE-Sim",
    roles={
        "compute": "COMPUTE_REPORT.csv",
        "topology": "the topology CSV that was run",
        "sparse": "SPARSE_REPORT.csv of a run with N:M weights",
        "config": "the configuration, which names the array",
        "unread": "a bandwidth or access report, which tells nothing of latency",
    },
    required=("compute", "topology"),
    recognise=_role,
    read=_read,
)
