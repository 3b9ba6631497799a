"""A recovery written to disk and taken up again ends as the uninterrupted one does, bit for bit; bad files say why."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pruning.distil import Distillation
from pruning.early_stop import EarlyStop
from pruning.errors import RecoveryError
from pruning.layers import Cut
from pruning.masked import MaskedWeight, SharedMask, Slice, attach, bake
from pruning.patterns import Channel, Unstructured
from pruning.pruners import PRUNERS, make
from pruning.recover import RecoverStep, Recovery, RecoveryConfig, RecoveryState
from tests.pruning.small import Small, data, small

STEPS = 12
SETTINGS: Mapping[str, Mapping[str, float]] = {
    "pdp": {"ramp": 0.3, "harden": 0.6},
    "gmp": {"end": 0.7, "updates": 4},
    "ac_dc": {"begin": 0.1, "end": 0.8, "cycles": 2},
}


def masked(pruner: str) -> Small:
    """The small network under masks, always the same."""
    net = small()
    own = make(pruner, Unstructured(0.7), SETTINGS.get(pruner, {}))
    if pruner != "pdp":
        attach(net, {"body.weight": MaskedWeight(own)}, seed=3)
        return net
    made = Cut(parameter="body.weight", dim=0, role="producer")
    read = Cut(parameter="head.weight", dim=1, role="consumer", repeat=4)
    shared = SharedMask(make("pdp", Channel(0.5), SETTINGS["pdp"]), [(net.body.weight, made)], 6)
    masks = {
        "body.weight": MaskedWeight(own, [Slice(shared, made)]),
        read.parameter: MaskedWeight(None, [Slice(shared, read)]),
    }
    attach(net, masks, seed=3)
    return net


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs, targets)


def begin(pruner: str, **config: Any) -> Recovery:
    return Recovery(masked(pruner), data(5), RecoveryConfig(**{"steps": STEPS, **config}), loss, seed=7)


def end(recovery: Recovery, seen: list[RecoverStep]) -> tuple[list[RecoverStep], dict[str, Tensor]]:
    """All steps, and the baked model's tensors."""
    steps = [*seen, *recovery.steps()]
    bake(recovery.model)
    return steps, recovery.model.state_dict()


def interrupted(recovery: Recovery, after: int, path: Path) -> list[RecoverStep]:
    """Some steps; then it is saved, and gone."""
    steps = recovery.steps()
    seen = [next(steps) for _ in range(after)]
    recovery.state().save(path)
    steps.close()
    return seen


def agree(pruner: str, after: int, path: Path, **config: Any) -> None:
    """Uninterrupted and resumed are equal, to the last bit."""
    steps, tensors = end(begin(pruner, **config), [])
    seen = interrupted(begin(pruner, **config), after, path)
    resumed = begin(pruner, **config)
    resumed.restore(RecoveryState.load(path))
    found, resumed_tensors = end(resumed, seen)
    assert found == steps
    assert tensors.keys() == resumed_tensors.keys()
    assert all(torch.equal(tensors[name], resumed_tensors[name]) for name in tensors)


@pytest.mark.parametrize("pruner", PRUNERS)
def test_an_interrupted_run_ends_as_the_uninterrupted_one(pruner: str, tmp_path: Path) -> None:
    agree(pruner, 6, tmp_path / "state.safetensors")


@pytest.mark.parametrize("pruner", ["pdp", "ac_dc"])
def test_whatever_the_step(pruner: str, tmp_path: Path) -> None:
    for after in (0, 1, 4, 7, 8, 11, 12):
        agree(pruner, after, tmp_path / "state.safetensors")


@pytest.mark.parametrize(
    "config",
    [
        {"optimizer": "adamw", "learning_rate": 1e-3},
        {"optimizer": lambda groups: torch.optim.RMSprop(groups, momentum=0.5, centered=True), "learning_rate": 1e-3},
        {"accumulate": 3},
        {"channels_last": True},
        {"amp": "bfloat16"},
        {"distil": Distillation(weight=0.5)},
        {"schedule": lambda step: 1 / (1 + step)},
    ],
    ids=["adamw", "rmsprop", "accumulate", "channels_last", "bfloat16", "distil", "schedule"],
)
def test_under_every_option(config: dict[str, Any], tmp_path: Path) -> None:
    agree("ac_dc", 7, tmp_path / "state.safetensors", **config)


def test_an_early_stop_waits_on_where_it_was(tmp_path: Path) -> None:
    rule = EarlyStop(score=lambda _: 0.5, every=1, patience=4)
    agree("magnitude", 3, tmp_path / "state.safetensors", early_stop=rule)
    recovery = begin("magnitude", early_stop=rule)
    seen = interrupted(recovery, 5, tmp_path / "state.safetensors")
    assert seen[-1].stopped
    again = begin("magnitude", early_stop=rule)
    again.restore(RecoveryState.load(tmp_path / "state.safetensors"))
    assert list(again.steps()) == []


def test_a_state_in_memory_is_a_copy_and_saving_changes_nothing(tmp_path: Path) -> None:
    recovery = begin("gmp")
    steps = recovery.steps()
    next(steps)
    state = recovery.state()
    before = {name: value.clone() for name, value in state.tensors.items()}
    list(steps)
    assert all(torch.equal(before[name], state.tensors[name]) for name in before)
    state.save(tmp_path / "a")
    state.save(tmp_path / "a")
    assert RecoveryState.load(tmp_path / "a").step == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with safe_open(tmp_path / "a", framework="pt") as file:
        assert json.loads(file.metadata()["numbers"])["seed"] == 7


def test_another_recovery_is_refused_and_told_in_what(tmp_path: Path) -> None:
    interrupted(begin("pdp"), 2, tmp_path / "a")
    state = RecoveryState.load(tmp_path / "a")
    with pytest.raises(RecoveryError, match=r"learning_rate 0\.02, and this one 0\.1"):
        begin("pdp", learning_rate=0.1).restore(state)
    with pytest.raises(RecoveryError, match="of other masks"):
        begin("magnitude").restore(state)
    with pytest.raises(RecoveryError, match="another model"):
        Recovery(nn.Linear(2, 2), data(), RecoveryConfig(steps=STEPS), loss, 7).restore(state)


def test_files_that_are_no_checkpoint_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(RecoveryError, match="cannot be read"):
        RecoveryState.load(path)
    path.write_bytes(b"\x80\x04not a tensor file")
    with pytest.raises(RecoveryError, match="cannot be read"):
        RecoveryState.load(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(RecoveryError, match="not a recovery's checkpoint"):
        RecoveryState.load(path)
    for numbers in ("{", "[]", "{}", '{"step": "one"}'):
        save_file({}, path, metadata={"form": "espalier-recovery-1", "numbers": numbers})
        with pytest.raises(RecoveryError, match=r"cannot be read|no usable"):
            RecoveryState.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("optimizer/99/momentum_buffer", torch.zeros(1)), ("optimizer/x/y", torch.zeros(1)), ("model/x", torch.zeros(1))],
)
def test_tensors_that_belong_to_nothing_are_refused(key: str, value: Tensor) -> None:
    recovery = begin("magnitude")
    state = recovery.state()
    with pytest.raises(RecoveryError, match="checkpoint"):
        recovery.restore(RecoveryState(tensors={**state.tensors, key: value}, numbers=state.numbers))


def test_what_json_does_not_have_is_said(tmp_path: Path) -> None:
    state = begin("magnitude").state()
    with pytest.raises(RecoveryError, match="no form for"):
        RecoveryState(tensors={}, numbers={**state.numbers, "extra": {"a": object()}}).save(tmp_path / "a")
