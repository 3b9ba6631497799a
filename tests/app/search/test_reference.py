"""The demo's network: what can be removed from it, that it learns, and that pruning it too far hurts."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from app.search import reference
from app.search.reference import digits_accuracy, digits_model, train_digits
from app.search.samples.batches import Feed, Shuffled
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from pruning.apply import RecoveryRun, prune
from pruning.convert import convert
from pruning.graphnet import GraphNet, load
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.patterns import Channel, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import RecoveryConfig, recover
from pruning.trace import trace
from tests.app.search.datasets import quiet


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    path = tmp_path_factory.mktemp("digits") / "arrays.zip"
    prepare("digits", None, {}, quiet).write(path)
    return Dataset(path)


@dataclass
class Intaken:
    """A model as the service has it after an upload."""

    net: GraphNet
    spec: ModelSpec


def intake(module: nn.Module, folder: Path) -> Intaken:
    convert(module, torch.rand(2, 1, 8, 8), folder / "digits.pt2")
    write_model(*read_exported_program(folder / "digits.pt2"), folder)
    net = load(folder)
    return Intaken(net, trace(net))


def test_every_channel_but_the_outputs_is_provably_removable(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = intake(digits_model(), tmp_path).spec
    assert [layer.op for layer in spec.layers] == ["conv2d"] * 19 + ["linear"]
    held = [group for group in spec.groups if not group.removable]
    assert [group.reason for group in held] == ["the channels are the model's outputs"]
    assert all(spec.family_of(layer.name) for layer in spec.layers[:-1])
    assert sorted(len(group.producers) for group in spec.groups) == [1] * 9 + [3, 4, 4]  # three stages share channels
    assert spec.parameter_count == sum(parameter.numel() for parameter in digits_model().parameters()) == 88_362


def test_training_sees_the_train_split_alone(monkeypatch: pytest.MonkeyPatch, digits: Dataset) -> None:
    seen = []

    def watched(_: nn.Module, batches: object, config: RecoveryConfig, *__: object) -> list[object]:
        assert isinstance(batches, Shuffled)
        seen.append((batches.feed, config.steps))
        return []

    monkeypatch.setattr(reference, "recover", watched)
    train_digits(seed=1)
    ((feed, steps),) = seen
    assert feed.numbers.tolist() == digits.numbers("train").tolist()
    assert (feed.dataset.inputs == digits.inputs).all()
    assert steps == reference.STEPS


def test_training_is_repeatable_reported_and_leaves_the_random_state() -> None:
    torch.manual_seed(7)
    state, said = torch.get_rng_state(), []
    first = train_digits(seed=3, report=lambda fraction, text: said.append((fraction, text)), steps=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    again, other = train_digits(seed=3, steps=3), train_digits(seed=4, steps=3)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(first.get_parameter("head.weight"), other.get_parameter("head.weight"))
    assert not first.training
    assert said[-1][0] == 1.0
    assert "step 3 of 3" in said[-1][1]


def test_an_untrained_network_guesses() -> None:
    torch.manual_seed(0)
    assert digits_accuracy(digits_model()) < 0.3


def test_recovery_on_the_digits_lowers_the_loss(digits: Dataset) -> None:
    torch.manual_seed(0)
    batches = Feed(digits, "train", Task()).shuffled(64, 0)
    config = RecoveryConfig(steps=20, learning_rate=0.05)
    losses = [step.loss for step in recover(digits_model(), batches, config, nn.functional.cross_entropy)]
    assert len(losses) == 20  # more than the 14 batches of one epoch
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


@pytest.mark.slow
def test_the_trained_network_is_good_and_has_something_to_lose(tmp_path: Path, digits: Dataset) -> None:
    trained = train_digits()
    dense = digits_accuracy(trained)
    assert dense >= 0.97
    assert digits_accuracy(trained, "validation") >= 0.96
    taken = intake(trained, tmp_path)

    def after(pattern: Pattern) -> float:
        layers = [layer.name for layer in taken.spec.layers if taken.spec.family_of(layer.name)]
        plan = PruningPlan(pruner="magnitude", patterns=dict.fromkeys(layers, pattern))
        run = RecoveryRun(
            batches=Feed(digits, "train", Task()).shuffled(64, 1),
            loss=nn.functional.cross_entropy,
            config=RecoveryConfig(steps=30),  # as in the demo
        )
        return digits_accuracy(prune(taken.net, taken.spec, plan, run).net)

    for gentle in (Unstructured(0.5), Channel(0.3)):
        assert after(gentle) > dense - 0.03
    for harsh in (Unstructured(0.985), Channel(0.8)):
        assert after(harsh) < dense - 0.05
