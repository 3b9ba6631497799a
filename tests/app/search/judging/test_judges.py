"""Every judge keeps the suite's promises, reads what formulas worked by hand say, and refuses what does not fit."""

import subprocess
import sys
from dataclasses import replace
from math import exp
from typing import Any

import numpy as np
import pytest
import torch

from app.search.errors import DatasetError
from app.search.judging import JUDGES, Judge, headline_of, judge_of
from app.search.spec import Task
from pruning.layers import ModelSpec
from tests.app.search.judging.conformance import Echo, Example, conforms

RANDOM = torch.Generator().manual_seed(0)
CLASSES = {"targets": "classes", "classes": list("abcdefgh")}
NUMBERS = {"targets": "numbers", "classes": [], "target_shape": [2], "target_variance": [1.0, 4.0]}
TOKENS = {"targets": "tokens", "classes": [], "target_shape": [6], "vocabulary": 50}


def example(kind: str) -> Example:
    judge = judge_of(Task(kind=kind), {"classification": CLASSES, "regression": NUMBERS}.get(kind, TOKENS))
    if kind == "regression":
        targets = torch.randn(20, 2, generator=RANDOM) * torch.tensor([1.0, 2.0])
        near = targets + 0.1 * torch.randn(20, 2, generator=RANDOM)
        return Example(judge=judge, targets=targets, good=near, bad=near + 1.0)
    shape = (20,) if kind == "classification" else (20, 6)
    targets = torch.randint(0, 8, shape, generator=RANDOM)
    width = 8 if kind == "classification" else 50
    noise = torch.randn(*shape, width, generator=RANDOM)
    sharp = 4.0 * torch.nn.functional.one_hot(targets, width) + noise
    if kind == "language_modelling":
        targets[:, -1] = -100
        targets[3, 2:] = -100
    return Example(judge=judge, targets=targets, good=sharp, bad=noise)


@pytest.mark.parametrize("kind", JUDGES)
def test_a_judge_keeps_its_promises(kind: str) -> None:
    conforms(example(kind))


def test_classification_reads_accuracy_top_five_and_cross_entropy() -> None:
    case = example("classification")
    found = case.readings(case.bad, 7)
    logits, targets = case.bad.double().numpy(), case.targets.numpy()
    order = np.argsort(-logits, axis=1)
    right = order[:, 0] == targets
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    nats = -np.log(p[np.arange(20), targets])
    assert found["accuracy"].value == pytest.approx(right.mean())
    assert found["accuracy"].standard_error == pytest.approx(np.sqrt(right.mean() * (1 - right.mean()) / 20))
    assert found["top5"].value == pytest.approx((order[:, :5] == targets[:, None]).any(axis=1).mean())
    assert found["loss"].value == pytest.approx(nats.mean())
    assert found["loss"].standard_error == pytest.approx(nats.std(ddof=1) / np.sqrt(20))


def test_five_classes_have_no_top_five() -> None:
    judge = judge_of(Task(), CLASSES | {"classes": list("abcde")})
    found = judge.tally(Echo(), [(torch.eye(5), torch.arange(5))])
    assert [reading.metric for reading in found] == ["accuracy", "loss"]


def test_regression_reads_r2_and_errors_in_the_targets_units() -> None:
    case = example("regression")
    found = case.readings(case.bad, 7)
    y, f = case.targets.double().numpy(), case.bad.double().numpy()
    explained = 1 - ((y - f) ** 2).sum(axis=0) / ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    assert found["r2"].value == pytest.approx(explained.mean())
    assert found["loss"].value == pytest.approx(((y - f) ** 2).mean())
    assert found["mae"].value == pytest.approx(np.abs(y - f).mean())
    moved = case.judge.divergence(case.judge.remember(case.good), case.good + 2.0)
    assert moved.numpy() == pytest.approx((2.0**2 / 1.0 + 2.0**2 / 4.0) / 2)


def test_one_number_a_sample_may_come_with_or_without_a_column() -> None:
    judge = judge_of(Task(kind="regression"), NUMBERS | {"target_shape": [], "target_variance": [1.0]})
    targets, answer = torch.arange(4.0), torch.arange(4.0) + 1
    assert float(judge.loss(answer, targets)) == float(judge.loss(answer[:, None], targets)) == 1.0
    for shape in ((), (1,)):
        judge.check_fit(model(shape))


