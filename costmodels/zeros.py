"""`ZeroRule`: which zeros a device turns into time, energy or bytes, on which layers, and how much is left.

Effects: `skip` does less work (less time, less energy), `gate` does the same steps without switching (less energy),
`compress` stores and moves fewer bytes. Removed channels need no rule: every device rewards a smaller shape.
"""

from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

from costmodels.errors import AcceleratorError
from costmodels.figures import Figure
from costmodels.storage import BITS, Format, Weights, coded_bytes
from pruning.layers import LayerSpec
from pruning.patterns import NM, Block, Dense, Kernel, Pattern, Unstructured

Effect = Literal["skip", "gate", "compress"]


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a pattern leaves of a layer: shares of its dense compute time and multiply-adds, bytes of its weights.

    `error` is the relative error of the shares, 0 where the source states none.
    """

    time: float
    macs: float
    weight_bytes: float
    error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ZeroRule:
    """One kind of zeros on one kind of layers.

    The share of dense compute time that `skip` leaves is `time_share`; or the affine law `slope` x density +
    `intercept`, for kernels on a CPU; or the kept share x `imbalance` (the pattern's own share for N:M). An
    unstructured rule takes any zeros; an nm rule whatever satisfies `keep` of `group`; a block rule blocks whose sides
    are multiples of `rows` x `cols`. Below `min_sparsity` the dense kernel runs; it is asked of each layer, or of all
    weights of a cluster `over` which it is counted.
    """

    pattern: Literal["unstructured", "nm", "block"]
    precisions: tuple[str, ...]
    effect: Effect = "skip"
    format: Format = "dense"  # how the weights are stored
    ops: tuple[str, ...] = ("conv1d", "conv2d", "linear")
    imbalance: Figure | None = None
    time_share: Figure | None = None
    slope: Figure | None = None
    intercept: Figure | None = None
    min_sparsity: Figure | None = None
    over: Literal["layer", "cluster"] = "layer"
    error: Figure | None = None
    keep: int = 0
    group: int = 0
    rows: int = 1
    cols: int = 1
    in_channels_multiple: int = 1
    out_channels_multiple: int = 1
    in_channels_min: int = 1
    out_channels_min: int = 1
    kernel_min: int = 1  # of the shorter side; a linear layer counts as 1
    kernel_max: int = 1_000_000  # of the longer side
    stride_max: int = 1_000_000

    def __post_init__(self) -> None:
        if self.pattern == "nm" and not 1 <= self.keep <= self.group <= 64:
            raise AcceleratorError(f"keep {self.keep} of {self.group} is impossible: need 1 <= keep <= group <= 64")
        if self.over not in ("layer", "cluster") or (self.over == "cluster" and self.min_sparsity is None):
            raise AcceleratorError("a threshold is counted over a layer or a cluster: give min_sparsity with it")
        laws = [self.imbalance, self.time_share, self.slope]
        if self.effect != "skip" and any(laws):
            raise AcceleratorError(f"a rule that {self.effect}s saves no steps: leave out its law of time")
        if self.effect == "compress" and self.format == "dense":
            raise AcceleratorError("a rule that compresses needs the format that weights are stored in")
        if (self.slope is None) != (self.intercept is None):
            raise AcceleratorError("an affine law needs slope and intercept")
        if sum(law is not None for law in laws) > 1:
            raise AcceleratorError("a rule has one law: imbalance, or time_share, or slope and intercept")
        if self.effect == "skip" and self.pattern != "nm" and not any(laws):
            raise AcceleratorError("a rule that skips needs imbalance, or time_share, or slope and intercept")

    @property
    def word(self) -> str:
        """The kind of zeros, in a word."""
        words = {"nm": f"keep{self.keep}of{self.group}", "block": f"block{self.rows}x{self.cols}"}
        return words.get(self.pattern, self.pattern)

    def left(self, layer: LayerSpec, pattern: Pattern, precision: str, clustered: bool = False) -> Left | None:
        """What is left of the layer, or None where the rule does not apply; in a cluster, if that has enough zeros."""
        share = self._stored_share(layer, pattern)
        if share is None or precision not in self.precisions or not self.fits(layer):
            return None
        counted_here = not (clustered and self.over == "cluster")
        if counted_here and self.min_sparsity is not None and 1.0 - share < self.min_sparsity.value - 1e-9:
            return None
        weights = Weights(
            count=layer.weights,
            kept=share * layer.weights,
            bits=BITS[precision],
            rows=layer.out_channels,
            group=self.group or 1,
            tile=self.rows * self.cols,
        )
        return Left(
            time=self._time(share),
            macs=1.0 if self.effect == "compress" else share,
            weight_bytes=coded_bytes(self.format, weights),
            error=self.error.value if self.error is not None else 0.0,
        )

    def _time(self, share: float) -> float:
        if self.effect != "skip":
            return 1.0
        if self.time_share is not None:
            return self.time_share.value
        if self.slope is not None and self.intercept is not None:
            return self.slope.value * share + self.intercept.value
        return share * self.imbalance.value if self.imbalance is not None else share

    def _stored_share(self, layer: LayerSpec, pattern: Pattern) -> float | None:
        """Share of the weights that the device holds and works on."""
        if self.pattern == "unstructured" and isinstance(pattern, Unstructured | NM | Block | Kernel):
            return kept_share(layer, pattern)
        if self.pattern == "nm" and isinstance(pattern, NM) and implies(pattern, NM(self.keep, self.group)):
            return kept_share(layer, NM(self.keep, self.group))
        if self.pattern == "block" and isinstance(pattern, Block):
            whole = pattern.rows % self.rows == 0 and pattern.cols % self.cols == 0
            return kept_share(layer, pattern) if whole else None
        return None

    def fits(self, layer: LayerSpec) -> bool:
        """Whether kernels for these zeros exist at the shape of the layer."""
        inputs = layer.in_channels // layer.groups
        sides = layer.kernel or (1,)
        return (
            layer.op in self.ops
            and inputs >= self.in_channels_min
            and layer.out_channels >= self.out_channels_min
            and inputs % self.in_channels_multiple == 0
            and layer.out_channels % self.out_channels_multiple == 0
            and min(sides) >= self.kernel_min
            and max(sides) <= self.kernel_max
            and max(layer.stride, default=1) <= self.stride_max
        )


def dense_left(layer: LayerSpec, precision: str) -> Left:
    """A layer without zeros, or on a device that does not see them."""
    return Left(time=1.0, macs=1.0, weight_bytes=layer.weights * BITS[precision] / 8)


def kept_share(layer: LayerSpec, pattern: Unstructured | NM | Block | Kernel | Dense) -> float:
    """Share of the weights that may be non-zero: whole tiles and kernels, a ragged tail counted as it is kept."""
    inputs = layer.in_channels // layer.groups
    match pattern:
        case NM(keep=keep, group=group):
            full, tail = divmod(inputs, group)
            return (full * keep + min(keep, tail)) / inputs
        case Block(rows=rows, cols=cols):
            tiles = ceil(layer.out_channels / rows) * ceil(inputs / cols) * prod(layer.kernel)
            return pattern.kept(tiles) / tiles
        case Kernel():
            kernels = layer.out_channels * inputs
            return pattern.kept(kernels) / kernels
    return pattern.density


def implies(strict: NM, loose: NM) -> bool:
    """Whether weights that satisfy `strict` always satisfy `loose` (keep1of4 satisfies keep2of4)."""
    if strict.group % loose.group == 0:
        return strict.keep <= loose.keep
    if loose.group % strict.group == 0:
        return strict.keep * (loose.group // strict.group) <= loose.keep
    return False
