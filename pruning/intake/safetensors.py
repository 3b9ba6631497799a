"""The header of a safetensors file, checked without torch: 8 bytes of length, JSON, and the tensors' bytes behind it.

The format is safetensors' own (huggingface/safetensors, README "Format"). The tensors are loaded elsewhere.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.fields import shown

_HEADER_BYTES = 16 << 20  # hundreds of thousands of tensors
_TENSORS = 100_000
_RANK = 8
_ITEM_BYTES: dict[str, int] = {
    "U8": 1, "I8": 1, "BOOL": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TensorHeader:
    """What the file says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def read_header(file: BinaryIO, size: int) -> Mapping[str, TensorHeader]:
    """The tensors that a safetensors file of `size` bytes names; `file` is read from its start.

    Raises:
        IntakeError: no such file, cut short, with a header too large, or with tensors of unknown types, that
            overlap, leave gaps or reach beyond the file.
    """
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise IntakeError("the weights are not a safetensors file, or are cut short")
    if length > _HEADER_BYTES:
        raise IntakeError(f"the header of the weights has {length} bytes; the limit is {_HEADER_BYTES}")
    where = "the header of the weights"
    entries = fields.mapping(fields.parse_json(file.read(length), where), where)
    entries.pop("__metadata__", None)
    if len(entries) > _TENSORS:
        raise IntakeError(f"{where} names {len(entries)} tensors; the limit is {_TENSORS}")
    spans: list[tuple[int, int]] = []
    found: dict[str, TensorHeader] = {}
    for key, entry in entries.items():
        found[fields.name(key, "a tensor of the weights")], span = _tensor(entry, f"tensor {shown(key)}")
        spans.append(span)
    _check_spans(spans, size - 8 - length)
    return found


def _tensor(entry: Any, where: str) -> tuple[TensorHeader, tuple[int, int]]:
    dtype = fields.text(fields.member(entry, "dtype", where), where)
    if dtype not in _ITEM_BYTES:
        raise IntakeError(f"{where} is of type {shown(dtype)}; there are {', '.join(_ITEM_BYTES)}")
    sizes = fields.items(fields.member(entry, "shape", where), where, _RANK)
    shape = tuple(fields.integer(size, f"a size of {where}", low=0) for size in sizes)
    offsets = fields.items(fields.member(entry, "data_offsets", where), where, 2)
    if len(offsets) != 2:
        raise IntakeError(f"{where} should begin and end at one place each")
    begin, end = (fields.integer(offset, f"an offset of {where}", low=0) for offset in offsets)
    if end - begin != math.prod(shape) * _ITEM_BYTES[dtype]:
        raise IntakeError(f"{where} has {end - begin} bytes, which are not those of {list(shape)} in {dtype}")
    return TensorHeader(dtype=dtype, shape=shape), (begin, end)


def _check_spans(spans: list[tuple[int, int]], size: int) -> None:
    """The tensors' bytes lie one after another and fill the file."""
    place = 0
    for begin, end in sorted(spans):
        if begin != place:
            raise IntakeError("the tensors of the weights overlap or leave gaps: save them again")
        place = end
    if place != size:
        raise IntakeError(f"the tensors of the weights need {place} bytes and the file has {size} for them")
