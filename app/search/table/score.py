"""What one option costs in accuracy, applied alone, before anything is trained.

The error of an option is the mean divergence of the pruned model's answers from the dense model's, a sample, on
calibration data, as the task's judge takes it (nats of KL for classes and tokens), with masks by magnitude and no
recovery; with `refit`, with the weights that `app.search.table.stitch` solves. `app.search.table.completion` makes a
table of few of them. No error is below zero.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from app.search.judging import Judge, judge_of
from app.search.spec_parts import Task
from app.search.table.completion import OptionPatterns, complete, measured
from app.search.table.stitch import Pieces
from pruning import patterns
from pruning.apply import pruned_in_place
from pruning.feed import Batch, call
from pruning.layers import ModelSpec
from pruning.plan import PruningPlan

Report = Callable[[float, str], None]
WORST = 1e4  # for answers that are no numbers; finite, so that sums and JSON hold it


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Errors by unit and option, and the forward passes of single samples that they took."""

    errors: list[list[float]]
    sample_passes: int


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A dense model and the calibration batches its options are scored on; `refit` solves what is left first."""

    net: nn.Module
    spec: ModelSpec
    batches: Sequence[Batch]
    judge: Judge = field(default_factory=lambda: judge_of(Task(), {}))
    refit: bool = False

    def table(self, units: Sequence[Sequence[OptionPatterns]], report: Report) -> list[list[float]]:
        """The error of every option of every unit, few of them measured; the model is left as it was."""
        wanted = [measured(options) for options in units]
        asked = [[options[index] for index in indices] for options, indices in zip(units, wanted, strict=True)]
        found = self.scored(asked, report).errors
        known = [dict(zip(*each, strict=True)) for each in zip(wanted, found, strict=True)]
        return [complete(*each) for each in zip(units, known, strict=True)]

    def scored(self, units: Sequence[Sequence[OptionPatterns]], report: Report) -> Scored:
        """The measured error of each of these options; the model is left as it was."""
        training = self.net.training
        self.net.eval()
        try:
            return self._scored(units, report)
        finally:
            self.net.train(training)

    def _scored(self, units: Sequence[Sequence[OptionPatterns]], report: Report) -> Scored:
        dense = answers(self.net, self.batches, self.judge)
        pieces = Pieces(net=self.net, spec=self.spec, batches=self.batches)
        total, done = sum(map(len, units)), 0
        errors: list[list[float]] = []
        plans = [[PruningPlan(pruner="magnitude", patterns=dict(option)) for option in options] for options in units]
        if self.refit:
            pieces.look([plan for of_unit in plans for plan in of_unit])
        for of_unit in plans:
            errors.append([])
            for plan in of_unit:
                with self._applied(plan, pieces) as pruned:
                    errors[-1].append(divergence(pruned, self.batches, dense, self.judge))
                done += 1
                report(done / total, f"scored {done} of {total} options")
            pieces.kept.clear()
        samples = sum(map(len, dense))
        return Scored(errors=errors, sample_passes=samples * (1 + total + pieces.passes))

    def _applied(self, plan: PruningPlan, pieces: Pieces) -> AbstractContextManager[nn.Module]:
        return pieces.stitched(plan) if self.refit else pruned_in_place(self.net, self.spec, plan)


@torch.no_grad()
def answers(net: nn.Module, batches: Iterable[Batch], judge: Judge) -> list[Tensor]:
    """What must be known of a model's answers to compare others with, batch by batch."""
    return [judge.remember(call(net, inputs)) for inputs, _ in batches]


@torch.no_grad()
def divergence(net: nn.Module, batches: Iterable[Batch], dense: Iterable[Tensor], judge: Judge) -> float:
    """Mean divergence from the dense answers over the samples; `WORST` if the answers are no numbers."""
    total, count = 0.0, 0
    for (inputs, _), expected in zip(batches, dense, strict=True):
        found = judge.divergence(expected, call(net, inputs))
        total += float(found.sum(dtype=torch.float64))
        count += len(found)
    mean = total / count
    return max(0.0, mean) if isfinite(mean) else WORST  # max(0.0, nan) would be 0.0: the best error there is


def read_options(document: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[OptionPatterns]]:
    """Options from their JSON, `[{layer: pattern}]` a unit."""
    return [[{name: patterns.from_json(p) for name, p in option.items()} for option in unit] for unit in document]