def test_language_modelling_counts_judged_tokens_alone() -> None:
    case = example("language_modelling")
    found = case.readings(case.good, 7)
    kept = case.targets != -100
    nats = -case.good.double().log_softmax(dim=2).gather(2, case.targets.clamp(min=0)[..., None])[..., 0][kept]
    assert found["loss"].value == pytest.approx(float(nats.mean()))
    assert found["perplexity"].value == pytest.approx(exp(float(nats.mean())))
    assert found["loss"].samples == 20
    assert float(case.judge.loss(case.good, case.targets)) == pytest.approx(float(nats.mean()), rel=1e-5)


def test_the_divergence_of_tokens_is_a_lower_bound_and_near_the_whole() -> None:
    case = example("language_modelling")
    dense, found = (answer.double().log_softmax(dim=2) for answer in (case.good, case.bad))
    whole = (dense.exp() * (dense - found)).sum(dim=2).mean(dim=1)
    kept = case.judge.divergence(case.judge.remember(case.good), case.bad).double()
    assert bool((kept <= whole + 1e-5).all())
    assert float(kept.sum()) > 0.9 * float(whole.sum())


def test_a_hopeless_perplexity_is_still_a_number() -> None:
    case = example("language_modelling")
    assert 1e20 < case.readings(-1e6 * case.good, 20)["perplexity"].value < float("inf")


def model(*outputs: tuple[int, ...]) -> ModelSpec:
    return ModelSpec(layers=(), groups=(), input_shape=(4,), output_shapes=outputs, parameter_count=0)


@pytest.mark.parametrize(
    ("kind", "fits", "wrong", "message"),
    [
        ("classification", (8,), (7,), "the data has 8 classes, but the model answers 7"),
        ("classification", (9,), (6, 8), "the model answers 6x8: it must answer one logit a class"),
        ("regression", (2,), (3,), r"2 number\(s\) a sample, but the model answers 3"),
        ("language_modelling", (6, 50), (6, 49), "6 tokens a sample out of 50, but the model answers 6x49"),
        ("language_modelling", (6, 51), (5, 50), "it must answer 6 x at least 50 logits"),
    ],
)
def test_answers_that_cannot_hold_the_targets_are_refused(
    kind: str, fits: tuple[int, ...], wrong: tuple[int, ...], message: str
) -> None:
    judge = example(kind).judge
    judge.check_fit(model(fits))
    for asked, found in (
        (judge, model(wrong)),
        (replace(judge, task=replace(judge.task, output=1)), model(fits, wrong)),
    ):
        with pytest.raises(DatasetError, match=message) as caught:
            asked.check_fit(found)
        assert caught.value.code == "dataset_mismatch" and caught.value.details["field"] == "/task/output"
    with pytest.raises(DatasetError, match="output is 1, but the model has 1"):
        replace(judge, task=replace(judge.task, output=1)).check_fit(model(fits))


@pytest.mark.parametrize(
    ("kind", "meta"), [("regression", CLASSES), ("classification", NUMBERS), ("regression", TOKENS)]
)
def test_another_kind_of_targets_says_which_task_it_is_for(kind: Any, meta: dict[str, Any]) -> None:
    wanted = {"classes": "classification", "numbers": "regression", "tokens": "language_modelling"}[meta["targets"]]
    with pytest.raises(DatasetError, match=f"set task.kind to {wanted}") as caught:
        judge_of(Task(kind=kind), meta).check_fit(model((8,)))
    assert caught.value.details["field"] == "/task/kind"


def test_a_stored_search_has_its_headline() -> None:
    assert headline_of({"task": {"kind": "language_modelling"}}).better == "lower"
    assert headline_of({"task": {"logits_output": 0}}).metric == "accuracy"
    assert {judge.targets for judge in JUDGES.values()} == {"classes", "numbers", "tokens"}
    assert all(issubclass(judge, Judge) for judge in JUDGES.values())


def test_asking_a_judge_whether_data_fit_costs_no_torch() -> None:
    code = "import sys, app.search.judging.fit; assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
