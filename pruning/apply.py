"""The front door: a model and a plan in, a pruned model and a checked report out.

Attach, recover, bake, quantise, verify:

    run = Pruning(net, spec, plan)
    for step in run.recover(RecoveryRun(batches=batches, loss=loss, config=config)):
        show(step)
    pruned = run.finish(statistics=batches)

A plan whose pruner is a layer solver (`pruning.oneshot.SOLVERS`) is solved first, on calibration batches, with
`for layer in run.solve(batches): show(layer)`; its zeros are locked while the net recovers. All at once it is
`prune(net, spec, plan, recovery, calibration=batches)`. The caller's model is never changed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from pruning import masked
from pruning.errors import CalibrationError, PlanError
from pruning.layers import ChannelGroup, ModelSpec
from pruning.masked import MaskedWeight, SharedMask, find_tensor
from pruning.masks import spread
from pruning.oneshot import SOLVERS, SolvedLayer, check_solver, solve_layers
from pruning.plan import PruningPlan
from pruning.plan_masks import masked_weights, shared_masks
from pruning.pruners import PRUNERS, Pruner
from pruning.quantise import apply_post
from pruning.recover import Batch, Loss, RecoverStep, Recovery, RecoveryConfig, reestimate_batch_norm
from pruning.verify import PruningReport, verify

_LOCK: Mapping[str, Any] = {"pruner": "prune_ofa", "settings": {"tolerance": 0.0}}  # a solver's zeros stay


@dataclass(frozen=True, kw_only=True)
class RecoveryRun:
    """A recovery: what to train on and how. `batches` must be iterable more than once."""

    batches: Iterable[Batch]
    loss: Loss
    config: RecoveryConfig = field(default_factory=RecoveryConfig)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A pruned model in evaluation mode, with plain parameters; its report; the channels each group keeps.

    `kept` holds ascending channel indices by group name, as `pruning.export.cut_channels` wants them.
    """

    net: nn.Module
    report: PruningReport
    kept: Mapping[str, Tensor]


class Pruning:
    """One model being pruned: a copy of `net` under the masks of `plan`; what draws does so from `seed`.

    Raises:
        PlanError: a plan that does not fit the model.
    """

    def __init__(self, net: nn.Module, spec: ModelSpec, plan: PruningPlan, seed: int = 0) -> None:
        if plan.pruner not in (*PRUNERS, *SOLVERS):
            raise PlanError(f"there is no pruner {plan.pruner[:40]!r}; there are {sorted((*PRUNERS, *SOLVERS))}")
        self.net = deepcopy(net)
        self.spec = spec
        self.plan = plan
        self.seed = seed
        self._shared: dict[str, SharedMask] = {}
        self._weights: dict[str, MaskedWeight] = {}
        self._solved: list[SolvedLayer] = []
        self._unsolved = plan.pruner in SOLVERS and bool(check_solver(spec, plan)[1])
        if not self._unsolved:
            self._attach()

    def solve(self, batches: Iterable[Batch], *, abreast: bool = True) -> Iterator[SolvedLayer]:
        """Let the plan's layer solver prune, a layer at a time, then lock its zeros; nothing for other pruners.

        `batches` must be iterable more than once; their targets are not used. `abreast`: see `solve_layers`.

        Raises:
            CalibrationError: batches that give no usable statistics; the message names the layer.
            PlanError: a layer that the solver cannot do.
        """
        if self._unsolved:
            for layer in solve_layers(self.net, self.spec, self.plan, batches, abreast=abreast):
                self._solved.append(layer)
                yield layer
            self._attach()
            self._unsolved = False

    def recover(self, run: RecoveryRun) -> Iterator[RecoverStep]:
        """Train under the masks, a step at a time; see `pruning.recover.recover`."""
        yield from self.recovery(run).steps()

    def recovery(self, run: RecoveryRun) -> Recovery:
        """The same training as a value that can be saved between two steps and taken up again."""
        self._check_solved()
        return Recovery(self.net, run.batches, run.config, run.loss, run.seed)

    def finish(self, statistics: Iterable[Batch] | None = None) -> Pruned:
        """Bake, zero what removed channels leave behind, take the plan's post-steps, and verify.

        Given batches, batch-norm statistics are taken anew from them.

        Raises:
            ConstraintError: the final weights break the plan.
            PlanError: a post-step that does not suit the weights.
        """
        self._check_solved()
        masked.bake(self.net)
        kept = {name: shared.kept() for name, shared in self._shared.items()}
        for group in self.spec.groups:
            if group.name in kept:
                _zero_channels(self.net, group, kept[group.name])
        stored = apply_post(self.net, self.spec, self.plan.post, seed=self.seed, kept=kept)
        if statistics is not None:
            reestimate_batch_norm(self.net, statistics)
        self.net.eval()
        report = self._with_hardening(verify(self.net, self.spec, self.plan, kept))
        report = replace(report, solved=tuple(self._solved), stored=stored)
        return Pruned(net=self.net, report=report, kept={n: k.nonzero().flatten() for n, k in kept.items()})

    def _attach(self) -> None:
        plan = replace(self.plan, **_LOCK) if self.plan.pruner in SOLVERS else self.plan
        self._shared = shared_masks(self.net, self.spec, plan)
        self._weights = masked_weights(self.net, self.spec, plan, self._shared)
        masked.attach(self.net, self._weights, self.seed)

    def _check_solved(self) -> None:
        if self._unsolved:
            raise CalibrationError(
                f"{self.plan.pruner} prunes by what the layers see: give `prune` calibration batches, or go through "
                "all of `Pruning.solve(batches)` first"
            )

    def _with_hardening(self, report: PruningReport) -> PruningReport:
        """The report, with what the pruners saw as their masks became binary."""
        own = {layer.name: self._weights.get(layer.parameter) for layer in self.spec.layers}
        found = {name: _hardening(mask.pruner) for name, mask in own.items() if mask and mask.pruner}
        return replace(
            report,
            layers=tuple(replace(layer, **found.get(layer.name, {})) for layer in report.layers),
            groups=tuple(replace(group, **_hardening(self._shared[group.name].pruner)) for group in report.groups),
        )


