"""The error table: what each option costs in accuracy, one at a time, before anything is trained.

Error of an option = mean KL divergence of the pruned model's answers from the dense model's, in nats a sample, on
calibration data, with masks by magnitude and no recovery. Of one kind of pattern on one place every other strength is
measured, and the strongest; between them errors are interpolated linearly in log density, and made non-decreasing in
sparsity (a measured dip is noise of few samples). No error is below zero.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from app.search.batches import Batch
from pruning import patterns
from pruning.apply import pruned_in_place
from pruning.layers import ModelSpec
from pruning.patterns import NM, Block, Pattern
from pruning.plan import PruningPlan

Report = Callable[[float, str], None]
OptionPatterns = Mapping[str, Pattern]  # layer -> pattern; empty means dense
WORST = 1e4  # nats, for answers that are no numbers; finite, so that sums and JSON hold it


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """A dense model and the calibration batches its options are scored on."""

    net: nn.Module
    spec: ModelSpec
    batches: Sequence[Batch]
    output: int = 0

    def table(self, units: Sequence[Sequence[OptionPatterns]], report: Report) -> list[list[float]]:
        """The error of every option of every unit; the model is left as it was."""
        training = self.net.training
        self.net.eval()
        try:
            return self._table(units, report)
        finally:
            self.net.train(training)

    def _table(self, units: Sequence[Sequence[OptionPatterns]], report: Report) -> list[list[float]]:
        dense = [log_probabilities(self.net, inputs, self.output) for inputs, _ in self.batches]
        wanted = [measured(options) for options in units]
        total, done = sum(len(indices) for indices in wanted), 0
        errors = []
        for options, indices in zip(units, wanted, strict=True):
            known = {}
            for index in indices:
                known[index] = self._error(options[index], dense)
                done += 1
                report(done / total, f"scored {done} of {total} options")
            errors.append(complete(options, known))
        return errors

    def _error(self, option: OptionPatterns, dense: Sequence[Tensor]) -> float:
        plan = PruningPlan(pruner="magnitude", patterns=dict(option))
        with pruned_in_place(self.net, self.spec, plan) as pruned:
            return divergence(pruned, self.batches, dense, self.output)


@torch.no_grad()
def divergence(net: nn.Module, batches: Iterable[Batch], dense: Iterable[Tensor], output: int) -> float:
    """Mean KL(dense || net) over the samples, in nats; `WORST` if the answers are no numbers."""
    total, count = 0.0, 0
    for (inputs, _), expected in zip(batches, dense, strict=True):
        found = log_probabilities(net, inputs, output)
        total += float((expected.exp() * (expected - found)).sum(dtype=torch.float64))
        count += len(inputs)
    mean = total / count
    return max(0.0, mean) if isfinite(mean) else WORST  # max(0.0, nan) would be 0.0: the best error there is


@torch.no_grad()
def log_probabilities(net: nn.Module, inputs: Tensor, output: int) -> Tensor:
    """`b x classes` log-probabilities."""
    return logits_of(net(inputs), output).float().log_softmax(dim=1)


def logits_of(answer: Any, output: int) -> Tensor:
    """The logits among what a model answers."""
    found = answer[output] if isinstance(answer, tuple | list) else answer
    assert isinstance(found, Tensor)
    return found


def measured(options: Sequence[OptionPatterns]) -> list[int]:
    """Which options of a unit are measured: of each family every other one from the strongest down."""
    return sorted(index for family in _families(options) for index in family[::-1][::2])


def complete(options: Sequence[OptionPatterns], known: Mapping[int, float]) -> list[float]:
    """The errors of all options of a unit from those measured; dense has none."""
    errors = [0.0] * len(options)
    for family in _families(options):
        at = [index for index in family if index in known]
        depths = [0.0] + [_depth(options[index]) for index in at]
        heights = np.maximum.accumulate([0.0] + [known[index] for index in at])
        for index in family:
            errors[index] = float(np.interp(_depth(options[index]), depths, heights))
    return errors


def _depth(option: OptionPatterns) -> float:
    return -log(next(iter(option.values())).density)


def _families(options: Sequence[OptionPatterns]) -> Iterator[list[int]]:
    families: dict[tuple[tuple[str, ...], str], list[int]] = {}
    for index, option in enumerate(options):
        if option:
            pattern = next(iter(option.values()))
            families.setdefault((tuple(sorted(option)), _kind(pattern)), []).append(index)
    for family in families.values():
        yield sorted(family, key=lambda index: -next(iter(options[index].values())).density)


def _kind(pattern: Pattern) -> str:
    """Patterns of one kind differ in strength alone."""
    match pattern:
        case NM(group=group):
            return f"{pattern.kind} of {group}"
        case Block(rows=rows, cols=cols):
            return f"{pattern.kind} of {rows}x{cols}"
    return pattern.kind


def read_options(document: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[OptionPatterns]]:
    """Options from their JSON, `[{layer: pattern}]` a unit."""
    return [[{name: patterns.from_json(p) for name, p in option.items()} for option in unit] for unit in document]
