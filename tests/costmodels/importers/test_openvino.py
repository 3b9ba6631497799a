"""OpenVINO: counters in all their forms, the graph that says what was fused, the report; cut-off files are noticed."""

import pytest

from costmodels.importers import Given, import_profile
from costmodels.match import match
from costmodels.profile import Profile
from tests.costmodels.importers.excerpts import STATED, problems_of, shared_file, source
from tests.costmodels.models import resnet18

COUNTERS = """layerName;execStatus;layerType;execType;realTime (ms);cpuTime (ms)
x;Status.NOT_RUN;Parameter;unknown_f32;0.000;0.000
conv;Status.EXECUTED;Convolution;brgconv_avx512_f32;2.000;2.000
relu;Status.NOT_RUN;Relu;undef;0.000;0.000
pool;Status.EXECUTED;MaxPool;jit_avx512_f32;0.250;0.250
fc;Status.EXECUTED;FullyConnected;gemm_mlas_f32;0.125;0.125
Total;;;;2.375;2.375

"""
REPORT = """Command line parameters
-d;CPU

Configuration setup
batch size;2

Execution results
latency (ms);2.10
avg latency;2.20
throughput;450.00
"""


def port(number: int, *dims: int) -> str:
    return f'<port id="{number}">' + "".join(f"<dim>{dim}</dim>" for dim in dims) + "</port>"


def layer(kind: str, order: int, name: str, data: str, ports: tuple[list[str], list[str]] = ([], [])) -> str:
    inputs, outputs = ("".join(side) for side in ports)
    return (
        f'<layer id="{order}" name="{name}" type="{kind}"><data execOrder="{order}" {data} runtimePrecision="f32" />'
        f"<input>{inputs}</input><output>{outputs}</output></layer>"
    )


GRAPH = "".join(
    [
        '<?xml version="1.0"?>\n<net name="graph" version="11"><layers>',
        layer("Const", 1, "w", 'execTimeMcs="not_executed" originalLayersNames="w"', ([], [port(0, 8, 2, 3, 3)])),
        layer(
            "FullyConnected",
            4,
            "fc",
            'execTimeMcs="120" originalLayersNames="fc"',
            ([port(0, 2, 8), port(1, 10, 8)], [port(2, 2, 10)]),
        ),
        layer(
            "Convolution",
            2,
            "conv",
            'execTimeMcs="1900" originalLayersNames="conv,relu"',
            ([port(0, 2, 4, 16, 16), port(1, 2, 4, 2, 3, 3)], [port(2, 2, 8, 8, 8)]),
        ),
        layer("Pooling", 3, "pool", 'execTimeMcs="not_executed" originalLayersNames="pool"'),
        "</layers></net>",
    ]
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    return import_profile([source(COUNTERS), source(GRAPH), source(REPORT)], Given(device="board"))


def test_counters_graph_and_report_are_one_profile(profile: Profile) -> None:
    assert {row.layer: row.latency_ms for row in profile.rows} == {"conv": 2.0, "pool": 0.25, "fc": 0.125}
    assert (profile.batch, profile.precision, profile.network_latency_ms) == (2, "float32", 2.2)
    assert "median latency 2.1 ms" in profile.note and "2 of 5 nodes did not run" in profile.note


def test_the_graph_says_what_was_fused_and_in_which_order(profile: Profile) -> None:
    conv, pool, fc, *idle = profile.layers
    assert (conv.name, conv.members, conv.groups) == ("conv", ("conv", "relu"), 2)
    assert (conv.in_channels, conv.out_channels, conv.kernel, conv.stride) == (4, 8, (3, 3), (2, 2))
    assert (conv.weights, conv.macs) == (144, 144 * 64)
    assert (fc.op, fc.in_channels, fc.out_channels, fc.positions, pool.role) == ("linear", 8, 10, 1, "other")
    assert [one.name for one in idle] == ["x", "relu"]


def test_the_graph_alone_has_times_of_its_own() -> None:
    alone = import_profile([source(GRAPH)], Given(device="board"))
    assert {row.layer: row.latency_ms for row in alone.rows} == {"conv": 1.9, "fc": 0.12}
    assert [one.name for one in alone.layers] == ["conv", "pool", "fc"]
    assert alone.original_unit == "us"


def test_counters_alone_have_no_shapes() -> None:
    alone = import_profile([source(COUNTERS)], Given(device="board", batch=1))
    assert alone.precision == "float32"
    assert [one.role for one in alone.layers] == ["other", "layer", "other", "other", "layer"]
    assert "-exec_graph_path" in alone.note


def test_commas_and_a_broken_header_of_sorted_counters() -> None:
    lines = COUNTERS.strip().replace(";", ",").splitlines()[:-1]
    header, *rows = lines
    text = "\n".join(
        [f'{header},"proportion (%)\n"', *(f"{row},1.00%" for row in rows), "", "Total time: 2.37 milliseconds"]
    )
    sorted_counters = import_profile([source(f"{text}\r\nTotal CPU time: 2.37 milliseconds\r\n\n")], STATED)
    assert sorted_counters.rows == import_profile([source(COUNTERS)], STATED).rows


def test_several_requests_are_averaged() -> None:
    second = COUNTERS.replace("2.000;2.000", "3.000;3.000").replace("2.375", "3.375")
    found = import_profile([source(COUNTERS + second)], STATED)
    assert found.rows[0].latency_ms == 2.5
    assert "different nodes" in problems_of(COUNTERS + second.replace("\nrelu;", "\nrelu_7;"))


def test_json_counters_are_read_when_whole() -> None:
    nodes = [
        {"name": "conv", "node_type": "Convolution", "status": "Status.EXECUTED", "real_time": "2.000"},
        {"name": "relu", "node_type": "Relu", "status": "Status.NOT_RUN", "real_time": "0.000"},
    ]
    document = {"report_type": "average", "avg_performance": {"nodes": nodes}}
    assert import_profile([source(document)], STATED).rows[0].latency_ms == 2.0
    assert "lists 1 of the model's nodes" in problems_of({"avg_performance": {"nodes": nodes[:1]}})
    assert "node 2: it is cut off" in problems_of({"avg_performance": {"nodes": [nodes[0], {"name": "relu"}]}})
    assert "lists 0" in problems_of({"avg_performance": [3]})


def test_a_cut_off_list_is_noticed() -> None:
    lines = COUNTERS.splitlines(keepends=True)
    assert "the total behind the last node is missing" in problems_of("".join(lines[:4]))
    assert "line 6: the times add up to 2.25 ms" in problems_of("".join(lines[:5] + lines[6:]))
    assert "line 3: it is cut off" in problems_of("".join(lines[:2]) + "conv;Status.EX")
    assert "is missing" in problems_of(COUNTERS.replace("realTime (ms)", "realTime"))
    assert "lists no nodes" in problems_of(lines[0])


@pytest.mark.parametrize("time", ["-2.000", "nan", "inf", "fast", "2,000"])
def test_a_bad_time_is_named_with_its_line(time: str) -> None:
    found = problems_of(COUNTERS.replace("2.000;2.000", f"{time};2.000"))
    assert "line 3 ('conv')" in found and repr(time) in found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('execTimeMcs="1900"', 'execTimeMcs="-1"', "'-1'"),
        ('execTimeMcs="1900"', 'execTimeMcs="soon"', "'soon'"),
        ('execTimeMcs="1900" ', "", "no execTimeMcs"),
        ('name="pool"', 'name="fc"', "two nodes alike"),
        ("1900", "not_executed", ""),
        ("</net>", "", "not well-formed"),
        ("<net", '<!DOCTYPE a [<!ENTITY b "c">]><net', "document type"),
    ],
)
def test_a_broken_graph_is_refused(old: str, new: str, said: str) -> None:
    text = GRAPH.replace(old, new)
    if said:
        assert said in problems_of(text)
    else:
        assert "no execution times" in problems_of(text.replace('"120"', '"not_executed"'))


