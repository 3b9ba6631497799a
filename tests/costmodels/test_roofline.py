"""The analytical models over the whole catalogue: properties that must hold for any device, and closed forms."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.accelerator import Accelerator, load, names
from costmodels.analytical import Analytical, analytical
from costmodels.catalogue import cost_model
from costmodels.counts import kept_macs
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.profile import Profile, ProfileRow
from costmodels.roofline import padded_macs, traffic
from costmodels.zeros import ZeroRule
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Channel, Dense, Kernel, Pattern, Unstructured
from tests.costmodels.models import conv, linear, model_of

EVERY = [Analytical(load(n), batch, p) for n in names() for p in load(n).precisions for batch in (1, 64)]
devices = st.sampled_from(EVERY)
channels = st.integers(1, 600)
layers = (
    st.builds(conv, st.just("a"), channels, channels, st.integers(1, 32), st.sampled_from([1, 3]))
    | st.builds(linear, st.just("a"), st.integers(1, 9000), st.integers(1, 9000))
    | channels.map(lambda width: conv("a", width, width, 8, groups=width))
)
shares = st.floats(0.0, 0.99)
any_pattern = (
    st.builds(Unstructured, shares)
    | st.builds(Kernel, shares)
    | st.builds(Block, st.integers(1, 8), st.sampled_from([1, 2, 4, 8]), shares)
    | st.sampled_from([NM(2, 4), NM(1, 4), NM(1, 2), NM(3, 4), NM(4, 8)])
    | st.just(Dense())
)


def ms(device: Analytical, layer: LayerSpec, pattern: Pattern) -> float:
    return device.cost(layer, layer, pattern).latency_ms


def figure(value: float) -> Figure:
    return Figure(value=value, status="assumed", source="test")


@settings(max_examples=30)
@given(devices, layers, any_pattern)
def test_nothing_costs_more_than_dense(device: Analytical, layer: LayerSpec, pattern: Pattern) -> None:
    assert 0.0 < ms(device, layer, pattern) <= ms(device, layer, Dense())


@settings(max_examples=30)
@given(devices, layers, shares, shares)
def test_more_zeros_are_never_dearer(device: Analytical, layer: LayerSpec, one: float, other: float) -> None:
    few, many = sorted((one, other))
    for kind in (Unstructured, Kernel, lambda share: Block(1, 4, share)):
        assert ms(device, layer, kind(many)) <= ms(device, layer, kind(few)) * (1 + 1e-12)


@settings(max_examples=30)
@given(devices, layers, st.floats(0.01, 1), st.floats(0.01, 1))
def test_fewer_channels_are_never_dearer(device: Analytical, layer: LayerSpec, a: float, b: float) -> None:
    thin = layer.resized(max(1, int(layer.in_channels * a)), max(1, int(layer.out_channels * b)))
    assert thin.macs <= layer.macs
    assert device.cost(layer, thin, Dense()).latency_ms <= ms(device, layer, Dense())


@settings(max_examples=30)
@given(layers, st.sampled_from([NM(3, 4), NM(2, 3), NM(5, 8)]))
def test_an_unlisted_group_pattern_costs_dense_time(layer: LayerSpec, pattern: NM) -> None:
    device = Analytical(load("nvidia-a100"), 64, "float16")
    cost = device.cost(layer, layer, pattern)
    assert cost.latency_ms == ms(device, layer, Dense())
    assert (cost.source, cost.derivation) == ("analytical", "dense_fallback")


def test_eyeriss_follows_the_published_law() -> None:
    layer = conv("a", 16, 16, 32)
    device = Analytical(load("eyeriss-v2"), 4, "int8")
    dense_ms = 4 * layer.macs / 76.8e9 * 1e3
    assert ms(device, layer, Dense()) == pytest.approx(dense_ms)
    assert ms(device, layer, Unstructured(0.8)) == pytest.approx(dense_ms * 0.2 * 1.07)
    assert ms(device, layer, NM(2, 4)) == pytest.approx(dense_ms * 0.5 * 1.07)
    mild = device.cost(layer, layer, Unstructured(0.05))  # 0.95 x 1.07 > 1: the dense schedule runs
    assert (mild.latency_ms, mild.derivation) == (pytest.approx(dense_ms), "dense_fallback")


def test_a100_rewards_two_of_four_on_large_layers_only() -> None:
    device = Analytical(load("nvidia-a100"), 64, "float16")
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
        in_channel_quantum=figure(8),
        out_channel_quantum=figure(8),
        unknown={"energy": "not known"},
    )
    device = Analytical(machine, 2, "float32")
    fc = linear("a", 100, 10)  # moves 4 x (1000 + 2 x 110) bytes
    assert ms(device, fc, Dense()) == pytest.approx(0.5 + 4 * (1000 + 220) / 1e9 * 1e3)
    deep = conv("b", 8, 12, 16)  # 12 channels run as 16
    assert ms(device, deep, Dense()) == pytest.approx(0.5 + 2 * deep.macs * 16 / 12 / 1e9 * 1e3)


def test_unsourced_precisions_are_refused_with_the_reason() -> None:
    with pytest.raises(AcceleratorError, match="8 bit only"):
        Analytical(load("eyeriss-v2"), 1, "float32")
    with pytest.raises(AcceleratorError, match="batch"):
        Analytical(load("eyeriss-v2"), 0, "int8")


@pytest.mark.parametrize("name", names())
def test_every_entry_prices_every_kind_of_layer_with_an_interval(name: str) -> None:
    entry = load(name)
    for precision in entry.precisions:
        device = analytical(entry, 2, precision)
        for layer in (conv("a", 64, 64), linear("b", 1024, 1024), conv("c", 64, 64, groups=64)):
            for pattern in (Dense(), NM(2, 4), Unstructured(0.9), Block(1, 4, 0.9), Kernel(0.9), Channel(0.5)):
                cost = device.cost(layer, layer, pattern)
                assert cost.low_ms is not None and cost.high_ms is not None
                assert 0 < cost.low_ms <= 0.75 * cost.latency_ms < 1.25 * cost.latency_ms <= cost.high_ms
                assert cost.weight_bytes is not None and cost.weight_bytes > 0
                assert (cost.source, device.groups) == ("analytical", ())


def test_channels_are_padded_on_either_side_to_their_own_quantum() -> None:
    layer, depthwise = conv("a", 20, 20), conv("b", 20, 20, groups=20)
    assert padded_macs(layer, None, None) == layer.macs
    assert padded_macs(layer, figure(16), None) == layer.macs // 20 * 32
    assert padded_macs(layer, figure(16), figure(8)) == layer.macs // 400 * 32 * 24
    assert padded_macs(depthwise, figure(16), figure(8)) == depthwise.macs // 20 * 16 * 24


@settings(max_examples=30)
@given(devices, layers, st.sampled_from(["in", "out"]))
def test_a_removed_channel_counts_only_with_its_whole_step(device: Analytical, layer: LayerSpec, side: str) -> None:
    thin = layer.resized(
        layer.in_channels - (side == "in" and layer.in_channels > 1),
        layer.out_channels - (side == "out" and layer.out_channels > 1),
    )
    if not layer.depthwise:
        assert device.cost(layer, thin, Dense()).latency_ms <= ms(device, layer, Dense())


def test_every_operand_moves_once() -> None:
    layer = conv("a", 4, 6, 8)
    moved = traffic(layer, 3, "float16", 100.0)
    assert (moved.weights, moved.inputs, moved.outputs) == (100.0, 3 * 4 * 64 * 2, 3 * 6 * 64 * 2)


def test_an_affine_law_has_a_threshold_and_widens_the_interval() -> None:
    layer = conv("a", 64, 64)
    device = Analytical(load("server-cpu-sparse"), 1, "float32")
    dense = ms(device, layer, Dense())
    assert ms(device, layer, Unstructured(0.9)) == pytest.approx(dense * (1.8 * 0.1 + 0.07))
    assert device.cost(layer, layer, Unstructured(0.47)).derivation == "dense_fallback"
    assert ms(device, conv("a", 3, 64), Unstructured(0.9)) == ms(device, conv("a", 3, 64), Dense())
    wide = Accelerator(
        name="m",
        title="m",
        device="m",
        summary="m",
        peak_macs_per_s={"float32": figure(1e9)},
        zeros=(
            ZeroRule(
                pattern="unstructured",
                precisions=("float32",),
                slope=figure(1.5),
                intercept=figure(0.1),
                error=figure(1),
            ),
        ),
        unknown=dict.fromkeys(
            ("memory_bytes_per_s", "layer_overhead_ms", "in_channel_quantum", "out_channel_quantum", "energy"), "test"
        ),
    )
    cost = Analytical(wide, 1, "float32").cost(layer, layer, Unstructured(0.9))
    assert (cost.low_ms, cost.high_ms) == (pytest.approx(cost.latency_ms / 2), pytest.approx(cost.latency_ms * 2))


def test_zeros_are_counted_in_macs_whatever_the_device_does() -> None:
    layer = conv("a", 64, 64)
    device = Analytical(load("coral-edge-tpu"), 8, "int8")
    assert device.cost(layer, layer, Dense()).macs == layer.macs
    assert device.cost(layer, layer, Unstructured(0.75)).macs == layer.macs // 4


@pytest.mark.parametrize("pattern", [Dense(), NM(1, 4), NM(2, 4), Block(4, 4, 0.5), Kernel(0.9), Unstructured(0.3)])
def test_every_cost_model_counts_the_multiply_adds_that_are_counted_elsewhere(pattern: Pattern) -> None:
    layer = conv("a", 6, 8)  # a ragged tail of two inputs, tiles cut short
    rows = (ProfileRow(layer="a", latency_ms=1.0),)
    profile = Profile(name="p", device="d", batch=1, precision="int8", source="measured", rows=rows)
    for priced in (Analytical(load("eyeriss-v2"), 8, "int8"), cost_model(profile, model_of([layer], []))):
        assert priced.cost(layer, layer, pattern).macs == kept_macs(layer, pattern)


def test_a_transposed_convolution_writes_its_output_and_not_its_positions() -> None:
    up = replace(conv("up", 8, 4, size=8, kernel=2), op="conv_transpose2d", stride=(2, 2), output_size=(16, 16))
    moved = traffic(up, 1, "int8", 100.0)
    assert (moved.inputs, moved.outputs) == (8 * 64, 4 * 256)
