"""Small files in the layouts of simulators and on-device profilers, with numbers of our own."""

from collections.abc import Sequence
from math import ceil

from costmodels.importers import Given

CLOCKED = Given(device="board", batch=1, precision="int8", clock_hz=1e9)

TFLITE = """INFO: Num threads: [2]
INFO: Graph: [tiny.tflite]
INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
INFO: Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t     ModifyGraphWithDelegate\t    9.000\t    9.000\t 90.000%\t 90.000%\t     0.000\t        1\tModifyGraph:0

INFO: Inference timings in us: Init: 9000, First inference: 3000, Warmup (avg): 2600, Inference (avg): 2550.5
INFO: Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    1.300\t    1.250\t  0.500%\t  0.500%\t     0.000\t        1\t[net/relu1;net/conv1]:0
\tConvolution (NHWC, QU8) GEMM\t    0.300\t    0.250\t  7.000%\t 50.000%\t     0.000\t        2\tDelegate/Convolution:1
\t         FULLY_CONNECTED\t    0.600\t    0.500\t  0.200%\t 90.000%\t     0.000\t        0\t[net/fc]:2
\t                 RESHAPE\t    0.000\t    0.000\t  -nan%\t100.000%\t     0.000\t        1\t[net/shape]:3
\t Convert (NC, F32, QU8)\t    0.100\t    0.200\t  1.000%\t100.000%\t     0.000\t        1\tDelegate/Convert:4

============================== Top by Computation Time ==============================
\t             [node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]
\t                 CONV_2D\t    1.300\t    1.250\t  0.500%\t  0.500%\t     0.000\t        1\t[net/relu1;net/conv1]:0

Number of nodes executed: 5
============================== Summary by node type ==============================
\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %]\t    [cdf %]\t  [mem KB]\t[times called]
\t                 CONV_2D\t        1\t     1.250\t    50.000%\t    50.000%\t     0.000\t        1

Timings (microseconds): count=20 first=2600 curr=2440 min=2300 max=2800 avg=2450 std=70
Memory (bytes): count=0
5 nodes observed
"""

TFLITE_CSV = """Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 0, 1.3, 1.25, 50%, 50%, 0, 1, [net/relu1;net/conv1]:0
Convolution (NHWC, QU8) GEMM, 1.25, 0.3, 5e-01, 20%, 70%, 0, 1, Delegate/Convolution (NHWC\t QU8):1
TfLiteXNNPackDelegate, 1.75, 0.7, 0.7, 30%, 100%, 0, 1, [net/fc\tnet/out]:2

Timings (microseconds): count=20 first=2600 curr=2440 min=2300 max=2800 avg=2450 std=70
3 nodes observed

Delegate internal:
============================== Run Order ==============================
node type, start, first, avg_ms, %, cdf%, mem KB, times called, name
Fully Connected (NC, QU8) GEMM, 0, 0.6, 0.6, 90%, 90%, 0, 1, Delegate/Fully Connected (NC\t QU8) GEMM:0

1 nodes observed
"""

VELA = """\
Original Operator,NNG Operator,Target,Staging Usage,Peak% (Staging),Op Cycles,Network% (cycles),NPU,SRAM AC,DRAM AC,\
OnFlash AC,OffFlash AC,MAC Count,Network% (MAC),Util% (MAC),Name
Conv2D,Conv2D,NPU,17216,30.1,11000,55.0,8788,832,11000,0,0,442368,3.5,14.7,net/relu1;net/bn1;net/conv1/Conv2D
Conv2D,Relu,NPU,0,0.0,0,0.0,0,0,0,0,0,0,0.0,100,net/relu1;net/bn1;net/conv1/Conv2D
AvgPool,AvgPool,NPU,4160,7.2,1500,7.5,1500,200,0,0,0,4096,0.03,1.08,net/pool
FullyConnected,FullyConnected,NPU,976,1.7,7500,37.5,150,35,7500,0,0,640,0.005,0.6,net/fc/MatMul
"""
VELA_OLD = """\
TFLite_operator,NNG Operator,SRAM Usage,Peak%,Op Cycles,Network%,NPU,SRAM AC,DRAM AC,OnFlash AC,OffFlash AC,MAC Count,\
Network%,Util%,Name
CONV_2D,Conv2DBias,17216,30.1,11000.0,59.5,8788.0,832.0,11000.0,0.0,0.0,442368,3.5,14.7,net/conv1
FULLY_CONNECTED,FullyConnected,976,1.7,7500.0,40.5,150.0,35.0,7500.0,0.0,0.0,640,0.005,0.6,net/fc
"""
VELA_SUMMARY = """\
experiment,network,accelerator_configuration,system_config,memory_mode,core_clock,batch_size,inference_time,nn_macs
default,tiny,Ethos_U55_128,High_End,Shared_Sram,500000000.0,1,4e-05,447104
"""

MAESTRO = """\
Neural Network Name, Layer Number, NumPEs, Runtime (Cycles), Activity count-based Energy (nJ), Num Total Weight Pixels,\
 Num MACs,Compute Delay (Min), Compute Delay (Min), Compute Delay (Avg)
Tiny,CONV1,256,4000,2.5e+06,9408,110592,1, 2, 2
Tiny,CONV2,256,1000,5e+05,4096,65536,1, 2, 2
Tiny,CONV2,256,1200,6e+05,4096,65536,1, 2, 2
Tiny,CONV2_Residual,256,100,1e+05,16,1024,1, 2, 2
"""

