"""Wrong searches cannot be built, and say where they are wrong; right ones survive JSON."""

import json
from dataclasses import replace
from typing import Any

import pytest

from app.search.pruners import PrunerName
from app.search.spec import Limit, Post, Recovery, SearchSpec, SpecError, Task
from pruning.plan import DKM, Int8

LEAST: dict[str, Any] = {"model": "m", "dataset": "d", "profiles": ("p", "q")}


def test_json_is_its_inverse() -> None:
    spec = SearchSpec(
        **LEAST,
        name="näme",
        task=Task(classes=("b", "a"), mean=(0.1,), std=(0.2,)),
        patterns=("channel", "block", "kernel"),
        pruners=("spartan", "movement-soft"),
        blocks=("block4x1", "block16x16"),
        post=(Post(kind="dkm", bits=2),),
        limits=(
            Limit(profile="q", share=0.5),
            Limit(profile="p", latency_ms=2.0),
            Limit(profile="p", energy_mj=3.0),
            Limit(profile="q", weight_bytes=1e6),
        ),
        recovery=Recovery(steps=0),
        acknowledge=("coverage",),
    )
    for given in (spec, SearchSpec(**LEAST)):
        assert SearchSpec.from_json(json.loads(json.dumps(given.to_json()))) == given


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"profiles": ()}, "/profiles: 0 is outside 1 ... 8"),
        ({"profiles": ("p", "p")}, "/profiles: names 'p' twice"),
        ({"patterns": ("channel", "channel")}, "/patterns: names 'channel' twice"),
        ({"patterns": ("columns",)}, r"/patterns: 'columns' is unknown; known are \['unstructured', 'nm', 'block', "),
        ({"patterns": ()}, "/patterns: 0 is outside"),
        (
            {"pruners": ("lottery",)},
            "/pruners: 'lottery' is unknown; known are .*'gmp', .*'obc'",
        ),
        ({"pruners": ("wanda",)}, "/pruners: 'wanda' does not serve channel patterns: leave them out"),
        ({"pruners": ("sr_ste",)}, "/pruners: 'sr_ste' does not serve channel patterns"),
        (
            {"pruners": ("obc",), "patterns": ("nm", "kernel", "block")},
            "/pruners: 'obc' does not serve kernel and",
        ),
        ({"blocks": ("block0x1",)}, "/blocks: 'block0x1' is no size of blocks; write block4x1"),
        ({"blocks": ("kernel",)}, "/blocks: 'kernel' is no size of blocks"),
        ({"blocks": ("block4x1", "block04x1")}, r"/blocks: names '\(4, 1\)' twice"),
        ({"post": (Post(kind="dkm", dim=2),)}, "/post: dkm stores runs of dim weights, which zeros of unstructured"),
        ({"post": (Post(kind="int8"), Post(kind="dkm"))}, "/post: post-steps int8 and dkm each say"),
        ({"sampler": "cmaes"}, "/sampler: 'cmaes' is unknown"),
        ({"sparsities": (0.5, 0.5)}, "/sparsities: names '0.5' twice"),
        ({"sparsities": (50,)}, "/sparsities: 50 is outside"),
        ({"sparsities": (float("nan"),)}, "/sparsities: nan is outside"),
        ({"nm": ("1:4",)}, "/nm: "),
        ({"nm": ("dense",)}, "/nm: 'dense' is no N:M pattern; write keep2of4"),
        ({"nm": ("2:4", "keep2of4")}, "/nm: names 'keep2of4' twice"),
        ({"trials": 0}, "/trials: 0"),
        ({"seed": -1}, "/seed: -1"),
        ({"limits": (Limit(profile="r", share=0.5),)}, "/limits: profile 'r' is not among"),
    ],
)
def test_wrong_searches_name_the_place(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        SearchSpec(**(LEAST | wrong))
    assert caught.value.field == f"/{next(iter(wrong))}"


@pytest.mark.parametrize(
    ("part", "wrong", "field"),
    [
        (Task, {"mean": (0.5,)}, "/task/std"),
        (Task, {"mean": (0.5,), "std": (0.0,)}, "/task/std"),
        (Task, {"mean": (float("nan"),), "std": (1.0,)}, "/task/mean"),
        (Task, {"classes": ("a", "b", "a")}, "/task/classes"),
        (Task, {"output": -1}, "/task/output"),
        (Recovery, {"steps": -1}, "/recovery/steps"),
        (Recovery, {"learning_rate": float("inf")}, "/recovery/learning_rate"),
        (Post, {"kind": "int4"}, "/post"),
        (Post, {"kind": "int8", "bits": 8}, "/post"),
        (Post, {"kind": "dkm", "bits": 9}, "/post"),
        (Limit, {"profile": "p"}, "/limits"),
        (Limit, {"profile": "p", "share": 0.5, "latency_ms": 1.0}, "/limits"),
        (Limit, {"profile": "p", "share": 1.5}, "/limits/share"),
        (Limit, {"profile": "p", "energy_mj": 1.0, "weight_bytes": 1.0}, "/limits"),
        (Limit, {"profile": "p", "energy_mj": 0.0}, "/limits/energy_mj"),
        (Limit, {"profile": "p", "weight_bytes": float("inf")}, "/limits/weight_bytes"),
    ],
)
def test_wrong_parts_name_the_place(part: type, wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(SpecError) as caught:
        part(**wrong)
    assert caught.value.field == field


def test_searches_from_before_blocks_and_post_steps_are_read() -> None:
    stored = SearchSpec(**LEAST).to_json()
    del stored["blocks"], stored["post"]
    assert SearchSpec.from_json(stored) == SearchSpec(**LEAST)


def test_limits_from_before_energy_and_bytes_are_read() -> None:
    spec = SearchSpec(**LEAST, limits=(Limit(profile="p", share=0.5),))
    stored = spec.to_json()
    for limit in stored["limits"]:
        del limit["energy_mj"], limit["weight_bytes"]
    assert SearchSpec.from_json(stored) == spec


def test_post_steps_are_those_of_plans() -> None:
    assert SearchSpec(**LEAST).post_steps == ()
    assert SearchSpec(**LEAST, post=(Post(kind="int8"),)).post_steps == (Int8(),)
    vectors = SearchSpec(**LEAST, patterns=("channel",), post=(Post(kind="dkm", dim=2),))
    assert vectors.post_steps == (DKM(bits=4, dim=2),)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(TypeError):
        SearchSpec.from_json(SearchSpec(**LEAST).to_json() | {"flavour": 1})


@pytest.mark.parametrize(
    ("pruners", "table"),
    [
        (("magnitude", "pdp"), "oneshot"),
        (("magnitude", "wanda"), "oneshot"),
        (("magnitude", "sparsegpt"), "reconstructed"),
        (("obc", "pdp"), "reconstructed"),
    ],
)
def test_the_error_table_suits_the_pruners_and_is_kept_by_name(pruners: tuple[PrunerName, ...], table: str) -> None:
    spec = SearchSpec(model="m", dataset="d", profiles=("p",), pruners=pruners)
    assert spec.error_table == table and spec.to_json()["error_table"] == table
    assert SearchSpec.from_json(spec.to_json()) == spec
    assert replace(spec, error_table="prior").error_table == "prior"
