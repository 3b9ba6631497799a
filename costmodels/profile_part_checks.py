"""What can be wrong with the values of one part of a profile: a row, a layer, a file, a capability, a group.

Their types are right already: `costmodels.profile_fields` has seen to it.
"""

import json
from collections.abc import Collection, Iterator
from functools import lru_cache
from string import hexdigits
from typing import Any, get_args

from costmodels.profile import Capability, Effect, ProfileFile, ProfileGroup, ProfileLayer, ProfileRow, Role, Rule
from costmodels.profile_fields import shown
from pruning.errors import PatternError
from pruning.patterns import Channel, parse

MAX_TEXT = 300
MAX_NAMES = 120_000  # characters of a list of names as JSON: more does not fit into one cell of a CSV file
MAX_LATENCY_MS = 1e9
LEAST = 1e-12  # of what must be positive: the ratio of any two times is then a number
MAX_BYTES = 2.0**40
MAX_CHANNELS = 2**24
_FAMILIES = ("unstructured", "block", "nm", "kernel", "channel")
_SHAPE_RULES = ("in_channels_multiple", "out_channels_multiple", "in_channels_min", "out_channels_min")


def row_problems(row: ProfileRow) -> Iterator[str]:
    """What is wrong with one row by itself."""
    yield from name_problems("layer", row.layer)
    yield from positive("latency_ms", row.latency_ms)
    yield from positive("dense_ms", row.dense_ms)
    yield from not_negative("latency_std_ms", row.latency_std_ms)
    yield from not_negative("energy_mj", row.energy_mj)
    yield from not_negative("weight_bytes", row.weight_bytes, MAX_BYTES)
    yield from _whole_problems("in_channels", row.in_channels, MAX_CHANNELS)
    yield from _whole_problems("out_channels", row.out_channels, MAX_CHANNELS)
    if problem := _pattern_problem(row.pattern):
        yield problem


def layer_problems(layer: ProfileLayer) -> Iterator[str]:
    """What is wrong with the description of one layer."""
    yield from name_problems("name", layer.name)
    yield from text_problems("op", layer.op)
    yield from _names_problems("member", layer.members)
    yield from _word_problems("role", layer.role, get_args(Role))
    for key in ("in_channels", "out_channels", "groups", "positions", "weights", "macs", "calls"):
        yield from _whole_problems(key, getattr(layer, key), 2**62)
    for key in ("kernel", "stride", "input_size", "output_size"):
        if not all(1 <= size <= MAX_CHANNELS for size in getattr(layer, key)):
            yield f"{key} holds a size outside 1 ... {MAX_CHANNELS}"
    for key in ("in_channels", "out_channels"):
        count = getattr(layer, key)
        if count and layer.groups and layer.groups > 0 and count % layer.groups:
            yield f"groups {layer.groups} does not divide {key} {count}"


def file_problems(file: ProfileFile) -> Iterator[str]:
    """What is wrong with the record of one source file."""
    yield from name_problems("name", file.name)
    yield from text_problems("format", file.format)
    if len(file.sha256) != 64 or not set(file.sha256) <= set(hexdigits):
        yield f"sha256 {shown(file.sha256)} is not 64 hexadecimal digits"


def capability_problems(capability: Capability) -> Iterator[str]:
    """What is wrong with one statement on the device."""
    yield from _word_problems("pattern", capability.pattern, _FAMILIES)
    yield from _word_problems("effect", capability.effect, get_args(Effect))
    yield from _names_problems("op", capability.ops)
    keep, group = capability.keep, capability.group
    if capability.pattern == "nm" and not (keep and group and 1 <= keep <= group <= 64):
        yield f"keep {keep} of {group} is impossible: need 1 <= keep <= group <= 64"
    if not 0.0 <= capability.min_sparsity < 1.0:
        yield f"min_sparsity {shown(capability.min_sparsity)} is outside [0, 1): a share, not a percentage"
    for key in (*_SHAPE_RULES, "keep", "group", "rows", "cols"):
        yield from _whole_problems(key, getattr(capability, key), MAX_CHANNELS)


def group_problems(group: ProfileGroup, layers: Collection[str]) -> Iterator[str]:
    """What is wrong with one group, whose members must be among `layers`."""
    yield from _word_problems("rule", group.rule, get_args(Rule))
    yield from _names_problems("member", group.members)
    if len(set(group.members)) < 2:
        yield "it has fewer than two members"
    if len(set(group.members)) < len(group.members):
        yield "a member stands twice"
    yield from (
        f"member {shown(member)} is no layer of the profile" for member in group.members if member not in layers
    )
    threshold = group.min_sparsity
    if group.rule == "cluster_threshold" and (threshold is None or not 0.0 < threshold < 1.0):
        yield f"min_sparsity {shown(threshold)} is outside (0, 1): a share, not a percentage"
    if group.rule == "parallel_max" and threshold is not None:
        yield "min_sparsity belongs to cluster_threshold alone"


def positive(key: str, value: float | None, limit: float = MAX_LATENCY_MS) -> Iterator[str]:
    """A complaint unless the number is left out or finite and above zero."""
    if value is not None and not 0.0 < value <= limit:  # false for NaN
        yield f"{key} {shown(value)} is not a positive finite number of at most {limit:g}"
    elif value is not None and value < LEAST:
        yield f"{key} {shown(value)} is less than {LEAST:g}: is it in the right unit?"


def not_negative(key: str, value: float | None, limit: float = MAX_LATENCY_MS) -> Iterator[str]:
    """A complaint unless the number is left out or finite and not below zero."""
    if value is not None and not 0.0 <= value <= limit:
        yield f"{key} {shown(value)} is not zero or a positive finite number of at most {limit:g}"


def name_problems(key: str, value: str) -> Iterator[str]:
    """As `text_problems`, for what may not be empty."""
    if not value:
        yield f"{key} is empty"
    yield from text_problems(key, value)


def text_problems(key: str, value: str, room: int = MAX_TEXT) -> Iterator[str]:
    """A complaint where a text is too long, or not the same once it was printed and read."""
    if len(value) > room:
        yield f"{key} is longer than {room} characters"
    if value != value.strip() or not value.isprintable():
        yield f"{key} {value[:40]!r} has blanks at its ends or characters that cannot be printed"


def _names_problems(key: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        yield from name_problems(key, name)
    if names and len(json.dumps(names, ensure_ascii=False)) > MAX_NAMES:
        yield f"the {key} names together are longer than {MAX_NAMES} characters"


def _whole_problems(key: str, value: int | None, limit: int) -> Iterator[str]:
    if value is not None and not 1 <= value <= limit:
        yield f"{key} {shown(value)} is not a positive whole number of at most {limit}"


def _word_problems(key: str, value: Any, words: tuple[str, ...]) -> Iterator[str]:
    if value not in words:
        yield f"{key} {shown(value)} is not one of {', '.join(words)}"


@lru_cache(maxsize=4096)
def _pattern_problem(text: str) -> str:
    try:
        pattern = parse(text)
    except PatternError as error:
        hint = "; sparsity is a share below 1, not a percentage" if "%" in text or "@" in text else ""
        return f"{error}{hint}"
    if isinstance(pattern, Channel):
        return f"pattern {text!r}: give in_channels and out_channels of a dense row instead"
    return "" if str(pattern) == text else f"pattern {text!r} must be written {str(pattern)!r}"
