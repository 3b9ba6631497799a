"""PyTorch's profiler: the Chrome trace of `prof.export_chrome_trace`, recorded with `record_shapes=True`.

Eager mode writes no module names: a convolution or linear is told by its operator, the shapes of its inputs and its
place in the order. What passes between the operators (Python, launches) is in none of them.
"""

from costmodels.importers.base import Files, Given, Importer, Timed, build, printable, tabulated
from costmodels.importers.cells import only
from costmodels.importers.files import SourceFile
from costmodels.importers.torch_ops import MULTIPLYING, Event, batch_of, described, precision_of
from costmodels.importers.torch_trace import runs_of
from costmodels.profile import Profile, ProfileLayer

WARM_UP_RUNS = 1


def _role(file: SourceFile) -> str | None:
    if not ('"traceEvents"' in file.text and '"schemaVersion"' in file.text):
        return None
    document = file.json_or_none
    return "trace" if isinstance(document, dict) and isinstance(document.get("traceEvents"), list) else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "trace", "traces of PyTorch's profiler")
    runs = runs_of(file)
    warm_up = min(WARM_UP_RUNS, len(runs) - 1)
    weighted = [call.event for call in runs[0] if call.multiplies]
    batch = given.batch or batch_of(weighted)
    layers, rows = tabulated(
        Timed.over_runs(_layer(same[0].event, batch), [call.latency_ms for call in same[warm_up:]])
        for same in zip(*runs, strict=True)
    )
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        runtime="PyTorch",
        tool="torch.profiler",
        device=_device(file),
        batch=batch,
        precision=precision_of(weighted),
        statistic="median",
        runs=len(runs) - warm_up,
        warm_up_runs=warm_up,
        original_unit="us",
        note="times under the profiler; what passes between the operators is not in them",
    )


def _layer(event: Event, batch: int | None) -> ProfileLayer:
    name = printable(event["name"]) or "operator"
    known = ProfileLayer(name=name, role="layer" if event["name"] in MULTIPLYING else "other", op=name)
    return described(name, event, batch) or known


def _device(file: SourceFile) -> str | None:
    """The one GPU of the trace; a CPU is not named."""
    devices = file.json.get("deviceProperties")
    named = [one for one in devices if isinstance(one, dict)] if isinstance(devices, list) else []
    names = {str(one.get("name", "")) for one in named}
    return printable(names.pop()) or None if len(names) == 1 else None


TORCH_PROFILER = Importer(
    name="torch_profiler",
    title="PyTorch profiler",
    roles={"trace": "the Chrome trace of export_chrome_trace, recorded with record_shapes=True"},
    required=("trace",),
    recognise=_role,
    read=_read,
)