CONV_TOPOLOGY = """\
Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,
conv1, 16, 16, 3, 3, 3, 8, 2,
dw2, 8, 8, 3, 3, 8, 1, 1,
pw3, 6, 6, 1, 1, 8, 16, 1,
fc, 1, 1, 1, 1, 16, 10, 1,
"""
CONV_MACS = (8 * 8 * 27 * 8, 6 * 6 * 72, 6 * 6 * 8 * 16, 160)  # conv1: ceil((16 - 3 + 2) / 2) outputs a side
CONV_FILTERS = ((27, 8), (72, 1), (8, 16), (16, 10))  # length, number
CONV_CYCLES = (900, 300, 400, 50)
SPARSE_TOPOLOGY = "\n".join(
    line + (" Sparsity," if index == 0 else " 1:4," if index != 2 else " 4:4,") if line else ""
    for index, line in enumerate(CONV_TOPOLOGY.split("\n"))
)
SPARSE_CYCLES = (300, 300, 120, 20)
GEMM_TOPOLOGY = "Layer,M,N,K,\nqkv,196,192,64,\nout,196,64,64,\n\n"


def compute_report(cycles: Sequence[int], macs: Sequence[int], version: int = 3) -> str:
    """COMPUTE_REPORT.csv of an array of 8 x 8."""
    prefetch = " Total Cycles (incl. prefetch)," if version == 3 else ""
    head = f"LayerID,{prefetch} Total Cycles, Stall Cycles, Overall Util %, Mapping Efficiency %, Compute Util %,\n"
    return head + "".join(
        f"{index}, {f'{n + 100}, ' if version == 3 else ''}{n}, 0, {100 * work / n / 64!r}, 90.0, 80.0,\n"
        for index, (n, work) in enumerate(zip(cycles, macs, strict=True))
    )


def sparse_report(
    cycles: Sequence[int], filters: Sequence[tuple[int, int]], patterns: Sequence[tuple[int, int]]
) -> str:
    """SPARSE_REPORT.csv: words of 32 bits, two bits of metadata for each weight that is left."""
    text = (
        "LayerID, Sparsity Representation, Original Filter Storage, New Storage (Filter+Metadata), "
        "Filter Metadata Storage, Avg FILTER Metadata SRAM BW, \n"
    )
    for index, (n, (length, number), (keep, group)) in enumerate(zip(cycles, filters, patterns, strict=True)):
        kept = ceil(length / group) * keep * number
        metadata = kept / 16
        text += f"{index}, ellpack_block, {length * number}, {kept + metadata}, {metadata}, {metadata / n!r},\n"
    return text


def zigzag(name: str, kind: str, cycles: tuple[float, float, float], loops: dict[str, int]) -> dict[str, object]:
    """A complete.json, shortened to what says something of the layer."""
    relations = ["IX = 2*OX + 1*FX", "IY = 1*OY + 1*FY"] if kind == "Conv" else []
    latency = dict(zip(("data_onloading", "computation", "data_offloading"), cycles, strict=True))
    return {
        "outputs": {"energy": {"energy_total": 2e6, "operational_energy": 5.0}, "latency": latency},
        "inputs": {
            "accelerator": {"name": "tpu_like"},
            "layer": {
                "name": name,
                "type": kind,
                "equation_relations": relations,
                "loop_dimensions": loops,
                "operand_precision": {"W": 8, "I": 8, "O_final": 8, "O": 16},
            },
        },
    }


def timeloop(cycles: int, *, computes: int, share: float = 1.0, weights: int = 288, outputs: int = 1568) -> str:
    """A stats.txt, shortened; `share` of the computes are carried out."""
    levels = "".join(
        f"=== {level} ===\n    STATS\n    -----\n    Cycles               : {cycles}\n"
        + "".join(
            f"    {operand}:\n        Partition size                           : {words}\n"
            for operand, words in (("Weights", weights // cut), ("Inputs", 600), ("Outputs", outputs // cut))
        )
        for level, cut in (("spad", 16), ("DRAM", 1))
    )
    summary = f"Algorithmic Computes = {computes}\nfJ/Algorithmic-Compute\n    mac    = 3.1\n\nActual Computes = "
    return (
        f"Buffer and Arithmetic Levels\n----------------------------\nLevel 0\n-------\n{levels}\n"
        f"Summary Stats\n-------------\nGFLOPs (@1GHz): 1.5\nUtilization: 51.07%\nCycles: {cycles}\nEnergy: 12.50 uJ\n"
        f"EDP(J*cycle): 3.69e+03\n\n{summary}{computes * share:.0f}\nfJ/Compute\n    mac    = 3.1\n"
    )


def timeloop_problem(weights: float = 1.0, inputs: float = 1.0, **sizes: int) -> str:
    """A problem of 2 samples, 4 to 8 channels, 3 x 3, stride 2, 14 x 7 outputs."""
    sizes = {"N": 2, "C": 4, "M": 8, "R": 3, "S": 3, "P": 7, "Q": 14, "Hstride": 1} | sizes
    instance = "".join(f"    {key}: {value}\n" for key, value in sizes.items())
    densities = f"Inputs: {{distribution: hypergeometric, density: {inputs}}}\n      Weights: {weights}\n"
    return (
        f"problem:\n  version: 0.4\n  instance:\n{instance}    densities:\n      {densities}"
        "  shape:\n    coefficients:\n    - {name: Wstride, default: 2}\n    - {name: Hstride, default: 2}\n"
    )
