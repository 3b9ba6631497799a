"""How a stored profile fits a stored model, as answers. Imported inside handlers: numbers come with it, torch never."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import Literal

from app.api.pricing import EVERYTHING, fitted
from app.api.profile_schemas import (
    AmbiguityOut,
    GateOut,
    MatchLayerOut,
    MatchOut,
    NamedOut,
    PayoffOut,
    PaysOut,
    UnusedOut,
)
from app.store.records import ModelRecord, ProfileRecord
from costmodels.errors import MatchError
from costmodels.match import MatchReport, match, require_match, widest_ms
from costmodels.pays import SPARSITIES, does_it_pay
from costmodels.profile import Profile
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import NM, Block, Kernel, Pattern, parse

_WORDS: tuple[Literal["coverage", "ambiguity"], ...] = ("coverage", "ambiguity")
_USUAL: tuple[Pattern, ...] = (NM(2, 4), NM(1, 4))


def match_out(record: ProfileRecord, profile: Profile, model: ModelRecord, spec: ModelSpec) -> MatchOut:
    """The mapping report of a profile and a model."""
    if profile.accelerator is not None:
        return _analytical(record, model, spec)
    report = match(profile, spec)
    dense_ms = {name: widest_ms(rows) for name, rows in profile.rows_by_layer.items()}
    total_ms = sum(dense_ms.values())
    return MatchOut(
        profile=record.id,
        profile_name=record.name,
        model=model.id,
        model_name=model.name,
        gate=_gate(profile, report),
        macs_share=report.macs_share,
        time_share=report.time_share,
        rules={rule: count for rule, count in report.rules.items() if count},
        layers=[_layer(layer, spec, report, dense_ms) for layer in spec.layers],
        unused=[
            UnusedOut(name=name, dense_ms=dense_ms[name], time_share=dense_ms[name] / total_ms)
            for name in report.unused
        ],
        ambiguous=[
            AmbiguityOut(layers=list(case.layers), candidates=list(case.candidates), reason=case.reason)
            for case in report.ambiguous
        ],
    )


def _gate(profile: Profile, report: MatchReport) -> GateOut:
    """The fewest words that open the gate, and what it says without them."""
    reasons: list[str] = []
    for words in chain.from_iterable(combinations(_WORDS, count) for count in range(len(_WORDS) + 1)):
        try:
            require_match(profile, report, words)
        except MatchError as error:
            reasons.append(str(error))
        else:
            return GateOut(
                verdict="acknowledge" if words else "ok", acknowledge=list(words), reason=next(iter(reasons), "")
            )
    return GateOut(verdict="refused", acknowledge=[], reason=reasons[-1])  # what no word helps against


def _layer(layer: LayerSpec, spec: ModelSpec, report: MatchReport, dense_ms: Mapping[str, float]) -> MatchLayerOut:
    found = report.matches.get(layer.name)
    time_ms = sum(dense_ms[name] for name in found.partners) * found.share if found else None
    return MatchLayerOut(
        name=layer.name,
        op=layer.op,
        state="matched" if found else _why(layer.name, report),
        rule=found.rule if found else None,
        partners=list(found.partners) if found else [],
        share=found.share if found else None,
        macs=layer.macs,
        macs_share=layer.macs / spec.macs if spec.macs else 0.0,
        dense_ms=time_ms,
        time_share=None if time_ms is None else time_ms / sum(dense_ms.values()),
    )


def _why(name: str, report: MatchReport) -> Literal["missing", "misshapen", "ambiguous"]:
    if name in report.misshapen:
        return "misshapen"
    return "ambiguous" if any(name in case.layers for case in report.ambiguous) else "missing"


def _analytical(record: ProfileRecord, model: ModelRecord, spec: ModelSpec) -> MatchOut:
    """An analytical profile prices every layer from its shape: there is nothing to match."""
    layers = [
        MatchLayerOut(
            name=layer.name,
            op=layer.op,
            state="analytical",
            rule=None,
            partners=[],
            share=None,
            macs=layer.macs,
            macs_share=layer.macs / spec.macs if spec.macs else 0.0,
            dense_ms=None,
            time_share=None,
        )
        for layer in spec.layers
    ]
    return MatchOut(
        profile=record.id,
        profile_name=record.name,
        model=model.id,
        model_name=model.name,
        gate=GateOut(verdict="ok", acknowledge=[], reason=""),
        macs_share=None,
        time_share=None,
        rules={},
        layers=layers,
        unused=[],
        ambiguous=[],
    )


def pays_out(model: ModelRecord, spec: ModelSpec, records: Sequence[ProfileRecord]) -> PaysOut:
    """What pays on each of these profiles.

    Raises:
        Problem: 422 where a profile covers too little of the model.
    """
    prices = {record.id: fitted(EVERYTHING, spec, record) for record in records}
    names = {record.id: record.name for record in records}
    found = does_it_pay(spec, prices, SPARSITIES, tuple(_asked(records)))
    items = [
        PayoffOut(**{**payoff.to_json(), "profile": payoff.device, "device": names[payoff.device]}) for payoff in found
    ]
    return PaysOut(
        model=model.id,
        model_name=model.name,
        profiles=[NamedOut(id=record.id, name=record.name) for record in records],
        kinds=list(dict.fromkeys(item.kind for item in items)),
        items=items,
    )


def _asked(records: Sequence[ProfileRecord]) -> Iterator[Pattern]:
    """The usual N:M patterns, and every family of patterns that one of the profiles has rows of."""
    found: dict[Pattern, None] = dict.fromkeys(_USUAL)
    texts = {row.get("pattern", "dense") for record in records for row in (record.document or {}).get("rows", ())}
    for pattern in map(parse, sorted(texts)):
        match pattern:
            case NM():
                found[pattern] = None
            case Block(rows=rows, cols=cols):
                found[Block(rows, cols, 0.5)] = None
            case Kernel():
                found[Kernel(0.5)] = None
    yield from found
