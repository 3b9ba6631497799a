"""The error table: against the formula worked by hand, and its promises between the options that are measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.search.judging import judge_of
from app.search.spec_parts import Task
from app.search.table.completion import complete, measured
from app.search.table.score import WORST, Scorer, divergence, read_options
from pruning.calibrate import collect
from pruning.oneshot.refit import least_squares
from pruning.patterns import NM, Channel, Pattern, Unstructured, to_json
from tests.app.search.datasets import quiet
from tests.pruning.small import SPEC, small

Option = Mapping[str, Pattern]
SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
JUDGE = judge_of(Task(), {})


@pytest.fixture(scope="module")
def batches() -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(3 * torch.randn(count, 1, 4, 4, generator=generator), torch.zeros(count).long()) for count in (6, 5)]


def table(net: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], units: list[list[Option]]) -> list[list[float]]:
    return Scorer(net=net, spec=SPEC, batches=batches).table(units, quiet)


def softmax(logits: np.ndarray) -> np.ndarray:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_an_error_is_the_mean_divergence_from_the_dense_answers(batches: list[tuple[Tensor, Tensor]]) -> None:
    """numpy's own formula over all samples at once, with the smallest weights of the head zeroed by hand."""
    net = small()
    inputs = torch.cat([x for x, _ in batches])
    with torch.no_grad():
        before = softmax(net(inputs).double().numpy())
        changed = small()
        weight = changed.get_parameter("head.weight")
        order = weight.abs().flatten().argsort()
        weight.view(-1)[order[: weight.numel() // 2]] = 0.0
        after = softmax(changed(inputs).double().numpy())
    expected = (before * np.log(before / after)).sum(axis=1).mean()
    ((dense, found),) = table(net, batches, [[{}, {"head": Unstructured(0.5)}]])
    assert dense == 0.0
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_model_is_left_bit_for_bit_and_the_table_is_the_same_again(batches: list[tuple[Tensor, Tensor]]) -> None:
    net = small()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    units: list[list[Option]] = [
        [{}, {"stem": Channel(0.5)}, {"stem": Unstructured(0.9)}],
        [{}, {"body": NM(keep=2, group=4)}, {"body": Channel(0.5)}],
        [{}, {"head": Unstructured(0.5)}, {"head": Unstructured(0.9)}],
    ]
    found = table(net, batches, units)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert table(net, batches, units) == found
    assert [errors for unit in units for errors in table(net, batches, [unit])] == found, (
        "a part does not know the rest"
    )
    assert all(error > 0 for errors in found for error in errors[1:])


def test_progress_rises_to_one(batches: list[tuple[Tensor, Tensor]]) -> None:
    said: list[float] = []
    options: list[Option] = [{}, *({"head": Unstructured(s)} for s in SPARSITIES)]
    Scorer(net=small(), spec=SPEC, batches=batches).table([options], lambda fraction, _: said.append(fraction))
    assert said == sorted(said)
    assert said[-1] == 1.0


def test_answers_that_are_no_numbers_are_the_worst_and_not_the_best() -> None:
    class Broken(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([self.value, 0.0, 0.0]).expand(len(x), 3)

    dense = [JUDGE.remember(torch.zeros(2, 3))]
    for value in (float("nan"), float("inf"), float("-inf")):
        assert divergence(Broken(value), [(torch.zeros(2, 1), torch.zeros(2))], dense, JUDGE) == WORST
    assert divergence(Broken(0.0), [(torch.zeros(2, 1), torch.zeros(2))], dense, JUDGE) == pytest.approx(0.0, abs=1e-7)


def test_every_forward_of_a_sample_is_counted(batches: list[tuple[Tensor, Tensor]]) -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.seen = small(), 0

        def forward(self, x: Tensor) -> Tensor:
            self.seen += len(x)
            answer: Tensor = self.inner(x)
            return answer

        def get_submodule(self, target: str) -> nn.Module:
            return self.inner.get_submodule(target)

    units: list[list[Option]] = [
        [{"stem": Channel(0.5)}, {"stem": Unstructured(0.9)}],
        [{"head": Unstructured(s)} for s in SPARSITIES],
    ]
    for refit, passes in ((False, 1 + 8), (True, 1 + 8 + 1)):
        net = Counting()
        found = Scorer(net=net, spec=SPEC, batches=batches, refit=refit).scored(units, quiet)
        assert found.sample_passes == net.seen == 11 * passes
        assert [len(errors) for errors in found.errors] == [2, 6]


def test_a_table_is_completed_from_the_few_that_are_measured(batches: list[tuple[Tensor, Tensor]]) -> None:
    options: list[Option] = [{}, *({"head": Unstructured(s)} for s in SPARSITIES)]
    at = measured(options)
    assert len(at) < len(options) - 1
    scorer = Scorer(net=small(), spec=SPEC, batches=batches)
    (errors,) = scorer.scored([[options[index] for index in at]], quiet).errors
    assert scorer.table([options], quiet) == [complete(options, dict(zip(at, errors, strict=True)))]


def test_a_reconstructed_error_is_that_of_the_layer_solved_for_its_inputs(batches: list[tuple[Tensor, Tensor]]) -> None:
    net, option = small(), {"head": Unstructured(0.7)}
    (plain,), (solved,) = (
        Scorer(net=net, spec=SPEC, batches=batches, refit=refit).scored([[option]], quiet).errors for refit in (0, 1)
    )
    by_hand, weight = small(), net.get_parameter("head.weight")
    kept = weight.abs() >= weight.abs().flatten().sort(descending=True).values[int(0.3 * weight.numel()) - 1]
    seen = collect(net, ["head.weight"], batches)["head.weight"]
    with torch.no_grad():
        by_hand.head.weight.copy_(least_squares(weight, torch.where(kept, weight, 0), seen, 0.01))
        dense = [JUDGE.remember(net(x)) for x, _ in batches]
    assert solved[0] == pytest.approx(divergence(by_hand, batches, dense, JUDGE), rel=1e-5)
    assert solved[0] < plain[0]


def test_options_are_read_back_from_json() -> None:
    units: list[list[Option]] = [[{}, {"a": NM(keep=1, group=4)}], [{}, {"b": Channel(0.5), "c": Channel(0.5)}]]
    document = [[{name: to_json(p) for name, p in option.items()} for option in unit] for unit in units]
    assert read_options(document) == units


def test_the_mode_of_the_model_is_left_as_it_was(batches: list[tuple[Tensor, Tensor]]) -> None:
    for training in (True, False):
        net = small().train(training)
        table(net, batches, [[{}, {"head": Unstructured(0.5)}]])
        assert net.training is training