def _hardening(pruner: Pruner) -> dict[str, Any]:
    figures = dict(pruner.figures)
    return {"gap": pruner.gap, "sharpness": pruner.sharp, "figures": figures, "warnings": pruner.warnings}


def prune(
    net: nn.Module,
    spec: ModelSpec,
    plan: PruningPlan,
    recovery: RecoveryRun | None = None,
    on_step: Callable[[SolvedLayer | RecoverStep], None] | None = None,
    calibration: Iterable[Batch] | None = None,
) -> Pruned:
    """A pruned copy of `net`. Batch-norm statistics are taken anew, if there are batches to take them from.

    `calibration` is what layer solvers solve on, and must be iterable more than once. Statistics are taken from the
    recovery's batches, else from these.

    Raises:
        PlanError, CalibrationError, RecoveryError, ConstraintError: see `Pruning`.
    """
    run = Pruning(net, spec, plan, recovery.seed if recovery else 0)
    solving: Iterable[SolvedLayer | RecoverStep] = run.solve(calibration) if calibration is not None else ()
    recovering: Iterable[SolvedLayer | RecoverStep] = run.recover(recovery) if recovery is not None else ()
    for step in chain(solving, recovering):
        if on_step is not None:
            on_step(step)
    return run.finish(statistics=calibration if recovery is None else recovery.batches)


@contextmanager
def pruned_in_place(net: nn.Module, spec: ModelSpec, plan: PruningPlan) -> Iterator[nn.Module]:
    """`net` itself under the plan's final masks, without recovery; its weights come back bit for bit.

    Cheap, for scoring many plans: only the weights concerned are copied, and removed channels are zero only
    where they are read.

    Raises:
        PlanError: a plan that does not fit the model.
    """
    weights = masked_weights(net, spec, plan, shared_masks(net, spec, plan))
    pairs = [(mask, find_tensor(net, name)) for name, mask in weights.items()]
    masked.advance(pairs, 1.0)
    saved = [(weight, weight.detach().clone()) for _, weight in pairs]
    try:
        with torch.no_grad():
            for mask, weight in pairs:
                weight.copy_(mask(weight))
        yield net
    finally:
        with torch.no_grad():
            for weight, original in saved:
                weight.copy_(original)


@torch.no_grad()
def _zero_channels(net: nn.Module, group: ChannelGroup, kept: Tensor) -> None:
    for cut in group.cuts:
        tensor = find_tensor(net, cut.parameter)
        line = spread(kept, tensor.shape[cut.dim], cut.offset, cut.repeat)
        tensor.index_fill_(cut.dim, (~line).nonzero().flatten(), 0)
