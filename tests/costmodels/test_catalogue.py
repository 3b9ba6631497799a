"""From profiles to prices of whole plans: matching, calibration, provenance, refusals."""

import pytest

from costmodels.catalogue import accelerator_profile, check_deployment, cost_model
from costmodels.errors import AcceleratorError, MatchError
from costmodels.match import match
from costmodels.network import network_cost
from costmodels.profile import Profile, ProfileRow
from costmodels.profile_table import ProfileTable
from pruning.errors import PlanError
from pruning.layers import ModelSpec
from pruning.patterns import Channel, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import blocks, chain, conv, model_of

MODEL = blocks(width=16, count=2)


def profile_of(model: ModelSpec, per_gmac_ms: float = 1000.0, **fields: object) -> Profile:
    rows = tuple(ProfileRow(layer=la.name, latency_ms=la.macs / 1e9 * per_gmac_ms) for la in model.layers)
    base = {"name": "bench", "device": "board", "batch": 1, "precision": "float32", "source": "measured"}
    return Profile(**{**base, "rows": rows, **fields})


def plan(**patterns: Pattern) -> PruningPlan:
    return PruningPlan(pruner="magnitude", patterns={k.replace("_", "."): v for k, v in patterns.items()})


def table(profile: Profile, model: ModelSpec = MODEL, acknowledge: tuple[str, ...] = ()) -> ProfileTable:
    priced = cost_model(profile, model, acknowledge)
    assert isinstance(priced, ProfileTable)
    return priced


def test_the_dense_network_is_the_sum_of_its_rows() -> None:
    cost = network_cost(MODEL, plan(), cost_model(profile_of(MODEL), MODEL))
    assert cost.latency_ms == pytest.approx(MODEL.macs / 1e6)
    assert cost.sources == {"measured": pytest.approx(1.0)}
    assert cost.derivations == {"exact": pytest.approx(1.0)}


def test_a_cut_group_shrinks_producer_and_consumer() -> None:
    priced = cost_model(profile_of(MODEL), MODEL)
    cost = network_cost(MODEL, plan(b0_conv1=Channel(0.5)), priced)
    half = MODEL.layer("b0.conv1").macs / 2 / 1e6
    assert cost.layers["b0.conv1"].latency_ms == pytest.approx(half)
    assert cost.layers["b0.conv2"].latency_ms == pytest.approx(half)
    assert cost.derivations["scaled"] == pytest.approx(2 * half / cost.latency_ms)


def test_shares_add_up_to_one() -> None:
    profile = profile_of(MODEL, network_latency_ms=MODEL.macs / 1e6 + 1.0)
    cost = network_cost(MODEL, plan(b0_conv1=Channel(0.5), b1_conv2=Unstructured(0.9)), cost_model(profile, MODEL))
    assert sum(cost.sources.values()) == pytest.approx(1.0)
    assert sum(cost.derivations.values()) == pytest.approx(1.0)
    assert cost.overhead_ms + sum(c.latency_ms for c in cost.layers.values()) == pytest.approx(cost.latency_ms)


def test_what_the_layers_leave_of_the_network_is_overhead() -> None:
    sum_ms = MODEL.macs / 1e6
    priced = table(profile_of(MODEL, network_latency_ms=sum_ms + 2.0, overhead_ms=9.0))
    assert (priced.overhead_ms, priced.factor) == (pytest.approx(2.0), 1.0)
    assert network_cost(MODEL, plan(), priced).latency_ms == pytest.approx(sum_ms + 2.0)


def test_layers_that_sum_to_more_than_the_network_are_scaled_and_say_so() -> None:
    sum_ms = MODEL.macs / 1e6
    priced = table(profile_of(MODEL, network_latency_ms=sum_ms * 0.8))
    assert (priced.overhead_ms, priced.factor) == (pytest.approx(0.0), pytest.approx(0.8))
    cost = network_cost(MODEL, plan(), priced)
    assert cost.latency_ms == pytest.approx(sum_ms * 0.8)
    assert cost.derivations == {"scaled": pytest.approx(1.0)}


def test_rows_of_no_layer_of_ours_are_time_that_no_plan_touches() -> None:
    extra = ProfileRow(layer="pooling", latency_ms=0.25)
    priced = table(profile_of(MODEL, rows=(*profile_of(MODEL).rows, extra)))
    assert priced.overhead_ms == pytest.approx(0.25)
    assert priced.report.unused == ("pooling",)
    whole = table(profile_of(MODEL, rows=(*profile_of(MODEL).rows, extra), network_latency_ms=MODEL.macs / 1e6 + 1))
    assert whole.overhead_ms == pytest.approx(1.0)


