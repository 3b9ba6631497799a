"""The names a search may ask for are the pruners and solvers there are, and what it refuses is what they refuse."""

import subprocess
import sys
from typing import get_args

import pytest

from app.search.pruners import (
    OBC_LIMIT,
    REFUSES,
    SOLVED_OPS,
    SOLVERS,
    PatternKind,
    PrunerName,
    apt,
    cannot_serve,
    cannot_solve,
    serves,
)
from pruning import oneshot
from pruning.layers import LayerSpec
from pruning.masks import KINDS
from pruning.oneshot import obc
from pruning.pruners import PRUNERS
from tests.costmodels.models import conv, linear


def test_every_pruner_and_solver_can_be_asked_for_and_nothing_else() -> None:
    assert set(get_args(PrunerName)) == {*PRUNERS, *oneshot.SOLVERS}, "app/search/pruners.py lists them for the web"
    assert set(get_args(PatternKind)) == set(KINDS)
    assert set(SOLVERS) == set(oneshot.SOLVERS)
    assert (SOLVED_OPS, OBC_LIMIT) == (oneshot.OPS, obc.LIMIT)


@pytest.mark.parametrize("name", PRUNERS)
def test_what_a_pruner_refuses_is_refused_at_submission(name: PrunerName) -> None:
    assert set(REFUSES.get(name, ())) == set(PRUNERS[name].refuses), "app/search/pruners.py says it for the web"
    for kind in get_args(PatternKind):
        assert bool(cannot_serve((name,), (kind,))) == (kind in PRUNERS[name].refuses)


def test_the_refusal_names_the_pruner_and_the_way_out() -> None:
    assert cannot_serve(("wanda",), ("unstructured", "nm")) == ""
    assert "'wanda' does not serve kernel and channel patterns: leave" in cannot_serve(
        ("wanda",), ("unstructured", "kernel", "channel")
    )


def test_one_pruner_that_serves_a_pattern_is_enough() -> None:
    assert cannot_serve(("magnitude", "wanda"), ("unstructured", "kernel", "channel")) == ""
    layer = conv("c", 8, 8)
    assert serves("wanda", [(layer, "nm")]) and not serves("wanda", [(layer, "nm"), (layer, "channel")])
    assert not serves("obc", [(linear("wide", 10_000, 2), "unstructured")])


def test_where_much_is_kept_a_solver_begins_and_where_little_is_a_pruner_that_trains() -> None:
    among: tuple[PrunerName, ...] = ("magnitude", "pdp", "sparsegpt")
    assert [apt(among, kept) for kept in (1.0, 0.3, 0.2, 0.02)] == ["sparsegpt", "sparsegpt", "pdp", "pdp"]
    assert [apt(("magnitude", "pdp"), kept) for kept in (0.5, 0.3)] == ["magnitude", "pdp"]
    assert apt(("rigl", "pdp"), 0.9) == "rigl"
    assert apt(("movement",), 0.5) == apt(("movement",), 0.1) == "movement"
    assert apt(("sparsegpt", "rigl"), 0.1) == apt(("wanda", "rigl", "str"), 0.1) == "rigl", "any that trains"
    assert apt(("wanda", "sparsegpt"), 0.1) == "wanda", "none that trains"


def test_without_recovery_the_solvers_begin_however_little_is_kept() -> None:
    among: tuple[PrunerName, ...] = ("magnitude", "pdp", "sparsegpt")
    assert [apt(among, kept, trained=False) for kept in (0.5, 0.1)] == ["sparsegpt", "sparsegpt"]
    assert apt(("pdp", "magnitude"), 0.1, trained=False) == "magnitude"


def test_layers_that_a_solver_cannot_do_are_known_from_their_shape() -> None:
    turned = LayerSpec(name="t", parameter="t", op="conv_transpose2d", in_channels=4, out_channels=4, kernel=(2, 2))
    assert "this is conv_transpose2d" in cannot_solve(("sparsegpt",), turned)
    assert cannot_solve(("magnitude", "sparsegpt"), turned) == "", "magnitude does it"
    assert cannot_solve(("magnitude", "pdp"), turned) == ""
    assert "obc takes" in cannot_solve(("obc",), linear("wide", 10_000, 2))
    assert cannot_solve(("wanda",), linear("wide", 10_000, 2)) == ""
    assert cannot_solve(("obc",), conv("depthwise", 16, 16, groups=16)) == ""


def test_asking_costs_no_torch() -> None:
    code = "import sys, app.search.spec; assert not {'torch', 'numpy', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
