"""One small import that succeeds for every importer, in the tools' own layouts: what the fuzz mutates.

An importer that is not here is not fuzzed, and a test says so. Values are our own; layouts are shortened.
"""

import json

from costmodels.profile import Profile, ProfileLayer, ProfileRow
from tests.costmodels.importers.excerpts import (
    AIHUB,
    OFA,
    OPTION_TABLE,
    SPARSEML,
    SPARSEML_LOSS,
    SPDY,
    TWO_SIDED,
    TWO_SIDED_CSV,
)

_OWN = Profile(
    name="bench",
    device="board",
    batch=1,
    precision="float32",
    source="measured",
    overhead_ms=0.5,
    layers=(ProfileLayer(name="conv1", op="conv2d", in_channels=3, out_channels=8, kernel=(3, 3), stride=(1, 1)),),
    rows=(
        ProfileRow(layer="conv1", latency_ms=1.5, latency_std_ms=0.1),
        ProfileRow(layer="conv1", pattern="unstructured@0.8", latency_ms=0.75),
        ProfileRow(layer="conv1", pattern="keep2of4", latency_ms=0.7),
        ProfileRow(layer="conv1", in_channels=3, out_channels=4, latency_ms=0.9),
    ),
)

_TENSORRT = [
    {"count": 10},
    {"name": "copy", "timeMs": 0.0, "averageMs": 0.0, "medianMs": 0.0, "percentage": 0.0},
    {"name": "conv1 + relu1", "timeMs": 1.0, "averageMs": 0.1, "medianMs": 0.1, "percentage": 60.0},
    {"name": "pool", "timeMs": 0.5, "averageMs": 0.05, "medianMs": 0.05, "percentage": 40.0},
]


def _tensor(name: str, *dims: int) -> dict[str, object]:
    return {"Name": name, "Location": "Device", "Dimensions": list(dims), "Format/Datatype": "Row major linear FP32"}


_TENSORRT_GRAPH = {
    "Layers": [
        {
            "Name": "conv1 + relu1",
            "LayerType": "CaskConvolution",
            "Inputs": [_tensor("x", 1, 3, 8, 8)],
            "Outputs": [_tensor("y", 1, 4, 8, 8)],
            "ParameterType": "Convolution",
            "Kernel": [3, 3],
            "PrePadding": [1, 1],
            "PostPadding": [1, 1],
            "Stride": [1, 1],
            "Dilation": [1, 1],
            "OutMaps": 4,
            "Groups": 1,
            "Weights": {"Type": "Float", "Count": 108},
            "TacticName": "a kernel",
        },
        {
            "Name": "pool",
            "LayerType": "CudaPooling",
            "Inputs": [_tensor("y", 1, 4, 8, 8)],
            "Outputs": [_tensor("z", 1, 4, 4, 4)],
            "ParameterType": "Pooling",
        },
    ],
    "Bindings": ["x", "z"],
}


def _node(name: str, op: str, ts: int, inputs: list[list[int]], outputs: list[list[int]]) -> dict[str, object]:
    args = {
        "op_name": op,
        "node_index": str(ts % 1000),
        "provider": "CPUExecutionProvider",
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": shape} for shape in outputs],
    }
    return {"cat": "Node", "pid": 1, "tid": 1, "dur": 40, "ts": ts, "ph": "X", "name": name, "args": args}


def _session(name: str, ts: int, dur: int) -> dict[str, object]:
    return {"cat": "Session", "pid": 1, "tid": 1, "dur": dur, "ts": ts, "ph": "X", "name": name, "args": {}}


_ONNXRUNTIME = [
    _session("session_initialization", 1, 90),
    *(
        event
        for start in (1000, 2000, 3000)
        for event in (
            _node("conv1_kernel_time", "Conv", start + 10, [[1, 3, 8, 8], [4, 3, 3, 3]], [[1, 4, 8, 8]]),
            _node("fc_kernel_time", "Gemm", start + 60, [[1, 4], [4, 2], [2]], [[1, 2]]),
            _session("model_run", start, 200),
        )
    ),
]

