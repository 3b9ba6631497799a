"""Prices on request: does a profile fit the model, can a limit be reached, what does each layer of a trial cost.

Imported inside handlers only: numpy comes with it, torch never.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.search_schemas import BeforeAfter, DeviceOut, LayerLatencyOut, LayerOut
from app.errors import Problem
from app.search.errors import SearchFailed
from app.search.spec import Limit, SearchSpec
from app.search.trial import Trial
from app.store.records import CalibrationRecord, ProfileRecord
from costmodels.base import CostModel, LayerCost, NetworkCost
from costmodels.calibrate import Calibrated, Calibration
from costmodels.catalogue import cost_model
from costmodels.errors import CostModelError
from costmodels.match import match
from costmodels.network import network_cost
from costmodels.profile import Profile
from pruning.layers import LayerSpec, ModelSpec
from pruning.plan import PruningPlan

EVERYTHING = ("batch", "precision", "coverage", "ambiguity")


def fitted(
    acknowledge: Sequence[str],
    model: ModelSpec,
    record: ProfileRecord,
    place: str | None = None,
    calibration: CalibrationRecord | None = None,
) -> CostModel:
    """The cost model of a stored profile for a model.

    Args:
        acknowledge: the words of a search.
        model: what is to be priced.
        record: the profile.
        place: where the request names the profile, as a JSON pointer.
        calibration: what its prices are taken under.

    Raises:
        Problem: 422, with the report of what was matched and what was not.
    """
    profile = Profile.from_json(record.document or {})
    try:
        return calibrated(cost_model(profile, model, acknowledge), calibration)
    except CostModelError as error:
        more = {"match": match(profile, model).to_json()} if profile.rows else {}
        raise Problem(422, error.code, str(error), pointer=place, more=more) from error


def calibrated(prices: CostModel, calibration: CalibrationRecord | None) -> CostModel:
    """The cost model under a stored calibration; unchanged without one."""
    return Calibrated(prices, Calibration.from_json(dict(calibration.document))) if calibration else prices


def check_limit(
    spec: SearchSpec, model: ModelSpec, cost_models: Mapping[str, CostModel], limit: Limit, place: str
) -> None:
    """Refuse a limit below what the space can reach on that profile, before anything is trained.

    Raises:
        Problem: 422 with the reachable range; or the profile cannot price what is limited.
    """
    from app.search.price import reachable_range
    from app.search.resources import Resources
    from app.search.space import space

    options = space(model, spec, cost_models)
    if limit.further is not None:
        resource, most = limit.further
        try:
            Resources(model, options, cost_models).require((limit.profile, resource), most)
        except SearchFailed as error:
            reachable = {"reachable": error.details} if error.code == "limit_unreachable" else {}
            raise Problem(422, error.code, capitalised(error), pointer=place, more=reachable) from error
        return
    reach = reachable_range(model, options, limit.profile, cost_models[limit.profile])
    lowest_ms, dense_ms = reach.lowest_ms, reach.dense_ms
    limit_ms = limit.latency_ms if limit.latency_ms is not None else (limit.share or 0.0) * dense_ms
    if limit_ms >= lowest_ms * (1 - 1e-9):  # as the search itself judges
        return
    detail = (
        f"No plan of this search is faster than {lowest_ms:.4g} ms on profile {cost_models[limit.profile].name!r} "
        f"(dense: {dense_ms:.4g} ms); the limit of {limit_ms:.4g} ms cannot be met. Raise it to at least "
        f"{lowest_ms:.4g} ms ({lowest_ms / dense_ms:.1%} of dense), or allow more patterns or higher sparsities."
    )
    numbers = {"profile": limit.profile, "limit_ms": limit_ms, "lowest_ms": lowest_ms, "dense_ms": dense_ms}
    raise Problem(422, "limit_unreachable", detail, pointer=place, more={"reachable": numbers})


def capitalised(error: SearchFailed) -> str:
    """A reason as a sentence of its own."""
    reason = str(error)
    return f"{reason[0].upper()}{reason[1:]}."


def devices_and_layers(
    model: ModelSpec, trial: Trial, records: Sequence[ProfileRecord], pinned: Mapping[str, CalibrationRecord]
) -> tuple[list[DeviceOut], list[LayerOut]]:
    """The tables of a trial: the network and each layer, before and after, on every profile that can be priced."""
    before: dict[str, NetworkCost] = {}
    after: dict[str, NetworkCost] = {}
    devices = []
    for record in records:
        try:
            raw = cost_model(Profile.from_json(record.document or {}), model, EVERYTHING)
        except CostModelError:
            continue  # the accelerator's entry has changed since: the trial's stored cost still stands
        prices = calibrated(raw, pinned.get(record.id))
        before[record.id] = network_cost(model, PruningPlan(pruner=trial.plan.pruner), prices)
        after[record.id] = network_cost(model, trial.plan, prices)
        devices.append(_device(record, before[record.id], after[record.id]))
    reported = {layer["name"]: layer for layer in trial.report.get("layers", [])}
    layers = []
    for dense, now in zip(model.layers, trial.plan.shrunk(model), strict=True):
        latency = {key: _latency(before[key].layers[dense.name], after[key].layers[dense.name]) for key in before}
        layers.append(_layer(dense, now, str(trial.plan.pattern(dense.name)), reported.get(dense.name, {}), latency))
    return devices, layers


def _device(record: ProfileRecord, before: NetworkCost, after: NetworkCost) -> DeviceOut:
    return DeviceOut(
        id=record.id,
        name=record.name,
        before_ms=before.latency_ms,
        after_ms=after.latency_ms,
        low_ms=after.low_ms,
        high_ms=after.high_ms,
        throughput_per_s=1000 * (record.document or {}).get("batch", 1) / after.latency_ms,
        before_mj=before.energy_mj,
        after_mj=after.energy_mj,
        before_weight_bytes=before.weight_bytes,
        after_weight_bytes=after.weight_bytes,
        sources=dict(after.sources),
        derivations=dict(after.derivations),
    )


def _layer(
    dense: LayerSpec,
    now: LayerSpec,
    pattern: str,
    reported: Mapping[str, Any],
    latency: dict[str, LayerLatencyOut],
) -> LayerOut:
    return LayerOut(
        name=dense.name,
        op=dense.op,
        pattern=pattern,
        sparsity=reported.get("sparsity"),
        weights=dense.weights,
        macs=BeforeAfter(before=dense.macs, after=now.macs),
        in_channels=BeforeAfter(before=dense.in_channels, after=now.in_channels),
        out_channels=BeforeAfter(before=dense.out_channels, after=now.out_channels),
        latency=latency,
    )


def _latency(before: LayerCost, after: LayerCost) -> LayerLatencyOut:
    return LayerLatencyOut(
        before_ms=before.latency_ms,
        after_ms=after.latency_ms,
        low_ms=after.low_ms,
        high_ms=after.high_ms,
        source=after.source,
        derivation=after.derivation,
    )
