"""Which of a model's layers a profile knows: by exact name, then by name without wrappers; and the gate."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from costmodels.errors import MatchError
from costmodels.profile import Profile, ProfileRow
from costmodels.table import LayerTable
from pruning.layers import ModelSpec

GOOD_SHARE = 0.95
LOWEST_SHARE = 0.80
_PREFIXES = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True, kw_only=True)
class MatchReport:
    """What was matched, what was not on either side, and how much of the model's multiply-adds that is."""

    matched: Mapping[str, str]  # layer of the model -> layer of the profile
    by_name: int  # of them by exactly the same name
    missing: tuple[str, ...]  # layers of the model without rows
    misshapen: tuple[str, ...]  # layers whose rows have no dense row at the model's channels
    unused: tuple[str, ...]  # layers of the profile that are not in the model
    macs_share: float

    def to_json(self) -> dict[str, Any]:
        """JSON form, for pages and problem details."""
        return {
            "matched": dict(self.matched),
            "by_name": self.by_name,
            "missing": list(self.missing),
            "misshapen": list(self.misshapen),
            "unused": list(self.unused),
            "macs_share": self.macs_share,
        }


def match(profile: Profile, model: ModelSpec) -> MatchReport:
    """Pair the layers of a model with those of a profile. Two that claim one partner are left unmatched."""
    rows = rows_by_layer(profile)
    short: dict[str, list[str]] = {}
    for name in rows:
        short.setdefault(_short(name), []).append(name)
    claims: dict[str, list[str]] = {}
    for layer in model.layers:
        found = [layer.name] if layer.name in rows else short.get(_short(layer.name), [])
        if len(found) == 1:
            claims.setdefault(found[0], []).append(layer.name)
    pairs: dict[str, str] = {}
    for theirs, ours in claims.items():
        chosen = theirs if theirs in ours else ours[0] if len(ours) == 1 else None
        if chosen is not None:
            pairs[chosen] = theirs
    bad = {n for n, t in pairs.items() if LayerTable.of(model.layer(n), rows[t]) is None}
    good = (layer.name for layer in model.layers if layer.name in pairs and layer.name not in bad)
    matched = {name: pairs[name] for name in good}
    macs = sum(layer.macs for layer in model.layers if layer.name in matched)
    return MatchReport(
        matched=matched,
        by_name=sum(ours == theirs for ours, theirs in matched.items()),
        missing=tuple(layer.name for layer in model.layers if layer.name not in pairs),
        misshapen=tuple(layer.name for layer in model.layers if layer.name in bad),
        unused=tuple(name for name in rows if name not in pairs.values()),
        macs_share=macs / model.macs if model.macs else 0.0,
    )


def rows_by_layer(profile: Profile) -> dict[str, list[ProfileRow]]:
    """The rows of each layer, layers in the order of the profile."""
    rows: dict[str, list[ProfileRow]] = {}
    for row in profile.rows:
        rows.setdefault(row.layer, []).append(row)
    return rows


def require_match(profile: Profile, report: MatchReport, acknowledge: Collection[str] = ()) -> None:
    """Refuse a profile that covers too little of the model.

    Raises:
        MatchError: below 80 % of the multiply-adds; below 95 % unless "coverage" is acknowledged.
    """
    if report.macs_share >= GOOD_SHARE:
        return
    if report.macs_share >= LOWEST_SHARE and "coverage" in acknowledge:
        return
    ours = [*report.missing, *(f"{name} (other channel counts)" for name in report.misshapen)]
    way_out = (
        'acknowledge "coverage" to price the rest by its multiply-adds'
        if report.macs_share >= LOWEST_SHARE
        else f"at least {LOWEST_SHARE:.0%} is needed"
    )
    raise MatchError(
        f"profile {profile.name!r} covers {report.macs_share:.1%} of the model's multiply-adds; {way_out}. "
        f"Not in the profile: {_some(ours)}. Not in the model: {_some(report.unused)}"
    )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in list(names)[:4])
    return (shown or "nothing") + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _short(name: str) -> str:
    name = name.replace("/", ".").lower().strip(".").removesuffix(".weight")
    while prefix := next((p for p in _PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name