_OPENVINO = """layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)
x;Status.NOT_RUN;Parameter;unknown_f32;0.000;0.000
conv1;Status.EXECUTED;Convolution;brgconv_avx512_f32;0.220;0.220
pool1;Status.EXECUTED;Pooling;jit_avx512_f32;0.100;0.100
Total;;;;0.320;0.320
"""


def _port(at: int, *dims: int) -> str:
    return f'<port id="{at}" precision="FP32">' + "".join(f"<dim>{dim}</dim>" for dim in dims) + "</port>"


_DATA = (
    'originalLayersNames="{0}" outputLayouts="abcd" outputPrecisions="f32" primitiveType="jit" runtimePrecision="f32"'
)
_OPENVINO_GRAPH = f"""<?xml version="1.0"?>
<net name="graph" version="11"><layers>
<layer id="0" name="x" type="Input"><data execOrder="0" execTimeMcs="not_executed" {_DATA.format("x")} />
<output>{_port(0, 1, 3, 8, 8)}</output></layer>
<layer id="1" name="w" type="Const"><data execOrder="1" execTimeMcs="not_executed" {_DATA.format("w")} />
<output>{_port(0, 4, 3, 3, 3)}</output></layer>
<layer id="2" name="conv1" type="Convolution"><data execOrder="2" execTimeMcs="220" {_DATA.format("conv1,relu1")} />
<input>{_port(0, 1, 3, 8, 8)}{_port(1, 4, 3, 3, 3)}</input><output>{_port(2, 1, 4, 8, 8)}</output></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0" />
<edge from-layer="1" from-port="0" to-layer="2" to-port="1" /></edges></net>
"""


def _call(name: str, ts: float, dur: float, dims: list[list[int]], values: list[str]) -> dict[str, object]:
    args = {"External id": 1, "Input Dims": dims, "Concrete Inputs": values, "Input type": ["float"] * len(dims)}
    return {"ph": "X", "cat": "cpu_op", "name": name, "pid": 1, "tid": 1, "ts": ts, "dur": dur, "args": args}


_CONV_DIMS = [[1, 3, 8, 8], [4, 3, 3, 3], [], [], [], [], []]
_CONV_VALUES = ["", "", "", "[1, 1]", "[1, 1]", "[1, 1]", "1"]
_TORCH = {
    "schemaVersion": 1,
    "deviceProperties": [],
    "record_shapes": 1,
    "displayTimeUnit": "ms",
    "traceEvents": [
        event
        for run in range(3)
        for event in (
            _call("aten::conv2d", 1000.0 * run, 90.0, _CONV_DIMS, _CONV_VALUES),
            _call("aten::linear", 1000.0 * run + 100, 20.0, [[1, 4], [2, 4], [2]], ["", "", ""]),
        )
    ],
}

_TFLITE = """============================== Run Order ==============================
	[node type]	[first]	[avg ms]	[%]	[cdf%]	[mem KB]	[times called]	[Name]
	CONV_2D	4.269	4.269	60.0%	60.0%	0.000	1	[net/conv1/Relu6]:0
	DEPTHWISE_CONV_2D	2.150	2.150	40.0%	100.0%	0.000	1	[net/conv2/Relu6]:1

Timings (microseconds): count=50 first=6500 curr=6400 min=6300 max=6600 avg=6450 std=33
"""

_VELA = """Original Operator,NNG Operator,Target,Staging Usage,Peak% (Staging),Op Cycles,Network% (cycles),NPU,SRAM AC,\
DRAM AC,OnFlash AC,OffFlash AC,MAC Count,Network% (MAC),Util% (MAC),Name
Conv2D,Conv2D,NPU,17216,30.2,11718,60.0,8788,832,11718,0,0,442368,3.5,14.7,net/conv1
Conv2D,Relu,NPU,0,0.0,0,0.0,0,0,0,0,0,0,0.0,100,net/relu1
FullyConnected,FullyConnected,NPU,64,1.0,7000,40.0,640,100,7000,0,0,640,0.1,0.1,net/fc
"""

