"""Coupled widths: the stage program and the graph program against every decision and against each other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.search.solve.chain import Chain, NotAChain
from app.search.solve.coupled import CoupledProblem, Group, TwoSided
from app.search.solve.graph import solve_graph
from app.search.solve.stages import solve_stages
from app.search.solve.values import SolveError, Unreachable
from app.search.solve.widths import solve_coupled
from benchmarks.solver_nets import resnet50
from tests.app.search.solve.coupled_nets import everything, residual

SHARES = (0.0, 0.1, 0.3, 0.6, 1.0)


def limits_of(costs: np.ndarray) -> list[float]:
    """From the lowest reachable cost to the highest."""
    return [float(costs.min() + share * np.ptp(costs)) for share in SHARES]


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=6, deadline=None)
def test_stages_equal_every_decision_there_is(seed: int, whole: bool) -> None:
    problem = residual(seed, stages=1, blocks=1, widths=3, whole=whole)
    costs, errors = everything(problem)
    limits = limits_of(costs[:, 0])
    for limit, found in zip(limits, solve_stages(problem, limits), strict=True):
        truth = errors[costs[:, 0] <= limit + 1e-9].min()
        assert found.bound <= truth + 1e-9
        assert found.error == pytest.approx(truth, rel=1e-9)
        assert found.status == "optimal"
        assert found.costs[0] <= limit + 1e-6
        again, error = problem.priced(found.widths, found.dropped)
        assert (again.tolist(), error) == (found.costs.tolist(), found.error)


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=6, deadline=None)
def test_stages_equal_the_graph_on_chains_too_large_to_list(seed: int, whole: bool) -> None:
    problem = residual(seed, stages=2, blocks=1, widths=3, whole=whole)
    dense, _ = problem.priced(dict.fromkeys(problem.widths, 0), frozenset())
    limits = [float(dense[0]) * share for share in (0.9, 0.6, 0.4)]
    graph = solve_graph(problem, [[limit] for limit in limits])
    for by_stages, by_graph in zip(solve_stages(problem, limits), graph, strict=True):
        assert by_stages.status == by_graph.status == "optimal"
        assert by_stages.error == pytest.approx(by_graph.error, rel=2e-6, abs=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_the_graph_keeps_several_limits_as_every_decision_says(seed: int) -> None:
    problem = residual(seed, stages=1, blocks=1, widths=2, resources=2)
    costs, errors = everything(problem)
    limits = costs.min(axis=0) + np.array([0.4, 0.5]) * np.ptp(costs, axis=0)
    truth = errors[np.all(costs <= limits + 1e-9, axis=1)].min(initial=np.inf)
    if not np.isfinite(truth):
        with pytest.raises(Unreachable):
            next(solve_graph(problem, [limits.tolist()]))
        return
    assert next(solve_graph(problem, [limits.tolist()])).error == pytest.approx(truth, rel=2e-6, abs=1e-9)


def ring(widths: int = 3) -> CoupledProblem:
    """Three groups, each pair of which a layer joins, and a depthwise layer on one: no chain."""
    draw = np.random.default_rng(5)
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a")]
    layers = [
        TwoSided(
            name=f"{reads}{writes}",
            costs=draw.integers(1, 50, (1, widths, widths)).astype(float),
            errors=draw.uniform(0, 1, (widths, widths)),
            reads=reads,
            writes=writes,
        )
        for reads, writes in pairs
    ]
    return CoupledProblem(groups=[Group(name=name, widths=widths) for name in "abc"], layers=layers)


def test_what_is_no_chain_is_solved_as_a_graph() -> None:
    problem = ring()
    with pytest.raises(NotAChain, match="ring"):
        list(solve_stages(problem, [100.0]))
    costs, errors = everything(problem)
    limits = limits_of(costs[:, 0])
    for limit, found in zip(limits, solve_coupled(problem, [[limit] for limit in limits]), strict=True):
        assert found.error == pytest.approx(errors[costs[:, 0] <= limit + 1e-9].min(), rel=2e-6)


@pytest.mark.parametrize("whole", [True, False])
def test_a_plain_net_is_a_chain_of_single_layers(whole: bool) -> None:
    draw = np.random.default_rng(2)
    names = ["g0", "g1", "g2", "g3"]
    layers = []
    for reads, writes in zip([None, *names], [*names, None], strict=True):
        shape = (1, 1 if writes is None else 3, 1 if reads is None else 3)
        costs = draw.uniform(5, 90, shape)
        layers.append(
            TwoSided(
                name=f"{reads}-{writes}",
                costs=np.rint(costs) if whole else costs,
                errors=draw.uniform(0, 1, shape[1:]),
                reads=reads,
                writes=writes,
            )
        )
    layers.append(replace(layers[1], name="depthwise", reads="g1", writes="g1"))
    problem = CoupledProblem(groups=[Group(name=name, widths=3) for name in [*names, "stray"]], layers=layers)
    costs, errors = everything(problem)
    limits = limits_of(costs[:, 0])
    for limit, found in zip(limits, solve_stages(problem, limits), strict=True):
        assert found.error == pytest.approx(errors[costs[:, 0] <= limit + 1e-9].min(), rel=1e-9)


def test_a_net_the_size_of_resnet50_is_proven_optimal_stage_by_stage() -> None:
    problem = resnet50(0, widths=8)
    dense, _ = problem.priced(dict.fromkeys(problem.widths, 0), frozenset())
    found = list(solve_stages(problem, [float(dense[0]) * share for share in (0.8, 0.5, 0.25)]))
    assert [each.status for each in found] == ["optimal"] * 3
    assert found[0].error < found[1].error < found[2].error
    assert found[2].dropped, "at a quarter of the cost whole blocks go"
    assert Chain.of(problem).stations == ("r0", "r1", "r2", "r3")


def test_little_work_tells_its_gap_and_stays_on_the_right_side() -> None:
    problem = resnet50(1, widths=6, whole=False)
    dense, _ = problem.priced(dict.fromkeys(problem.widths, 0), frozenset())
    limits = [float(dense[0]) * 0.4]
    rough, exact = next(solve_stages(problem, limits, cells=3e4)), next(solve_stages(problem, limits))
    assert rough.bound <= exact.error <= rough.error
    assert rough.costs[0] <= limits[0] + 1e-6


def test_a_limit_below_the_lowest_cost_is_refused_with_it() -> None:
    problem = residual(0)
    with pytest.raises(Unreachable, match="goes down to") as by_stages:
        list(solve_stages(problem, [10.0]))
    with pytest.raises(Unreachable) as by_graph:
        list(solve_graph(problem, [[10.0]]))
    lowest = [refusal.value.details["lowest"]["resource 0"] for refusal in (by_stages, by_graph)]
    assert lowest[0] == pytest.approx(lowest[1])
    assert next(solve_stages(problem, [lowest[0]])).costs[0] == pytest.approx(lowest[0])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": []}, "no layers"),
        ({"groups": [Group(name="a", widths=3)] * 2}, "group 'a' is there twice"),
        ({"groups": [Group(name="a", widths=3)]}, "of group 'b', which there is not"),
        ({"groups": [Group(name=name, widths=2) for name in "abc"]}, "expected costs of shape"),
        ({"groups": [Group(name="a", widths=3, errors=np.full(3, np.nan)), *ring().groups[1:]]}, "finite error"),
        ({"layers": [replace(ring().layers[0], errors=np.zeros((2, 3)))]}, "errors of shape"),
        ({"layers": [replace(ring().layers[0], costs=np.full((1, 3, 3), np.inf))]}, "not a finite number"),
        ({"droppable": {"attic": 1.0}}, "attic"),
    ],
)
def test_problems_that_are_none_are_refused_by_name(changes: dict, said: str) -> None:
    with pytest.raises(SolveError, match=said):
        replace(ring(), **changes)


def test_limits_are_one_a_resource() -> None:
    with pytest.raises(SolveError, match="1 limits a row"):
        list(solve_coupled(ring(), [[1.0, 2.0]]))
