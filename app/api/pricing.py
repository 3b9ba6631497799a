"""Prices on request: does a profile fit the model, can a limit be reached, what does each layer of a trial cost.

Imported inside handlers only: numpy comes with it, torch never.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.api.search_schemas import BeforeAfter, DeviceOut, LayerLatencyOut, LayerOut
from app.errors import Problem, pointer
from app.search.errors import SearchFailed
from app.search.spec import Limit, SearchSpec
from app.search.trial import Resource, Trial
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

if TYPE_CHECKING:
    from app.search.space.price import ReachableRange
    from app.search.space.resources import Resources

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


def check_limits(
    spec: SearchSpec, model: ModelSpec, cost_models: Mapping[str, CostModel], names: Mapping[str, str]
) -> None:
    """Refuse a limit below what the space can reach on its profile, before anything is trained.

    Args:
        spec: the search.
        model: what it prunes.
        cost_models: by profile.
        names: of the profiles.

    Raises:
        Problem: 422 with the reachable range; or the profile cannot price what is limited.
    """
    if not spec.limits:
        return
    from app.search.space.build import space
    from app.search.space.price import reachable_range
    from app.search.space.resources import Resources

    options = space(model, spec, cost_models)
    resources = Resources(model, options, cost_models, names)
    reachable: dict[str, ReachableRange] = {}
    for index, limit in enumerate(spec.limits):
        place, profile = pointer("limits", index), limit.profile
        if limit.further is not None:
            _check_further(resources, limit.further, profile, place)
            continue
        if profile not in reachable:
            reachable[profile] = reachable_range(model, options, profile, cost_models[profile])
        _check_latency(reachable[profile], limit, names[profile], place)


def _check_further(resources: "Resources", further: tuple[Resource, float], profile: str, place: str) -> None:
    resource, most = further
    try:
        resources.require((profile, resource), most)
    except SearchFailed as error:
        reachable = {"reachable": error.details} if error.code == "limit_unreachable" else {}
        raise Problem(422, error.code, capitalised(error), pointer=place, more=reachable) from error


def _check_latency(reach: "ReachableRange", limit: Limit, name: str, place: str) -> None:
    from app.search.space.resources import at_least

    lowest_ms, dense_ms = reach.lowest_ms, reach.dense_ms
    limit_ms = limit.latency_ms if limit.latency_ms is not None else (limit.share or 0.0) * dense_ms
    if limit_ms >= lowest_ms * (1 - 1e-9):  # as the search itself judges
        return
    detail = (
        f"No plan of this search is faster than {at_least(lowest_ms)} ms on profile {name!r} (dense: {dense_ms:.4g} "
        f"ms); the limit of {limit_ms:.6g} ms cannot be met. Raise it to at least {at_least(lowest_ms)} ms "
        f"({at_least(100 * lowest_ms / dense_ms)}% of dense), or allow more patterns or higher sparsities."
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
