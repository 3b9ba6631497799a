"""Does it pay: verdicts, thresholds and reasons, on tables made by hand."""

import pytest

from costmodels.base import CostModel
from costmodels.match import match
from costmodels.pays import Payoff, does_it_pay
from costmodels.profile import Profile, ProfileGroup, ProfileRow
from costmodels.profile_table import profile_table
from pruning.layers import ModelSpec
from pruning.patterns import NM, Block
from tests.costmodels.models import blocks, chain, conv, model_of


def priced(model: ModelSpec, *sparse: ProfileRow, **header: object) -> CostModel:
    rows = (*(ProfileRow(layer=la.name, latency_ms=10.0) for la in model.layers), *sparse)
    base = {"name": "p", "device": "d", "batch": 1, "precision": "float32", "source": "measured"}
    profile = Profile(**{**base, "rows": rows, **header})  # type: ignore[arg-type]
    return profile_table(profile, model, match(profile, model))


def verdicts(model: ModelSpec, cost_model: CostModel, **asked: object) -> dict[tuple[str, str], Payoff]:
    return {(p.layer, p.kind): p for p in does_it_pay(model, {"d": cost_model}, **asked)}  # type: ignore[arg-type]


MODEL = chain((16, 24))


def test_zeros_without_rows_never_pay_and_say_why() -> None:
    found = verdicts(MODEL, priced(MODEL))
    for kind in ("unstructured", "keep2of4", "keep1of4"):
        assert (found["c1", kind].verdict, found["c1", kind].saved_share) == ("never", 0.0)
        assert "dense time" in found["c1", kind].reason


def test_a_table_pays_above_its_break_even() -> None:
    rows = [
        ProfileRow(layer="c1", pattern=f"unstructured@{s:g}", latency_ms=10.0 * (1.6 * (1 - s) + 0.1))
        for s in (0.4, 0.9)
    ]
    found = verdicts(MODEL, priced(MODEL, *rows))["c1", "unstructured"]
    assert (found.verdict, found.from_sparsity, found.at_sparsity) == ("above", 0.5, 0.9)
    assert found.saved_share == pytest.approx(1 - 0.26)
    assert "50%" in found.reason and "measured" in found.reason


def test_a_bump_moves_the_threshold_up() -> None:
    rows = [
        ProfileRow(layer="c1", pattern=f"unstructured@{s:g}", latency_ms=ms)
        for s, ms in ((0.5, 8.0), (0.6, 11.0), (0.7, 7.0), (0.8, 6.0), (0.9, 5.0), (0.95, 4.0))
    ]
    assert verdicts(MODEL, priced(MODEL, *rows))["c1", "unstructured"].from_sparsity == 0.7


def test_group_patterns_pay_where_they_are_listed_and_make_zeros() -> None:
    rows = [ProfileRow(layer=name, pattern="keep2of4", latency_ms=6.0) for name in ("c0", "c1")]
    found = verdicts(MODEL, priced(MODEL, *rows))
    assert found["c1", "keep2of4"].verdict == "pays"
    assert found["c1", "keep1of4"].saved_share == pytest.approx(0.4)  # runs as the pattern it satisfies
    thin = model_of([conv("deep", 8, 8, groups=8)], [])
    assert verdicts(thin, priced(thin))["deep", "keep2of4"].verdict == "cannot"


def test_channels_count_with_those_who_read_them() -> None:
    found = verdicts(MODEL, priced(MODEL))["c0", "channel"]
    assert (found.verdict, found.from_sparsity) == ("pays", 0.25)
    assert found.saved_share == pytest.approx(1 - 1 / 16)  # one of 16 channels is left, in both layers
    assert "scaled" in found.reason


def test_channels_that_cannot_go_are_named() -> None:
    model = blocks(count=1)
    found = verdicts(model, priced(model))["stem", "channel"]
    assert (found.verdict, found.reason) == ("cannot", "channels are padded by aten.pad, which shifts them")


def test_rounding_up_takes_the_pay_away() -> None:
    found = verdicts(MODEL, priced(MODEL, channel_multiple=16), sparsities=(0.25, 0.5))["c0", "channel"]
    assert (found.verdict, found.saved_share) == ("never", 0.0)


def test_a_clusters_threshold_is_that_of_its_layers() -> None:
    rows = [
        ProfileRow(layer=name, pattern=f"unstructured@{s:g}", latency_ms=10.0 * (1.0 - s))
        for name in ("c0", "c1")
        for s in (0.5, 0.95)
    ]
    cluster = ProfileGroup(rule="cluster_threshold", members=("c0", "c1"), min_sparsity=0.7)
    alone = verdicts(MODEL, priced(MODEL, *rows))["c1", "unstructured"]
    together = verdicts(MODEL, priced(MODEL, *rows, groups=(cluster,)))["c1", "unstructured"]
    assert (alone.from_sparsity, together.from_sparsity) == (0.5, 0.7)
    assert together.saved_share == alone.saved_share


def test_blocks_are_asked_about_when_wished() -> None:
    row = ProfileRow(layer="c1", pattern="block1x4@0.8", latency_ms=3.0)
    found = verdicts(MODEL, priced(MODEL, row), others=(Block(1, 4, 0.5), NM(2, 4)))["c1", "block1x4"]
    assert (found.verdict, found.from_sparsity) == ("above", 0.8)
