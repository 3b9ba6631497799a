"""Problems with recovery: plans of a network, recovered shortly and measured by the product's own `evaluate`.

A plan with its recovery steps and seed is trained once and kept on disk; whoever asks for it again is charged as if it
had been trained. Charged are a layer solver's calibration, the recovery, the batch-norm statistics after it and the
validation images; the test images are the report's. Prices are analytical, those of an accelerator of the catalogue:
nobody has measured them.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.search.evaluation.evaluate import Assignment, Setting, evaluate
from app.search.pruners import SOLVERS
from app.search.samples.batches import Feed
from app.search.space.build import space
from app.search.space.candidates import candidates, weighted
from app.search.space.options import Choice, Unit
from app.search.space.price import cost_table, price_plan, remembered
from benchmarks.search.problem import Floats, Gene, Plan, Point
from benchmarks.search.worlds import Scale, World
from costmodels.catalogue import accelerator_profile, cost_model
from pruning.apply import pruned_in_place
from pruning.errors import PruningError
from pruning.plan import PruningPlan

_STATISTICS = 16  # batches that batch-norm statistics are taken from
_BANDS = (0.6, 0.45, 0.35, 0.25, 0.15)
_BETWEEN = (0.3, 0.2, 0.52, 0.4, 0.75, 0.1, 0.67, 0.48, 0.175, 0.225, 0.275, 0.325, 0.375, 0.425, 0.56, 0.8, 0.85, 0.9)
Record = dict[str, Any]


class Trained:
    """A network as a problem. `kept` is the folder of what was computed before."""

    recovers = True

    def __init__(self, world: World, scale: Scale, kept: Path) -> None:
        self.world, self.scale, self.kept = world, scale, kept
        kept.mkdir(parents=True, exist_ok=True)
        self.name = f"{world.name}, {scale.steps} steps, {scale.device}"
        self.bands: tuple[float, ...] = _BANDS
        self.targets: tuple[float, ...] = _BANDS + _BETWEEN
        self.recovery_seeds = scale.recovery_seeds
        self.calibration, self.whole = scale.calibration, 1.0
        profile = accelerator_profile(scale.device, 1, scale.precision)
        self.cost_models = remembered({"device": cost_model(profile, world.model)})
        self.space = space(world.model, world.spec, self.cost_models)
        self.prices = cost_table(world.model, self.space, self.cost_models)
        self.dense_ms = self._latency_ms(PruningPlan(pruner="magnitude"))
        self.costs: tuple[Floats, ...] = tuple(c / self.dense_ms for c in weighted(self.prices, {"device": 1.0}))
        self.strengths: tuple[Floats, ...] = tuple(
            np.array([_depth(option.patterns) for option in unit.options]) for unit in self.space.units
        )
        self.genes = tuple(g for u, unit in enumerate(self.space.units) for g in _genes(u, unit, self.costs[u]))
        self._known_share = lru_cache(maxsize=100_000)(self._share)

    @property
    def evaluation_passes(self) -> int:
        """Of a recovery in full."""
        return self.passes(self.scale.steps)

    def passes(self, steps: int) -> int:
        """Sample-passes of a recovery of so many steps: training, statistics, validation."""
        batch, images = self.scale.batch, len(self.world.dataset.numbers("calibration"))
        statistics = min(_STATISTICS * batch, images // batch * batch)
        return 3 * steps * batch + statistics + len(self.world.dataset.numbers("validation"))

    def evaluation_of(self, plan: Plan) -> int:
        """Of a recovery in full of this plan."""
        assert isinstance(plan, PruningPlan)
        return self.passes(self.scale.steps) + self.solving(plan)

    def solving(self, plan: PruningPlan) -> int:
        """Sample-passes of a layer solver: the calibration samples once."""
        return self.calibration if plan.pruner in SOLVERS and plan.patterns else 0

    @cached_property
    def reference(self) -> tuple[float, float]:
        """Latency of dense; loss 2 x dense + 1, dense as uploaded, on validation."""
        record = self.recovered(PruningPlan(pruner="magnitude"), 0, 0)
        return 1.0, 2 * _value(record, "loss", "validation") + 1.0

    def plan(self, choice: Sequence[int]) -> PruningPlan:
        """The plan of one option number a gene."""
        by_unit: dict[int, list[int]] = {}
        for gene, number in zip(self.genes, choice, strict=True):
            option = gene.options[number]
            if gene.joint and option:
                by_unit[gene.unit] = [option]
            elif option:
                by_unit.setdefault(gene.unit, []).append(option)
        chosen: list[Choice] = [tuple(by_unit.get(u, ())) or 0 for u in range(len(self.space.units))]
        return self.space.plan(chosen, "magnitude")

    def share(self, plan: Plan) -> float:
        """By the network function, which is the product's."""
        return self._known_share(plan)

    def _share(self, plan: Plan) -> float:
        assert isinstance(plan, PruningPlan)
        return self._latency_ms(plan) / self.dense_ms

    def _latency_ms(self, plan: PruningPlan) -> float:
        return price_plan(self.world.model, plan, self.cost_models)[0].latency_ms

    def digest(self, plan: Plan) -> str:
        """The beginning of its own."""
        assert isinstance(plan, PruningPlan)
        return plan.digest[:12]

    def one_shot(self, plan: Plan, samples: int) -> float:
        """Mean KL divergence from the dense network's answers, in nats a sample; infinite for no numbers."""
        assert isinstance(plan, PruningPlan)
        inputs, dense = self._calibration
        with torch.no_grad(), pruned_in_place(self._net, self.world.model, plan) as net:
            total = 0.0
            parts = (torch.split(whole[:samples], 128) for whole in (inputs, dense))
            for part, expected in zip(*parts, strict=True):
                found = net(part).log_softmax(dim=1)
                total += float((expected.exp() * (expected - found)).sum(dtype=torch.float64))
        return total / samples if np.isfinite(total) else float("inf")

    @cached_property
    def _net(self) -> Any:
        return self.world.net.eval()

    @cached_property
    def _calibration(self) -> tuple[Tensor, Tensor]:
        feed = Feed(self.world.dataset, "calibration", self.world.spec.task, self.calibration)
        inputs, _ = feed.read(np.random.default_rng(0).permutation(feed.numbers))
        assert isinstance(inputs, Tensor)
        with torch.no_grad():
            return inputs, torch.cat([self._net(part).log_softmax(dim=1) for part in torch.split(inputs, 128)])

    def point(self, plan: Plan, seed: int) -> tuple[Point, float]:
        """Recovered in full; a recovery that diverges is worth nothing."""
        assert isinstance(plan, PruningPlan)
        record = self.recovered(plan, self.scale.steps, seed)
        values = [_value(record, *m) for m in (("loss", "validation"), ("loss", "test"), ("accuracy", "test"))]
        doubt = next((m["standard_error"] for m in record["measurements"] if _is(m, "loss", "validation")), 0.0)
        share = self.share(plan)
        return Point(latency=share, validation=values[0], test=values[1], accuracy=values[2], doubt=doubt), record["s"]

    def recovered(self, plan: PruningPlan, steps: int, seed: int) -> Record:
        """What `evaluate` measured, as JSON, from disk if it is there."""

        def run() -> Record:
            setting = Setting(
                net=self.world.net, model=self.world.model, dataset=self.world.dataset, spec=self.world.spec
            )
            assignment = Assignment(plan=plan, recovery_steps=steps, seed=seed)
            try:
                found = evaluate(setting, assignment, lambda _fraction, _text: None)
            except PruningError as error:
                return {"measurements": [], "failure": str(error)}
            return {"measurements": [asdict(m) for m in found.measurements]}

        return self.remembered(f"{plan.digest}-{steps}-{seed}", run)

    def remembered(self, key: str, compute: Callable[[], Record]) -> Record:
        """A JSON object computed once, with the seconds `s` that it took."""
        path = self.kept / f"{key}.json"
        if path.exists():
            kept: Record = json.loads(path.read_text())
            return kept
        begun = time.perf_counter()
        with _one_thread():
            record = compute()
        record["s"] = time.perf_counter() - begun
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(record))
        partial.replace(path)
        return record

    def errors(self) -> tuple[tuple[Floats, ...], int]:
        """The product's own table; see `ours.scores`."""
        from benchmarks.search.methods.ours import scores

        document = scores(self)
        return tuple(np.asarray(row, dtype=np.float64) for row in document["errors"]), document["sample_passes"]

    def front(self, errors: Sequence[Floats], **settings: Any) -> Sequence[Plan]:  # noqa: ARG002 - the seam's
        """The product's solver on these errors, under one pruner."""
        found = candidates(self.space, self.costs, errors)
        return [self.space.plan(found.picked(row), "magnitude") for row in found.solve().choices]


def _genes(number: int, unit: Unit, cost: Floats) -> list[Gene]:
    own = [unit.own(layer)[1:] for layer in unit.layers]
    genes = [Gene(unit=number, options=_ordered(options, cost)) for options in own if options]
    joint = unit.joint
    return genes + ([Gene(unit=number, options=_ordered(joint, cost), joint=len(genes) > 0)] if joint else [])


def _ordered(options: Sequence[int], cost: Floats) -> tuple[int, ...]:
    return (0, *sorted(options, key=lambda index: -float(cost[index])))


def _depth(patterns: Mapping[str, Any]) -> float:
    return float(-np.log(next(iter(patterns.values())).density)) if patterns else 0.0


def _value(record: Record, metric: str, split: str) -> float:
    found = [m["value"] for m in record["measurements"] if _is(m, metric, split)]
    worst = 0.0 if metric == "accuracy" else float("inf")
    return found[0] if found and np.isfinite(found[0]) else worst


def _is(measurement: Record, metric: str, split: str) -> bool:
    return bool(measurement["metric"] == metric and measurement["split"] == split)


@contextmanager
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
