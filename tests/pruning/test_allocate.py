"""Per-layer sparsities add up to the number asked for, by the rule asked for, where the policy allows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pruning.allocate import Allocation, Method, Policy, allocate, sparsities
from pruning.errors import PlanError
from pruning.layers import LayerSpec, ModelSpec
from pruning.masks import Sparse, keep, split
from pruning.patterns import NM, Block, Channel, Kernel, Unstructured, kept_count
from tests.pruning.small import SPEC, small, weight

OPEN = Policy(first="prune", last="prune", depthwise="prune", most=1 - 1e-9)
SHAPES = {"a": (12, 6, 3, 3), "b": (20, 12, 1, 1), "c": (20, 1, 3, 3), "d": (7, 20)}


def layers(scales: dict[str, float]) -> tuple[nn.Module, ModelSpec]:
    """A bag of weights and its specification; c is depthwise."""
    net, specs = nn.Module(), []
    for i, (name, shape) in enumerate(SHAPES.items()):
        setattr(net, name, nn.Parameter(scales.get(name, 1.0) * weight(shape, seed=i)))
        depthwise = name == "c"
        inputs = shape[0] if depthwise else shape[1]
        specs.append(
            LayerSpec(
                name=name,
                parameter=name,
                op="linear" if len(shape) == 2 else "conv2d",
                in_channels=inputs,
                out_channels=shape[0],
                kernel=shape[2:],
                groups=inputs if depthwise else 1,
            )
        )
    spec = ModelSpec(layers=tuple(specs), groups=(), input_shape=(), output_shapes=(), parameter_count=0)
    return net, spec


def removed(net: nn.Module, spec: ModelSpec, allocation: Allocation) -> dict[str, int]:
    """Units that each layer's own pattern takes away, once planned."""
    plan = allocate(net, spec, allocation, "magnitude")
    counts = {}
    for name, pattern in plan.patterns.items():
        values = net.get_parameter(name)
        counts[name] = split(values, pattern).shape[1] - keep(values.shape, pattern)
    return counts


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.95), st.sampled_from(["uniform", "global", "erk", "spartan"]), st.floats(0.05, 20))
def test_zeros_add_up_to_the_number(sparsity: float, method: Method, scale: float) -> None:
    net, spec = layers({"a": scale})
    total = sum(p.numel() for p in net.parameters())
    found = removed(net, spec, Allocation(pattern=Unstructured(sparsity), method=method, policy=OPEN))
    wanted = total - kept_count(total, sparsity)
    assert abs(sum(found.values()) - wanted) <= (0 if method != "uniform" else len(found))
    assert all(n < net.get_parameter(name).numel() for name, n in found.items())


@pytest.mark.parametrize("pattern", [Block(2, 2, 0.6), Kernel(0.6)], ids=str)
@pytest.mark.parametrize("method", ["uniform", "global", "erk", "spartan"])
def test_whole_units_add_up_to_within_one_a_layer(pattern: Sparse, method: Method) -> None:
    net, spec = layers({})
    found = removed(net, spec, Allocation(pattern=pattern, method=method, policy=OPEN))
    assert set(found) == (set("abcd") if isinstance(pattern, Block) else set("abc"))  # a linear has no kernels
    sizes = {n: net.get_parameter(n).numel() / split(net.get_parameter(n), pattern).shape[1] for n in found}
    total = sum(net.get_parameter(n).numel() for n in found)
    assert abs(sum(found[n] * sizes[n] for n in found) - 0.6 * total) <= sum(sizes.values())


def test_global_is_one_threshold_over_all_layers() -> None:
    net, spec = layers({"a": 2.0, "d": 0.8})
    found = removed(net, spec, Allocation(pattern=Unstructured(0.7), method="global", policy=OPEN))
    everything = torch.cat([p.detach().abs().flatten() for p in net.parameters()])
    gone = len(everything) - kept_count(len(everything), 0.7)
    edge = everything.sort().values[gone]
    assert found == {name: int((p.detach().abs() < edge).sum()) for name, p in net.named_parameters()}


def test_a_layer_of_small_weights_keeps_its_least_and_the_others_pay() -> None:
    net, spec = layers({"d": 1e-6})
    policy = replace(OPEN, most=0.9)
    found = removed(net, spec, Allocation(pattern=Unstructured(0.8), policy=policy))
    total = sum(p.numel() for p in net.parameters())
    assert found["d"] == 126 == int(0.9 * 140)
    assert sum(found.values()) == total - kept_count(total, 0.8)


def test_erk_densities_are_in_proportion_and_capped_layers_are_dense() -> None:
    net, spec = layers({})
    found = removed(net, spec, Allocation(pattern=Unstructured(0.3), method="erk", policy=OPEN))
    density = {name: 1 - n / net.get_parameter(name).numel() for name, n in found.items()}
    raw = {name: sum(shape) / torch.Size(shape).numel() for name, shape in SHAPES.items()}
    capped = [name for name in SHAPES if found[name] == 0]
    free = [name for name in SHAPES if name not in capped]
    assert "c" in capped
    ratios = [density[name] / raw[name] for name in free]
    assert max(ratios) / min(ratios) == pytest.approx(1, abs=0.03)
    assert all(min(ratios) * raw[name] > 1 for name in capped)


