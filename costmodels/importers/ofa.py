"""Look-up tables of blocks, as ProxylessNAS and Once-for-All keep them (arXiv 1812.00332, 1908.09791).

YAML, in milliseconds. One entry a block, its shape in its key:
`expanded_conv-input:20x20x48-output:10x10x96-expand:144-kernel:3-stride:2-idskip:0`, and under it `mean`, `count` and
`std` or `var`. An expanded_conv is a whole inverted bottleneck, three convolutions: it has a time but is no layer of a
model. The blocks are alternatives: their sum is the time of no network.
"""

import re
from math import prod, sqrt
from typing import Any

from costmodels.importers.base import Files, Given, Importer, build
from costmodels.importers.cells import HEAD, number, only, positive, quoted, refuse
from costmodels.importers.files import SourceFile
from costmodels.profile import Profile, ProfileLayer, ProfileRow

_SIZE = r"\d{1,6}(?:x\d{1,6}){0,3}"
_KEY = re.compile(
    rf"([A-Za-z][A-Za-z0-9_]{{0,40}})-input:({_SIZE})-output:({_SIZE})((?:-[a-z]{{1,12}}:\d{{1,6}}){{0,8}})"
)
_FIRST_KEY = re.compile(rf"^['\"]?{_KEY.pattern}['\"]?:", re.MULTILINE)
_PLAIN_CONVOLUTION = re.compile(r"Conv(?:_\d+)?")
_FORM = "op-input:HxWxC-output:HxWxC, then -expand:, -kernel:, -stride:, -idskip:, -se: or -hs: and a number each"
_TAGS = frozenset({"expand", "kernel", "stride", "idskip", "se", "hs"})
_NOTE = "a look-up table: its blocks are alternatives and do not add up to a network"


def _role(file: SourceFile) -> str | None:
    return "table" if _FIRST_KEY.search(file.text[:HEAD]) else None


def _read(files: Files, given: Given) -> Profile:
    file = only(files, "table", "look-up tables")
    if not isinstance(file.yaml, dict):
        raise file.refusal("is no table of blocks: one entry a block is needed")
    problems: list[str] = []
    layers, rows = [], []
    for key, entry in file.yaml.items():
        layer, row = _layer(key, problems), _row(key, entry, problems)
        if layer is not None and row is not None:
            layers.append(layer)
            rows.append(row)
    refuse(file, problems)
    return build(
        files,
        given,
        layers,
        rows,
        source="measured",
        tool="once-for-all look-up table",
        original_unit="ms",
        statistic="mean",
        note=_NOTE,
    )


def _layer(key: Any, problems: list[str]) -> ProfileLayer | None:
    """The block that a key describes. Only what the key says: of a plain Conv it says no kernel."""
    match = _KEY.fullmatch(key) if isinstance(key, str) else None
    if match is None:
        problems.append(f"key {quoted(key)} is not of the form {_FORM}")
        return None
    *input_size, in_channels = map(int, match[2].split("x"))
    *output_size, out_channels = map(int, match[3].split("x"))
    pairs = [part.split(":") for part in match[4].split("-")[1:]]
    tags = {word: int(value) for word, value in pairs}
    if not tags.keys() <= _TAGS or len(tags) < len(pairs):
        problems.append(f"key {quoted(key)} is not of the form {_FORM}")
        return None
    op = _op(match[1], input_size)
    flat = op == "linear"
    return ProfileLayer(
        name=key,
        role="other" if "pool" in op.lower() else "layer",
        op=op,
        in_channels=in_channels,
        out_channels=out_channels,
        kernel=(tags["kernel"],) * 2 if "kernel" in tags else (),
        stride=(tags["stride"],) * 2 if "stride" in tags else (),
        input_size=() if flat else tuple(input_size),
        output_size=tuple(output_size),
    )


def _op(word: str, input_size: list[int]) -> str:
    """Our own word where the key leaves no doubt. Logits of a larger map may hold a pooling: it keeps its word."""
    if word == "Logits" and prod(input_size) == 1:
        return "linear"
    return "conv2d" if _PLAIN_CONVOLUTION.fullmatch(word) else word


def _row(key: Any, entry: Any, problems: list[str]) -> ProfileRow | None:
    if not isinstance(entry, dict):
        problems.append(f"key {quoted(key)}: it has no mean")
        return None
    mean_ms = positive(entry.get("mean"))
    if mean_ms is None:
        problems.append(f"key {quoted(key)}: mean {quoted(entry.get('mean'))} is not a positive number of milliseconds")
    for word in ("std", "var", "count"):
        if word in entry and _not_negative(entry[word]) is None:
            problems.append(f"key {quoted(key)}: {word} {quoted(entry[word])} is not zero or a positive number")
    if mean_ms is None:
        return None
    std_ms, variance = _not_negative(entry.get("std")), _not_negative(entry.get("var"))
    if std_ms is None and variance is not None:
        std_ms = sqrt(variance)
    return ProfileRow(layer=str(key), latency_ms=mean_ms, latency_std_ms=std_ms)


def _not_negative(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and found >= 0.0 else None


OFA = Importer(
    name="ofa",
    title="Once-for-All look-up table",
    roles={"table": "the YAML look-up table of blocks"},
    required=("table",),
    recognise=_role,
    read=_read,
)
