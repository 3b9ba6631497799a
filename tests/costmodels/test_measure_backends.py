"""The backends compute the same: every kind of layer with every tail, one and several copies; and how they refuse."""

import builtins
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from costmodels.errors import MeasureError
from costmodels.measure import sparse24
from costmodels.measure.backends import BACKENDS
from costmodels.measure.backends.compiled import CompiledBackend
from costmodels.measure.backends.eager import EagerBackend
from costmodels.measure.problem import TAILS, Chain, LayerProblem, Place, pool_for
from pruning.layers import LayerSpec
from tests.costmodels.models import conv, linear, strided

PLACE = Place(batch=3, threads=1, device=torch.device("cpu"), dtype=torch.float32)
CONV = conv("c", 8, 8, size=6)
LINE = replace(
    CONV, op="conv1d", kernel=(3,), stride=(1,), padding=(1,), dilation=(1,), input_size=(6,), output_size=(6,)
)
UP = replace(
    CONV, op="conv_transpose2d", stride=(2, 2), input_size=(4, 4), output_size=(8, 8), out_channels=6, groups=2
)
LAYERS = {
    "conv2d": CONV,
    "strided": strided("s", 8, 12, size=7, stride=2),
    "dilated": replace(CONV, dilation=(2, 2), padding=(2, 2), has_bias=True),
    "grouped": conv("g", 8, 12, size=6, groups=4),
    "depthwise": conv("d", 8, 8, size=6, groups=8),
    "uneven": replace(CONV, kernel=(1, 3), padding=(0, 1)),
    "conv1d": LINE,
    "conv_transpose2d": UP,
    "linear": linear("l", 8, 10),
    "linear, bias": replace(linear("l", 8, 8), has_bias=True, tail=("batch_norm", "relu")),
    "tokens": replace(linear("t", 8, 8), positions=5),
    "tokens, bias": replace(linear("t", 8, 12), positions=5, has_bias=True, tail=("gelu",)),
    **{f"tail {name}": replace(CONV, tail=("batch_norm", name), has_bias=True) for name in TAILS},
}


def problem(layer: LayerSpec, place: Place = PLACE) -> LayerProblem:
    torch.manual_seed(0)
    return LayerProblem(layer, place, pool_for([layer], place))


@pytest.mark.parametrize("name", LAYERS)
def test_onnx_runtime_computes_what_torch_computes(name: str) -> None:
    pytest.importorskip("onnxruntime")
    made = problem(LAYERS[name])
    call: Any = BACKENDS["onnxruntime"](PLACE).layer(made)
    call()
    assert torch.allclose(call.outputs()[0], made(made.value), atol=1e-4)


@pytest.mark.parametrize("name", ["conv2d", "tokens", "linear, bias", "tail relu6", "tail silu"])
def test_a_chain_is_the_layer_several_times(name: str) -> None:
    pytest.importorskip("onnxruntime")
    made = problem(LAYERS[name])
    expected = made(made(made(made.value)))
    call: Any = BACKENDS["onnxruntime"](PLACE).layer(made, 3)
    call()
    assert torch.allclose(call.outputs()[0], expected, atol=1e-4)
    eager: Any = EagerBackend(PLACE).layer(made, 3)
    assert torch.equal(eager(), expected)


def test_eager_is_torch_with_modules() -> None:
    made = problem(LAYERS["tail relu"])
    module = nn.Conv2d(8, 8, 3, padding=1)
    norm = nn.BatchNorm2d(8).eval()
    mean, variance, scale, shift = made.norm
    module.load_state_dict({"weight": made.weight, "bias": made.bias})
    state = {"running_mean": mean, "running_var": variance, "weight": scale, "bias": shift}
    norm.load_state_dict({**state, "num_batches_tracked": torch.tensor(0)})
    assert torch.allclose(made(made.value), torch.relu(norm(module(made.value))), atol=1e-6)


def test_a_transposed_convolution_has_the_size_it_was_traced_with() -> None:
    made = problem(UP)
    assert made(made.value).shape == (3, 6, 8, 8)


@pytest.mark.slow
def test_compiled_layers_compute_the_same() -> None:
    backend = CompiledBackend(PLACE)
    made = problem(LAYERS["tail relu"])
    with backend.running():
        call: Any = backend.layer(made)
        assert torch.allclose(call(), Chain(made, 1)(made.value), atol=1e-4)


def test_a_compiler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no C++ compiler was found\nlong trace")

    monkeypatch.setattr(torch, "compile", broken)
    backend = CompiledBackend(PLACE)
    with (
        pytest.raises(MeasureError, match=r"does not work here \(no C\+\+ compiler was found\).*eager"),
        backend.running(),
    ):
        backend.layer(problem(CONV))


def test_a_runtime_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError("none", name=name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MeasureError, match="onnxruntime is not installed; install the extra 'onnx'"):
        BACKENDS["onnxruntime"](PLACE)


def test_a_provider_that_is_not_there_is_said() -> None:
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this onnxruntime has the CUDA provider")
    with pytest.raises(MeasureError, match="no CUDAExecutionProvider"):
        BACKENDS["onnxruntime"](replace(PLACE, device=torch.device("cuda")))


def test_two_of_four_are_kept_and_they_are_the_largest() -> None:
    weight = torch.tensor([[0.1, -3.0, 2.0, 0.5, 4.0, 1.0, -2.0, 0.0]])
    assert sparse24.two_of_four(weight).tolist() == [[0, 1, 1, 0, 1, 0, 1, 0]]


def test_two_of_four_is_for_linear_layers_on_gpus_in_half_precision() -> None:
    assert not sparse24.has_kernels(PLACE)
    assert not sparse24.has_kernels(replace(PLACE, device=torch.device("cuda")))  # float32
    assert sparse24.sparse_layer(problem(CONV)) is None
    assert sparse24.sparse_layer(problem(linear("l", 6, 8))) is None
    if not torch.cuda.is_available():
        assert sparse24.sparse_layer(problem(linear("l", 8, 8))) is None  # the kernels refuse a processor


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_sparse_kernels_compute_the_masked_layer() -> None:
    place = replace(PLACE, batch=64, device=torch.device("cuda"), dtype=torch.float16)
    if not sparse24.has_kernels(place):
        pytest.skip("the GPU has no sparse kernels")
    made = problem(linear("l", 128, 128), place)
    call: Any = sparse24.sparse_layer(made)
    expected = made.value @ (made.weight * sparse24.two_of_four(made.weight)).T
    assert torch.allclose(call(), expected, atol=1e-2)
