"""`describe`: what `trace` finds, or why there is nothing here to prune."""

from pruning.errors import IntakeError
from pruning.graphnet import GraphNet
from pruning.layers import ModelSpec
from pruning.trace import trace

_SHOWN = 3


def describe(net: GraphNet) -> ModelSpec:
    """The net's layers, groups and sizes.

    Raises:
        IntakeError: see `trace`; or no layer can be pruned, with the reasons that there are.
    """
    spec = trace(net)
    if spec.layers:
        return spec
    reasons = [f"{name[:80]}: {reason}" for name, reason in list(spec.unprunable.items())[:_SHOWN]]
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise IntakeError(
        f"the model has no prunable layer{why}; prunable are linear layers, 1-D and 2-D convolutions and 2-D "
        "transposed convolutions whose weights are parameters that require gradients"
    )
