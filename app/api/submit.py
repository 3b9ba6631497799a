"""What is checked before a search is accepted: answers come in milliseconds here, not after an hour of training.

What is not known yet (a model still being read, a profile still being measured) is left to the coordinator, which
makes the same checks and fails the search with the same words.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from app.api.service import Service
from app.api.warm_start import check_warm_start
from app.errors import Problem, pointer
from app.search.errors import DatasetError
from app.search.judging import fit
from app.search.spec import SearchSpec
from app.store import calibrations, datasets, models, profiles
from app.store.errors import NotFound
from app.store.records import CalibrationRecord, DatasetRecord, ModelRecord, ProfileRecord
from pruning.intake.document import GraphDocument
from pruning.layers import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The records a search speaks of; profiles in the order of the spec."""

    model: ModelRecord
    dataset: DatasetRecord
    profiles: tuple[ProfileRecord, ...]
    calibrations: Mapping[str, CalibrationRecord]


def pinned(here: Service, spec: SearchSpec) -> SearchSpec:
    """The search with the newest calibration of every profile for which it names none."""
    open_profiles = [profile for profile in spec.profiles if profile not in spec.calibrations]
    with here.database.read() as session:
        newest = calibrations.latest(session, here.project_id, open_profiles)
    return replace(spec, calibrations={**spec.calibrations, **{key: found.id for key, found in newest.items()}})


def check(here: Service, spec: SearchSpec) -> None:
    """Refuse a search that cannot work.

    Raises:
        Problem: 422 or 409 with a pointer to the culprit and the way out.
    """
    for path, text in _texts(spec.to_json()):
        if not text.isprintable():
            detail = "This text has characters that cannot be printed, such as NUL or half of a pair."
            raise Problem(422, "unprintable", detail, pointer=pointer(*path))
    parts = _find(here, spec)
    _check_states(parts)
    _check_profiles(spec, parts.profiles)
    _check_calibrations(parts.calibrations)
    check_warm_start(here, spec, parts.model, parts.dataset)
    if parts.model.spec is None:
        return
    model = ModelSpec.from_json(parts.model.spec)
    _check_layers(spec, model)
    if parts.dataset.meta is not None:
        _check_data(here, spec, model, parts)
    if all(profile.document is not None for profile in parts.profiles):
        _check_prices(spec, model, parts)


def _texts(value: Any, *path: object) -> Iterator[tuple[tuple[object, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, *path, key)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(inner, *path, index)


def _find(here: Service, spec: SearchSpec) -> Parts:
    with here.database.read() as session:

        def find(repository: Any, kind: str, record_id: str, place: str) -> Any:
            try:
                return repository.get(session, here.project_id, record_id)
            except NotFound as error:
                listed = f"profiles/.../{kind}s" if kind == "calibration" else f"{kind}s"
                detail = f"There is no {kind} {record_id[:80]!r} here; GET /api/v1/{listed} lists what there is."
                raise Problem(422, f"unknown_{kind}", detail, pointer=place) from error

        return Parts(
            model=find(models, "model", spec.model, "/model"),
            dataset=find(datasets, "dataset", spec.dataset, "/dataset"),
            profiles=tuple(
                find(profiles, "profile", profile, pointer("profiles", index))
                for index, profile in enumerate(spec.profiles)
            ),
            calibrations={
                profile: find(calibrations, "calibration", chosen, pointer("calibrations", profile))
                for profile, chosen in spec.calibrations.items()
                if chosen is not None
            },
        )


def _check_states(parts: Parts) -> None:
    named: list[tuple[str, str, ModelRecord | DatasetRecord | ProfileRecord]] = [
        ("model", "/model", parts.model),
        ("dataset", "/dataset", parts.dataset),
        *(("profile", pointer("profiles", n), profile) for n, profile in enumerate(parts.profiles)),
    ]
    for kind, place, record in named:
        if record.state == "refused":
            reason = (record.failure or {}).get("reason", "no reason was stored")
            detail = f"The {kind} {record.name!r} was refused: {reason}"
            raise Problem(409, f"{kind}_refused", detail, pointer=place)


def _check_profiles(spec: SearchSpec, records: Sequence[ProfileRecord]) -> None:
    wanted: Mapping[str, Any] = {"batch": spec.batch, "precision": spec.precision}
    for index, record in enumerate(records):
        known: Mapping[str, Any] = record.document or record.request
        for key, value in wanted.items():
            if key in known and known[key] != value and key not in spec.acknowledge:
                detail = (
                    f"Profile {record.name!r} is for {key} {known[key]}, the search asks for {value}. Set {key} to "
                    f"{known[key]}, use another profile, or put {key!r} into acknowledge to compare them anyway."
                )
                raise Problem(422, f"{key}_mismatch", detail, pointer=pointer("profiles", index))


def _check_calibrations(chosen: Mapping[str, CalibrationRecord]) -> None:
    for profile, calibration in chosen.items():
        if calibration.profile_id != profile:
            detail = f"That calibration is of profile {calibration.profile_id!r}: name one of this profile, or null."
            raise Problem(422, "calibration_mismatch", detail, pointer=pointer("calibrations", profile))


def _check_layers(spec: SearchSpec, model: ModelSpec) -> None:
    names = [layer.name for layer in model.layers]
    for index, name in enumerate(spec.frozen_layers):
        if name not in names:
            near = get_close_matches(name, names, 3) or names[:3]
            detail = f"The model has no prunable layer {name[:80]!r}; near it are {', '.join(near)}."
            raise Problem(422, "unknown_layer", detail, pointer=pointer("frozen_layers", index))
    if set(names) <= set(spec.frozen_layers):
        raise Problem(422, "nothing_to_prune", "All layers are frozen: leave at least one.", pointer="/frozen_layers")
    if spec.task.output >= len(model.output_shapes):
        detail = f"The model has {len(model.output_shapes)} outputs, counted from 0."
        raise Problem(422, "unknown_output", detail, pointer="/task/output")


def _check_data(here: Service, spec: SearchSpec, model: ModelSpec, parts: Parts) -> None:
    """What a worker checks when it opens the files, in the same words."""
    try:
        fit.check(spec.task, parts.dataset.meta or {}, model, _taken(here, parts.model))
    except DatasetError as error:
        raise Problem(422, error.code, str(error), pointer=error.details.get("field", "/dataset")) from error


def _taken(here: Service, model: ModelRecord) -> tuple[fit.Taken, ...]:
    """What the model's graph takes; nothing is known where its file is out of reach, and a worker then says it."""
    try:
        with here.artefacts.open(model.graph_digest or "") as file:
            return fit.taken(GraphDocument.from_json(json.load(file)))
    except (NotFound, OSError, ValueError, LookupError):
        return ()


def _check_prices(spec: SearchSpec, model: ModelSpec, parts: Parts) -> None:
    """Match every profile with the model, and every limit with what the space can reach."""
    from app.api import pricing  # the solver's numbers come with it, so only here

    cost_models = {
        record.id: pricing.fitted(
            spec.acknowledge, model, record, pointer("profiles", index), parts.calibrations.get(record.id)
        )
        for index, record in enumerate(parts.profiles)
    }
    pricing.check_limits(spec, model, cost_models, {record.id: record.name for record in parts.profiles})
