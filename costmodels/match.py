"""Which rows of a profile are which layer of a model, how much of either side that covers, and the gate.

Layers without rows are priced by their multiply-adds, and say so; below the gate that is refused.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from costmodels.errors import MatchError
from costmodels.pairing import Ambiguity, LayerMatch, Pairing, RuleName
from costmodels.profile import Profile, ProfileRow
from costmodels.table import LayerTable, TableRules
from pruning.layers import LayerSpec, ModelSpec

GOOD_SHARE = 0.95
LOWEST_SHARE = 0.80


@dataclass(frozen=True, kw_only=True)
class MatchReport:
    """What was matched and how, what was not on either side, and how much of both that is."""

    matches: Mapping[str, LayerMatch]  # by layer of the model
    missing: tuple[str, ...]  # layers of the model without rows
    misshapen: tuple[str, ...]  # layers whose rows have no dense row at the model's channels
    unused: tuple[str, ...]  # layers of the profile that are none of the model's
    ambiguous: tuple[Ambiguity, ...] = ()
    macs_share: float  # of the model's multiply-adds
    time_share: float  # of the profile's dense time
    rules: Mapping[str, int] = field(default_factory=dict)  # how many layers each rule matched

    @property
    def matched(self) -> dict[str, tuple[str, ...]]:
        """Layer of the model -> layers of the profile."""
        return {name: match.partners for name, match in self.matches.items()}

    def to_json(self) -> dict[str, Any]:
        """JSON form, for pages and problem details."""
        return asdict(self)


def match(profile: Profile, model: ModelSpec) -> MatchReport:
    """Pair the layers of a model with those of a profile."""
    rows = profile.rows_by_layer
    theirs = [layer for layer in profile.described if layer.name in rows]
    pairing = Pairing(ours=list(model.layers), theirs=theirs)
    pairing.run()
    found = pairing.found
    bad = pairing.contradicted | {n for n, m in found.items() if layer_table(model.layer(n), m, profile) is None}
    matches = {layer.name: found[layer.name] for layer in model.layers if layer.name in found and layer.name not in bad}
    claimed = {partner for name, m in found.items() if name not in bad for partner in m.partners}
    macs = sum(layer.macs for layer in model.layers if layer.name in matches)
    dense_ms = {name: widest_ms(found_rows) for name, found_rows in rows.items()}
    total_ms = sum(dense_ms.values())
    return MatchReport(
        matches=matches,
        missing=tuple(layer.name for layer in model.layers if layer.name not in found),
        misshapen=tuple(layer.name for layer in model.layers if layer.name in bad),
        unused=tuple(name for name in rows if name not in claimed),
        ambiguous=tuple(pairing.ambiguous),
        macs_share=macs / model.macs if model.macs else 0.0,
        time_share=sum(dense_ms[name] for name in claimed) / total_ms if total_ms else 0.0,
        rules={rule: sum(m.rule == rule for m in matches.values()) for rule in get_args(RuleName)},
    )


def layer_table(layer: LayerSpec, found: LayerMatch, profile: Profile) -> LayerTable | None:
    """The table of a matched layer: its partners' rows added up and shared; None where no dense row fits."""
    rows = profile.rows_by_layer
    return LayerTable.of(
        layer, [row for name in found.partners for row in rows[name]], TableRules.of(profile, found.share)
    )


def widest_ms(rows: Iterable[ProfileRow]) -> float:
    """The dense time of a layer at its widest."""
    return max(row.latency_ms for row in rows if row.pattern == "dense")


def require_match(profile: Profile, report: MatchReport, acknowledge: Collection[str] = ()) -> None:
    """Refuse a profile that covers too little of the model, or that leaves a choice open.

    Raises:
        MatchError: ambiguous layers unless "ambiguity" is acknowledged; below 80 % of the multiply-adds; below 95 %
            unless "coverage" is.
    """
    if report.ambiguous and "ambiguity" not in acknowledge:
        raise MatchError(_asks(profile, report.ambiguous[0]))
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


def _asks(profile: Profile, case: Ambiguity) -> str:
    return (
        f"profile {profile.name!r} leaves a choice open: {_some(case.layers)} could be {_some(case.candidates)}; "
        f"{case.reason}. Say which by writing the model's name among the profile layer's members, "
        'or acknowledge "ambiguity" to price them by their multiply-adds'
    )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(repr(name[:80]) for name in list(names)[:4])
    return (shown or "nothing") + (f" and {len(names) - 4} more" if len(names) > 4 else "")
