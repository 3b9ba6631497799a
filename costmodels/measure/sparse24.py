"""2:4 sparsity through torch's semi-structured kernels: linear layers in half precision, on GPUs of sm_80 and newer.

What the kernels refuse (sizes that are no multiple of their tiles) is not measured: an unlisted pattern costs dense
time. The path needs such a GPU to be run at all; elsewhere there are no points.
"""

import torch
from torch.nn import functional

from costmodels.measure.problem import LayerProblem, Place
from costmodels.measure.timing import Call

PATTERN = "keep2of4"
_LEAST = (8, 0)  # compute capability
_HALF = (torch.float16, torch.bfloat16)


def has_kernels(place: Place) -> bool:
    """Whether the place has sparse kernels for its number format."""
    if place.device.type != "cuda" or place.dtype not in _HALF:
        return False
    return torch.cuda.get_device_capability(place.device) >= _LEAST


def sparse_layer(problem: LayerProblem) -> Call | None:
    """The linear layer with two of each four weights along its inputs kept, and its tail; None if it is refused."""
    if problem.layer.op != "linear" or problem.layer.in_channels % 4:
        return None
    dense = problem.weight * two_of_four(problem.weight)
    try:
        weight = torch.sparse.to_sparse_semi_structured(dense)
        functional.linear(problem.value, weight, problem.bias)
    except (RuntimeError, ValueError, NotImplementedError):
        return None
    return lambda: problem.finish(functional.linear(problem.value, weight, problem.bias))


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """A mask: the two largest of each four consecutive inputs. Random weights do not tie."""
    groups = weight.abs().reshape(len(weight), -1, 4)
    kept = torch.zeros_like(groups).scatter_(2, groups.topk(2, dim=2).indices, 1.0)
    return kept.flatten(1)
