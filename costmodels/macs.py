"""Counting multiply-adds of a live net with fvcore, to hold against what a `ModelSpec` says.

fvcore counts one a multiply-add, adds norms and pooling, and multiplies by the batch; only its convolutions
and linear layers are taken here, of one sample. It sees dense tensors: zeros count as work. It traces with
`torch.jit`, which torch deprecates; when it goes, `ModelSpec.macs` still counts, from shapes alone.
"""

import copy
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning.layers import ModelSpec

_COUNTED = ("conv", "linear", "addmm")


@dataclass(frozen=True, kw_only=True)
class MacsCount:
    """Multiply-adds of one sample in convolutions and linear layers, and what fvcore could not count."""

    total_macs: int
    by_operator: Mapping[str, int]
    uncounted: Mapping[str, int]  # operator -> how often it stands in the graph


def count_macs(net: nn.Module, example: Tensor | tuple[Tensor, ...]) -> MacsCount:
    """Count a net on an example batch; the net is copied, put into eval mode and not changed."""
    inputs = (example,) if isinstance(example, Tensor) else example
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(copy.deepcopy(net).eval(), tuple(one[:1] for one in inputs))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        quiet = logging.getLogger("fvcore")
        level = quiet.level
        quiet.setLevel(logging.ERROR)
        try:
            with torch.no_grad():
                counted = {name: int(macs) for name, macs in analysis.by_operator().items()}
                uncounted = dict(analysis.unsupported_ops())
        finally:
            quiet.setLevel(level)
    by_operator = {name: counted[name] for name in _COUNTED if name in counted}
    return MacsCount(total_macs=sum(by_operator.values()), by_operator=by_operator, uncounted=uncounted)


def layer_macs(spec: ModelSpec) -> dict[str, int]:
    """Multiply-adds of one sample by layer, from shapes alone."""
    return {layer.name: layer.macs for layer in spec.layers}


def disagreement(count: MacsCount, spec: ModelSpec) -> str:
    """Why the two counts differ, in words; "" where they agree.

    They may: work in weights that are no prunable layer (transposed or frozen ones) is counted by fvcore
    alone.
    """
    difference = count.total_macs - spec.macs
    if difference == 0:
        return ""
    return (
        f"fvcore counts {count.total_macs} multiply-adds a sample, the prunable layers have {spec.macs}: "
        f"{abs(difference)} are {'outside them' if difference > 0 else 'unknown to fvcore'}"
    )
