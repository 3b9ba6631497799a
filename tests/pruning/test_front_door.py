"""One door for pruners and layer solvers alike, and what a plan's post-step leaves behind them."""

import json

import pytest
import torch
from torch import nn

from pruning.apply import Pruning, RecoveryRun, prune
from pruning.errors import CalibrationError, PlanError, PruningError
from pruning.oneshot import SOLVERS, SolvedLayer
from pruning.patterns import NM, Channel, Pattern, Unstructured, kept_count
from pruning.plan import DKM, Int8, PostStep, PruningPlan
from pruning.recover import RecoverStep, RecoveryConfig
from tests.pruning.small import SPEC, data, small

PATTERNS: dict[str, Pattern] = {"stem": Unstructured(0.4), "body": NM(keep=1, group=4), "head": Unstructured(0.75)}
CHANNELS: dict[str, Pattern] = {"stem": Channel(0.5), "body": NM(keep=2, group=4), "head": Unstructured(0.5)}


def plan(pruner: str, patterns: dict[str, Pattern] = PATTERNS, *post: PostStep) -> PruningPlan:
    return PruningPlan(pruner=pruner, patterns=patterns, post=post)


def recovery(steps: int = 5) -> RecoveryRun:
    return RecoveryRun(batches=data(), loss=nn.functional.cross_entropy, config=RecoveryConfig(steps=steps))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solvers_zeros_are_locked_while_the_net_recovers(solver: str) -> None:
    alone = prune(small(), SPEC, plan(solver), calibration=data())
    pruned = prune(small(), SPEC, plan(solver), recovery(), calibration=data())
    for layer, report in zip(SPEC.layers, pruned.report.layers, strict=True):
        before, after = (p.net.get_parameter(layer.parameter).detach() for p in (alone, pruned))
        assert torch.equal(before != 0, after != 0)
        assert not torch.equal(before, after)
        assert (report.gap, report.warnings) == (0.0, ())  # locking cut nothing
    assert pruned.report.layers[0].zeros == 72 - kept_count(72, 0.4)
    assert pruned.report.solved == alone.report.solved
    assert [s["name"] for s in pruned.report.to_json()["solved"]] == ["stem", "body", "head"]


def test_steps_are_shown_in_order_and_runs_repeat() -> None:
    shown: list[SolvedLayer | RecoverStep] = []
    one = prune(small(), SPEC, plan("sparsegpt"), recovery(2), shown.append, data())
    assert [type(step) for step in shown] == [SolvedLayer] * 3 + [RecoverStep] * 2
    torch.manual_seed(9)
    two = prune(small(), SPEC, plan("sparsegpt"), recovery(2), calibration=data())
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True))


def test_calibration_says_nothing_to_other_pruners_but_gives_statistics() -> None:
    net = small()
    assert list(Pruning(net, SPEC, plan("magnitude")).solve([])) == []
    plain, calibrated = prune(net, SPEC, plan("pdp")), prune(net, SPEC, plan("pdp"), calibration=data())
    assert torch.equal(plain.net.body.weight, calibrated.net.body.weight)
    assert not torch.equal(plain.net.body_norm.running_mean, calibrated.net.body_norm.running_mean)
    assert "solved" not in calibrated.report.to_json() and "stored" not in calibrated.report.to_json()


def test_a_solver_wants_calibration_first_all_of_it() -> None:
    with pytest.raises(CalibrationError, match="wanda prunes by what the layers see"):
        prune(small(), SPEC, plan("wanda"))
    with pytest.raises(CalibrationError, match="wanda"):
        prune(small(), SPEC, plan("wanda"), recovery())
    run = Pruning(small(), SPEC, plan("wanda"))
    next(run.solve(data()))
    with pytest.raises(CalibrationError, match="all of"):
        run.finish()
    assert issubclass(CalibrationError, PruningError) and CalibrationError.code == "calibration"


def test_what_a_solver_cannot_do_is_said_before_anything_runs() -> None:
    with pytest.raises(PlanError, match=r"'stem' asks obc for channel@0\.5"):
        Pruning(small(), SPEC, plan("obc", CHANNELS))
    with pytest.raises(PlanError, match=r"no pruner 'lottery'; there are \['ac_dc'.*'wanda'\]"):
        Pruning(small(), SPEC, plan("lottery"))


@pytest.mark.parametrize("step", [Int8(), DKM(bits=3)], ids=lambda step: step.kind)
@pytest.mark.parametrize("pruner", ["pdp", "sparsegpt"])
def test_the_post_step_comes_last_and_is_counted(pruner: str, step: PostStep) -> None:
    patterns = PATTERNS if pruner in SOLVERS else CHANNELS
    plain = prune(small(), SPEC, plan(pruner, patterns), recovery(), calibration=data())
    pruned = prune(small(), SPEC, plan(pruner, patterns, step), recovery(), calibration=data())
    stored = {layer.name: layer for layer in pruned.report.stored}
    assert list(stored) == ["stem", "body", "head"]
    for layer, report in zip(SPEC.layers, pruned.report.layers, strict=True):
        before, after = (p.net.get_parameter(layer.parameter).detach() for p in (plain, pruned))
        assert not ((before == 0) & (after != 0)).any()
        found = stored[layer.name]
        assert (found.step, found.weights, found.zeros) == (step.kind, report.remaining_weights, report.remaining_zeros)
        assert found.dense_bytes == 4 * report.remaining_weights
        if isinstance(step, Int8):
            assert found.bytes == report.remaining_weights + 4 * report.out_channels
        else:
            left = after[after != 0] if report.remaining_zeros == 0 else after
            assert found.bytes == -(-3 * report.remaining_weights // 8) + 4 * len(left.unique())
            assert len(left.unique()) <= 8
    document = json.loads(json.dumps(pruned.report.to_json()))
    assert [layer["bytes"] for layer in document["stored"]] == [layer.bytes for layer in pruned.report.stored]


def test_palettes_of_vectors_are_laid_over_what_remains() -> None:
    """Of the cut weight: over the whole one, a run would straddle removed channels and mix in their zeros."""
    asked = plan("magnitude", {"body": Channel(0.5)}, DKM(bits=4, dim=4))
    pruned = prune(small(), SPEC, asked)
    left = pruned.net.body.weight.detach()[pruned.kept["body"]]
    assert len(left.reshape(-1, 4).unique(dim=0)) <= 16 and left.all()


def test_statistics_are_those_of_the_stored_weights() -> None:
    crude = prune(small(), SPEC, plan("magnitude", PATTERNS, DKM(bits=1)), calibration=data())
    plain = prune(small(), SPEC, plan("magnitude"), calibration=data())
    assert not torch.equal(crude.net.body_norm.running_var, plain.net.body_norm.running_var)
