"""The catalogue: every number sourced, unknowns said, rules that fit the hardware's words."""

import json
import tomllib
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costmodels.accelerator import from_toml, load, names
from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.zeros import ZeroRule, implies, kept_share
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Channel, Kernel, Pattern, Unstructured
from tests.costmodels.models import conv, linear


def figure(value: float) -> Figure:
    return Figure(value=value, status="assumed", source="test")


@pytest.mark.parametrize("name", names())
def test_every_entry_loads_and_says_what_it_does_not_know(name: str) -> None:
    entry = load(name)
    assert entry.unknown
    assert entry.device and entry.title
    assert entry.summary
    assert len(entry.digest) == 64
    assert json.loads(json.dumps(entry.to_json()))["rewards"][0] == "channel"


@pytest.mark.parametrize("name", names())
def test_every_number_of_an_entry_has_a_status_and_a_source(name: str) -> None:
    """Walks the file itself: a bare number stands only where a rule says which layers or patterns it is about."""
    raw = resources.files("costmodels").joinpath("accelerators", f"{name}.toml").read_text()
    shapes = {"keep", "group", "rows", "cols", "in_channels_multiple", "out_channels_multiple"}
    shapes |= {"in_channels_min", "out_channels_min", "kernel_min", "kernel_max", "stride_max"}

    def walk(key: str, part: object) -> None:
        if isinstance(part, dict):
            if "value" in part:
                assert set(part) == {"value", "status", "source"}, key
                return
            for name, inner in part.items():
                walk(name, inner)
        elif isinstance(part, list):
            for inner in part:
                walk(key, inner)
        else:
            assert isinstance(part, str) or key in shapes, f"{key} = {part!r} has no source"

    walk(name, tomllib.loads(raw))


def test_the_catalogue_is_broad() -> None:
    assert len(names()) >= 12
    assert {load(name).kind for name in names()} == {"roofline", "systolic", "resources"}


def test_the_catalogue_has_one_of_each_reward() -> None:
    assert load("eyeriss-v1-like").rewards() == ("channel",)  # gating saves energy alone
    assert load("server-cpu-sparse").rewards() == ("channel", "unstructured", "block1x4")
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
    raw = resources.files("costmodels").joinpath("accelerators", "coral-edge-tpu.toml").read_text()
    assert change[0] in raw
    with pytest.raises(AcceleratorError):
        from_toml("x", raw.replace(*change, 1).encode())


def satisfies(mask: list[int], pattern: NM) -> bool:
    return all(sum(mask[i : i + pattern.group]) <= pattern.keep for i in range(0, len(mask), pattern.group))


@settings(max_examples=50, deadline=None)
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
    assert kept_share(conv("a", 6, 8), NM(1, 4)) == pytest.approx(2 / 6)
    assert kept_share(conv("a", 8, 8), NM(1, 4)) == 0.25


def time_left(rule: ZeroRule, layer: LayerSpec, pattern: Pattern, precision: str = "float16") -> float | None:
    left = rule.left(layer, pattern, precision)
    return None if left is None else left.time


def test_kept_share_counts_whole_tiles_and_kernels() -> None:
    layer = conv("a", 6, 8)
    assert kept_share(layer, Block(4, 4, 0.5)) == 0.5  # 2 x 2 tiles at 9 positions, 18 of 36
    assert kept_share(layer, Kernel(0.9)) == 4 / 48


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
    assert time_left(rule, fits, NM(2, 4), "float16") == 0.5
    assert time_left(rule, fits, NM(1, 4), "float16") == 0.5
    assert time_left(rule, fits, NM(3, 4), "float16") is None
    assert time_left(rule, fits, NM(2, 4), "int8") is None
    assert time_left(rule, linear("a", 24, 32), NM(2, 4), "float16") is None
    assert time_left(rule, linear("a", 32, 16), NM(2, 4), "float16") is None
    assert time_left(rule, conv("a", 32, 32), NM(2, 4), "float16") is None
    assert time_left(rule, fits, Unstructured(0.9), "float16") is None
    assert time_left(rule, fits, Channel(0.5), "float16") is None


def test_a_block_rule_takes_multiples_of_its_block() -> None:
    rule = ZeroRule(pattern="block", rows=1, cols=4, imbalance=figure(1), precisions=("int8",))
    layer = conv("a", 64, 64)
    assert time_left(rule, layer, Block(1, 4, 0.75), "int8") == 0.25
    assert time_left(rule, layer, Block(2, 8, 0.75), "int8") == 0.25
    assert time_left(rule, layer, Block(4, 1, 0.75), "int8") is None
    assert time_left(rule, layer, NM(1, 4), "int8") is None


def test_a_rule_minds_the_kernel_and_the_least_sparsity() -> None:
    rule = ZeroRule(
        pattern="unstructured",
        imbalance=figure(1.05),
        min_sparsity=figure(0.6),
        kernel_max=1,
        precisions=("float32",),
        format="csr",
    )
    pointwise = conv("a", 64, 64, kernel=1)
    assert time_left(rule, pointwise, Unstructured(0.6), "float32") == pytest.approx(0.42)
    assert time_left(rule, pointwise, Unstructured(0.59), "float32") is None
    assert time_left(rule, conv("a", 64, 64), Unstructured(0.9), "float32") is None
    assert time_left(rule, linear("a", 64, 64), Unstructured(0.9), "float32") == pytest.approx(0.105)
    left = rule.left(pointwise, Unstructured(0.75), "float32")
    assert left is not None and left.weight_bytes == 1024 * (4 + 2) + 65 * 4


def test_what_is_stored_is_the_devices_pattern_and_not_the_plans() -> None:
    rule = ZeroRule(pattern="nm", keep=2, group=4, format="nm", precisions=("int8",))
    left = rule.left(conv("a", 64, 64), NM(1, 4), "int8")
    assert left is not None and (left.time, left.macs) == (0.5, 0.5)
    assert left.weight_bytes == conv("a", 64, 64).weights * 0.625


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"pattern": "unstructured"}, "needs imbalance"),
        ({"pattern": "unstructured", "slope": figure(1)}, "slope and intercept"),
        ({"pattern": "nm", "keep": 2, "group": 4, "imbalance": figure(1), "time_share": figure(1)}, "one law"),
        ({"pattern": "unstructured", "effect": "gate", "imbalance": figure(1)}, "saves no steps"),
        ({"pattern": "unstructured", "effect": "compress"}, "format"),
    ],
)
def test_rules_that_contradict_themselves_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(AcceleratorError, match=why):
        ZeroRule(precisions=("int8",), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "title = 1",
        'kind = "quantum"',
        'kind = "systolic"',
        'nonsense = "x"',
        "[peak_macs_per_s]\nint9 = {value = 1, status = 'assumed', source = 'x'}",
        "[peak_macs_per_s]\nint8 = 5",
        "\x00",
    ],
)
def test_entries_that_are_no_entries_are_refused(text: str) -> None:
    with pytest.raises(AcceleratorError, match="catalogue entry 'x'"):
        from_toml("x", text.encode())