def priced(net: nn.Module, spec: ModelSpec, positions: dict[str, int], sparsity: float) -> tuple[dict[str, float], int]:
    """Spartan's densities where layers use each weight so often, and the MACs that are left."""
    dear = replace(spec, layers=tuple(replace(layer, positions=positions[layer.name]) for layer in spec.layers))
    found = removed(net, dear, Allocation(pattern=Unstructured(sparsity), method="spartan", policy=OPEN))
    sizes = {name: net.get_parameter(name).numel() for name in found}
    left = sum(positions[name] * (sizes[name] - n) for name, n in found.items())
    return {name: 1 - n / sizes[name] for name, n in found.items()}, left


def test_spartan_spends_a_budget_of_macs_and_expensive_layers_become_sparser() -> None:
    net, spec = layers({})
    positions = {"a": 1, "b": 8, "c": 1, "d": 2}
    for sparsity in (0.0, 0.3, 0.8):
        density, left = priced(net, spec, positions, sparsity)
        macs = sum(positions[name] * net.get_parameter(name).numel() for name in density)
        assert abs(left - (1 - sparsity) * macs) <= max(positions.values())
        assert not sparsity or density["a"] > density["d"] > density["b"]


def test_spartans_densities_are_the_soft_top_ks() -> None:
    net, spec = layers({})
    positions = {"a": 3, "b": 1, "c": 9, "d": 2}
    density, left = priced(net, spec, positions, 0.6)
    worth = {name: net.get_parameter(name).detach().abs().double() / positions[name] for name in density}
    mean = torch.cat([v.flatten() for v in worth.values()]).mean()
    low, high = -100.0, 100.0
    for _ in range(100):  # oracle: the multiplier of the budget, by bisection
        mu = (low + high) / 2
        m = {name: torch.sigmoid(10 * v / mean - mu) for name, v in worth.items()}
        spent = sum(positions[name] * float(m[name].sum()) for name in m)
        low, high = (mu, high) if spent > left else (low, mu)
    for name, found in density.items():
        assert found == pytest.approx(float(m[name].mean()), abs=2 / m[name].numel() + 1e-3)


def test_uniform_is_the_same_everywhere() -> None:
    net, spec = layers({})
    shares = sparsities(net, spec, Allocation(pattern=Unstructured(0.75), method="uniform", policy=OPEN))
    assert all(share == pytest.approx(0.75, abs=0.01) for share in shares.values())


def test_by_default_first_convolution_last_linear_and_depthwise_stay_dense() -> None:
    net, spec = layers({})

    def opened(policy: Policy) -> str:
        return "".join(sparsities(net, spec, Allocation(pattern=Unstructured(0.5), policy=policy)))

    assert opened(Policy()) == "b"
    assert opened(Policy(first="prune")) == "ab"
    assert opened(Policy(depthwise="prune", last="prune")) == "bcd"


def test_groups_of_n_to_m_are_the_same_everywhere_and_only_uniform() -> None:
    net, spec = layers({})
    plan = allocate(net, spec, Allocation(pattern=NM(keep=2, group=4), method="uniform", policy=OPEN), "pdp")
    assert dict(plan.patterns) == dict.fromkeys("abcd", NM(keep=2, group=4))
    with pytest.raises(PlanError, match="keep2of4 is the same in every layer"):
        Allocation(pattern=NM(keep=2, group=4))


@pytest.mark.parametrize("method", ["uniform", "global", "erk", "spartan"])
def test_channels_are_spread_over_groups_and_make_a_plan_that_fits(method: Method) -> None:
    plan = allocate(small(), SPEC, Allocation(pattern=Channel(0.5), method=method, policy=OPEN), "pdp", {"tau": 0.2})
    assert set(plan.patterns) == {"stem", "body"}  # the head's channels are outputs
    kept = plan.kept_channels(SPEC)
    gone = 9 * (8 - kept["stem"]) + 72 * (6 - kept["body"])
    assert abs(gone - 0.5 * (72 + 432)) <= 9 + 72
    assert plan.settings == {"tau": 0.2}


def test_what_cannot_be_spread_is_refused() -> None:
    net, spec = layers({})
    with pytest.raises(PlanError, match=r"at most 1087 can go without emptying a layer: ask for less than 0\.8998"):
        sparsities(net, spec, Allocation(pattern=Unstructured(0.95), policy=replace(OPEN, most=0.9)))
    with pytest.raises(PlanError, match=r"no layer is open to channel@0\.5"):
        sparsities(net, spec, Allocation(pattern=Channel(0.5)))
    with pytest.raises(PlanError, match="no allocation 'fair'"):
        Allocation(pattern=Unstructured(0.5), method="fair")
    with pytest.raises(PlanError, match="neither 'dense' nor 'prune'"):
        Policy(first="maybe")
    with pytest.raises(PlanError, match=r"most 1\.0 is outside"):
        Policy(most=1.0)
    with pytest.raises(PlanError, match="no pruner"):
        allocate(net, spec, Allocation(pattern=Unstructured(0.5)), "lottery")


def test_layer_solvers_are_served_too_and_refused_what_they_cannot_do() -> None:
    net, spec = layers({})
    asked = Allocation(pattern=Unstructured(0.5), policy=OPEN)
    solved, masked = (allocate(net, spec, asked, pruner) for pruner in ("sparsegpt", "magnitude"))
    assert solved.pruner == "sparsegpt" and solved.patterns == masked.patterns
    with pytest.raises(PlanError, match="layer solvers choose single weights"):
        allocate(small(), SPEC, Allocation(pattern=Channel(0.5), policy=OPEN), "sparsegpt")