_SCALESIM = """LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, \
Mapping Efficiency %, Compute Util %,
0, 137228, 121939, 0, 91.1, 91.8, 90.9,
1, 124008, 108359, 0, 96.8, 100.0, 95.8,
"""
_TOPOLOGY = """Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
Conv1,224,224,7,7,3,64,2,
Conv2,56,56,3,3,64,64,1,
"""

_TIMELOOP = """Buffer and Arithmetic Levels
----------------------------
Level 0
-------
=== mac ===

    SPECS
    -----
    Word bits             : 16
    Instances             : 168 (14*12)
    Compute energy        : 0.21 pJ

    STATS
    -----
    Utilized instances      : 126
    Computes (total)        : 10838016
    Cycles                  : 86016
    Energy (total)          : 2250969.22 pJ

Summary Stats
-------------
GFLOPs (@1GHz): 247.33
Utilization: 75.00%
Cycles: 86016
Energy: 59.28 uJ
EDP(J*cycle): 5.10e+00
Area: 0.00 mm^2

Computes = 10838016
fJ/Compute
    mac                                           = 207.69
    Total                                         = 5469.65
"""

_MAESTRO = """Neural Network Name, Layer Number, NumPEs, Runtime (Cycles), Activity count-based Energy (nJ), \
Num Total Input Pixels, Num Total Weight Pixels, Num MACs
net,CONV1,256,4792525,2.9e+05,150528,9408,110750976
net,CONV2,256,1792525,1.9e+05,50176,576,10750976
"""

_ZIGZAG = {
    "outputs": {
        "energy": {"energy_total": 1200.5, "operational_energy": 200.5, "memory_energy": 1000.0},
        "latency": {"data_onloading": 18.0, "computation": 1229.0, "data_offloading": 35.0},
    },
    "inputs": {
        "accelerator": {"id": 0, "name": "an array"},
        "layer": {
            "name": "/conv1/Conv",
            "type": "Conv",
            "equation": "O[b][g][k][oy][ox] = W[g][k][c][fy][fx] * I[b][g][c][iy][ix]",
            "equation_relations": ["IX = 2*OX + 1*FX", "IY = 2*OY + 1*FY"],
            "loop_dimensions": {"B": 1, "K": 64, "G": 1, "OX": 8, "OY": 8, "C": 3, "FX": 7, "FY": 7},
            "operand_precision": {"W": 8, "I": 8, "O_final": 8, "O": 16},
        },
    },
}

SEEDS: dict[str, tuple[object, ...]] = {
    "espalier": (json.dumps(_OWN.to_json()),),
    "espalier as CSV": (_OWN.to_csv(),),
    "aihub": (AIHUB,),
    "maestro": (_MAESTRO,),
    "ofa": (OFA,),
    "onnxruntime": (_ONNXRUNTIME,),
    "openvino": (_OPENVINO, _OPENVINO_GRAPH),
    "option_tables": (OPTION_TABLE,),
    "scalesim": (_SCALESIM, _TOPOLOGY),
    "sparseml": (SPARSEML, SPARSEML_LOSS),
    "spdy": (SPDY,),
    "tensorrt": (_TENSORRT, _TENSORRT_GRAPH),
    "tflite": (_TFLITE,),
    "timeloop": (_TIMELOOP,),
    "torch_profiler": (_TORCH,),
    "two_sided": ({key.replace("32_", "1_", 1): ms for key, ms in TWO_SIDED.items()},),
    "two_sided as CSV": (TWO_SIDED_CSV.replace(",32,", ",1,"),),
    "vela": (_VELA,),
    "zigzag": (_ZIGZAG,),
}
