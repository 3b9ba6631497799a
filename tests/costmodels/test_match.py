"""Matching a profile to a model: every rule, what is left open, and how much of both sides is covered."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.catalogue import cost_model
from costmodels.errors import MatchError
from costmodels.match import match, require_match
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Dense
from tests.costmodels.models import conv, linear, model_of, resnet18

RESNET = resnet18()


def described(layer: LayerSpec, name: str, **other: object) -> ProfileLayer:
    """What a runtime that tells everything would say of a layer, under a name of its own."""
    fields = {
        "op": layer.op,
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "kernel": layer.kernel,
        "stride": layer.stride,
        "groups": layer.groups,
        "output_size": layer.output_size,
        "weights": layer.weights,
    }
    return ProfileLayer(**{"name": name, **fields, **other})  # type: ignore[arg-type]


def profile_of(*layers: ProfileLayer, times: dict[str, float] | None = None) -> Profile:
    rows = tuple(ProfileRow(layer=la.name, latency_ms=(times or {}).get(la.name, 1.0)) for la in layers)
    return Profile(
        name="bench", device="board", batch=1, precision="float32", source="measured", layers=layers, rows=rows
    )


def anonymous(model: ModelSpec) -> list[ProfileLayer]:
    return [described(layer, f"kernel {n}") for n, layer in enumerate(model.layers)]


def test_shapes_and_order_suffice_where_names_are_gone() -> None:
    report = match(profile_of(*anonymous(RESNET)), RESNET)
    assert report.matched == {layer.name: (f"kernel {n}",) for n, layer in enumerate(RESNET.layers)}
    assert report.rules["shape"] == 21
    assert (report.macs_share, report.time_share, report.unused) == (1.0, 1.0, ())


def test_other_layers_pass_between_and_count_as_time_only() -> None:
    pooling = ProfileLayer(name="pool", role="other", op="MaxPool")
    layers = [*anonymous(RESNET)[:1], pooling, *anonymous(RESNET)[1:]]
    report = match(profile_of(*layers, times={"pool": 21.0}), RESNET)
    assert (report.macs_share, report.time_share) == (1.0, 0.5)
    assert report.unused == ("pool",)


@pytest.mark.parametrize("index", range(21))
def test_a_missing_row_leaves_its_equals_open_and_nothing_else(index: int) -> None:
    """One row of a signature is gone: nobody can tell which, so all its equals are asked about."""
    gone = RESNET.layers[index]
    report = match(profile_of(*[la for n, la in enumerate(anonymous(RESNET)) if n != index]), RESNET)
    equals = {
        la.name for la in RESNET.layers if replace(la, name="", parameter="") == replace(gone, name="", parameter="")
    }
    assert set(report.missing) == equals
    assert {name for case in report.ambiguous for name in case.layers} == (equals if len(equals) > 1 else set())


def test_a_choice_that_is_open_stops_and_asks() -> None:
    layers = anonymous(RESNET)
    doubled = [*layers, replace(layers[1], name="kernel 1 again")]
    profile = profile_of(*doubled)
    report = match(profile, RESNET)
    with pytest.raises(
        MatchError, match=r"'layer1.0.conv1'.*'kernel 1'.*4 layers but 5 rows.*acknowledge \"ambiguity\""
    ):
        require_match(profile, report)
    with pytest.raises(MatchError, match="covers"):  # 4 of 20 convolutions are then unmatched
        require_match(profile, report, ("ambiguity",))
    settled = [
        replace(la, members=(RESNET.layers[n].name,)) if n in range(1, 5) else la for n, la in enumerate(doubled)
    ]
    answer = match(profile_of(*settled), RESNET)
    assert (answer.ambiguous, answer.macs_share, answer.unused) == ((), 1.0, ("kernel 1 again",))


def test_a_fused_layer_gives_its_time_to_the_member_with_weights() -> None:
    model = model_of([conv("a", 3, 8), conv("b", 8, 8)], [])
    profile = profile_of(ProfileLayer(name="a + relu_1"), ProfileLayer(name="k7", members=("b.weight", "Add_3")))
    report = match(profile, model)
    assert report.matched == {"a": ("a + relu_1",), "b": ("k7",)}
    assert report.rules["fused"] == 2


def test_layers_fused_into_one_share_its_time_by_their_multiply_adds() -> None:
    model = model_of([conv("q", 8, 8), conv("k", 8, 24)], [])
    priced = cost_model(profile_of(ProfileLayer(name="q || k"), times={"q || k": 4.0}), model)
    costs = [priced.cost(layer, layer, Dense()).latency_ms for layer in model.layers]
    assert costs == [pytest.approx(1.0), pytest.approx(3.0)]


def test_another_resolution_is_scaled_by_positions_and_says_so() -> None:
    model, large = resnet18(64), profile_of(*anonymous(RESNET))
    report = match(large, model)
    assert report.rules["scaled"] == 20
    assert report.rules["shape"] == 1  # the classifier sees one position either way
    assert report.matches["conv1"].share == pytest.approx((64 / 224) ** 2)
    priced = cost_model(large, model)
    cost = priced.cost(model.layers[0], model.layers[0], Dense())
    assert (cost.latency_ms, cost.derivation) == (pytest.approx((64 / 224) ** 2), "scaled")


def test_a_layer_called_twice_takes_two_rows() -> None:
    shared = replace(conv("shared", 8, 8), calls=2)
    model = model_of([shared, linear("fc", 8, 2)], [])
    once = conv("once", 8, 8)
    report = match(profile_of(described(once, "k0"), described(once, "k1"), described(linear("f", 8, 2), "k2")), model)
    assert report.matched == {"shared": ("k0", "k1"), "fc": ("k2",)}


def test_a_name_with_another_shape_is_misshapen_not_matched() -> None:
    model = model_of([conv("a", 3, 8)], [])
    report = match(profile_of(described(conv("a", 3, 16), "a")), model)
    assert (report.misshapen, report.matched) == (("a",), {})


@pytest.mark.parametrize(
    "stated", [{"kernel": (1, 1)}, {"in_channels": 4}, {"groups": 8}, {"out_channels": 4, "weights": 576}]
)
def test_any_stated_difference_of_shape_speaks_against_a_name(stated: dict[str, object]) -> None:
    ours = conv("a", 8, 8)
    told = described(ours, "a", **{"weights": None, **stated})
    report = match(profile_of(told), model_of([ours], []))
    assert (report.misshapen, report.matched) == (("a",), {})


def test_a_linear_over_a_map_may_run_as_a_convolution_of_as_many_weights() -> None:
    told = ProfileLayer(
        name="fc", op="conv2d", in_channels=32, out_channels=10, kernel=(7, 7), groups=1, weights=15680, positions=1
    )
    assert match(profile_of(told), model_of([linear("fc", 32 * 49, 10)], [])).rules["name"] == 1


def test_a_linear_and_a_convolution_of_one_by_one_are_the_same_work() -> None:
    model = model_of([conv("point", 8, 16, size=4, kernel=1), linear("fc", 16, 10)], [])
    tokens = ProfileLayer(name="k0", op="linear", in_channels=8, out_channels=16, positions=16)
    last = described(conv("k1", 16, 10, size=1, kernel=1), "k1")
    report = match(profile_of(tokens, last), model)
    assert (report.matched, report.rules["shape"]) == ({"point": ("k0",), "fc": ("k1",)}, 2)
    strided = replace(last, stride=(2, 2))
    assert match(profile_of(tokens, strided), model).missing == ("fc",)


@pytest.mark.parametrize("name", ["a", "module.A", "a + relu"])
def test_a_name_at_another_resolution_is_scaled_and_says_so(name: str) -> None:
    model = model_of([conv("a", 8, 8, size=8)], [])
    profile = profile_of(described(conv("a", 8, 8, size=16), name))
    found = match(profile, model).matches["a"]
    assert (found.rule, found.share) == ("scaled", 0.25)
    cost = cost_model(profile, model).cost(model.layers[0], model.layers[0], Dense())
    assert (cost.latency_ms, cost.derivation) == (0.25, "scaled")


def test_a_choice_between_alike_names_is_settled_by_a_member() -> None:
    model = model_of([conv("a", 8, 8)], [])
    first, second = ProfileLayer(name="module.a"), ProfileLayer(name="A")
    assert len(match(profile_of(first, second), model).ambiguous) == 1
    answer = match(profile_of(first, replace(second, members=("a",))), model)
    assert (answer.matched, answer.ambiguous, answer.unused) == ({"a": ("A",)}, (), ("module.a",))


def test_the_map_that_comes_in_is_as_good_as_the_one_that_goes_out() -> None:
    layers = [
        replace(la, output_size=(), input_size=ours.input_size)
        for la, ours in zip(anonymous(RESNET), RESNET.layers, strict=True)
    ]
    report = match(profile_of(*layers), RESNET)
    assert (report.rules["shape"], report.macs_share) == (21, 1.0)


def test_unknown_shapes_match_nothing_by_shape() -> None:
    model = model_of([conv("a", 3, 8)], [])
    told = described(conv("a", 3, 8), "k")
    for forgotten in ("kernel", "stride", "in_channels", "output_size"):
        vague = replace(told, **{forgotten: None if forgotten == "in_channels" else ()})
        assert match(profile_of(vague), model).matched == {}


@given(st.permutations(range(21)), st.integers(0, 21))
@settings(max_examples=30, deadline=None)
def test_nothing_is_matched_twice_and_shares_stay_shares(order: list[int], kept: int) -> None:
    layers = anonymous(RESNET)
    some = [layers[n] for n in order[: max(kept, 1)]]
    report = match(profile_of(*some), RESNET)
    partners = [p for m in report.matches.values() for p in m.partners]
    assert len(partners) == len(set(partners))
    assert 0.0 <= report.macs_share <= 1.0 and 0.0 <= report.time_share <= 1.0 + 1e-12
    assert {*report.matches, *report.missing, *report.misshapen} == {la.name for la in RESNET.layers}
    assert {*partners, *report.unused} == {la.name for la in some}
