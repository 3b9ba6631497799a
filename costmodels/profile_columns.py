"""The columns of the spreadsheet form: which field each one holds, and the units a person may write times in."""

from collections.abc import Iterator, Sequence

from costmodels.profile import ProfileLayer, ProfileRow
from costmodels.profile_fields import KINDS, FieldKind

ROW_COLUMNS: dict[str, FieldKind] = KINDS[ProfileRow]
# A layer's channels and groups are named apart from a row's channels and from the group of keep-n-of-group.
_RENAMED = {"in_channels": "layer_in_channels", "out_channels": "layer_out_channels", "groups": "conv_groups"}
LAYER_FIELDS = {_RENAMED.get(field, field): field for field in KINDS[ProfileLayer] if field != "name"}
LAYER_COLUMNS = {column: KINDS[ProfileLayer][field] for column, field in LAYER_FIELDS.items()}

UNITS = {"ms": 1.0, "us": 1e-3, "s": 1e3}
TIMES = ("latency", "latency_std", "dense")
SCALES = {f"{time}_{unit}": scale for time in TIMES for unit, scale in UNITS.items()}
SPARSE_COLUMNS = ("sparsity", "density", "keep", "group")  # beside or instead of the pattern
_IGNORED = ("note",)
_KNOWN = (*ROW_COLUMNS, *LAYER_COLUMNS, *SPARSE_COLUMNS, *_IGNORED)
_MAX_COLUMNS = 100
_TIME_WORDS = ("latency", "time", "duration", "runtime", "dense", "ms")


def column_problems(columns: Sequence[str]) -> Iterator[str]:
    """What is wrong with a header line."""
    if len(columns) > _MAX_COLUMNS:
        yield f"{len(columns)} columns are more than {_MAX_COLUMNS}"
        return
    for column in dict.fromkeys(columns):
        if columns.count(column) > 1:
            yield f"column {column[:40]!r} stands twice"
        if column not in _KNOWN and column not in SCALES:
            yield f"column {column[:40]!r} is not known; {_hint(column.lower())}"
    if "layer" not in columns:
        yield "column 'layer' is missing"
    for time in TIMES:
        found = [f"{time}_{unit}" for unit in UNITS if f"{time}_{unit}" in columns]
        if len(found) > 1:
            yield f"columns {' and '.join(found)} say the same thing: keep one"
        if time == "latency" and not found:
            yield "a latency column is missing: latency_ms, latency_us or latency_s"


def _hint(column: str) -> str:
    if "energy" in column:
        return "say the unit: energy_mj, in millijoules"
    if any(word in column for word in _TIME_WORDS):
        return "say the unit: latency_ms, latency_us or latency_s"
    return f"known are {', '.join(_KNOWN)}"
