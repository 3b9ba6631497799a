"""Timeloop's problem: the layer that was mapped, its strides, and the densities of its operands.

A convolution in Timeloop's words: N samples, G groups of C input and M output channels, a filter of R (along the
width, with output P) by S (along the height, with output Q). Inputs are counted with their padding, so the size of
the model's input is not known. Problems of other dimensions are known by their counts alone.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from costmodels.importers.base import printable
from costmodels.importers.cells import HEAD, mapping, number, quoted, sparse
from costmodels.importers.files import SourceFile
from costmodels.profile import ProfileLayer

_CONV = ("N", "G", "M", "C", "Q", "P", "S", "R")
_DIMENSION = re.compile(r"[A-Z]")
_TOP = re.compile(r"^problem:[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True)
class Problem:
    """Sizes by dimension, strides of height and width, and the share of non-zeros in weights and inputs."""

    file: SourceFile
    sizes: Mapping[str, int]
    stride: tuple[int, int]
    weights_density: float
    inputs_density: float

    @property
    def pattern(self) -> str:
        """Of the weights."""
        return sparse(1.0 - self.weights_density) or "dense"

    @property
    def has_zeros(self) -> bool:
        """Whether any operand has."""
        return self.weights_density < 1.0 or self.inputs_density < 1.0

    @property
    def batch(self) -> int | None:
        """Samples; None where the problem is no convolution."""
        return self.sizes.get("N", 1) if self._is_conv else None

    @property
    def computes(self) -> int:
        """Multiply-adds of the batch."""
        return prod(self.sizes.values())

    @property
    def counts(self) -> tuple[int, int] | None:
        """Words of weights and of outputs."""
        outputs = "C" if self._is_depthwise else "M"
        sizes = (self._of("G", "M", "C", "R", "S"), self._of("N", "G", outputs, "P", "Q"))
        return sizes if self._is_conv else None

    def described(self, name: str) -> ProfileLayer:
        """The layer in our words."""
        if not self._is_conv:
            return ProfileLayer(name=name)
        groups = self._of("C") if self._is_depthwise else self._of("G")
        return ProfileLayer(
            name=name,
            op="conv2d",
            in_channels=self._of("C", "G"),
            out_channels=groups if self._is_depthwise else self._of("M", "G"),
            kernel=(self._of("S"), self._of("R")),
            stride=self.stride,
            groups=groups,
            output_size=(self._of("Q"), self._of("P")),
            positions=self._of("P", "Q"),
            weights=self._of("G", "M", "C", "R", "S"),
            macs=self.computes // self._of("N"),
        )

    @property
    def _is_conv(self) -> bool:
        return "C" in self.sizes and self.sizes.keys() <= set(_CONV)

    @property
    def _is_depthwise(self) -> bool:
        return "M" not in self.sizes and self._of("G") == 1  # written without output channels

    def _of(self, *dimensions: str) -> int:
        return prod(self.sizes.get(dimension, 1) for dimension in dimensions)


def is_problem(file: SourceFile) -> bool:
    """Whether this is a problem in YAML."""
    return bool(_TOP.search(file.text[:HEAD]))


def read_problem(file: SourceFile) -> Problem:
    """The problem in a file.

    Raises:
        ProfileError: it is none, or a size, stride or density is wrong.
    """
    problem = mapping(mapping(file.yaml).get("problem"))
    shape, instance = mapping(problem.get("shape")), mapping(problem.get("instance", problem))
    sizes = {key: _size(file, key, value) for key, value in instance.items() if _is_dimension(key)}
    if not sizes:
        raise file.refusal("has no sizes under problem: instance: give the problem that was mapped")
    coefficients = shape.get("coefficients")
    named = [mapping(one) for one in coefficients] if isinstance(coefficients, list) else []
    defaults = {str(one.get("name")): one.get("default", 1) for one in named}
    stride = tuple(_size(file, key, instance.get(key, defaults.get(key, 1))) for key in ("Hstride", "Wstride"))
    densities = mapping(instance.get("densities"))
    return Problem(
        file,
        sizes,
        (stride[0], stride[1]),
        _density(file, "Weights", densities),
        _density(file, "Inputs", densities),
    )


def _is_dimension(key: object) -> bool:
    return isinstance(key, str) and bool(_DIMENSION.fullmatch(key))


def _size(file: SourceFile, key: str, value: object) -> int:
    size = None if isinstance(value, str) else number(value)
    if size is None or size != int(size) or not 1 <= size <= 2**24:
        raise file.refusal(f"has {key} = {quoted(value)}, not a size: give the problem that was mapped")
    return int(size)


def _density(file: SourceFile, operand: str, densities: Mapping[str, Any]) -> float:
    stated = densities.get(operand, 1.0)
    value = stated.get("density", 1.0) if isinstance(stated, dict) else stated
    density = None if isinstance(value, str) else number(value)
    if density is None or not 0.0 < density <= 1.0:
        raise file.refusal(f"has a density of {printable(operand)} of {quoted(value)}, not a share above 0 and up to 1")
    return density
