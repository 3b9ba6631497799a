"""Tensors of an exported program: raw bytes, checked against what the file says. No torch, no pickle."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.archive import Archive, Limits
from pruning.intake.fields import shown

# torch's numbers of its scalar types; what is missing here (complex, quantised, float8) is refused
SCALAR_TYPES: dict[int, str] = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
ITEM_BYTES: dict[str, int] = {
    "uint8": 1,
    "int8": 1,
    "bool": 1,
    "int16": 2,
    "float16": 2,
    "bfloat16": 2,
    "int32": 4,
    "float32": 4,
    "int64": 8,
    "float64": 8,
}
_SAFETENSORS: dict[str, str] = {
    "uint8": "U8",
    "int8": "I8",
    "bool": "BOOL",
    "int16": "I16",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "float32": "F32",
    "int64": "I64",
    "float64": "F64",
}
_STRIDED = 7
_RANK = 8
_FILE_NAME = r"(weight|tensor)_\d{1,6}"
MAX_SIZE = 1 << 31  # of one dimension


@dataclass(frozen=True, kw_only=True)
class RawTensor:
    """A tensor as contiguous little-endian bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """A tensor of the file; `place` is equal for tensors that are one and the same memory."""

    tensor: RawTensor
    place: tuple[Any, ...]
    trainable: bool


@dataclass(frozen=True, kw_only=True)
class _Layout:
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    trainable: bool

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def bytes_needed(self) -> int:
        """Of the storage, counted from its start."""
        if not self.elements:
            return 0
        last = self.offset + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return (last + 1) * ITEM_BYTES[self.dtype]


def read_tensors(archive: Archive, folder: str, config: str, limits: Limits) -> dict[str, StoredTensor]:
    """The tensors that member `config` lists, by the uploader's names.

    Raises:
        IntakeError: a tensor that is pickled, of an unknown type, or reaches beyond its bytes.
    """
    document = fields.parse_json(archive.read(config, limits.json_bytes), config)
    entries = fields.mapping(fields.member(document, "config", config), config)
    if len(entries) > limits.members:
        raise IntakeError(f"{config} lists {len(entries)} tensors; the limit is {limits.members}")
    storages: dict[str, bytes] = {}
    found: dict[str, StoredTensor] = {}
    left = limits.total_bytes
    for key, entry in entries.items():
        name = fields.name(key, f"a tensor of {config}")
        where = f"tensor {shown(name)}"
        if fields.flag(fields.member(entry, "use_pickle", where), where):
            raise IntakeError(f"{where} is pickled, and nothing is unpickled here: save plain tensors")
        layout = _layout(fields.member(entry, "tensor_meta", where), where)
        left -= layout.elements * ITEM_BYTES[layout.dtype]
        if left < 0:
            raise IntakeError(f"the tensors need more than {limits.total_bytes} bytes in all")
        path = fields.matching(fields.member(entry, "path_name", where), _FILE_NAME, f"the file of {where}")
        if path not in storages:
            storages[path] = archive.read(f"{folder}/{path}", limits.total_bytes)
        found[name] = _stored(layout, path, storages[path], where)
    return found


def _layout(meta: Any, where: str) -> _Layout:
    code = fields.integer(fields.member(meta, "dtype", where), f"the type of {where}")
    if code not in SCALAR_TYPES:
        raise IntakeError(f"{where} has scalar type {code}, which is not supported: {sorted(ITEM_BYTES)} are")
    if fields.member(meta, "layout", where) != _STRIDED:
        raise IntakeError(f"{where} is not a plain strided tensor")
    shape = _sizes(fields.member(meta, "sizes", where), f"a size of {where}")
    strides = _sizes(fields.member(meta, "strides", where), f"a stride of {where}")
    if len(shape) != len(strides):
        raise IntakeError(f"{where} has {len(shape)} sizes and {len(strides)} strides")
    return _Layout(
        dtype=SCALAR_TYPES[code],
        shape=shape,
        strides=strides,
        offset=_size(fields.member(meta, "storage_offset", where), f"the offset of {where}"),
        trainable=fields.flag(fields.member(meta, "requires_grad", where), where),
    )


def _sizes(value: Any, where: str) -> tuple[int, ...]:
    return tuple(_size(item, where) for item in fields.items(value, where, _RANK))


def _size(value: Any, where: str) -> int:
    kind, size = fields.union(value, where)
    if kind != "as_int":
        raise IntakeError(f"{where} is not a plain number")
    return fields.integer(size, where, low=0, high=MAX_SIZE)


def _stored(layout: _Layout, path: str, storage: bytes, where: str) -> StoredTensor:
    if layout.bytes_needed > len(storage):
        raise IntakeError(f"{where} needs {layout.bytes_needed} bytes and its file has {len(storage)}")
    data = _contiguous(layout, storage)
    if layout.dtype == "bool" and data.translate(None, b"\x00\x01"):
        raise IntakeError(f"{where} is of truth values and has bytes other than 0 and 1")
    return StoredTensor(
        tensor=RawTensor(dtype=layout.dtype, shape=layout.shape, data=data),
        place=(path, layout.dtype, layout.shape, layout.strides, layout.offset),
        trainable=layout.trainable,
    )


def _contiguous(layout: _Layout, storage: bytes) -> bytes:
    if not layout.elements:
        return b""
    width = ITEM_BYTES[layout.dtype]
    flat = np.frombuffer(storage, dtype=f"V{width}", count=len(storage) // width)
    strides = tuple(stride * width for stride in layout.strides)
    view = np.lib.stride_tricks.as_strided(flat[layout.offset :], layout.shape, strides, writeable=False)
    if view.nbytes == len(storage) and view.flags.c_contiguous:
        return storage
    return view.tobytes()


def write_safetensors(tensors: Mapping[str, RawTensor], path: Path) -> None:
    """Write `tensors` as a safetensors file, wide types first so that every tensor stays aligned."""
    order = sorted(tensors, key=lambda key: -ITEM_BYTES[tensors[key].dtype])
    header: dict[str, Any] = {}
    end = 0
    for key in order:
        tensor = tensors[key]
        start, end = end, end + len(tensor.data)
        dtype = _SAFETENSORS[tensor.dtype]
        header[key] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in order:
            file.write(tensors[key].data)
