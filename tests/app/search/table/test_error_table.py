"""The error table on an executor that misbehaves: nothing is measured twice, and what was known changes nothing."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from app.search.events import OptionsScored
from app.search.run import Problem
from app.search.space.limits import Prices
from app.search.spec import Budget, SearchSpec, SpecError, Task
from app.search.table.completion import anchors, families, measured
from app.search.table.error_table import OPTIONS_A_TASK, Known, error_key, error_table, forwards
from app.search.table.memory import option_key, read_option
from tests.app.search.fakes import FakeExecutor, error_of, problem, terrain

ALL = ("unstructured", "nm", "channel")
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)


def scored(
    asked: Problem, known: Mapping[str, float] | None = None, stop_after: int | None = None, **misbehave: Any
) -> tuple[dict[str, Any], dict[str, float], FakeExecutor]:
    """The document (none if it is stopped after so many events), what was told option by option, the executor."""
    executor, told, document = FakeExecutor(**misbehave), {}, {}
    events = error_table(asked, prices(asked), executor, Known(errors=known or {}, samples=256))

    def drained() -> Any:
        document.update((yield from events))

    running = drained()
    for event in islice(running, stop_after):
        if isinstance(event, OptionsScored):
            told |= event.errors
    running.close()
    assert executor.waiting == []
    return document, told, executor


PRICES: dict[tuple[object, ...], Prices] = {}


def prices(asked: Problem) -> Prices:
    spec = asked.spec
    key = (spec.profiles, spec.sparsities, spec.patterns)
    if key not in PRICES:
        PRICES[key] = terrain(asked).prices
    return PRICES[key]


def options(executor: FakeExecutor) -> list[str]:
    """Every option that was asked for, in all attempts."""
    asked = [option for task in executor.submitted for unit in task.payload["options"] for option in unit]
    return [option_key(read_option(json.dumps(option))) for option in asked]


WHOLE = problem(sparsities=SPARSITIES, patterns=ALL)


def test_what_was_measured_stands_in_the_table_and_the_rest_lies_between() -> None:
    document, told, executor = scored(WHOLE)
    units = prices(WHOLE).space.units
    count = 0
    for unit, errors, at in zip(units, document["errors"], document["measured"], strict=True):
        patterns = [option.patterns for option in unit.options]
        assert errors[0] == 0.0 and set(measured(patterns)) <= set(at)
        for index in at:
            true = sum(error_of(pattern, layer) for layer, pattern in patterns[index].items())
            assert errors[index] == pytest.approx(true) == told[option_key(patterns[index])]
        count += len(at)
    assert count == len(told) == len(options(executor)) < sum(len(unit.options) - 1 for unit in units)


def test_passes_are_counted_and_do_not_depend_on_the_cache() -> None:
    document, told, executor = scored(WHOLE)
    asked = [sum(map(len, task.payload["options"])) for task in executor.submitted]
    assert max(asked) <= OPTIONS_A_TASK
    assert document["sample_passes"] == document["paid_passes"] == 256 * sum(1 + count for count in asked)
    again, _, _ = scored(WHOLE, told)
    assert (again["sample_passes"], again["paid_passes"]) == (document["sample_passes"], 0)


def test_a_second_search_measures_nothing_and_has_the_same_table() -> None:
    document, told, _ = scored(WHOLE)
    again, nothing, executor = scored(WHOLE, told)
    assert executor.submitted == [] and nothing == {}
    assert again == document | {"paid_passes": 0}


def test_another_device_or_sparsity_pays_for_what_is_new_alone() -> None:
    few = problem(profiles=("eyeriss",), sparsities=(0.5, 0.8))
    _, known, _ = scored(few)
    for more in (problem(sparsities=(0.5, 0.8)), problem(profiles=("eyeriss",), sparsities=(0.5, 0.8, 0.9))):
        cold, _, all_of_it = scored(more)
        warm, new, executor = scored(more, known)
        assert warm["errors"] == cold["errors"]
        assert not set(options(executor)) & set(known)
        assert set(options(executor)) == set(options(all_of_it)) - set(known) == set(new)


def test_the_table_does_not_depend_on_what_else_is_known() -> None:
    """Another search has measured every option; this one takes no more than it would have measured itself."""
    units = prices(WHOLE).space.units
    every = {
        option_key(option.patterns): sum(error_of(p, layer) for layer, p in option.patterns.items())
        for unit in units
        for option in unit.options[1:]
    }
    cold, _, _ = scored(WHOLE)
    warm, _, executor = scored(WHOLE, every)
    assert executor.submitted == []
    assert warm["measured"] == cold["measured"] and warm["errors"] == cold["errors"]


@pytest.mark.parametrize("length", [3, 6, 9, 14])
def test_what_an_interrupted_scoring_told_is_not_measured_again(length: int) -> None:
    calm, _, _ = scored(WHOLE)
    _, told, _ = scored(WHOLE, stop_after=length, seed=length, lose=0.3)
    document, rest, executor = scored(WHOLE, told, seed=length + 1, lose=0.3, slots=3)
    assert not set(options(executor)) & set(told)
    assert document["errors"] == calm["errors"]
    assert not set(rest) & set(told)


def test_a_budget_of_passes_leaves_half_to_the_trials_but_the_strongest_are_measured() -> None:
    units = [[option.patterns for option in unit.options] for unit in prices(WHOLE).space.units]
    least, all_of_it = sum(len(anchors(unit)) for unit in units), len(scored(WHOLE)[1])
    for passes, count in ((1, least), (2 * 256 * (least + 3), least + 3), (10**9, all_of_it)):
        budget = Budget(sample_passes=passes)
        document, told, _ = scored(replace(WHOLE, spec=replace(WHOLE.spec, budget=budget)))
        assert len(told) == count
        assert all(errors == sorted(errors) for errors in by_family(units, document["errors"]))


def by_family(units: list[Any], errors: list[list[float]]) -> list[list[float]]:
    return [
        [table[index] for index in family]
        for unit, table in zip(units, errors, strict=True)
        for family in families(unit)
    ]


def test_forwards_of_a_task() -> None:
    assert [forwards([[1, 2], [3]], how) for how in ("prior", "oneshot", "reconstructed")] == [0, 4, 5]


def test_the_key_holds_what_an_error_depends_on_and_no_device() -> None:
    spec = SearchSpec(model="m", dataset="d", profiles=("a",))
    digests = {"graph": "1", "weights": "2", "data": "3"}
    key = error_key(spec, digests)
    same: list[dict[str, Any]] = [
        {"profiles": ("a", "b")},
        {"sparsities": (0.5,)},
        {"trials": 99},
        {"pruners": ("pdp",)},
        {"task": Task(augment=("flip",))},
    ]
    assert {error_key(replace(spec, **change), digests) for change in same} == {key}
    other: list[dict[str, Any]] = [
        {"seed": 1},
        {"threads": 2},
        {"calibration_samples": 64},
        {"error_table": "reconstructed"},
        {"task": Task(mean=(0.5,), std=(0.5,))},
        {"task": Task(output=1)},
    ]
    keys = [error_key(replace(spec, **change), digests) for change in other]
    keys += [error_key(spec, digests | {name: "other"}) for name in digests]
    assert len({key, *keys}) == 1 + len(keys)


def test_a_way_of_scoring_that_there_is_not_is_refused() -> None:
    with pytest.raises(SpecError, match=r"/error_table.*'guessed' is unknown"):
        SearchSpec(model="m", dataset="d", profiles=("a",), error_table="guessed")  # type: ignore[arg-type]
