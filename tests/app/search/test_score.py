"""The error table: against the formula worked by hand, and its promises between the options that are measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from app.search.score import WORST, Scorer, complete, divergence, log_probabilities, measured, read_options
from pruning.patterns import NM, Block, Channel, Pattern, Unstructured, to_json
from tests.app.search.datasets import quiet
from tests.pruning.small import SPEC, small

Option = Mapping[str, Pattern]
SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
FAMILY: list[Option] = [{}, *({"a": Unstructured(s)} for s in SPARSITIES)]


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

    dense = [torch.zeros(2, 3).log_softmax(dim=1)]
    for value in (float("nan"), float("inf"), float("-inf")):
        assert divergence(Broken(value), [(torch.zeros(2, 1), torch.zeros(2))], dense, 0) == WORST
    assert divergence(Broken(0.0), [(torch.zeros(2, 1), torch.zeros(2))], dense, 0) == pytest.approx(0.0, abs=1e-7)


def test_the_logits_are_the_output_that_was_named() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x, 2 * x

    x = torch.tensor([[1.0, 3.0]])
    assert torch.equal(log_probabilities(Two(), x, 1), (2 * x).log_softmax(dim=1))


def test_the_strongest_of_every_family_is_measured_and_dense_never() -> None:
    options: list[Option] = [*FAMILY, {"a": NM(keep=2, group=4)}, {"b": Unstructured(0.5)}, {"a": Channel(0.5)}]
    found = measured(options)
    assert 0 not in found
    assert {6, 7, 8, 9} <= set(found)
    assert len(found) < len(options) - 1


@given(st.lists(st.floats(0, 50), min_size=len(FAMILY), max_size=len(FAMILY)))
def test_completed_errors_rise_with_sparsity_from_zero(raw: list[float]) -> None:
    indices = measured(FAMILY)
    known = {index: raw[index] for index in indices}
    found = complete(FAMILY, known)
    assert found[0] == 0.0
    assert found == sorted(found)
    highest = 0.0
    for index in indices:  # a dip is lifted to what came before it, nothing else is changed
        highest = max(highest, known[index])
        assert found[index] == pytest.approx(highest)
    assert max(found) == pytest.approx(highest)


def test_families_do_not_touch_each_other() -> None:
    options: list[Option] = [{}, {"a": Unstructured(0.5)}, {"b": Unstructured(0.9)}, {"a": Channel(0.9)}]
    assert complete(options, {1: 5.0, 2: 1.0, 3: 0.5}) == [0.0, 5.0, 1.0, 0.5]


def test_options_are_read_back_from_json() -> None:
    units: list[list[Option]] = [[{}, {"a": NM(keep=1, group=4)}], [{}, {"b": Channel(0.5), "c": Channel(0.5)}]]
    document = [[{name: to_json(p) for name, p in option.items()} for option in unit] for unit in units]
    assert read_options(document) == units


def test_patterns_of_different_groups_are_no_strengths_of_one_another() -> None:
    """2 of 4 and 4 of 8 keep as much, but the first leaves less freedom: each is measured for itself."""
    options: list[Option] = [{}, {"a": NM(keep=2, group=4)}, {"a": NM(keep=4, group=8)}, {"a": NM(keep=1, group=4)}]
    assert {2, 3} <= set(measured(options))
    assert complete(options, {1: 0.4, 2: 0.1, 3: 0.9}) == [0.0, 0.4, 0.1, 0.9]


def test_blocks_of_different_sizes_are_no_strengths_of_one_another() -> None:
    blocks: list[Option] = [{"a": Block(4, 1, 0.5)}, {"a": Block(2, 2, 0.9)}, {"a": Block(4, 1, 0.9)}]
    assert measured([{}, *blocks]) == [2, 3]


def test_the_mode_of_the_model_is_left_as_it_was(batches: list[tuple[Tensor, Tensor]]) -> None:
    for training in (True, False):
        net = small().train(training)
        table(net, batches, [[{}, {"head": Unstructured(0.5)}]])
        assert net.training is training
