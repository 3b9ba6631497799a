"""Profiles for tests: one by hand, and any at all, with every field in use."""

from typing import Any

from hypothesis import strategies as st

from costmodels.profile import (
    Capability,
    Profile,
    ProfileFile,
    ProfileGroup,
    ProfileLayer,
    ProfileRow,
)

texts = (
    st.text(st.characters(exclude_categories=("Z", "C")) | st.sampled_from(' =+-@#|,;"[:'), min_size=1, max_size=9)
    .map(str.strip)
    .filter(bool)
)
maybe_texts = st.just("") | texts
times = st.floats(min_value=1e-9, max_value=1e9, allow_subnormal=False)
spreads = st.none() | st.floats(0, 1e6)
counts = st.none() | st.integers(1, 4096)
sizes = st.lists(st.integers(1, 512), max_size=3).map(tuple)
names_lists = st.lists(texts, max_size=3).map(tuple)
patterns = st.sampled_from(
    ["dense", "unstructured@0.5", "unstructured@0.95", "keep2of4", "keep1of4", "block1x4@0.5", "kernel@0.75"]
)


def profile_of(*rows: ProfileRow, **fields: Any) -> Profile:
    """A small measured profile."""
    header = {"name": "bench", "device": "board", "batch": 1, "precision": "float32", "source": "measured"}
    return Profile(**{**header, "rows": rows, **fields})


def described_profile() -> Profile:
    """Layers described in an order that is not the rows', one of them without a time."""
    return profile_of(
        ProfileRow(layer="b", latency_ms=1.0),
        ProfileRow(layer="a", latency_ms=2.0, energy_mj=0.5),
        ProfileRow(layer="a", pattern="keep2of4", latency_ms=1.5),
        layers=(
            ProfileLayer(name="a", op="conv2d", members=("a.conv", "a.bn"), kernel=(3, 3), in_channels=16, groups=4),
            ProfileLayer(name="pool", role="other"),
            ProfileLayer(name="b"),
        ),
        groups=(ProfileGroup(rule="parallel_max", members=("a", "b")),),
        capabilities=(Capability(pattern="nm", keep=2, group=4),),
        files=(ProfileFile(name="run.json", sha256="ab" * 32),),
    )


@st.composite
def rows_of(draw: st.DrawFn, names: list[str]) -> list[ProfileRow]:
    """A dense row for each name, and others, in any order."""
    keys = [(name, "dense", None, None) for name in names]
    for name in names:
        keys += draw(st.lists(st.tuples(st.just(name), patterns, st.integers(1, 512), counts), max_size=3))
    return [
        ProfileRow(
            layer=name,
            pattern=pattern,
            in_channels=inputs,
            out_channels=outputs,
            latency_ms=draw(times),
            latency_std_ms=draw(spreads),
            dense_ms=draw(st.none() | times),
            energy_mj=draw(spreads),
            weight_bytes=draw(spreads),
        )
        for name, pattern, inputs, outputs in draw(st.permutations(list(dict.fromkeys(keys))))
    ]


@st.composite
def layer_of(draw: st.DrawFn, name: str) -> ProfileLayer:
    """A description that says anything or nothing."""
    groups = draw(st.none() | st.integers(1, 8))
    return ProfileLayer(
        name=name,
        role=draw(st.sampled_from(["layer", "other"])),
        op=draw(maybe_texts),
        members=draw(names_lists),
        in_channels=draw(st.none() | st.integers(1, 64).map(lambda n: n * (groups or 1))),
        out_channels=draw(st.none() | st.integers(1, 64).map(lambda n: n * (groups or 1))),
        kernel=draw(sizes),
        stride=draw(sizes),
        groups=groups,
        input_size=draw(sizes),
        output_size=draw(sizes),
        positions=draw(counts),
        weights=draw(counts),
        macs=draw(st.none() | st.integers(1, 2**60)),
        calls=draw(st.integers(1, 9)),
    )


@st.composite
def capabilities(draw: st.DrawFn) -> Capability:
    """Anything a device may be said to do with zeros."""
    group = draw(st.integers(1, 64))
    return Capability(
        pattern=draw(st.sampled_from(["unstructured", "block", "nm", "kernel", "channel"])),
        effect=draw(st.sampled_from(["skip", "gate", "compress", "none"])),
        keep=draw(st.integers(1, group)),
        group=group,
        rows=draw(counts),
        cols=draw(counts),
        ops=draw(names_lists),
        min_sparsity=draw(st.floats(0, 0.99)),
        in_channels_multiple=draw(st.integers(1, 64)),
        out_channels_min=draw(st.integers(1, 64)),
    )


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """A profile in which any field may be said."""
    names = draw(st.lists(texts, min_size=2, max_size=4, unique=True))
    others = draw(st.lists(texts.filter(lambda t: t not in names), max_size=2, unique=True))
    described = draw(st.permutations([*names, *others]).map(lambda all_: all_[: draw(st.integers(0, len(all_)))]))
    threshold = draw(st.floats(0.1, 0.9))
    groups = [
        ProfileGroup(rule="parallel_max", members=tuple(names[:2])),
        ProfileGroup(rule="cluster_threshold", members=tuple(names), min_sparsity=threshold),
    ]
    return profile_of(
        *draw(rows_of(names)),
        name=draw(texts),
        device=draw(texts),
        batch=draw(st.integers(1, 65536)),
        precision=draw(texts),
        source=draw(st.sampled_from(["measured", "simulated", "vendor", "published", "analytical"])),
        runtime=draw(maybe_texts),
        tool=draw(maybe_texts),
        tool_version=draw(maybe_texts),
        created=draw(maybe_texts),
        statistic=draw(st.sampled_from(["median", "unknown"])),
        runs=draw(counts),
        warm_up_runs=draw(st.none() | st.integers(0, 9)),
        original_unit=draw(st.sampled_from(["", "ms", "us", "cycles"])),
        clock_hz=draw(st.none() | times),
        note=draw(maybe_texts),
        parent=draw(maybe_texts),
        accelerator_digest=draw(st.none() | texts),
        network_latency_ms=draw(st.none() | times),
        network_latency_std_ms=draw(spreads),
        overhead_ms=draw(spreads),
        dispatch=draw(st.sampled_from(["auto", "forced"])),
        channel_multiple=draw(st.integers(1, 4096)),
        files=(ProfileFile(name=draw(texts), sha256="0f" * 32, format=draw(maybe_texts)),) * draw(st.integers(0, 2)),
        capabilities=tuple(draw(st.lists(capabilities(), max_size=2))),
        groups=tuple(groups[: draw(st.integers(0, 2))]),
        layers=tuple(draw(layer_of(name)) for name in described),
    )
