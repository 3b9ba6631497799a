"""The few coordinates: groups of layers, trust in the table, and the pruner with its settings."""

from typing import Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from app.search.proposals.coordinates import KNOBS, distributions, group_of, neutral, pruners_of, pruning_of, trusted
from app.search.spec import Recovery
from pruning.pruners import check
from tests.app.search.fakes import MODEL, problem, terrain
from tests.costmodels.models import conv, linear, model_of

FREE = terrain(problem())


def test_every_layer_is_in_a_group_of_its_depth_and_kind() -> None:
    layers = [conv("a", 3, 8), conv("b", 8, 8, groups=8), conv("c", 8, 8, kernel=1), linear("d", 8, 4)]
    found = group_of(model_of(layers, []))
    assert found == {"a": "early_conv", "b": "early_depthwise", "c": "middle_pointwise", "d": "late_linear"}


def test_coordinates_are_few_whatever_the_depth_of_the_model() -> None:
    names = distributions(problem().spec, MODEL)
    trusts = [name for name in names if name.startswith("trust_")]
    assert 3 <= len(trusts) <= 12 + 4
    assert len(set(group_of(MODEL).values())) - 1 + len(problem().spec.patterns) - 1 == len(trusts)
    assert {"band", "device", "pruner", "tau", "ramp"} <= set(names)


def test_neutral_coordinates_trust_all_errors_alike() -> None:
    at = neutral(FREE, device="cpu", band=0.5, pruner="magnitude")
    assert set(at) == set(distributions(FREE.spec, FREE.prices.model))
    for p, found in ((1.0, at | {"sharpness": 1.0}), (2.0, at), (1.0, {})):
        for trusted_errors, errors in zip(trusted(found, FREE), FREE.errors, strict=True):
            np.testing.assert_allclose(trusted_errors, errors**p)


def test_trust_scales_the_errors_of_a_group_alone() -> None:
    at = neutral(FREE, device="cpu", band=0.5, pruner="magnitude") | {"sharpness": 1.0}
    group = group_of(FREE.prices.model)
    name = next(name for name in at if name.startswith("trust_late"))
    for unit, before, after in zip(FREE.prices.space.units, FREE.errors, trusted(at | {name: -1.0}, FREE), strict=True):
        factor = np.exp(-1.5) if f"trust_{group[unit.layers[0]]}" == name else 1.0
        np.testing.assert_allclose(after, before * factor)


@pytest.mark.parametrize("pruner", sorted(KNOBS))
def test_every_setting_is_one_that_its_pruner_takes_at_both_ends(pruner: str) -> None:
    for end in ("low", "high", "usual"):
        check(pruner, {knob.name: getattr(knob, end) for knob in KNOBS[pruner]})


def test_a_temperature_is_given_to_pdp_alone() -> None:
    at = neutral(FREE, device="cpu", band=0.5, pruner="magnitude")
    assert pruning_of(at, FREE.spec) == ("magnitude", {})
    assert pruning_of(at | {"pruner": "pdp", "tau": 0.0123456}, FREE.spec) == ("pdp", {"tau": 0.0123, "ramp": 0.1})


def test_without_recovery_solvers_still_differ_and_other_pruners_do_not() -> None:
    asked: dict[str, Any] = {"patterns": ("unstructured", "nm"), "pruners": ("wanda", "pdp", "gmp", "obc")}
    assert pruners_of(problem(**asked).spec) == asked["pruners"]
    assert pruners_of(problem(**asked, recovery=Recovery(steps=0)).spec) == ("wanda", "pdp", "obc")
    assert pruners_of(problem(recovery=Recovery(steps=0)).spec) == ("magnitude",)


def test_the_ranges_of_all_coordinates_are_fit_to_be_sampled() -> None:
    for distribution in distributions(FREE.spec, FREE.prices.model).values():
        assert isinstance(distribution, CategoricalDistribution | FloatDistribution)
        assert not distribution.single()
