"""Small files in the layouts of the tools, with numbers of our own: what the tests and the fuzz start from."""

import json
from pathlib import Path

import pytest

from costmodels.errors import ProfileError
from costmodels.importers import Given, SourceFile, import_profile

SHARED = Path(__file__).parents[3] / ".." / "shared"
STATED = Given(device="board", batch=1, precision="float32")

SPDY = """base
0.0200
prunable
0.0180
conv1
0.0100 0.0000
0.0140 0.4000
0.0110 0.5000
0.0040 0.9000
layer1.0.conv1
0.0060 0.0000
0.0090 0.4000
0.0066 0.5000
0.0030 0.9000
fc
0.0020 0.0000
0.0025 0.4000
0.0021 0.5000
0.0008 0.9000
"""


def sensitivity(name: str, output: str | None, times: dict[float, list[float]]) -> dict[str, object]:
    """One entry of a SparseML file; the first share of zeros is the baseline."""
    return {
        "id": output,
        "name": name,
        "index": 0,
        "baseline_measurement_index": 0,
        "has_baseline": True,
        "baseline_measurement_key": next(iter(times)),
        "sparse_measurements": [[share, runs] for share, runs in times.items()],
    }


_SHUFFLE = sensitivity("shuffle_3", None, {0.8: [1e-6]}) | {"has_baseline": False, "baseline_measurement_index": -1}
SPARSEML = {
    "num_cores": 4,
    "batch_size": 2,
    "results_model": sensitivity("model", "__model__", {0.0: [6e-4, 8e-4], 0.8: [4e-4, 4e-4]}),
    "results": [
        sensitivity("conv_pool_0", "10", {0.0: [3e-4], 0.8: [1e-4]}),
        sensitivity("conv_pool_0", "12", {0.0: [3e-4], 0.8: [1e-4]}),
        sensitivity("convolution_1", "14", {0.0: [2e-4], 0.8: [1.5e-4]}),
        sensitivity("gevm_2", "output_0", {0.008: [1e-4], 0.8: [0.5e-4]}),
        sensitivity("softmax_4", "output_1", {0.0: [1e-5], 0.8: [1.1e-5]}),
        _SHUFFLE,
    ],
}
SPARSEML_LOSS = {
    "results": [
        sensitivity("input.conv.weight", "10", {0.0: [0.0], 0.8: [0.02]}),
        sensitivity("classifier.fc.weight", "output_0", {0.0: [0.0], 0.8: [0.01]}),
    ]
}

OFA = """AvgPool2D-input:5x5x64-output:1x1x64:
  count: 49
  mean: 0.0085
  std: 0.0007
Conv-input:160x160x3-output:80x80x24:
  count: 48
  mean: 0.5
  var: 0.0004
Logits-input:1x1x64-output:10:
  count: 50
  mean: 0.65
expanded_conv-input:20x20x48-output:10x10x96-expand:144-kernel:5-stride:2-idskip:0-se:1-hs:0:
  count: 100
  mean: 0.87
  std: 0.0133
"""

AIHUB = {
    "execution_summary": {"estimated_inference_time": 900, "all_inference_times": [900, 1000, 1300]},
    "execution_detail": [
        {"name": "conv1", "type": "CONV_2D", "compute_unit": "NPU", "execution_time": 400, "execution_cycles": 4000},
        {"name": "relu1", "type": "RELU", "compute_unit": "NPU", "execution_time": 0, "execution_cycles": 0},
        {"name": "quant", "type": "Convert", "compute_unit": "NPU", "execution_time": 40, "execution_cycles": 400},
        {"name": "fc", "type": "FullyConnected", "compute_unit": "CPU", "execution_time": 300, "execution_cycles": 3},
    ],
}
AIHUB_NETWORKS = """precisions:
  float:
    components:
      net:
        performance_metrics:
          some phone:
            tflite:
              inference_time_milliseconds: 1.13
              layer_counts:
                total: 71
"""

TWO_SIDED = {"32_8_16_14_3_1_1": 0.8, "32_4_16_14_3_1_1": 0.5, "32_8_8_14_3_1_1": 0.6, "32_4_8_14_3_1_1": 0.4}
TWO_SIDED_CSV = "cin,cout,fmap,kernel,stride,groups,batch,latency_us\n8,16,14,3,1,1,32,800\n8,8,14,3,1,1,32,600\n"

OPTION_TABLE = {
    "source": "somebody's repository",
    "licence": "MIT",
    "device": "some CPU, batch 4",
    "unit": "s",
    "kind": "unstructured",
    "model_total_by_uniform_sparsity": {"0.0": 0.004, "0.8": 0.002},
    "layers": [
        {"name": "conv1", "options": [{"sparsity": 0.0, "latency": 0.002}, {"sparsity": 0.8, "latency": 0.001}]},
        {"name": "fc", "dense_latency": 0.001, "options": [{"sparsity": 0.8, "latency": 0.0015, "loss_approx": 0.1}]},
    ],
}


def source(content: object, name: str = "upload") -> SourceFile:
    """An upload of bytes or text as they are, or of anything else as JSON."""
    text = content if isinstance(content, str) else None
    data = content if isinstance(content, bytes) else (json.dumps(content) if text is None else text).encode()
    return SourceFile(name, data)


def shared_file(*parts: str) -> SourceFile:
    """A real file kept beside the checkout; the test is skipped where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{parts[-1]} is not beside this checkout")
    return SourceFile(path.name, path.read_bytes())


def problems_of(*contents: object, given: Given = STATED, tool: str | None = None) -> str:
    """What is said of files that are refused: the message and all problems."""
    with pytest.raises(ProfileError) as caught:
        import_profile([source(content) for content in contents], given, tool)
    return "; ".join([str(caught.value), *caught.value.problems])
