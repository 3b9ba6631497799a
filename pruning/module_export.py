"""From an `nn.Module` to an exported program with a varying batch, and why one cannot be had, for people."""

import inspect
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, nn

from pruning.errors import IntakeError

_PLACE = re.compile(r'File "([^"]{1,300})", line (\d+), in (\w+)\n\s*(.*)')
_CAUSE = re.compile(r"Caused by: \(([^)]{1,200})\)")


def export_module(model: nn.Module, inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    """With a batch that all inputs share and that may be one; else with whatever batch the module admits.

    Raises:
        IntakeError: neither can be had.
    """
    try:
        return _export_with({0: torch.export.Dim("batch", min=1)}, model, inputs)
    except Exception:  # of many unrelated kinds, from the tracer and from the module itself
        try:
            return _export_with({0: torch.export.Dim.DYNAMIC}, model, inputs)
        except Exception as error:
            raise IntakeError(f"the model cannot be exported with a varying batch: {_reason(error)}") from error


def mapped(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """The same tuples, lists and dicts, with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(mapped(item, change) for item in value)
    raise IntakeError(f"an input holds a {type(value).__name__}: models take tensors, and tuples and dicts of them")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of nested tuples, lists and mappings, in the order of an export's inputs and outputs."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def _export_with(batch: dict[int, Any], model: nn.Module, inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    bound = inspect.signature(model.forward).bind(*inputs).arguments
    shapes = {name: mapped(value, lambda _: batch) for name, value in bound.items()}
    with _quiet():
        return torch.export.export(model, inputs, dynamic_shapes=shapes)


@contextmanager
def _quiet() -> Iterator[None]:
    """When an export fails, torch prints the graph so far and a page of hints; the error has what matters."""
    logger = logging.getLogger("torch.fx.experimental.symbolic_shapes")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _reason(error: Exception) -> str:
    text = str(error).strip()
    if "data-dependent" in text:
        return (
            f"what it does depends on values of the data{_where(text)}, which no export can hold; write such "
            "branches with torch.where, or leave that part out of the module"
        )
    return next(iter(text.splitlines()), type(error).__name__)[:300]


def _where(text: str) -> str:
    if found := _PLACE.search(text):
        path, line, function, code = found.groups()
        return f" (line {line} of {path.rpartition('/')[2]}, in {function}: {code.strip()[:80]})"
    cause = _CAUSE.search(text)
    return f" ({cause[1].rpartition('/')[2]})" if cause else ""
