"""Pruned weights, made once each and stitched into whole nets: a plan costs a copy of its weights, and no new solve.

What a weight becomes depends on its own layer's pattern and on the channels that are cut out of it, and on nothing
else of the plan: so that is its key. Layers without channel patterns around them are kept once per (layer, option).

With calibration batches the weights that are left are solved anew, each layer by least squares on what it sees in the
dense net: AdaPrune (arXiv 2102.08124), with the exact solution in place of its Adam steps. Where that would take more
than `MOST_WORK`, single zeros and N:M are SparseGPT's, mask and weights, which cost less. Layers whose inputs nobody
sees (`pruning.calibrate`), and those beyond that work too, keep their masked weights.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pruning import masked
from pruning.calibrate import LayerStatistics, collect
from pruning.feed import Batch
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.oneshot import OPS, sparsegpt
from pruning.oneshot.refit import least_squares
from pruning.oneshot.sparsegpt import SparseGPTSettings
from pruning.patterns import NM, Channel, Dense, Unstructured
from pruning.plan import PruningPlan
from pruning.plan_masks import masked_weights, shared_masks

MOST_WORK = 10**12  # multiply-adds for one option of one layer
_DAMPING = 0.01  # of the mean diagonal of H, as SparseGPT and OBC have it


def touched(spec: ModelSpec, plan: PruningPlan) -> list[str]:
    """The parameters that a plan puts zeros into: those of layers with patterns, and those that read cut channels."""
    own = [la.parameter for la in spec.layers if not isinstance(plan.pattern(la.name), Dense | Channel)]
    cut = plan.kept_channels(spec)
    read = [c.parameter for g in spec.groups if g.name in cut for c in g.cuts if c.role == "consumer"]
    return list(dict.fromkeys([*own, *read]))


def deciding(spec: ModelSpec, plan: PruningPlan, parameter: str) -> PruningPlan:
    """The part of a plan that decides what becomes of one parameter."""
    names = {layer.name for layer in spec.layers if layer.parameter == parameter}
    wanted = {name for name in names if not isinstance(plan.pattern(name), Channel)}
    for group in spec.groups:
        if any(cut.parameter == parameter and cut.role != "follower" for cut in group.cuts):
            family = spec.family_of(group.producers[0]) if group.producers and group.removable else ()
            producers = {name for tied in family for name in tied.producers}
            wanted |= {name for name in producers if isinstance(plan.pattern(name), Channel)}
    return replace(plan, patterns={name: p for name, p in plan.patterns.items() if name in wanted}, post=())


@dataclass(kw_only=True)
class Pieces:
    """The pruned weights of one dense net; give `batches`, which must be iterable more than once, to have them solved.

    `passes` counts how often the batches were gone through. The net is the caller's and must stay as it is.
    """

    net: nn.Module
    spec: ModelSpec
    batches: Iterable[Batch] | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)
    passes: int = 0
    _seen: dict[str, LayerStatistics] = field(default_factory=dict, repr=False)

    def weights(self, plan: PruningPlan) -> dict[str, Tensor]:
        """What the plan makes of each parameter it touches.

        Raises:
            PlanError: a plan that does not fit the model.
            CalibrationError: batches that give no usable statistics; the message names the layer.
        """
        parts = {name: deciding(self.spec, plan, name) for name in touched(self.spec, plan)}
        keys = {name: f"{part.digest} {name}" for name, part in parts.items()}
        missing = [name for name, key in keys.items() if key not in self.kept]
        self._see(missing)
        for name in missing:
            self.kept[keys[name]] = self._made(name, parts[name])
        return {name: self.kept[key] for name, key in keys.items()}

    @contextmanager
    def stitched(self, plan: PruningPlan) -> Iterator[nn.Module]:
        """The net itself with the plan's weights in it; its own come back bit for bit."""
        pairs = [(find_tensor(self.net, name), weight) for name, weight in self.weights(plan).items()]
        saved = [tensor.detach().clone() for tensor, _ in pairs]
        try:
            with torch.no_grad():
                for tensor, weight in pairs:
                    tensor.copy_(weight)
            yield self.net
        finally:
            with torch.no_grad():
                for (tensor, _), original in zip(pairs, saved, strict=True):
                    tensor.copy_(original)

    def look(self, plans: Sequence[PruningPlan]) -> None:
        """Go through the batches once for all that these plans touch, and forget what was seen for others."""
        self._seen.clear()
        self._see([name for plan in plans for name in touched(self.spec, plan)])

    def save(self, path: Path) -> None:
        """Write all pieces to a safetensors file."""
        save_file({key: weight.contiguous() for key, weight in self.kept.items()}, path)

    def load(self, path: Path) -> None:
        """Take in what `save` wrote for the same net, solved or not as these are."""
        self.kept |= load_file(path)

    def _see(self, parameters: Sequence[str]) -> None:
        solvable = {la.parameter for la in self.spec.layers if self.batches is not None and _solvable(la)}
        wanted = [name for name in dict.fromkeys(parameters) if name in solvable and name not in self._seen]
        if wanted and self.batches is not None:
            self._seen |= collect(self.net, wanted, self.batches)
            self.passes += 1

    @torch.no_grad()
    def _made(self, parameter: str, part: PruningPlan) -> Tensor:
        mask = masked_weights(self.net, self.spec, part, shared_masks(self.net, self.spec, part))[parameter]
        dense = find_tensor(self.net, parameter).detach()
        masked.advance([(mask, dense)], 1.0)
        pruned: Tensor = mask(dense).detach().clone()
        seen = self._seen.get(parameter)
        if seen is None:
            return pruned
        layer = next(layer for layer in self.spec.layers if layer.parameter == parameter)
        pattern, alone = part.pattern(layer.name), len(part.patterns) == 1
        if _least_squares_work(layer) <= MOST_WORK:
            pruned = least_squares(dense, pruned, seen, _DAMPING)
        elif alone and isinstance(pattern, Unstructured | NM):
            pruned = sparsegpt.solve(dense, seen, pattern, SparseGPTSettings(damping=_DAMPING))
        return pruned


def _solvable(layer: LayerSpec) -> bool:
    return layer.op in OPS and min(_least_squares_work(layer), _sparsegpt_work(layer)) <= MOST_WORK


def _least_squares_work(layer: LayerSpec) -> int:
    return layer.out_channels * _columns(layer) ** 3


def _sparsegpt_work(layer: LayerSpec) -> int:
    return _columns(layer) ** 2 * (layer.out_channels + _columns(layer))


def _columns(layer: LayerSpec) -> int:
    return layer.in_channels // layer.groups * prod(layer.kernel)
