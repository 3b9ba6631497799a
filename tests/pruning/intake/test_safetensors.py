"""The header of a safetensors file, against the library's own writer and reader."""

import io
import json
import struct
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, save

from pruning.errors import IntakeError
from pruning.intake.safetensors import read_header

GOOD = {"a": torch.ones(2, 3), "b.c": torch.zeros(4, dtype=torch.int64), "none": torch.zeros(0, 7).half()}


def header(data: bytes) -> Any:
    return read_header(io.BytesIO(data), len(data))


def made(entries: Any, data: bytes = b"") -> bytes:
    text = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(begin: int = 0, end: int = 8, **other: Any) -> dict[str, Any]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [begin, end], **other}


def test_names_types_and_shapes_are_read() -> None:
    found = header(save(GOOD, metadata={"format": "pt"}))
    assert {name: tensor.shape for name, tensor in found.items()} == {k: tuple(v.shape) for k, v in GOOD.items()}
    assert {name: tensor.dtype for name, tensor in found.items()} == {"a": "F32", "b.c": "I64", "none": "F16"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a safetensors file"),
        (b"\x80\x04.", "not a safetensors file"),
        (struct.pack("<Q", 1 << 62) + b"{}", "not a safetensors file"),
        (struct.pack("<Q", 17 << 20) + bytes(17 << 20), "the limit is"),
        (made(b"{" * 100), "not valid JSON"),
        (made(b'{"a": 1, "a": 2}'), "repeats a key"),
        (made(b"[" * 300_000), "JSON|nested"),
        (made([]), "should be an object"),
        (made({"a": {}}), "lacks its field"),
        (made({"a": entry(dtype="PICKLE")}, bytes(8)), "of type 'PICKLE'"),
        (made({"a": entry(shape=[-2])}, bytes(8)), "outside"),
        (made({"a": entry(shape=[1] * 9)}, bytes(8)), "9 items"),
        (made({"a": entry(shape=[1 << 40])}, bytes(8)), "not those of"),
        (made({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)), "overlap"),
        (made({"a": entry(0, 8), "b": entry(16, 24)}, bytes(24)), "gaps"),
        (made({"a": entry(0, 8)}, bytes(4)), "need 8 bytes"),
        (made({"a": entry(0, 8)}, bytes(80)), "need 8 bytes"),
        (made({"a\n": entry(0, 8)}, bytes(8)), "unprintable"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, said: str) -> None:
    with pytest.raises(IntakeError, match=said) as refused:
        header(data)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300


@settings(max_examples=150, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_whatever_we_take_the_library_takes_too(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(save(GOOD))
    for place, byte in changes:
        raw[place % len(raw)] = byte
    try:
        found = header(bytes(raw))
    except IntakeError:
        return
    try:
        tensors = load(bytes(raw))
    except (SafetensorError, KeyError) as error:
        pytest.fail(f"the library refuses what we took: {error}")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {k: v.shape for k, v in found.items()}
