"""The space: which options stay, and a reason for each that does not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from app.search.space.build import Space, Unit, space
from app.search.spec import SearchSpec, SpecError
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.profile import Profile, ProfileRow
from pruning import masks
from pruning.layers import ModelSpec
from pruning.patterns import NM, Block, Channel, Unstructured
from pruning.plan import PruningPlan
from tests.costmodels.models import blocks, chain, conv, group, linear, model_of, shared_stage

MODEL = blocks(width=16, count=2)


def spec_of(**fields: object) -> SearchSpec:
    return SearchSpec(**{"model": "m", "dataset": "d", "profiles": ("p",), **fields})  # type: ignore[arg-type]


def channels_only(model: ModelSpec) -> CostModel:
    """A measured device: rows at full and half channels, nothing for zeros."""
    rows = [ProfileRow(layer=la.name, latency_ms=la.macs / 1e6) for la in model.layers]
    profile = Profile(name="cpu", device="cpu", batch=1, precision="float32", source="measured", rows=tuple(rows))
    return cost_model(profile, model)


def zeros_too(model: ModelSpec) -> CostModel:
    return cost_model(accelerator_profile("eyeriss-v2", 1), model)


def unit_of(built: Space, name: str) -> Unit:
    return next(unit for unit in built.units if unit.name == name)


def reason(built: Space, layer: str, pattern: str) -> str:
    return next(d.reason for d in built.dropped if (d.layer, d.pattern) == (layer, pattern))


def both(model: ModelSpec) -> Mapping[str, CostModel]:
    return {"cpu": channels_only(model), "eyeriss": zeros_too(model)}


def test_every_layer_is_in_one_unit_and_the_first_option_is_dense() -> None:
    for model in (MODEL, chain(), shared_stage()):
        built = space(model, spec_of(), both(model))
        decided = [layer for unit in built.units for layer in unit.layers]
        assert sorted(decided) == sorted(layer.name for layer in model.layers)
        assert all(unit.options[0].patterns == {} for unit in built.units)


def test_an_option_stays_when_one_device_rewards_it() -> None:
    built = space(MODEL, spec_of(), both(MODEL))
    names = {option.name for option in unit_of(built, "b0.conv1").options}
    assert {"dense", "unstructured@0.5", "keep2of4", "channel@0.5"} <= names
    assert {option.name for option in unit_of(built, "b0.conv2").options} >= {"unstructured@0.9"}


def test_what_no_device_rewards_is_dropped_with_the_reason() -> None:
    built = space(MODEL, spec_of(), {"cpu": channels_only(MODEL)})
    kinds = {type(p) for unit in built.units for option in unit.options for p in option.patterns.values()}
    assert kinds == {Channel}
    assert "does not pay: saves 0.0% " in reason(built, "stem", "unstructured@0.9")
    assert "on cpu" in reason(built, "stem", "unstructured@0.9")
    both_said = reason(space(MODEL, spec_of(), both(MODEL)), "stem", "channel")
    assert "padded" in both_said


def test_options_that_are_the_same_or_impossible_are_dropped() -> None:
    built = space(MODEL, spec_of(nm=("keep2of4", "keep3of4")), {"e": zeros_too(MODEL)})
    assert "keeps the same 1 of 16 channels as channel@0.9" in reason(built, "b0.conv1", "channel@0.95")
    assert "3 input channel(s)" in reason(built, "stem", "keep3of4")
    tiny = model_of([linear("fc", 4, 2)], [])
    assert "none of 8 weights" in reason(space(tiny, spec_of(), {"e": zeros_too(tiny)}), "fc", "unstructured@0.9")


def test_depthwise_layers_take_no_group_pattern() -> None:
    first, depth, last = conv("a", 3, 16), conv("dw", 16, 16, groups=16), conv("b", 16, 8)
    model = model_of([first, depth, last], [group("g", [first, depth], [last])])
    built = space(model, spec_of(), {"e": zeros_too(model)})
    assert "makes no zeros" in reason(built, "dw", "keep2of4")
    joint = unit_of(built, "g").joint
    assert joint
    assert set(unit_of(built, "g").options[joint[0]].patterns) == {"a", "dw"}


def test_frozen_layers_stay_as_they_are() -> None:
    built = space(MODEL, spec_of(frozen_layers=("b0.conv2", "fc")), both(MODEL))
    assert len(unit_of(built, "b0.conv2").options) == 1
    assert len(unit_of(built, "fc").options) == 1
    assert reason(built, "fc", "all") == "the search freezes this layer"
    assert "'b0.conv2'" in reason(built, "b0.conv1", "channel")
    assert not any(isinstance(p, Channel) for o in unit_of(built, "b0.conv1").options for p in o.patterns.values())
    with pytest.raises(SpecError, match="/frozen_layers"):
        space(MODEL, spec_of(frozen_layers=("b9",)), both(MODEL))


def test_blocks_of_each_size_at_every_sparsity_that_differs() -> None:
    built = space(MODEL, spec_of(patterns=("block",), blocks=("block4x1", "block16x16")), {"e": zeros_too(MODEL)})
    names = [option.name for option in unit_of(built, "b0.conv1").options]
    assert names[:3] == ["dense", "block4x1@0.3", "block4x1@0.5"] and "block16x16@0.5" in names
    assert reason(built, "b0.conv1", "block16x16@0.9") == "keeps the same 1 of 9 tiles as block16x16@0.8"
    assert reason(built, "fc", "block16x16@0.3") == "keeps the same 1 of 1 tiles as dense"


@pytest.mark.parametrize("op", ["conv2d", "conv_transpose2d"])
def test_tiles_and_kernels_are_counted_as_masks_lay_them_out(op: str) -> None:
    layer = replace(conv("a", 6, 8, groups=2), op=op)
    shape = (8, 3, 3, 3) if op == "conv2d" else (4, 6, 3, 3)  # outputs first
    spec = spec_of(patterns=("block", "kernel"), blocks=("block3x2",), sparsities=(0.99, 0.995))
    built = space(model_of([layer], []), spec, {"e": zeros_too(model_of([layer], []))})
    tiles = masks.split(torch.ones(shape), Block(3, 2, 0.5)).numel()
    assert reason(built, "a", "block3x2@0.995") == f"keeps the same 1 of {tiles} tiles as block3x2@0.99"
    assert reason(built, "a", "kernel@0.995") == "keeps the same 1 of 24 kernels as kernel@0.99"


def test_kernels_only_where_they_are_more_than_a_weight() -> None:
    built = space(MODEL, spec_of(patterns=("kernel",)), {"e": zeros_too(MODEL)})
    assert {"dense", "kernel@0.5"} <= {option.name for option in unit_of(built, "b0.conv1").options}
    assert "a kernel would be a single weight" in reason(built, "fc", "kernel")


def test_what_a_layer_solver_cannot_do_is_left_dense() -> None:
    turned = replace(conv("up", 8, 8), op="conv_transpose2d")
    model = model_of([turned, linear("fc", 8, 8)], [])
    spec = spec_of(patterns=("unstructured",), pruners=("sparsegpt",))
    built = space(model, spec, {"e": zeros_too(model)})
    assert "this is conv_transpose2d" in reason(built, "up", "all")
    assert len(unit_of(built, "up").options) == 1 and len(unit_of(built, "fc").options) > 1
    both_ways = spec_of(patterns=("unstructured",), pruners=("magnitude", "sparsegpt"))
    said = {dropped.reason for dropped in space(model, both_ways, {"e": zeros_too(model)}).dropped}
    assert not any("this is conv_transpose2d" in reason for reason in said), "magnitude can"


def test_only_the_patterns_asked_for() -> None:
    built = space(MODEL, spec_of(patterns=("nm",)), both(MODEL))
    found = {p for unit in built.units for option in unit.options for p in option.patterns.values()}
    assert found == {NM(2, 4)}


def test_units_of_several_layers_combine_own_options_or_go_jointly() -> None:
    model = shared_stage()
    unit = unit_of(space(model, spec_of(), both(model)), "sum")
    assert unit.combinable
    assert unit.layers == ("stem", "branch")
    stem, branch = unit.own("stem")[1], unit.own("branch")[2]
    assert set(unit.patterns((stem, branch))) == {"stem", "branch"}
    assert unit.patterns(unit.joint[0])["stem"] == unit.patterns(unit.joint[0])["branch"]
    with pytest.raises(ValueError, match="twice"):
        unit.patterns((stem, unit.joint[0]))
    assert not unit_of(space(model, spec_of(), both(model)), "reader").combinable


def test_every_choice_makes_a_plan_that_fits_the_model() -> None:
    for model in (MODEL, chain(), shared_stage()):
        built = space(model, spec_of(), both(model))
        for index, unit in enumerate(built.units):
            for option in range(len(unit.options)):
                choices = [0] * len(built.units)
                choices[index] = option
                plan = built.plan(choices, "pdp", {"tau": 0.1})
                plan.shrunk(model)
                assert PruningPlan.from_json(plan.to_json()) == plan


def test_the_space_is_json_and_says_what_was_dropped() -> None:
    document = space(MODEL, spec_of(), both(MODEL)).to_json()
    assert document["units"][0]["name"] == "stem"
    assert all(set(entry) == {"layer", "pattern", "reason"} for entry in document["dropped"])
    option = unit_of(space(MODEL, spec_of(), both(MODEL)), "fc").options[1]
    assert option.to_json() == {"fc": {"kind": "unstructured", "sparsity": 0.3}}
    assert option.patterns == {"fc": Unstructured(0.3)}
