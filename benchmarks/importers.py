"""What the importers make of real files: rows, layers with shapes, how much of ResNet-18 and of the time is matched.

Run: `python -m benchmarks.importers [--shared ../shared]`. Files of other networks than ResNet-18 have no match column:
their models are not here. What a file does not say (device, batch, precision, clock) is stated as a person would.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from costmodels.errors import ProfileError
from costmodels.importers import Given, SourceFile, import_profile, recognise
from costmodels.match import match
from pruning.layers import ModelSpec
from tests.costmodels.models import resnet18

STATED = Given(device="stated", batch=1, precision="float32")
CYCLES = Given(device="stated", batch=1, precision="int8", clock_hz=1e9)


@dataclass(frozen=True)
class Case:
    """Files of one upload, relative to the shared folder."""

    files: tuple[str, ...]
    given: Given = field(default_factory=lambda: STATED)
    resnet18: bool = False


TRT = "profiles/tensorrt/a100_pytorch_resnet"
SIM = "profiles/scale-sim"
VELA = "profiles/vela/pretrainedResnet_quant"
ZIG = "profiles/zigzag/resnet18_tpu_like"
LOOP = "profiles/timeloop"


def _trt(engine: str) -> tuple[str, ...]:
    return tuple(f"{TRT}_{engine}.{part}.json" for part in ("profile", "graph", "profile.metadata"))


CASES: tuple[Case, ...] = (
    *(Case(_trt(engine), resnet18=True) for engine in ("fp16", "fp32", "qat", "qat-residual")),
    Case(("profiles/tensorrt/test_mobilenet.qat.profile.json", "profiles/tensorrt/test_mobilenet.qat.graph.json")),
    Case(("profiles/onnxruntime/ort_resnet18_opt.json",), resnet18=True),
    Case(("profiles/onnxruntime/ort_resnet18_noopt.json",), resnet18=True),
    Case(("profiles/openvino/resnet18_exec_graph.xml",), resnet18=True),
    Case(
        (
            "profiles/openvino/resnet18_exec_graph.xml",
            "profiles/openvino/resnet18_benchmark_average_counters_report.csv",
            "profiles/openvino/resnet18_benchmark_report.csv",
        ),
        resnet18=True,
    ),
    Case(("profiles/pytorch/resnet18_chrome_trace.json",), resnet18=True),
    Case(("profiles/tflite/benchmark_model_mobilenetv1_stdout.txt",)),
    Case(("profiles/tflite/benchmark_model_xnnpack_delegate_stdout.txt",)),
    *(
        Case((f"{VELA}.{npu}_per-layer.csv", f"{VELA}.{npu}_summary.csv"), Given(batch=1, precision="int8"))
        for npu in ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
    ),
    Case((f"{SIM}/ws32_dense_calc__Resnet18_dense.COMPUTE_REPORT.csv", f"{SIM}/topology_Resnet18.csv"), CYCLES, True),
    Case(
        (
            f"{SIM}/ws32_dense_calc__Resnet18_dense.COMPUTE_REPORT.csv",
            f"{SIM}/topology_Resnet18.csv",
            f"{SIM}/ws32_sp_calc__Resnet18_2_4.COMPUTE_REPORT.csv",
            f"{SIM}/topology_Resnet18_2_4_sparse.csv",
            f"{SIM}/ws32_sp_calc__Resnet18_2_4.SPARSE_REPORT.csv",
        ),
        CYCLES,
        True,
    ),
    Case(
        (f"{LOOP}/eyeriss_like.timeloop-mapper.stats.txt",),
        Given(device="stated", batch=1, precision="int16", clock_hz=1e9, layer="one"),
    ),
    Case(
        (
            f"{ZIG}._conv1_Conv_complete.json",
            f"{ZIG}._layer2_layer2.0_downsample_downsample.0_Conv_complete.json",
            f"{ZIG}._fc_Gemm_complete.json",
        ),
        CYCLES,
        True,
    ),
    Case(("profiles/maestro/Resnet50_rs_pe256.csv",), CYCLES),
    Case(("profiles/maestro/MobileNetV2_kcp_ws_pe256.csv",), CYCLES),
    Case(("profiles/qai-hub/mobilenet_v2_perf.yaml",)),
    Case(("latency_tables/sparseml/resnet50_perf.json",)),
    Case(("latency_tables/hawq_resnet50_t4.json",), Given(device="stated", batch=8, precision="int8")),
    Case(("latency_tables/tfnas_cpu.json",)),
)
HEAD = (
    "| importer | files | rows | layers | with shapes | sum, ms | matched layers | of MACs | of time |\n"
    + "|---" * 9
    + "|"
)


def line(shared: Path, case: Case, model: ModelSpec) -> str:
    """One row of the table; a refusal says why."""
    files = [SourceFile(Path(name).name, (shared / name).read_bytes()) for name in case.files]
    names = " + ".join(file.name for file in files[:2]) + (f" + {len(files) - 2} more" if len(files) > 2 else "")
    try:
        tool = recognise(files)[0].name
        profile = import_profile(files, case.given)
    except ProfileError as error:
        return f"| – | {names} | refused: {str(error)[:160]} | | | | | | |"
    shaped = sum(layer.role == "layer" and layer.out_channels is not None for layer in profile.layers)
    total_ms = sum(row.latency_ms for row in profile.rows if row.pattern == "dense")
    found = f"| {tool} | {names} | {len(profile.rows)} | {len(profile.described)} | {shaped} | {total_ms:.4g} |"
    if not case.resnet18:
        return f"{found} – | – | – |"
    report = match(profile, model)
    matched = f"{len(report.matches)} of {len(model.layers)}"
    return f"{found} {matched} | {report.macs_share:.1%} | {report.time_share:.1%} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with profiles/")
    shared = parser.parse_args(arguments).shared
    sys.stdout.write(HEAD + "\n")
    for case in CASES:
        sys.stdout.write(line(shared, case, resnet18()) + "\n")


if __name__ == "__main__":
    main()
