"""Prices of whole plans: groups that do not add up, and many plans at once against one at a time."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.base import LayerCost, NetworkGroup, Source
from costmodels.match import match
from costmodels.network import PlanPricer, network_cost
from costmodels.profile import Profile, ProfileGroup, ProfileRow
from costmodels.profile_table import profile_table
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import blocks, chain, conv, group, linear, model_of, shared_stage


@dataclass(frozen=True)
class ByHand:
    """A cost model without rows: every weight that is left takes a time, and so does every layer."""

    groups: tuple[NetworkGroup, ...] = ()
    name: str = "by hand"
    batch: int = 1
    precision: str = "float32"
    overhead_ms: float = 0.25
    overhead_source: Source = "measured"
    half_width: float | None = None
    asked: list[str] = field(default_factory=list)

    def cost(self, dense: LayerSpec, now: LayerSpec, pattern: Pattern) -> LayerCost:
        self.asked.append(dense.name)
        return LayerCost(now.weights * pattern.density * 1e-3 + 0.5, "measured", "exact")


def test_layers_beside_each_other_take_the_time_of_the_slowest() -> None:
    model = shared_stage()
    beside = NetworkGroup(rule="parallel_max", layers=("stem", "branch"))
    plan = PruningPlan(pruner="", patterns={"stem": Unstructured(0.5)})
    one_by_one = network_cost(model, plan, ByHand())
    together = network_cost(model, plan, ByHand((beside,)))
    assert together.latency_ms == pytest.approx(one_by_one.latency_ms - one_by_one.layers["stem"].latency_ms)
    assert sum(together.sources.values()) == pytest.approx(1.0)


def test_a_cluster_runs_sparse_only_when_it_has_enough_zeros_together() -> None:
    model = chain((16, 16))
    cluster = NetworkGroup(rule="cluster_threshold", layers=("c0", "c1"), min_sparsity=0.66)

    def latency_ms(first: float, second: float) -> float:
        plan = PruningPlan(pruner="", patterns={"c0": Unstructured(first), "c1": Unstructured(second)})
        return network_cost(model, plan, ByHand((cluster,))).latency_ms

    dense_ms = network_cost(model, PruningPlan(pruner=""), ByHand()).latency_ms
    assert latency_ms(0.0, 0.75) == dense_ms  # 0.63 of both together
    assert latency_ms(0.0, 0.8) == pytest.approx(dense_ms - 0.8 * 16 * 16 * 9 * 1e-3)


@given(st.sampled_from([0.1, 0.3, 0.6, 0.7, 0.8, 0.9]), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_a_cluster_at_its_threshold_has_enough_zeros(sparsity: float, first: int, second: int) -> None:
    model = chain((first, second))
    cluster = NetworkGroup(rule="cluster_threshold", layers=("c0", "c1"), min_sparsity=sparsity)
    plan = PruningPlan(pruner="", patterns={"c0": Unstructured(sparsity), "c1": Unstructured(sparsity)})
    priced = [network_cost(model, plan, ByHand(groups)).latency_ms for groups in ((), (cluster,))]
    assert priced[0] == priced[1]


@pytest.mark.parametrize("whole_ms", [1.5, 6.0, 9.0])
def test_the_dense_network_takes_what_was_measured_whatever_runs_beside_what(whole_ms: float) -> None:
    model = chain((16, 16))
    rows = (*(ProfileRow(layer=la.name, latency_ms=2.0) for la in model.layers), ProfileRow(layer="pool", latency_ms=1))
    groups = (ProfileGroup(rule="parallel_max", members=("c0", "c1")),)
    header = {"name": "p", "device": "d", "batch": 1, "precision": "float32", "source": "measured"}
    profile = Profile(**header, rows=rows, groups=groups, network_latency_ms=whole_ms)  # type: ignore[arg-type]
    priced = profile_table(profile, model, match(profile, model))
    assert network_cost(model, PruningPlan(pruner=""), priced).latency_ms == pytest.approx(whole_ms)
    assert priced.factor == pytest.approx(min(1.0, whole_ms / 5.0))


def test_a_profile_brings_its_groups_in_the_models_names() -> None:
    model = chain((16, 16))
    rows = tuple(ProfileRow(layer=f"module.{la.name}", latency_ms=2.0) for la in model.layers)
    groups = (ProfileGroup(rule="parallel_max", members=("module.c0", "module.c1")),)
    profile = Profile(name="p", device="d", batch=1, precision="float32", source="measured", rows=rows, groups=groups)
    priced = profile_table(profile, model, match(profile, model))
    assert priced.groups == (NetworkGroup(rule="parallel_max", layers=("c0", "c1")),)
    assert network_cost(model, PruningPlan(pruner=""), priced).latency_ms == pytest.approx(4.0)


def concat() -> ModelSpec:
    """One reader of two groups."""
    left, right, reader = conv("left", 3, 8), conv("right", 3, 12), conv("reader", 20, 10)
    return model_of([left, right, reader], [group("l", [left], [reader]), group("r", [right], [reader])])


def heads() -> ModelSpec:
    """Six heads of four channels, which one channel of the group takes away together."""
    q, o = linear("q", 24, 24), linear("o", 24, 24)
    cuts = (
        Cut(parameter=q.parameter, dim=0, role="producer", repeat=4),
        Cut(parameter=o.parameter, dim=1, role="consumer", repeat=4),
    )
    return model_of([q, o], [ChannelGroup(name="h", channels=6, producers=("q",), consumers=("o",), cuts=cuts)])


def grouped() -> ModelSpec:
    """A convolution in four groups that loses one input of each, and a depthwise one that doubles its channels."""
    first, wide = conv("first", 3, 16), conv("wide", 16, 24, groups=4)
    deep = replace(conv("deep", 24, 48), groups=24)
    inner = ChannelGroup(
        name="inner",
        channels=4,
        producers=("first",),
        consumers=("wide",),
        cuts=(
            *(Cut(parameter=first.parameter, dim=0, role="producer", offset=4 * n) for n in range(4)),
            Cut(parameter=wide.parameter, dim=1, role="consumer"),
        ),
    )
    outer = ChannelGroup(
        name="outer",
        channels=6,
        producers=("wide", "deep"),
        consumers=(),
        cuts=(
            *(Cut(parameter=wide.parameter, dim=0, role="producer", offset=6 * n) for n in range(4)),
            *(Cut(parameter=deep.parameter, dim=0, role="producer", repeat=2, offset=12 * n) for n in range(4)),
        ),
    )
    return model_of([first, wide, deep], [inner, outer])


MODELS = {
    "chain": chain((16, 24)),
    "blocks": blocks(count=2),
    "stage": shared_stage(),
    "concat": concat(),
    "heads": heads(),
    "grouped": grouped(),
}
GROUPS = {
    "none": (),
    "parallel": (NetworkGroup(rule="parallel_max", layers=("FIRST", "SECOND")),),
    "cluster": (NetworkGroup(rule="cluster_threshold", layers=("FIRST", "SECOND"), min_sparsity=0.5),),
}
OPTIONS: tuple[Pattern, ...] = (Dense(), Unstructured(0.5), Unstructured(0.9), NM(2, 4), Channel(0.25), Channel(0.6))


@given(st.sampled_from(sorted(MODELS)), st.sampled_from(sorted(GROUPS)), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_many_at_once_are_priced_like_one_at_a_time(name: str, grouped: str, seed: int) -> None:
    model, generator = MODELS[name], np.random.default_rng(seed)
    names = [layer.name for layer in model.layers]
    groups = tuple(
        NetworkGroup(rule=g.rule, layers=tuple(names[:2]), min_sparsity=g.min_sparsity) for g in GROUPS[grouped]
    )
    choices = generator.integers(0, len(OPTIONS), size=(7, len(names)))
    for column, layer in enumerate(names):
        family = model.family_of(layer)
        if not family:  # no channels to lose
            choices[:, column] %= 4
        else:  # all producers of a group choose alike
            choices[:, column] = choices[:, names.index(family[0].producers[0])]
    pricer = PlanPricer(model, dict.fromkeys(names, OPTIONS), ByHand(groups))
    plans = [
        PruningPlan(pruner="", patterns={n: OPTIONS[c] for n, c in zip(names, row, strict=True)}) for row in choices
    ]
    slow = [network_cost(model, plan, ByHand(groups)).latency_ms for plan in plans]
    np.testing.assert_allclose(pricer.latency_ms(choices), slow, rtol=1e-12)


def test_a_price_is_asked_for_once() -> None:
    model, cost_model = chain((16, 24)), ByHand()
    pricer = PlanPricer(model, {layer.name: OPTIONS[:4] for layer in model.layers}, cost_model)
    choices = np.random.default_rng(0).integers(0, 4, size=(50_000, 3))
    pricer.latency_ms(choices)
    assert len(cost_model.asked) == 12
    pricer.latency_ms(choices)
    assert len(cost_model.asked) == 12
