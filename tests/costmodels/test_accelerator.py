"""The catalogue: every number sourced, unknowns said, rules that fit the hardware's words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costmodels import accelerator
from costmodels.accelerator import Figure, ZeroRule, from_toml, implies, load, names
from costmodels.errors import AcceleratorError
from pruning.patterns import NM, Channel, Unstructured
from tests.costmodels.models import conv, linear


@pytest.mark.parametrize("name", names())
def test_every_entry_loads_and_says_what_it_does_not_know(name: str) -> None:
    entry = load(name)
    assert entry.unknown
    assert entry.summary
    assert len(entry.digest) == 64
    assert json.loads(json.dumps(entry.to_json()))["rewards"][0] == "channel"
    assert all(figure.source for figure in entry.peak_macs_per_s.values())


def test_the_catalogue_has_one_of_each_kind() -> None:
    rewards = {name: load(name).rewards() for name in names()}
    assert rewards["eyeriss-v2"] == ("channel", "unstructured")
    assert rewards["coral-edge-tpu"] == ("channel",)
    assert "keep2of4" in rewards["nvidia-a100"]


@pytest.mark.parametrize("name", ["nope", "../base", "eyeriss-v2.toml", ""])
def test_names_outside_the_catalogue_are_refused(name: str) -> None:
    with pytest.raises(AcceleratorError, match="eyeriss-v2"):
        load(name)


@pytest.mark.parametrize(
    "change",
    [
        ('status = "published"', 'status = "guessed"'),
        ("value = 2e12", "value = -2e12"),
        ("value = 2e12", "value = nan"),
        ('layer_overhead_ms = "Not', 'other = "Not'),
        ('source = "Advertised', 'source = " " # "Advertised'),
    ],
)
def test_broken_entries_are_refused(change: tuple[str, str]) -> None:
    from importlib import resources

    raw = resources.files("costmodels").joinpath("accelerators", "coral-edge-tpu.toml").read_text()
    assert change[0] in raw
    with pytest.raises(AcceleratorError):
        from_toml("x", raw.replace(*change, 1).encode())


def satisfies(mask: list[int], pattern: NM) -> bool:
    return all(sum(mask[i : i + pattern.group]) <= pattern.keep for i in range(0, len(mask), pattern.group))


@given(st.data())
def test_implies_is_sound(data: st.DataObject) -> None:
    def pattern() -> NM:
        group = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
        return NM(data.draw(st.integers(1, group)), group)

    strict, loose = pattern(), pattern()
    mask: list[int] = []
    for _ in range(32 // strict.group):
        picks = data.draw(st.sets(st.integers(0, strict.group - 1), max_size=strict.keep))
        mask += [int(i in picks) for i in range(strict.group)]
    assert satisfies(mask, strict)
    if implies(strict, loose):
        assert satisfies(mask, loose)


def test_one_of_four_may_run_as_two_of_four_and_not_the_other_way() -> None:
    assert implies(NM(1, 4), NM(2, 4))
    assert implies(NM(1, 2), NM(2, 4))
    assert not implies(NM(2, 4), NM(1, 4))
    assert not implies(NM(2, 4), NM(1, 2))


def test_kept_share_counts_the_ragged_tail() -> None:
    assert accelerator.kept_share(conv("a", 6, 8), NM(1, 4)) == pytest.approx(2 / 6)
    assert accelerator.kept_share(conv("a", 8, 8), NM(1, 4)) == 0.25


def test_a_rule_minds_shapes_precision_and_kind() -> None:
    half = Figure(value=0.5, status="assumed", source="test")
    rule = ZeroRule(
        pattern="nm",
        keep=2,
        group=4,
        time_share=half,
        precisions=("float16",),
        ops=("linear",),
        in_channels_multiple=16,
        out_channels_min=32,
    )
    fits = linear("a", 32, 32)
    assert rule.time_left(fits, NM(2, 4), "float16") == 0.5
    assert rule.time_left(fits, NM(1, 4), "float16") == 0.5
    assert rule.time_left(fits, NM(3, 4), "float16") is None
    assert rule.time_left(fits, NM(2, 4), "int8") is None
    assert rule.time_left(linear("a", 24, 32), NM(2, 4), "float16") is None
    assert rule.time_left(linear("a", 32, 16), NM(2, 4), "float16") is None
    assert rule.time_left(conv("a", 32, 32), NM(2, 4), "float16") is None
    assert rule.time_left(fits, Unstructured(0.9), "float16") is None
    assert rule.time_left(fits, Channel(0.5), "float16") is None
