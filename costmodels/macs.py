"""Counting multiply-adds of a live net, twice: with fvcore, and with a hook on every operator that torch dispatches.

fvcore counts one a multiply-add, adds norms and pooling, and multiplies by the batch; only convolutions, linear layers
and attention are taken here, of one sample. It sees dense tensors: zeros count as work. It traces with `torch.jit`,
which torch deprecates; the hook needs nothing but tensor shapes, agrees with it, and will outlive it.

Attention is QKᵀ and its product with V, 2 · B · H · Lq · Lk · D multiply-adds, and is counted apart.
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pruning.layers import ModelSpec

_WEIGHTED = ("conv", "linear", "addmm")
_ATTENTION = "scaled_dot_product_attention"
Counter = Callable[[Sequence[Any], Tensor], int]


@dataclass(frozen=True, kw_only=True)
class MacsCount:
    """Multiply-adds of one sample: in convolutions and linear layers, and in attention; and what was not counted."""

    total_macs: int  # convolutions and linear layers
    attention_macs: int = 0
    by_operator: Mapping[str, int]
    uncounted: Mapping[str, int]  # operator -> how often it stands in the graph


def count_macs(net: nn.Module, example: Tensor | tuple[Tensor, ...]) -> MacsCount:
    """Count a net on an example batch with fvcore; the net is copied, put into eval mode and not changed."""
    with _quiet():
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(copy.deepcopy(net).eval(), _one_sample(example))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        analysis.set_op_handle(f"aten::{_ATTENTION}", _traced_attention)
        with torch.no_grad():
            counted = {name: int(macs) for name, macs in analysis.by_operator().items()}
            uncounted = dict(analysis.unsupported_ops())
    products = counted.get("matmul", 0) + counted.get("bmm", 0)  # of activations: attention written out
    return MacsCount(
        total_macs=sum(counted.get(name, 0) for name in _WEIGHTED),
        attention_macs=counted.get(_ATTENTION, 0) + products,
        by_operator={name: macs for name, macs in counted.items() if name in (*_WEIGHTED, _ATTENTION, "matmul", "bmm")},
        uncounted=uncounted,
    )


def hooked_macs(net: nn.Module, example: Tensor | tuple[Tensor, ...]) -> MacsCount:
    """Count a net on one sample by running it under a hook; the net is copied, put into eval mode and not changed."""
    hook = _MacsHook()
    with torch.no_grad(), hook:
        copy.deepcopy(net).eval()(*_one_sample(example))
    return MacsCount(
        total_macs=sum(hook.weighted.values()),
        attention_macs=sum(hook.attention.values()),
        by_operator={**hook.attention, **hook.weighted},
        uncounted={},
    )


def disagreement(count: MacsCount, spec: ModelSpec) -> str:
    """Why a count and the prunable layers differ, in words; "" where they agree.

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


class _MacsHook(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-adds by operator: in weights, and between activations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weighted: dict[str, int] = {}
        self.attention: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        result = found[0] if isinstance(found, tuple) else found
        for counters, macs in ((_WEIGHTED_COUNTERS, self.weighted), (_ATTENTION_COUNTERS, self.attention)):
            if count := counters.get(name):
                macs[name] = macs.get(name, 0) + count(args, result)
        return found


def _convolution(args: Sequence[Any], result: Tensor) -> int:
    """Each weight meets each position of the output, of the input where the convolution is transposed."""
    transposed = args[6]
    image = args[0] if transposed else result
    return int(args[1].numel() * prod(image.shape[2:]) * image.shape[0])


def _product(args: Sequence[Any], result: Tensor) -> int:
    """m x n results, each a sum of k products; `addmm` has the added matrix first."""
    return int(result.numel() * args[-2].shape[-1])


def _attention(args: Sequence[Any], _: Tensor) -> int:
    query, key, value = args[:3]
    return _attention_macs(tuple(query.shape), tuple(key.shape), tuple(value.shape))


def _fused_projections(args: Sequence[Any], _: Tensor) -> int:
    """The four projections inside torch's fused self-attention."""
    batch, length, width = args[0].shape
    return int(4 * batch * length * width * width)


def _fused_attention(args: Sequence[Any], _: Tensor) -> int:
    batch, length, width = args[0].shape
    return int(2 * batch * length * length * width)


def _attention_macs(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> int:
    scores = prod(query[:-1]) * key[-2]
    return scores * query[-1] + scores * value[-1]


_WEIGHTED_COUNTERS: dict[str, Counter] = {
    "convolution": _convolution,
    "addmm": _product,
    "mm": _product,
    "_native_multi_head_attention": _fused_projections,
}
_ATTENTION_COUNTERS: dict[str, Counter] = {
    "bmm": _product,
    "baddbmm": _product,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention": _attention,
    "_scaled_dot_product_efficient_attention": _attention,
    "_scaled_dot_product_cudnn_attention": _attention,
    "_scaled_dot_product_attention_math": _attention,
    "_native_multi_head_attention": _fused_attention,
}


def _traced_attention(inputs: Sequence[Any], _: Sequence[Any]) -> int:
    query, key, value = (tuple(one.type().sizes()) for one in inputs[:3])
    return _attention_macs(query, key, value)


def _one_sample(example: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one[:1] for one in ((example,) if isinstance(example, Tensor) else example))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without fvcore's warnings and torch.jit's deprecation."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
