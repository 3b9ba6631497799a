"""Clusters: runs of layers whose sparse kernels are switched on together, by the zeros of all of them.

XNNPACK turns 1 x 1 convolutions that follow each other, depthwise ones between them, into sparse kernels only if enough
of their weights together are zero. Here a run of a model's layers in execution order stands for that part of the graph:
branches that run beside each other are taken for one run. A layer alone is judged alone, and so is a linear one.
"""

from collections.abc import Iterable, Iterator

from costmodels.base import NetworkGroup
from costmodels.zeros import ZeroRule
from pruning.layers import LayerSpec, ModelSpec


def clusters(rules: Iterable[ZeroRule], model: ModelSpec, precision: str) -> tuple[NetworkGroup, ...]:
    """The clusters of two layers and more that the rules see in a model."""
    return tuple(
        NetworkGroup(rule="cluster_threshold", layers=run, min_sparsity=rule.min_sparsity.value)
        for rule in rules
        if rule.over == "cluster" and rule.min_sparsity is not None and precision in rule.precisions
        for run in _runs(rule, model)
        if len(run) > 1
    )


def _runs(rule: ZeroRule, model: ModelSpec) -> Iterator[tuple[str, ...]]:
    run: list[str] = []
    for layer in model.layers:
        if _member(rule, layer):
            run.append(layer.name)
        elif not layer.depthwise:
            yield tuple(run)
            run = []
    yield tuple(run)


def _member(rule: ZeroRule, layer: LayerSpec) -> bool:
    return rule.fits(layer) and layer.op != "linear" and layer.groups == 1
