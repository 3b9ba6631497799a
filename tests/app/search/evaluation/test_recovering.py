"""What a submission leaves open is chosen for the model; what it says is what trains."""

import math
from dataclasses import replace

import pytest
import torch

from app.search.evaluation.recovering import DEFAULTS, chosen, recovery_config
from app.search.spec import Recovery, SearchSpec, SpecError, Task
from pruning.architectures import build, example, read_config
from pruning.convert import convert
from pruning.graphnet import GraphNet, load
from pruning.intake.reader import read_exported_program, write_model

SMALL = {
    "cifar_resnet": {"size": 8, "classes": 3, "depth": 8, "width": 4},
    "mlp": {"features": 6, "hidden": [5], "classes": 3},
    "bert": {"vocabulary": 20, "tokens": 4, "classes": 3, "depth": 1, "width": 8, "heads": 2, "hidden": 8},
    "vit": {"size": 8, "classes": 3, "depth": 1, "width": 8, "heads": 2, "patch": 4},
}


def net_of(name: str, tmp_path) -> GraphNet:
    torch.manual_seed(0)
    inputs = example(read_config(name, SMALL[name]).inputs)
    convert(build(name, SMALL[name]), inputs if len(inputs) > 1 else inputs[0], tmp_path / "model.pt2")
    write_model(*read_exported_program(tmp_path / "model.pt2"), tmp_path)
    return load(tmp_path)


def spec(**recovery: object) -> SearchSpec:
    return SearchSpec(model="m", dataset="d", profiles=("p",), recovery=Recovery(**recovery))


@pytest.mark.parametrize(
    ("name", "optimizer"), [("cifar_resnet", "sgd"), ("mlp", "sgd"), ("bert", "adamw"), ("vit", "adamw")]
)
def test_auto_follows_the_norms(name: str, optimizer: str, tmp_path) -> None:
    document = net_of(name, tmp_path).document
    assert chosen(document) == optimizer
    config = recovery_config(spec(), 30, document, lambda answer: answer)
    assert (config.optimizer, config.steps) == (optimizer, 30)
    assert config.learning_rate == DEFAULTS[optimizer].learning_rate
    assert config.weight_decay == DEFAULTS[optimizer].weight_decay
    assert config.distil is None


def test_what_is_said_is_what_trains(tmp_path) -> None:
    asked = spec(
        optimizer="adam",
        learning_rate=0.1,
        weight_decay=0.0,
        schedule="linear",
        accumulate=3,
        distil=0.5,
        temperature=4.0,
    )
    config = recovery_config(asked, 7, net_of("mlp", tmp_path).document, lambda answer: answer)
    assert (config.optimizer, config.learning_rate, config.weight_decay) == ("adam", 0.1, 0.0)
    assert (config.schedule, config.accumulate, config.steps) == ("linear", 3, 7)
    assert config.distil is not None and (config.distil.weight, config.distil.temperature) == (0.5, 4.0)


@pytest.mark.parametrize("given", [None, 0.1])
def test_a_factor_multiplies_the_rate_that_was_given_or_chosen(given: float | None, tmp_path) -> None:
    document = net_of("mlp", tmp_path).document
    plain, half = (recovery_config(spec(learning_rate=given), 7, document, lambda x: x, by) for by in (1.0, 0.5))
    assert plain == recovery_config(spec(learning_rate=given), 7, document, lambda x: x)
    assert half == replace(plain, learning_rate=0.5 * (given or DEFAULTS["sgd"].learning_rate))


@pytest.mark.parametrize(
    ("epochs", "batch", "accumulate", "samples"), [(2.0, 10, 1, 95), (0.001, 64, 1, 10), (1.0, 8, 4, 64)]
)
def test_epochs_become_updates(epochs: float, batch: int, accumulate: int, samples: int) -> None:
    asked = Recovery(epochs=epochs, batch=batch, accumulate=accumulate)
    found = asked.in_steps(samples)
    assert found.epochs is None
    assert found.steps == max(1, math.ceil(epochs * samples / (batch * accumulate)))
    assert found.in_steps(1) is found


def test_what_does_not_go_together_is_named() -> None:
    with pytest.raises(SpecError, match="/recovery/epochs: rungs are counted in steps"):
        SearchSpec(model="m", dataset="d", profiles=("p",), rungs=(0,), recovery=Recovery(epochs=1.0))
    with pytest.raises(SpecError, match="/recovery/distil: regression has no classes"):
        SearchSpec(model="m", dataset="d", profiles=("p",), task=Task(kind="regression"), recovery=Recovery(distil=0.5))
