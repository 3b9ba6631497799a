"""Several devices at once: the worst device's front by its definition, the fewest models against brute force."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.devices.fleet import Cover, FleetLimit, FleetModel, cover, worst_front
from app.search.errors import SearchFailed

DEVICES = ("a", "b", "c")
grid = st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0])  # few values: many ties
quality = st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
fleets = st.lists(st.tuples(quality, grid, grid, grid), min_size=1, max_size=20).map(
    lambda rows: [
        FleetModel(number=n, quality=q, latency_ms=dict(zip(DEVICES, ms, strict=True)))
        for n, (q, *ms) in enumerate(rows)
    ]
)
wishes = st.lists(
    st.builds(
        FleetLimit, profile=st.sampled_from(DEVICES), latency_ms=grid, least_quality=st.sampled_from([None, 0.6, 0.8])
    ),
    min_size=1,
    max_size=5,
)


def model(number: int, quality: float, **latency_ms: float) -> FleetModel:
    return FleetModel(number=number, quality=quality, latency_ms=latency_ms)


def reached(chosen: tuple[FleetModel, ...], limits: list[FleetLimit]) -> list[float] | None:
    """The quality at each limit, by definition; None where one is not met."""
    found = [max((m.quality for m in chosen if limit.admits(m)), default=None) for limit in limits]
    return None if None in found else found  # type: ignore[return-value]


def brute(
    models: list[FleetModel], limits: list[FleetLimit], k: int | None, objective: str
) -> tuple[int, float] | None:
    """The fewest models, and the best value of a choice of at most k (the fewest without k): every set is looked at."""
    fewest = None
    for size in range(1, len(limits) + 1):
        values = [found for chosen in combinations(models, size) if (found := reached(chosen, limits)) is not None]
        if values and fewest is None:
            fewest = size
        if fewest is not None and size in (k or fewest, len(limits), len(models)):
            return fewest, max(min(v) if objective == "min" else sum(v) / len(v) for v in values)
    return None


@settings(max_examples=25, deadline=None)
@given(models=fleets, limits=wishes, more=st.integers(0, 2), objective=st.sampled_from(["mean", "min"]))
def test_a_cover_is_what_brute_force_finds(
    models: list[FleetModel], limits: list[FleetLimit], more: int, objective: str
) -> None:
    best = brute(models, limits, None, objective)
    if best is None:
        with pytest.raises(SearchFailed) as caught:
            cover(models, limits)
        assert caught.value.code == "limit_unreachable" and caught.value.details["limit"] < len(limits)
        return
    k = best[0] + more if more else None
    fewest, value = brute(models, limits, k, objective) or best
    found = cover(models, limits, k, objective)  # type: ignore[arg-type]
    assert found.proven and found.fewest == fewest
    assert (found.min_quality if objective == "min" else found.mean_quality) == pytest.approx(value)
    assert len(found.numbers) <= (k or fewest)
    check_served(found, models, limits)


def check_served(found: Cover, models: list[FleetModel], limits: list[FleetLimit]) -> None:
    """Each limit is served by a chosen model that meets it, and the numbers are theirs."""
    serving = [models[number] for number in found.serves]
    assert set(found.serves) == set(found.numbers)
    assert all(limit.admits(m) for limit, m in zip(limits, serving, strict=True))
    assert found.mean_quality == pytest.approx(sum(m.quality for m in serving) / len(serving))
    assert found.min_quality == min(m.quality for m in serving)


@settings(max_examples=60, deadline=None)
@given(models=fleets, used=st.sets(st.sampled_from(DEVICES), min_size=1))
def test_the_worst_devices_front_is_its_definition(models: list[FleetModel], used: set[str]) -> None:
    reference = {device: 1.0 + index for index, device in enumerate(sorted(used))}
    worst = {m.number: max(m.latency_ms[d] / ms for d, ms in reference.items()) for m in models}

    def beaten(m: FleetModel) -> bool:
        return any(
            worst[o.number] <= worst[m.number]
            and o.quality >= m.quality
            and ((worst[o.number], -o.quality) != (worst[m.number], -m.quality) or o.number < m.number)
            for o in models
        )

    front = worst_front(models, reference)
    assert {point.number for point in front} == {m.number for m in models if not beaten(m)}
    assert [point.share for point in front] == sorted(worst[point.number] for point in front)
    assert all(point.shares[point.profile] == point.share == max(point.shares.values()) for point in front)


def test_models_without_a_price_somewhere_are_left_out() -> None:
    models = [model(0, 0.9, a=1.0, b=1.0), model(1, 0.99, a=0.5)]
    assert [point.number for point in worst_front(models, {"a": 1.0, "b": 1.0})] == [0]
    assert worst_front(models, {}) == []
    assert cover(models, [FleetLimit(profile="b", latency_ms=1.0)]).numbers == (0,)


def test_a_front_of_the_worst_device_is_not_that_of_one() -> None:
    models = [model(0, 0.9, a=1.0, b=9.0), model(1, 0.8, a=2.0, b=2.0)]
    front = worst_front(models, {"a": 1.0, "b": 1.0})
    assert [(point.number, point.share, point.profile) for point in front] == [(1, 2.0, "a"), (0, 9.0, "b")]


def test_what_cannot_be_met_is_named_with_what_can() -> None:
    models = [model(0, 0.9, a=2.0), model(1, 0.5, a=1.0)]

    def refusal(*limits: FleetLimit, k: int | None = None) -> SearchFailed:
        with pytest.raises(SearchFailed) as caught:
            cover(models, limits, k)
        return caught.value

    slow = refusal(FleetLimit(profile="a", latency_ms=3.0), FleetLimit(profile="a", latency_ms=0.5))
    assert (slow.code, slow.details["limit"], slow.details["lowest_ms"]) == ("limit_unreachable", 1, 1.0)
    poor = refusal(FleetLimit(profile="a", latency_ms=1.0, least_quality=0.8))
    assert poor.details["best"] == 0.5 and "0.5" in str(poor)
    assert "re-price" in str(refusal(FleetLimit(profile="z", latency_ms=1.0)))
    both = (FleetLimit(profile="a", latency_ms=1.0), FleetLimit(profile="a", latency_ms=2.0, least_quality=0.9))
    few = refusal(*both, k=1)
    assert (few.code, few.details["fewest"]) == ("too_few_models", 2)
    assert refusal().code == "no_limits"


def test_thousands_of_models_and_many_limits_are_solved() -> None:
    import numpy as np

    draw = np.random.default_rng(0)
    size = draw.uniform(0.1, 1.0, (2000, 1)) * draw.uniform(0.7, 1.3, (2000, 4))
    models = [
        model(
            n,
            float(1 - 0.3 / (0.3 + row.mean()) + draw.normal(0, 0.005)),
            **dict(zip("wxyz", map(float, row), strict=True)),
        )
        for n, row in enumerate(size)
    ]
    limits = [FleetLimit(profile=p, latency_ms=ms) for p in "wxyz" for ms in (0.3, 0.5, 0.8)]
    found = cover(models, limits, 4)
    assert found.proven and len(found.numbers) <= 4
    check_served(found, models, limits)
    assert cover(models, limits, 8).mean_quality >= found.mean_quality
