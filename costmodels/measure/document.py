"""From a campaign's findings to a `Profile`: rows for every layer, what was done, and what is odd about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from costmodels.measure.grid import shapes, signature
from costmodels.measure.options import MeasureOptions
from costmodels.measure.timing import WARM_UPS, Point, Timing
from costmodels.profile import Profile, ProfileLayer, ProfileRow
from pruning.layers import LayerSpec, ModelSpec

_DENSE = "dense"


@dataclass(frozen=True)
class Shape:
    """What was timed: a signature (`grid.signature`) under a pattern."""

    layer: LayerSpec
    pattern: str = _DENSE


@dataclass(frozen=True)
class Network:
    """The whole net."""

    point: Point
    timing: Timing


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a campaign found out."""

    device: str
    runtime: str
    original_unit: str
    network: Network
    timings: Mapping[Shape, tuple[Point, Timing]]
    left_out: int  # shapes that there was no time to prepare
    busy: str  # "" on a quiet machine
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A measured profile, what to tell people about it, both statistics of the whole, and how long it took."""

    profile: Profile
    warnings: tuple[str, ...]
    network: Timing
    layer_sums_ms: Mapping[str, float]  # of the dense layers, by statistic
    seconds: float


def measured(spec: ModelSpec, options: MeasureOptions, findings: Findings) -> Measured:
    """The profile of a campaign."""
    threads = f"{options.threads} thread{'s' if options.threads > 1 else ''}"
    warnings = tuple(_warnings(findings))
    sums = {statistic: _sum_ms(spec, findings, statistic) for statistic in ("p10", "median")}
    whole = findings.network.timing
    profile = Profile(
        name=f"{findings.device[:150]}, batch {options.batch}, {threads}"[:200],
        device=findings.device,
        runtime=f"{findings.runtime}, {threads}",
        batch=options.batch,
        precision=options.precision,
        source="measured",
        tool="espalier measure",
        tool_version=_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        statistic=options.statistic,
        runs=min(timing.runs for _, timing in findings.timings.values()),
        warm_up_runs=WARM_UPS,
        original_unit=findings.original_unit,
        note=_note(findings, sums, warnings)[:2000],
        network_latency_ms=whole.of(options.statistic),
        network_latency_std_ms=whole.std_ms,
        layers=tuple(_described(layer) for layer in spec.layers),
        rows=tuple(_rows(spec, options, findings)),
    )
    return Measured(profile=profile, warnings=warnings, network=whole, layer_sums_ms=sums, seconds=findings.seconds)


def _rows(spec: ModelSpec, options: MeasureOptions, findings: Findings) -> Iterator[ProfileRow]:
    patterns = dict.fromkeys([_DENSE, *(shape.pattern for shape in findings.timings)])
    for layer in spec.layers:
        for shape in shapes(layer, spec):
            found = {p: findings.timings.get(Shape(signature(shape), p)) for p in patterns}
            dense = found[_DENSE]
            for pattern, timed in found.items():
                if timed is not None and dense is not None:
                    dense_ms = dense[1].of(options.statistic) * layer.calls
                    yield ProfileRow(
                        layer=layer.name,
                        pattern=pattern,
                        in_channels=shape.in_channels,
                        out_channels=shape.out_channels,
                        latency_ms=timed[1].of(options.statistic) * layer.calls,
                        latency_std_ms=timed[1].std_ms * layer.calls,
                        dense_ms=None if pattern == _DENSE else dense_ms,
                    )


def _described(layer: LayerSpec) -> ProfileLayer:
    return ProfileLayer(
        name=layer.name,
        op=layer.op,
        in_channels=layer.in_channels,
        out_channels=layer.out_channels,
        kernel=layer.kernel,
        stride=layer.stride,
        groups=layer.groups,
        input_size=layer.input_size,
        output_size=layer.output_size,
        positions=layer.positions,
        weights=layer.weights,
        macs=layer.macs,
        calls=layer.calls,
    )


def _sum_ms(spec: ModelSpec, findings: Findings, statistic: str) -> float:
    timed = (findings.timings[Shape(signature(layer))][1].of(statistic) * layer.calls for layer in spec.layers)
    return sum(timed)


def _warnings(findings: Findings) -> Iterator[str]:
    if findings.busy:
        yield findings.busy
    if findings.left_out:
        yield (
            f"{findings.left_out} narrower shapes were not measured, since compiling them takes too long; "
            "prices there are scaled from wider ones. Raise the budget to measure them"
        )


def _note(findings: Findings, sums: Mapping[str, float], warnings: tuple[str, ...]) -> str:
    whole = findings.network.timing
    methods = [point.method for point, _ in findings.timings.values()]
    repeated = {method: methods.count(method) for method in ("chain", "loop") if method in methods}
    words = {
        "chain": "{} short ones by what a chain of 5 takes beyond one (marginal time)",
        "loop": "{} short ones in a loop, less the time of an empty loop",
    }
    how = "".join(f"; {words[method].format(count)}" for method, count in repeated.items())
    return " ".join(
        [
            f"Each of {len(methods)} shapes is timed alone with the element-wise operators that only it feeds{how}.",
            f"Whole network: p10 {whole.p10_ms:.5g} ms, median {whole.median_ms:.5g} ms;",
            f"sum of the dense layers: p10 {sums['p10']:.5g} ms, median {sums['median']:.5g} ms.",
            *(f"{warning[0].upper()}{warning[1:]}." for warning in warnings),
        ]
    )


def _version() -> str:
    try:
        return version("espalier")
    except PackageNotFoundError:
        return ""
