"""Where trials look: evenly, at any time, and the same for a search that is extended."""

from collections import Counter

import numpy as np
import pytest

from app.search.proposals.schedule import even, golden, place, rivals, seed_count
from app.search.spec import Recovery
from tests.app.search.fakes import problem


@pytest.mark.parametrize("count", [8, 9, 16, 33])
@pytest.mark.parametrize("sequence", [even, golden])
def test_a_sequence_leaves_no_large_hole_at_any_time(sequence: object, count: int) -> None:
    assert callable(sequence)
    points = np.sort([sequence(step) for step in range(count)])
    assert 0.0 <= points[0] and points[-1] <= 1.0
    assert len(set(points.tolist())) == count
    assert np.diff(points, prepend=0.0, append=1.0).max() <= 3.0 / count


@pytest.mark.parametrize("count", [12, 24, 60])
def test_every_device_and_half_of_the_latencies_gets_its_share(count: int) -> None:
    spec = problem(trials=count).spec
    found = [place(spec, index) for index in range(count)]
    devices = Counter(at.device for at in found)
    assert max(devices.values()) - min(devices.values()) <= 3
    for device in spec.profiles:
        bands = [at.band for at in found if at.device == device]
        assert abs(sum(band < 0.5 for band in bands) / len(bands) - 0.5) <= 0.25


def test_early_trials_crowd_neither_end() -> None:
    spec = problem(profiles=("eyeriss",), trials=24).spec
    first = [place(spec, index).band for index in range(8)]
    assert sum(band > 0.75 for band in first) <= 3 and sum(band < 0.25 for band in first) <= 3


def test_half_of_the_trials_are_given_at_first_and_uniform_ones_are_among_them() -> None:
    spec = problem(trials=24).spec
    sources = Counter(place(spec, index).source for index in range(seed_count(spec)))
    assert set(sources) == {"solver", "uniform"}
    assert sources["uniform"] >= 3
    later = Counter(place(spec, index).source for index in range(seed_count(spec), 24))
    assert later["sampler"] >= len(range(seed_count(spec), 24)) // 2


@pytest.mark.parametrize("refit", [True, False])
def test_a_turn_counts_the_places_of_its_source_before(refit: bool) -> None:
    spec = problem(trials=21, refit=refit).spec
    met: Counter[str] = Counter()
    for index in range(60):
        at = place(spec, index)
        assert at.turn == met[at.source]
        met[at.source] += 1


def test_targets_are_tried_first_on_every_device() -> None:
    spec = problem(trials=24, targets=(0.5, 0.2)).spec
    found = [place(spec, index) for index in range(24)]
    for device in spec.profiles:
        solver = [at.target for at in found if at.device == device and at.source == "solver" and not at.fills]
        assert solver[:2] == [0.5, 0.2] and set(solver[2:]) <= {None}


def test_a_place_depends_on_its_number_alone() -> None:
    spec, longer = problem(trials=10).spec, problem(trials=10, extensions=(7,)).spec
    assert [place(spec, index) for index in range(17)] == [place(longer, index) for index in range(17)]


def test_plans_of_earlier_searches_come_first_and_shift_the_rest() -> None:
    spec = problem().spec
    assert [place(spec, index, 3).source for index in range(3)] == ["memory"] * 3
    assert place(spec, 5, 3) == place(spec, 2)


def test_rivals_share_a_place_and_differ_in_source() -> None:
    spec = problem(trials=24, rungs=(0, 20), keep=1 / 3, recovery=Recovery(steps=100)).spec
    assert rivals(spec) == 3
    for group in range(4):
        places = [place(spec, 3 * group + seat) for seat in range(3)]
        assert len({(at.device, at.band) for at in places}) == 1
        assert [at.source for at in places] == ["solver", "uniform", "sampler"]
    assert rivals(problem().spec) == 1
