"""Names of layers from tools, brought to one form."""

import pytest

from costmodels.names import canonical, members


@pytest.mark.parametrize(
    "name",
    [
        "layer1.0.conv1",
        "module.layer1.0.conv1.weight",
        "_orig_mod.module.layer1.0.conv1",
        "model/layer1/0/conv1",
        "LAYER1/0/CONV1",
        "/layer1/layer1.0/conv1/Conv",
        "layer1.0.conv1_nchwc",
        "layer1.0.conv1_quant_fused",
        "node_layer1.0.conv1_kernel_time",
        "layer1.0.conv1:0",
    ],
)
def test_one_layer_reads_the_same_everywhere(name: str) -> None:
    assert canonical(name) == "layer1.0.conv1"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("/layer2/layer2.0/downsample/downsample.0/Conv", "layer2.0.downsample.0"),
        ("/features/features.3/conv/conv.0/conv.0.0/Conv", "features.3.conv.0.0"),
        ("conv", "conv"),  # a layer may be called like an operator
        ("encoder.linear", "encoder.linear"),
        ("module", "module"),
        ("", ""),
        ("...", ""),
        ("a.a", "a.a"),  # repetition within one scope is a name, not a path
    ],
)
def test_paths(name: str, form: str) -> None:
    assert canonical(name) == form


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Conv_0 + Relu_1", ("Conv_0", "Relu_1")),
        (
            "layer1.0.conv1.weight + QuantizeLinear_20 + Conv_22",
            ("layer1.0.conv1.weight", "QuantizeLinear_20", "Conv_22"),
        ),
        ("a || b", ("a", "b")),
        ("x/Relu;x/BiasAdd;x/Conv2D", ("x/Relu", "x/BiasAdd", "x/Conv2D")),
        ("node_Conv_298,node_add,node_relu_2", ("node_Conv_298", "node_add", "node_relu_2")),
        ("PWN(Relu_3, Add_4)", ("Relu_3", "Add_4")),
        ("plain", ("plain",)),
        ("a + a", ("a",)),
    ],
)
def test_fused_names_are_split(name: str, found: tuple[str, ...]) -> None:
    assert members(name) == found
