"""Error tables before anything is measured: what weights, their curvature or a rule of thumb say an option costs.

Each answers with one number an option, in the shape of the measured table; dense costs nothing. Their scale is their
own, so only their ranks are comparable, except for `curvature`, which estimates nats.

| prior     | says                                                       | data                              |
|-----------|------------------------------------------------------------|-----------------------------------|
| magnitude | the share of squared weights that goes                     | none                              |
| curvature | 1/2 sum of F w² over the weights that go                   | a forward and backward pass each  |
| spdy      | c (j / (S - 1))², j the rank of the strength in its family | none                              |
| owl       | spdy, c by the share of outliers in |w| ||x||              | a forward pass each               |
| hill      | spdy, c by the tail of the weights' spectrum               | none                              |
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor, nn

from app.search.judging import Judge
from app.search.table.completion import OptionPatterns, families
from app.search.table.score import Scored, Scorer
from app.search.table.stitch import Pieces, touched
from pruning.calibrate import LayerStatistics, collect
from pruning.feed import Batch, call
from pruning.layers import ModelSpec
from pruning.masked import find_tensor
from pruning.oneshot import OPS
from pruning.plan import PruningPlan

Units = Sequence[Sequence[OptionPatterns]]
Table = list[list[float]]
_OUTLIER = 5.0  # M of OWL, times the layer's mean
_LEAST = 0.1  # of the layers' mean: c where a layer has no outlier, or no tail at all


def prior_table(how: str, dense: Scorer, units: Units, seed: int = 0) -> Scored:
    """The table of a prior by its name in a search, with the sample-passes it took; the model is left as it was.

    Args:
        how: "prior" (which is `magnitude`), "curvature", "spdy", "owl" or "hill".
        dense: the model, and the calibration batches where the prior looks at data.
        units: whole units, since ranks in families count.
        seed: of the answers that `curvature` draws.
    """
    net, spec = dense.net, dense.spec
    samples = sum(len(targets) for _, targets in dense.batches)
    training = net.training
    net.eval()
    try:
        match how:
            case "curvature":
                fisher = fisher_diagonal(net, _weights(spec, units), dense.batches, dense.judge, seed)
                return Scored(errors=curvature(net, spec, units, fisher), sample_passes=3 * samples)
            case "spdy":
                return Scored(errors=spdy(units), sample_passes=0)
            case "owl":
                seen = [layer.parameter for layer in spec.layers if layer.op in OPS]  # `collect` knows these
                found = owl(net, spec, collect(net, seen, dense.batches, hessian=False))
                return Scored(errors=spdy(units, found), sample_passes=samples)
            case "hill":
                return Scored(errors=spdy(units, hill(net, spec)), sample_passes=0)
        return Scored(errors=magnitude(net, spec, units), sample_passes=0)
    finally:
        net.train(training)


def magnitude(net: nn.Module, spec: ModelSpec, units: Units) -> Table:
    """The share of the squared weights that an option makes zero, of the parameters it touches.

    It is the loss under unit curvature, which magnitude pruning assumes (LeCun et al. 1990, with H = 1).
    """
    return _weighed(net, spec, units, {}, relative=True)


def curvature(net: nn.Module, spec: ModelSpec, units: Units, fisher: Mapping[str, Tensor]) -> Table:
    """1/2 sum of F_ii w_i² over the weights that an option makes zero: the KL divergence to second order, in nats.

    F is the diagonal of the Fisher information (see `fisher_diagonal`), as in Theis et al. (arXiv 1801.05787).
    """
    return _weighed(net, spec, units, fisher, relative=False)


def fisher_diagonal(
    net: nn.Module, parameters: Sequence[str], batches: Sequence[Batch], judge: Judge, seed: int = 0
) -> dict[str, Tensor]:
    """The mean squared gradient of log p(y | x), y drawn from the model's own answer, of each named parameter.

    Samples go through one at a time, 3 passes each: the squares of a batch's mean gradient are another number.
    For models that answer `b x classes` logits.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = [find_tensor(net, name) for name in parameters]
    frozen = [tensor for tensor in tensors if not tensor.requires_grad]
    for tensor in frozen:
        tensor.requires_grad_()
    total, count = [torch.zeros_like(tensor, dtype=torch.float64) for tensor in tensors], 0
    for inputs, _ in batches:
        for number in range(len(inputs[0] if isinstance(inputs, tuple) else inputs)):
            one = slice(number, number + 1)
            sample = tuple(part[one] for part in inputs) if isinstance(inputs, tuple) else inputs[one]
            with torch.enable_grad():
                logs = judge.judged(call(net, sample)).float().log_softmax(dim=1)[0]
                drawn = int(torch.multinomial(logs.detach().exp(), 1, generator=generator))
                gradients = torch.autograd.grad(logs[drawn], tensors, allow_unused=True)
            for square, gradient in zip(total, gradients, strict=True):
                square += 0.0 if gradient is None else gradient.double().square()
            count += 1
    for tensor in frozen:
        tensor.requires_grad_(False)
    return {name: square / max(1, count) for name, square in zip(parameters, total, strict=True)}