def test_other_files_are_refused() -> None:
    assert "latency of the network only" in problems_of(REPORT)
    assert "different models" in problems_of(COUNTERS, GRAPH.replace('name="', 'name="else_'))
    assert "avg latency" in problems_of(COUNTERS, REPORT.replace("2.20", "-"))
    assert "does not say device and batch" in problems_of(COUNTERS, given=Given())


def test_nonsense_among_the_shapes_only_leaves_them_out() -> None:
    for old, new in (("<dim>16</dim>", "<dim>?</dim>"), ("<dim>4</dim>", "<dim>0</dim>"), ("<dim>3</dim>", "")):
        found = import_profile([source(GRAPH.replace(old, new))], STATED)
        assert found.layers[0].macs is None


FOLDER = ("profiles", "openvino")


@pytest.mark.shared
def test_real_counters() -> None:
    average = shared_file(*FOLDER, "resnet18_benchmark_average_counters_report.csv")
    found = import_profile([average, shared_file(*FOLDER, "resnet18_benchmark_report.csv")], Given(device="board"))
    assert len(found.layers) + 1 == 55  # the notes count the total's line
    assert len(found.rows) == 25
    assert sum(row.latency_ms for row in found.rows) == pytest.approx(45.611, abs=1e-9)
    assert (found.network_latency_ms, found.batch, found.precision) == (43.57, 1, "float32")
    by_time = import_profile([shared_file(*FOLDER, "resnet18_benchmark_sorted_report.csv")], STATED)
    assert {row.layer: row.latency_ms for row in by_time.rows} == {row.layer: row.latency_ms for row in found.rows}
    detailed = import_profile([shared_file(*FOLDER, "resnet18_benchmark_detailed_counters_report.csv")], STATED)
    assert sum(row.latency_ms for row in detailed.rows) == pytest.approx(60.404, abs=1e-9)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("names", "share"),
    [
        (("resnet18_exec_graph.xml",), 0.9927),
        (("resnet18_exec_graph.xml", "resnet18_benchmark_average_counters_report.csv"), 0.9840),
    ],
)
def test_every_layer_of_resnet18_is_found_by_the_real_graph(names: tuple[str, ...], share: float) -> None:
    found = import_profile([shared_file(*FOLDER, name) for name in names], Given(device="board"))
    report = match(found, resnet18())
    assert (len(report.matches), report.macs_share, report.ambiguous) == (21, 1.0, ())
    assert report.time_share == pytest.approx(share, abs=5e-5)
    assert found.batch == 1


@pytest.mark.shared
def test_the_real_json_that_lost_all_nodes_but_one_is_refused() -> None:
    text = shared_file(*FOLDER, "resnet18_benchmark_average_counters_report.json").text
    assert "lists 1 of the model's nodes" in problems_of(text)
    graph = shared_file(*FOLDER, "resnet18_exec_graph.xml")
    report = shared_file(*FOLDER, "resnet18_benchmark_report.json")
    assert import_profile([graph, report], Given(device="board")).network_latency_ms == 45.18
