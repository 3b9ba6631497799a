"""Raw coordinates: every plan of a space can be drawn, and only those."""

from itertools import product

from app.search.proposals.raw import raw_decode, raw_distributions, violations
from app.search.spec import Limit
from tests.app.search.fakes import problem, terrain

HERE = terrain(problem(coordinates="raw", profiles=("eyeriss",), limits=[Limit(profile="eyeriss", share=0.3)]))


def test_there_is_one_coordinate_a_unit_with_all_its_options() -> None:
    found = raw_distributions(HERE.spec, HERE.prices.space)
    units = {f"option_{unit.name}": len(unit.options) for unit in HERE.prices.space.units if len(unit.options) > 1}
    assert {name: len(d.choices) for name, d in found.items() if name.startswith("option_")} == units  # type: ignore[attr-defined]
    assert {"pruner", "tau", "ramp"} <= set(found)


def test_coordinates_say_the_plan_and_limits_are_only_reported() -> None:
    space = HERE.prices.space
    units = [unit for unit in space.units if len(unit.options) > 1][:2]
    for picked in product(*(range(len(unit.options)) for unit in units)):
        at = {f"option_{unit.name}": index for unit, index in zip(units, picked, strict=True)}
        found = raw_decode(at, HERE)
        choices = [at.get(f"option_{unit.name}", 0) for unit in space.units]
        assert dict(found.plan.patterns) == space.patterns(choices)
        (excess,) = violations(found.costs, HERE).values()
        assert (excess <= 1e-9) == HERE.limits.hold(found.costs)
    assert violations(raw_decode({}, HERE).costs, HERE)["eyeriss"] > 0, "dense breaks the limit"
