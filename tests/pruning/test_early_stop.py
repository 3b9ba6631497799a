"""An early stop counts looks without improvement, once masks are binary, and says why it stopped."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pruning.early_stop import EarlyStop
from pruning.errors import RecoveryError
from pruning.masked import MaskedWeight, attach
from pruning.patterns import Unstructured
from pruning.pruners import make
from pruning.recover import RecoverStep, RecoveryConfig, recover
from tests.pruning.small import data, small


def steps(scores: list[float], harden: float = 0.0, **rule: float) -> list[RecoverStep]:
    told = iter(scores)
    return run(EarlyStop(score=lambda _: next(told), **{"every": 2, "patience": 2, **rule}), harden)  # type: ignore[arg-type]


def run(rule: EarlyStop, harden: float = 0.0, look: Callable[[nn.Module], None] | None = None) -> list[RecoverStep]:
    net = small()
    attach(net, {"body.weight": MaskedWeight(make("pdp", Unstructured(0.5), {"ramp": 0.0, "harden": harden}))})
    found = list(recover(net, data(), RecoveryConfig(steps=20, early_stop=rule), nn.functional.cross_entropy))
    if look:
        look(net)
    return found


def test_it_stops_after_patience_looks_without_improvement_and_says_so() -> None:
    found = steps([0.1, 0.5, 0.5, 0.4])
    assert len(found) == 8
    assert [s.score for s in found] == [None, 0.1, None, 0.5, None, 0.5, None, 0.4]
    assert found[-1].stopped == "no score above 0.5, that of step 4, in 2 looks"
    assert not any(s.stopped for s in found[:-1])


def test_improvement_starts_the_count_again_and_must_exceed_the_least() -> None:
    assert len(steps([0.1, 0.0, 0.2, 0.1, 0.3, 0.2, 0.4, 0.3, 0.5, 0.4])) == 20
    assert len(steps([0.1, 0.15, 0.19], least=0.1)) == 6
    assert len(steps([float("nan")] * 2)) == 4


def test_no_look_is_taken_while_masks_are_soft() -> None:
    found = steps([0.5] * 9, harden=0.5)
    assert [s.step for s in found if s.score is not None] == [12, 14, 16]


def test_a_look_disturbs_nothing() -> None:
    modes: list[bool] = []

    def score(net: nn.Module) -> float:
        torch.rand(3)
        modes.append(net.training or torch.is_grad_enabled())
        return float(len(modes))

    looked, plain = (run(EarlyStop(score=score, every=every)) for every in (2, 1000))
    assert modes == [False] * 10
    assert [s.loss for s in looked] == [s.loss for s in plain]
    run(EarlyStop(score=lambda _: 1.0, every=1), look=lambda net: modes.append(net.training))
    assert modes[-1]


@pytest.mark.parametrize("wrong", [{"every": 0}, {"patience": 0}, {"least": -1.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RecoveryError, match=next(iter(wrong))):
        EarlyStop(score=lambda _: 0.0, **wrong)  # type: ignore[arg-type]