def test_names_match_without_their_wrappers() -> None:
    rows = tuple(
        ProfileRow(layer=f"module/{la.name.replace('.', '/').upper()}.weight", latency_ms=1.0) for la in MODEL.layers
    )
    report = match(profile_of(MODEL, rows=rows), MODEL)
    assert (report.macs_share, report.rules["normalised"], report.unused) == (1.0, len(MODEL.layers), ())


def test_two_that_claim_one_partner_stay_unmatched() -> None:
    model = model_of([conv("A", 3, 8), conv("a", 8, 8)], [])
    rows = (ProfileRow(layer="module.a", latency_ms=1.0),)
    assert match(profile_of(model, rows=rows), model).matched == {}


def test_coverage_is_gated_and_the_rest_is_said_to_be_modelled() -> None:
    model = model_of([conv(f"c{i}", 16, 16) for i in range(10)], [])
    rows = profile_of(model).rows
    nine = profile_of(model, rows=rows[:9])
    with pytest.raises(MatchError, match="coverage"):
        cost_model(nine, model)
    priced = cost_model(nine, model, ("coverage",))
    cost = priced.cost(model.layers[9], model.layers[9], Dense())
    assert (cost.source, cost.derivation) == ("analytical", "modelled")
    assert cost.latency_ms == pytest.approx(rows[9].latency_ms)
    assert network_cost(model, plan(), priced).sources == {
        "measured": pytest.approx(0.9),
        "analytical": pytest.approx(0.1),
    }
    stranger = ProfileRow(layer="stranger", latency_ms=1.0)
    with pytest.raises(MatchError, match=r"'c7'.*'stranger'"):
        cost_model(profile_of(model, rows=(*rows[:7], stranger)), model, ("coverage",))


def test_a_profile_of_another_width_does_not_match() -> None:
    wide = profile_of(blocks(width=32, count=2))
    rows = tuple(ProfileRow(layer=r.layer, latency_ms=r.latency_ms, in_channels=32, out_channels=32) for r in wide.rows)
    report = match(profile_of(MODEL, rows=rows), MODEL)
    assert set(report.misshapen) == {layer.name for layer in MODEL.layers}
    with pytest.raises(MatchError, match="other channel counts"):
        cost_model(profile_of(MODEL, rows=rows), MODEL)


def test_batch_and_precision_must_fit_or_be_acknowledged() -> None:
    profile = profile_of(MODEL)
    check_deployment(profile, batch=1, precision="float32")
    with pytest.raises(MatchError, match='acknowledge "batch"'):
        check_deployment(profile, batch=64, precision="float32")
    with pytest.raises(MatchError, match='acknowledge "precision"'):
        check_deployment(profile, batch=64, precision="int8", acknowledge=("batch",))
    check_deployment(profile, batch=64, precision="int8", acknowledge=("batch", "precision"))


def test_a_catalogue_profile_is_analytical_to_the_last_part() -> None:
    profile = accelerator_profile("eyeriss-v2", batch=64)
    assert Profile.from_csv(profile.to_csv()) == profile
    priced = cost_model(profile, MODEL)
    cost = network_cost(MODEL, plan(b0_conv2=Unstructured(0.9)), priced)
    assert cost.sources == {"analytical": pytest.approx(1.0)}
    assert cost.latency_ms < network_cost(MODEL, plan(), priced).latency_ms


def test_catalogue_profiles_name_their_precision_and_their_entry() -> None:
    with pytest.raises(AcceleratorError, match="say which"):
        accelerator_profile("nvidia-a100", batch=1)
    with pytest.raises(AcceleratorError, match="no figure"):
        accelerator_profile("nvidia-a100", batch=1, precision="int8")
    profile = accelerator_profile("nvidia-a100", batch=1, precision="float16")
    old = Profile.from_json(profile.to_json() | {"accelerator_digest": "0" * 64})
    with pytest.raises(AcceleratorError, match="has changed"):
        cost_model(old, MODEL)


def test_a_plan_that_does_not_fit_is_refused() -> None:
    priced = cost_model(accelerator_profile("eyeriss-v2", 1), MODEL)
    with pytest.raises(PlanError, match="'stem' cannot lose channels"):
        network_cost(MODEL, plan(stem=Channel(0.5)), priced)


def test_removing_channels_never_raises_macs_or_latency() -> None:
    model = chain()
    priced = cost_model(accelerator_profile("eyeriss-v2", 1), model)
    before = network_cost(model, plan(), priced).latency_ms
    for sparsity in (0.1, 0.5, 0.9):
        thinner = plan(c0=Channel(sparsity), c1=Channel(sparsity))
        assert sum(la.macs for la in thinner.shrunk(model)) <= model.macs
        after = network_cost(model, thinner, priced).latency_ms
        assert after < before
        before = after
