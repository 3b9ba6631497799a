"""The roofline: closed forms, and the properties that must hold for any device of the catalogue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodels.accelerator import Accelerator, Figure, load, names
from costmodels.errors import AcceleratorError
from costmodels.roofline import Roofline
from pruning.layers import LayerSpec
from pruning.patterns import NM, Dense, Pattern, Unstructured
from tests.costmodels.models import conv, linear

EVERY = [Roofline(load(n), batch, p) for n in names() for p in load(n).precisions for batch in (1, 64)]
devices = st.sampled_from(EVERY)
layers = st.builds(
    conv, st.just("a"), st.integers(1, 600), st.integers(1, 600), st.integers(1, 32), st.sampled_from([1, 3])
) | st.builds(linear, st.just("a"), st.integers(1, 4096), st.integers(1, 4096))
shares = st.floats(0.0, 0.99)
any_pattern = (
    st.builds(Unstructured, shares)
    | st.sampled_from([NM(2, 4), NM(1, 4), NM(1, 2), NM(3, 4), NM(4, 8)])
    | st.just(Dense())
)


def ms(device: Roofline, layer: LayerSpec, pattern: Pattern) -> float:
    return device.cost(layer, layer, pattern).latency_ms


def figure(value: float) -> Figure:
    return Figure(value=value, status="assumed", source="test")


@given(devices, layers, any_pattern)
def test_nothing_costs_more_than_dense(device: Roofline, layer: LayerSpec, pattern: Pattern) -> None:
    assert 0.0 < ms(device, layer, pattern) <= ms(device, layer, Dense())


@given(devices, layers, shares, shares)
def test_more_zeros_are_never_dearer(device: Roofline, layer: LayerSpec, one: float, other: float) -> None:
    few, many = sorted((one, other))
    assert ms(device, layer, Unstructured(many)) <= ms(device, layer, Unstructured(few)) * (1 + 1e-12)


@given(devices, layers, st.floats(0.01, 1), st.floats(0.01, 1))
def test_fewer_channels_are_never_dearer(device: Roofline, layer: LayerSpec, a: float, b: float) -> None:
    thin = layer.resized(max(1, int(layer.in_channels * a)), max(1, int(layer.out_channels * b)))
    assert thin.macs <= layer.macs
    assert device.cost(layer, thin, Dense()).latency_ms <= ms(device, layer, Dense())


@given(layers, st.sampled_from([NM(3, 4), NM(2, 3), NM(5, 8)]))
def test_an_unlisted_group_pattern_costs_dense_time(layer: LayerSpec, pattern: NM) -> None:
    device = Roofline(load("nvidia-a100"), 64, "float16")
    cost = device.cost(layer, layer, pattern)
    assert cost.latency_ms == ms(device, layer, Dense())
    assert (cost.source, cost.derivation) == ("analytical", "dense_fallback")


def test_eyeriss_follows_the_published_law() -> None:
    layer = conv("a", 16, 16, 32)
    device = Roofline(load("eyeriss-v2"), 4, "int8")
    dense_ms = 4 * layer.macs / 76.8e9 * 1e3
    assert ms(device, layer, Dense()) == pytest.approx(dense_ms)
    assert ms(device, layer, Unstructured(0.8)) == pytest.approx(dense_ms * 0.2 * 1.07)
    assert ms(device, layer, NM(2, 4)) == pytest.approx(dense_ms * 0.5 * 1.07)
    mild = device.cost(layer, layer, Unstructured(0.05))  # 0.95 x 1.07 > 1: the dense schedule runs
    assert (mild.latency_ms, mild.derivation) == (pytest.approx(dense_ms), "dense_fallback")


def test_a100_rewards_two_of_four_on_large_layers_only() -> None:
    device = Roofline(load("nvidia-a100"), 64, "float16")
    large, small = conv("a", 512, 512, 14), conv("a", 64, 64, 14)
    assert ms(device, large, NM(2, 4)) < 0.7 * ms(device, large, Dense())
    assert ms(device, small, NM(2, 4)) == ms(device, small, Dense())
    assert ms(device, large, Unstructured(0.9)) == ms(device, large, Dense())


def test_the_larger_of_compute_and_memory_and_the_fixed_part() -> None:
    machine = Accelerator(
        name="m",
        title="m",
        device="m",
        summary="m",
        peak_macs_per_s={"float32": figure(1e9)},
        memory_bytes_per_s=figure(1e9),
        layer_overhead_ms=figure(0.5),
        channel_quantum=figure(8),
    )
    device = Roofline(machine, 2, "float32")
    fc = linear("a", 100, 10)  # moves 4 x (1000 + 2 x 110) bytes
    assert ms(device, fc, Dense()) == pytest.approx(0.5 + 4 * (1000 + 220) / 1e9 * 1e3)
    deep = conv("b", 8, 12, 16)  # 12 channels run as 16
    assert ms(device, deep, Dense()) == pytest.approx(0.5 + 2 * deep.macs * 16 / 12 / 1e9 * 1e3)


def test_unsourced_precisions_are_refused_with_the_reason() -> None:
    with pytest.raises(AcceleratorError, match="8 bit only"):
        Roofline(load("eyeriss-v2"), 1, "float32")
    with pytest.raises(AcceleratorError, match="batch"):
        Roofline(load("eyeriss-v2"), 0, "int8")