def spdy(units: Units, coefficients: Mapping[str, float] | None = None) -> Table:
    """c (j / (S - 1))²: j counts the strengths of a family from dense, 0, to S - 1 (SPDY, arXiv 2201.13096).

    The paper's strengths lie on a geometric grid of densities. `coefficients` gives c by layer, 1 if absent; of joint
    options the layers' mean counts.
    """
    weights = coefficients or {}
    table = []
    for options in units:
        errors = [0.0] * len(options)
        for family in families(options):
            c = fmean(weights.get(layer, 1.0) for layer in options[family[0]])
            for rank, index in enumerate(family, start=1):
                errors[index] = c * (rank / len(family)) ** 2
        table.append(errors)
    return table


def owl(net: nn.Module, spec: ModelSpec, statistics: Mapping[str, LayerStatistics]) -> dict[str, float]:
    """c for `spdy` by layer: its share of weights with |w_ij| ||x_j|| above 5 times the layer's mean, over their mean.

    Layers with many outliers keep more (OWL, arXiv 2310.05175). `statistics` by parameter; other layers are left out.
    """
    shares = {}
    for layer in spec.layers:
        if (seen := statistics.get(layer.parameter)) is not None:
            scores = seen.rows(find_tensor(net, layer.parameter)).abs() * seen.norms[:, None]
            shares[layer.name] = float((scores > _OUTLIER * scores.mean()).double().mean())
    return _relative(shares)


def hill(net: nn.Module, spec: ModelSpec) -> dict[str, float]:
    """c for `spdy` by layer: the mean Hill exponent of all layers over the layer's own.

    alpha = 1 + k / sum over i of ln(l_(n-i+1) / l_(n-k)), l the ascending eigenvalues of W Wᵀ, k = n // 2. A heavy
    tail, small alpha, marks a well-trained layer, which AlphaPruning (arXiv 2410.10912) prunes less. Layers with fewer
    than two non-zero eigenvalues are left out.
    """
    tails = {}
    for layer in spec.layers:
        weight = find_tensor(net, layer.parameter).detach().double().flatten(1)
        spectrum = torch.linalg.svdvals(weight).square().sort().values
        k = len(spectrum) // 2
        if k and float(spectrum[-k - 1]) > 0:
            spread = float((spectrum[-k:] / spectrum[-k - 1]).log().sum())
            tails[layer.name] = 1.0 / (1.0 + k / spread) if spread > 0 else 0.0
    return _relative(tails)


def _weights(spec: ModelSpec, units: Units) -> list[str]:
    """The parameters that these options put zeros into."""
    plans = [PruningPlan(pruner="magnitude", patterns=dict(option)) for options in units for option in options]
    return list(dict.fromkeys(name for plan in plans for name in touched(spec, plan)))


@torch.no_grad()
def _weighed(net: nn.Module, spec: ModelSpec, units: Units, weights: Mapping[str, Tensor], *, relative: bool) -> Table:
    """Of each option the sum of (weights x) squared values that go: halved, or as a share of all that could."""
    pieces = Pieces(net=net, spec=spec)
    table = []
    for options in units:
        errors = []
        for option in options:
            gone, whole = 0.0, 0.0
            for name, pruned in pieces.weights(PruningPlan(pruner="magnitude", patterns=dict(option))).items():
                squares = find_tensor(net, name).double().square() * weights.get(name, 1.0)
                gone += float(squares[pruned == 0].sum())
                whole += float(squares.sum())
            errors.append((gone / whole if whole > 0 else 0.0) if relative else gone / 2)
        pieces.kept.clear()
        table.append(errors)
    return table


def _relative(values: Mapping[str, float]) -> dict[str, float]:
    """Shares of their mean. None is near zero: a layer whose pruning costs nothing would lose all it has."""
    mean = fmean(values.values()) if values else 0.0
    raised = {name: max(value, _LEAST * mean) for name, value in values.items()}
    mean = fmean(raised.values()) if values else 0.0
    return {name: value / mean if mean > 0 else 1.0 for name, value in raised.items()}
