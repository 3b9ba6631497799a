"""One trial: prune, recover, bake, cut, measure. A pure function of its arguments, at a fixed thread count.

What the task's judge reads is measured on validation data, to choose on, and on test data, to report; always on the
physically smaller model, which is first shown to agree with the masked one.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from app.search.errors import SearchFailed
from app.search.evaluation.recovering import recovery_config
from app.search.judging import Judge, judge_of
from app.search.judging.fit import Taken, taken
from app.search.pruners import SOLVED_ABREAST
from app.search.samples.batches import Batch, Feed
from app.search.samples.dataset import Dataset
from app.search.samples.prefetch import Prefetched
from app.search.spec import SearchSpec
from app.search.trial import Measurement, Split
from pruning.apply import Pruned, Pruning, RecoveryRun
from pruning.export import cut_channels
from pruning.feed import call
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.plan import PruningPlan

Report = Callable[[float, str], None]
_EVALUATION_BATCH = 250
_CALIBRATION_BATCH = 128
_SOLVING = 0.3  # of the progress, where there is something to solve
_MEASURED: tuple[Split, Split] = ("validation", "test")
_AGREEMENT = 1e-4  # of the largest output: masked and smaller model sum in different orders


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a trial runs in: a dense model, data, and the search it belongs to."""

    net: GraphNet
    model: ModelSpec
    dataset: Dataset
    spec: SearchSpec

    @cached_property
    def judge(self) -> Judge:
        """What its models are judged by."""
        return judge_of(self.spec.task, self.dataset.meta)

    @cached_property
    def takes(self) -> tuple[Taken, ...]:
        """The inputs of its models."""
        return taken(self.net.document)

    def feed(self, split: str, limit: int | None = None) -> Feed:
        """A split of the data as this model wants it."""
        return Feed(self.dataset, split, self.spec.task, limit, self.takes)

    def logits(self, answer: Any) -> Tensor:
        """The judged one among the model's outputs."""
        return self.judge.judged(answer)


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Which plan, with how much recovery at how many times the search's learning rate, from which seed."""

    plan: PruningPlan
    recovery_steps: int
    seed: int
    learning_rate_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a trial found, and the two models it leaves: masked (the uploader's shapes) and physically smaller."""

    measurements: tuple[Measurement, ...]
    report: dict[str, Any]
    masked: GraphNet
    smaller: GraphNet


@dataclass
class Passes:
    """Samples that went through a model, a forward pass counted once and one with its backward pass three times."""

    total: int = 0

    def of(self, batches: Iterable[Batch], each: int = 1) -> "Counted":
        """The batches, counted as they are used."""
        return Counted(batches, self, each)


@dataclass(frozen=True)
class Counted:
    """Batches that count their samples as they are used; can be gone through again where those can."""

    batches: Iterable[Batch]
    passes: Passes
    each: int

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.passes.total += self.each * len(batch[1])
            yield batch


def evaluate(setting: Setting, assignment: Assignment, report: Report) -> Evaluation:
    """Run one trial.

    Raises:
        PruningError: the plan does not fit, the recovery diverges, or a constraint is broken on the final weights.
        SearchFailed: masked and smaller model disagree.
    """
    passes = Passes()
    with deterministic(assignment.seed):
        if assignment.recovery_steps or assignment.plan.patterns:
            pruned = _pruned(setting, assignment, passes, report)
        else:
            pruned = Pruning(setting.net, setting.model, assignment.plan, assignment.seed).finish()
        masked = pruned.net
        assert isinstance(masked, GraphNet)
        smaller = cut_channels(masked, setting.model, pruned.kept)
        difference = _disagreement(setting, masked, smaller)
        report(0.9, "measuring")
        found = [m for split in _MEASURED for m in measure(setting, smaller, split, assignment, passes)]
    told = _report(setting.model, assignment.plan, pruned, smaller, difference)
    return Evaluation(
        measurements=tuple(found),
        report=told | {"sample_passes": passes.total},
        masked=masked,
        smaller=smaller,
    )


def _pruned(setting: Setting, assignment: Assignment, passes: Passes, report: Report) -> Pruned:
    spec = setting.spec
    run = Pruning(setting.net, setting.model, assignment.plan, assignment.seed)
    feed = setting.feed("calibration", spec.calibration_samples)
    calibration = passes.of(feed.in_order(_CALIBRATION_BATCH))
    solved = 0.0  # of the progress
    for number, layer in enumerate(run.solve(calibration, abreast=len(feed) <= SOLVED_ABREAST), start=1):
        solved = _SOLVING * number / max(1, len(assignment.plan.patterns))
        report(solved, f"solved layer {layer.name}")
    config = recovery_config(
        spec,
        assignment.recovery_steps,
        setting.net.document,
        setting.judge.judged,
        assignment.learning_rate_factor,
    )
    shuffled = setting.feed("train").shuffled(spec.recovery.batch, assignment.seed)
    batches = passes.of(Prefetched(shuffled), each=4 if config.distil else 3)  # the teacher answers too
    recovery = RecoveryRun(batches=batches, loss=setting.judge.loss, config=config, seed=assignment.seed)
    for step in run.recover(recovery):
        if step.step % 10 == 0:
            report(solved + (0.9 - solved) * step.step / step.steps, f"recovery step {step.step} of {step.steps}")
    # at random: only the first batches are read, and in order those of image folders hold but a few classes
    statistics = setting.feed("calibration").shuffled(spec.recovery.batch, assignment.seed)
    return run.finish(statistics=passes.of(statistics))


def measure(
    setting: Setting, net: nn.Module, split: Split, assignment: Assignment, passes: Passes | None = None
) -> list[Measurement]:
    """What the judge reads on a split, with standard errors."""
    batches = (passes or Passes()).of(setting.feed(split).in_order(_EVALUATION_BATCH))
    return [
        Measurement(
            metric=reading.metric,
            value=reading.value,
            standard_error=reading.standard_error,
            samples=reading.samples,
            seed=assignment.seed,
            fidelity=assignment.recovery_steps,
            split=split,
        )
        for reading in setting.judge.tally(net, batches)
    ]


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Inside: deterministic algorithms, and a random state given by the seed (dropout draws from it). Outside: none."""
    before, only_warned = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=only_warned)


@torch.no_grad()
def _disagreement(setting: Setting, masked: GraphNet, smaller: GraphNet) -> float:
    """Largest difference of judged outputs on one batch, after checking that it is rounding."""
    inputs, _ = next(iter(setting.feed("calibration").in_order(16)))
    expected, found = setting.logits(call(masked, inputs)), setting.logits(call(smaller, inputs))
    difference = float((expected - found).abs().max())
    if not difference <= _AGREEMENT * max(1.0, float(expected.abs().max())):  # what is no number agrees with nothing
        raise SearchFailed("disagreement", f"masked and smaller model differ by {difference:.3g} in an output")
    return difference


def _report(
    model: ModelSpec, plan: PruningPlan, pruned: Pruned, smaller: GraphNet, difference: float
) -> dict[str, Any]:
    counted = pruned.report.to_json()
    layers = counted["layers"]
    return {
        **counted,
        "checks": {
            # counts, not verdicts: `Pruning.finish` raises where one of these layers breaks its promise
            "layers whose zeros were counted against the plan": len(layers),
            "layers whose N:M groups were checked": sum(layer["nm_valid"] is not None for layer in layers),
            "removed channels": sum(len(group["removed"]) for group in counted["groups"]),
            "largest difference of a logit, masked to smaller": difference,
        },
        "parameters_before": model.parameter_count,
        "parameters_after": sum(p.numel() for p in smaller.parameters()),
        "nonzero_parameters": sum(int(p.count_nonzero()) for p in smaller.parameters()),
        "macs_before": model.macs,
        "macs_after": sum(layer.macs for layer in plan.shrunk(model)),
    }
