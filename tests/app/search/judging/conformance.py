"""What every judge promises, as one suite; a further task's judge passes it before it enters `JUDGES`."""

from dataclasses import dataclass, replace
from math import isfinite

import torch
from torch import Tensor, nn

from app.search.judging import Judge, Reading
from app.search.spec import Task
from app.search.trial import Metric


class Echo(nn.Module):
    """A model whose answer is its input, moved by `shift` and scaled."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.shift = shift

    def forward(self, answer: Tensor) -> Tensor:
        return self.scale * answer + self.shift


@dataclass(frozen=True, kw_only=True)
class Example:
    """A judge, an answer that is right about most targets, and one that is worse."""

    judge: Judge
    targets: Tensor
    good: Tensor
    bad: Tensor

    def readings(self, answer: Tensor, batch: int) -> dict[Metric, Reading]:
        batches = list(zip(answer.split(batch), self.targets.split(batch), strict=True))
        found = self.judge.tally(Echo(), batches)
        assert len({reading.metric for reading in found}) == len(found), "each metric once"
        return {reading.metric: reading for reading in found}


def conforms(example: Example) -> None:
    """Fail if the judge breaks a promise."""
    _readings_do_not_depend_on_batches(example)
    _better_is_better(example)
    _divergence_is_of_each_sample(example)
    _loss_trains(example)


def _readings_do_not_depend_on_batches(example: Example) -> None:
    whole, parts = example.readings(example.good, 1000), example.readings(example.good, 3)
    assert {example.judge.headline.metric, "loss"} <= set(whole)
    assert set(whole) == set(parts)
    for metric, reading in whole.items():
        assert reading.samples == len(example.targets)
        assert abs(reading.value - parts[metric].value) < 1e-9 * max(1.0, abs(reading.value)), metric
        assert abs(reading.standard_error - parts[metric].standard_error) < 1e-9, metric
        assert isfinite(reading.value) and reading.standard_error >= 0, metric


def _better_is_better(example: Example) -> None:
    headline = example.judge.headline
    good, bad = (example.readings(answer, 1000) for answer in (example.good, example.bad))
    assert good["loss"].value < bad["loss"].value
    assert headline.quality(good[headline.metric].value) > headline.quality(bad[headline.metric].value)
    assert headline.value(headline.quality(0.25)) == 0.25


def _divergence_is_of_each_sample(example: Example) -> None:
    judge, count = example.judge, len(example.targets)
    dense = judge.remember(example.good)
    assert len(dense) == count
    same, other = judge.divergence(dense, example.good), judge.divergence(dense, example.bad)
    assert same.shape == other.shape == (count,)
    assert float(same.abs().max()) < 1e-5
    assert float(other.min()) > -1e-5 and float(other.mean()) > 1e-3
    alone = judge.divergence(judge.remember(example.good[1:2]), example.bad[1:2])
    assert torch.allclose(alone, other[1:2], atol=1e-5)


def _loss_trains(example: Example) -> None:
    model = Echo(scale=0.5)
    loss = example.judge.loss(model(example.good), example.targets)
    assert loss.shape == ()
    loss.backward()
    assert model.scale.grad is not None and model.scale.grad != 0
    pair = (torch.zeros(len(example.targets)), example.good)  # the judged one is chosen by the task
    picky = type(example.judge)(_second_output(example.judge), example.judge.meta)
    assert torch.equal(picky.loss(pair, example.targets), example.judge.loss(example.good, example.targets))


def _second_output(judge: Judge) -> Task:
    return replace(judge.task, output=1)
