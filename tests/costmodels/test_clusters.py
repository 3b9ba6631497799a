"""Clusters of sparse kernels: which layers stand together, and that only their zeros together count."""

from dataclasses import replace

import pytest

from costmodels.accelerator import load
from costmodels.base import NetworkGroup
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.clusters import clusters
from costmodels.errors import AcceleratorError
from costmodels.network import network_cost
from costmodels.zeros import ZeroRule
from pruning.layers import ModelSpec
from pruning.patterns import Dense, Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import conv, linear, model_of

PHONE = load("phone-cpu-xnnpack")


def mobile() -> ModelSpec:
    """A stem, two separable blocks, a wide kernel that parts them from one more 1 x 1 convolution, and a classifier."""
    layers = [conv("stem", 3, 32)]
    for n in range(2):
        layers += [conv(f"deep{n}", 32, 32, groups=32), conv(f"point{n}", 32, 32, kernel=1)]
    layers += [conv("wide", 32, 32), conv("last", 32, 32, kernel=1), linear("fc", 32, 10)]
    return model_of(layers, [])


def latency_ms(first: float, second: float) -> float:
    model = mobile()
    priced = cost_model(accelerator_profile("phone-cpu-xnnpack", 1, "float32"), model)
    plan = PruningPlan(pruner="", patterns={"point0": Unstructured(first), "point1": Unstructured(second)})
    return network_cost(model, plan, priced).latency_ms


def test_runs_of_narrow_kernels_stand_together() -> None:
    found = clusters(PHONE.zeros, mobile(), "float32")
    assert found == (NetworkGroup(rule="cluster_threshold", layers=("point0", "point1"), min_sparsity=0.6667),)
    assert clusters(PHONE.zeros, mobile(), "int8") == ()  # no sparse kernels
    assert clusters(load("server-cpu-sparse").zeros, mobile(), "float32") == ()  # judges each layer alone


def test_a_stride_parts_them() -> None:
    model = mobile()
    strided = tuple(replace(la, stride=(2, 2)) if la.name == "point1" else la for la in model.layers)
    assert clusters(PHONE.zeros, replace(model, layers=strided), "float32") == ()


def test_zeros_of_one_layer_make_up_for_those_of_the_other() -> None:
    dense_ms = latency_ms(0.0, 0.0)
    assert latency_ms(0.6, 0.6) == dense_ms
    assert latency_ms(0.9, 0.0) == dense_ms  # enough by itself, not together
    assert latency_ms(0.7, 0.7) < dense_ms
    assert latency_ms(0.9, 0.45) < latency_ms(0.9, 0.4) == dense_ms  # 0.675 and 0.65 together


def test_a_layer_alone_needs_its_own_zeros() -> None:
    model = mobile()
    priced = cost_model(accelerator_profile("phone-cpu-xnnpack", 1, "float32"), model)
    for name in ("last", "fc"):
        layer = model.layer(name)
        dense = priced.cost(layer, layer, Dense())
        assert priced.cost(layer, layer, Unstructured(0.65)).derivation == "dense_fallback"
        assert priced.cost(layer, layer, Unstructured(0.7)).latency_ms < dense.latency_ms


def test_a_cluster_needs_a_threshold() -> None:
    with pytest.raises(AcceleratorError, match="min_sparsity"):
        ZeroRule(pattern="nm", keep=2, group=4, precisions=("int8",), over="cluster")
    with pytest.raises(AcceleratorError, match="keep 4 of 2 is impossible"):
        ZeroRule(pattern="nm", keep=4, group=2, precisions=("int8",))
