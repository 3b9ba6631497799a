"""How calls are prepared on this machine: one file a runtime, by name."""

from collections.abc import Callable, Mapping

from costmodels.measure.backends.base import Backend
from costmodels.measure.backends.compiled import CompiledBackend
from costmodels.measure.backends.eager import EagerBackend
from costmodels.measure.backends.onnxruntime import OnnxRuntimeBackend
from costmodels.measure.problem import Place

BACKENDS: Mapping[str, Callable[[Place], Backend]] = {
    "eager": EagerBackend,
    "compile": CompiledBackend,
    "onnxruntime": OnnxRuntimeBackend,
}

__all__ = ["BACKENDS", "Backend"]
