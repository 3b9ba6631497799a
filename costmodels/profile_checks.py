"""What can be wrong with a profile, said all at once: a plain list of problems, empty for a good one."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from costmodels.profile import MAX_ROWS, PARTS, SOURCES, STATISTICS, Profile, ProfileGroup, ProfileRow
from costmodels.profile_fields import KINDS, PART_KINDS, PART_WORDS, shown, type_problems
from costmodels.profile_part_checks import (
    capability_problems,
    file_problems,
    group_problems,
    layer_problems,
    name_problems,
    not_negative,
    positive,
    row_problems,
    text_problems,
)

MAX_PARTS = 10_000  # files, capabilities and groups
MAX_CLOCK_HZ = 1e15
_ROOM = {"note": 2000}
_NAMES = ("name", "device", "precision")
_WORDS = {"source": SOURCES, "statistic": STATISTICS, "dispatch": ("auto", "forced")}
_RANGES = {"batch": (1, 65_536), "channel_multiple": (1, 4096), "runs": (1, 2**40), "warm_up_runs": (0, 2**40)}


def problems(profile: Profile) -> list[str]:
    """Everything that is wrong with it: wrong types alone where there are any, else wrong values."""
    if wrong := [*type_problems(profile), *_part_type_problems(profile)]:
        return wrong
    return [
        *_header_problems(profile),
        *_kind_problems(profile),
        *_row_problems(profile.rows),
        *_layer_problems(profile),
        *_numbered("files", profile.files, file_problems),
        *_numbered("capabilities", profile.capabilities, capability_problems),
        *_group_problems(profile),
    ]


def missing_dense(rows: Iterable[ProfileRow]) -> Iterator[str]:
    """Layers that have sparse rows and no dense one."""
    has_dense: dict[str, bool] = {}
    for row in rows:
        has_dense[row.layer] = has_dense.get(row.layer, False) or row.pattern == "dense"
    for layer, found in has_dense.items():
        if not found:
            yield f"layer {layer[:80]!r} has no dense row: sparse rows need the dense time of the same run"


def _part_type_problems(profile: Profile) -> Iterator[str]:
    for key in PARTS:
        parts = getattr(profile, key)
        if isinstance(parts, tuple) and all(type(part) is PART_KINDS[key] for part in parts):
            yield from _numbered(key, parts, type_problems)
        else:
            yield f"{key} is not a tuple of {PART_KINDS[key].__name__}"


def _header_problems(profile: Profile) -> Iterator[str]:
    for key, kind in KINDS[Profile].items():
        value = getattr(profile, key)
        if kind.of is str and value is not None:
            check = name_problems(key, value) if key in _NAMES else text_problems(key, value, _ROOM.get(key, 300))
            yield from check
    for key, (least, most) in _RANGES.items():
        value = getattr(profile, key)
        if value is not None and not least <= value <= most:
            yield f"{key} {shown(value)} is outside {least} ... {most}"
    for key, words in _WORDS.items():
        if getattr(profile, key) not in words:
            yield f"{key} {shown(getattr(profile, key))} is not one of {', '.join(words)}"
    yield from positive("clock_hz", profile.clock_hz, MAX_CLOCK_HZ)
    yield from positive("network_latency_ms", profile.network_latency_ms)
    yield from not_negative("network_latency_std_ms", profile.network_latency_std_ms)
    yield from not_negative("overhead_ms", profile.overhead_ms)


def _kind_problems(profile: Profile) -> Iterator[str]:
    if profile.accelerator is None and not profile.rows:
        yield "there are no rows and no accelerator: a profile needs one of them"
    if profile.accelerator is not None and profile.rows:
        yield "there are rows and an accelerator: give one of them, so that modelled and measured stay apart"
    if profile.accelerator is not None and profile.source != "analytical":
        yield f"an accelerator of the catalogue is analytical, not {profile.source!r}"
    for key in PARTS:
        limit = MAX_ROWS if key in ("rows", "layers") else MAX_PARTS
        if len(getattr(profile, key)) > limit:
            yield f"{len(getattr(profile, key))} {key} are more than {limit}"


def _row_problems(rows: tuple[ProfileRow, ...]) -> Iterator[str]:
    yield from _numbered("rows", rows, row_problems)
    first: dict[tuple[str, str, int | None, int | None], int] = {}
    for number, row in enumerate(rows, start=1):
        if first.setdefault(row.key, number) != number:
            yield f"row {number}: repeats row {first[row.key]} ({row.layer[:80]!r}, {row.pattern}, same channels)"
    yield from missing_dense(rows)


def _layer_problems(profile: Profile) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, layer in enumerate(profile.layers, start=1):
        yield from (f"layer {number} {shown(layer.name)}: {problem}" for problem in layer_problems(layer))
        if first.setdefault(layer.name, number) != number:
            yield f"layer {number} {shown(layer.name)}: is described by layer {first[layer.name]} already"


def _group_problems(profile: Profile) -> Iterator[str]:
    names = {part.name for part in profile.layers} | {row.layer for row in profile.rows}
    yield from _numbered("groups", profile.groups, lambda group: group_problems(group, names))
    yield from _shared_members(profile.groups)


def _shared_members(groups: tuple[ProfileGroup, ...]) -> Iterator[str]:
    first: dict[tuple[str, str], int] = {}
    for number, group in enumerate(groups, start=1):
        for member in dict.fromkeys(group.members):
            if first.setdefault((group.rule, member), number) != number:
                other = first[group.rule, member]
                yield f"group {number}: {shown(member)} is in group {other} of the same rule already"


def _numbered(key: str, parts: tuple[Any, ...], check: Callable[[Any], Iterator[str]]) -> Iterator[str]:
    for number, part in enumerate(parts, start=1):
        yield from (f"{PART_WORDS[key]} {number}: {problem}" for problem in check(part))
