"""The tidy form of a profile: one pandas table, a line a row, with the header and the other parts in its `attrs`.

What a pattern says (`keep`, `of`, `block_rows`, `block_cols`, `density`) and what the profile says of the layer
(`role`, `op`) stand beside the text, so that the table can be filtered and joined with others by columns alone; they
are read back only to be compared. Types do not depend on what is in the columns: text is `string`, whole numbers
`Int64` with NA, numbers `float64` with NaN. `attrs` holds plain JSON, so that it survives Parquet.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from costmodels.errors import refuse
from costmodels.profile import MAX_ROWS, Profile, ProfileLayer, ProfileRow
from costmodels.profile_fields import KINDS, shown
from costmodels.profile_json import read_json, write_json
from pruning.patterns import NM, Block, parse

if TYPE_CHECKING:
    import pandas as pd

_TEXT, _WHOLE, _NUMBER = "string", "Int64", "float64"
COLUMNS: dict[str, Any] = {  # the dtype of each, in pandas' words
    "profile_hash": _TEXT,
    "layer": _TEXT,
    "pattern": _TEXT,
    "keep": _WHOLE,
    "of": _WHOLE,
    "block_rows": _WHOLE,
    "block_cols": _WHOLE,
    "density": _NUMBER,
    "in_channels": _WHOLE,
    "out_channels": _WHOLE,
    "latency_ms": _NUMBER,
    "latency_std_ms": _NUMBER,
    "dense_ms": _NUMBER,
    "energy_mj": _NUMBER,
    "weight_bytes": _NUMBER,
    "source": _TEXT,
    "role": _TEXT,
    "op": _TEXT,
}
_DERIVED = tuple(column for column in COLUMNS if column not in KINDS[ProfileRow] and column != "profile_hash")


def write_frame(profile: Profile) -> "pd.DataFrame":
    """The table of a profile; an analytical one has none but its header."""
    import pandas as pd

    columns: dict[str, list[Any]] = {key: [getattr(row, key) for row in profile.rows] for key in KINDS[ProfileRow]}
    of_pattern = {text: _pattern_columns(text) for text in dict.fromkeys(columns["pattern"])}
    of_layer = {layer.name: layer for layer in profile.layers}
    described = [of_layer.get(name) or ProfileLayer(name=name) for name in columns["layer"]]
    for key in ("keep", "of", "block_rows", "block_cols", "density"):
        columns[key] = [of_pattern[text].get(key) for text in columns["pattern"]]
    columns["role"] = [layer.role for layer in described]
    columns["op"] = [layer.op for layer in described]
    columns["source"] = [profile.source] * len(described)
    columns["profile_hash"] = [profile.digest] * len(described)
    frame = pd.DataFrame({key: pd.array(columns[key], dtype=kind) for key, kind in COLUMNS.items()})
    frame.attrs = {key: value for key, value in write_json(profile).items() if key != "rows"}
    return frame


def read_frame(frame: "pd.DataFrame", header: Mapping[str, Any]) -> Profile:
    """Build a profile from its table; columns that may be empty may be absent.

    Raises:
        ProfileError: unknown columns, the rows of several profiles, wrong types or values, by row; or columns that
            contradict the pattern or the layer they stand beside.
    """
    refuse("table", list(_column_problems(frame)))
    document = {**header, **{str(key): value for key, value in frame.attrs.items()}}
    profile = read_json({**document, "rows": list(_rows(frame))})
    refuse(f"table of profile {shown(profile.name)}", list(_contradictions(frame, profile)))
    return profile


def _pattern_columns(text: str) -> dict[str, Any]:
    pattern = parse(text)
    found: dict[str, Any] = {"density": pattern.density}
    if isinstance(pattern, NM):
        found |= {"keep": pattern.keep, "of": pattern.group}
    if isinstance(pattern, Block):
        found |= {"block_rows": pattern.rows, "block_cols": pattern.cols}
    return found


def _column_problems(frame: "pd.DataFrame") -> Iterator[str]:
    names = [str(column) for column in frame.columns]
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            yield f"column {name[:40]!r} is not known; known are {', '.join(COLUMNS)}"
        if names.count(name) > 1:
            yield f"column {name[:40]!r} stands twice"
    for name in ("layer", "latency_ms"):
        if name not in names:
            yield f"column {name!r} is missing"
    if len(frame) > MAX_ROWS:
        yield f"{len(frame)} rows are more than {MAX_ROWS}"
    if names.count("profile_hash") == 1 and frame["profile_hash"].nunique(dropna=False) > 1:
        yield "the rows are of several profiles: select those of one profile_hash"


def _rows(frame: "pd.DataFrame") -> Iterator[dict[str, Any]]:
    columns = [column for column in KINDS[ProfileRow] if column in frame.columns]
    values = [_plain(column, frame[column]) for column in columns]
    for cells in zip(*values, strict=True):
        yield {column: cell for column, cell in zip(columns, cells, strict=True) if cell is not None}


def _plain(column: str, values: "pd.Series[Any]") -> list[Any]:
    """Python's own numbers and texts, None where there is nothing; whole numbers may come as floats, beside gaps."""
    cells = values.astype(object).where(values.notna(), None).tolist()
    cells = [cell.item() if hasattr(cell, "item") else cell for cell in cells]
    if KINDS[ProfileRow][column].of is int:
        return [int(cell) if isinstance(cell, float) and cell.is_integer() else cell for cell in cells]
    return cells


def _contradictions(frame: "pd.DataFrame", profile: Profile) -> Iterator[str]:
    expected = write_frame(profile)
    for column in _DERIVED:
        if column not in frame.columns:
            continue
        try:
            found = frame[column].reset_index(drop=True).astype(COLUMNS[column])
        except (TypeError, ValueError):
            yield f"column {column!r} does not hold {COLUMNS[column]}"
            continue
        same = (found == expected[column]).fillna(False) | (found.isna() & expected[column].isna())
        for number in (~same).to_numpy().nonzero()[0][:1]:
            says, is_ = found[number], expected[column][number]
            yield f"row {number + 1}: {column} {str(says)[:40]} contradicts the row, which says {str(is_)[:40]}"
