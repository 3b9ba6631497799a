"""What a profile means for a model: the mapping report, a person's word on what is ambiguous, and what pays."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from app.api.csvtext import csv_text
from app.api.profile_schemas import AliasesBody, MatchOut, PaysOut
from app.api.profiles import answered
from app.api.schemas import ProfileOut
from app.api.service import Here, Id, Service
from app.api.uploads import safe_filename
from app.errors import Problem, pointer
from app.store import models, profiles
from app.store.records import ModelRecord, ProfileRecord
from costmodels.errors import ProfileError
from costmodels.names import canonical
from costmodels.profile import Profile, ProfileLayer
from pruning.layers import ModelSpec

router = APIRouter(tags=["profiles"])
Model = Annotated[str, Query(max_length=64, pattern=r"^[!-~]+$", description="id of the model")]
Profiles = Annotated[str, Query(max_length=600, pattern=r"^[!-~]+$", description="ids of profiles, comma between")]
MOST_PROFILES = 8
COLUMNS = (
    "profile", "device", "layer", "kind", "verdict", "from_sparsity", "at_sparsity", "saved_share", "reason",
)  # fmt: skip
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}


@router.get("/profiles/{profile_id}/match")
def get_profile_match(here: Here, profile_id: Id, model: Model) -> MatchOut:
    """How the layers of a profile were paired with those of a model, what is left over, and whether that is enough."""
    from app.api.profile_fit import match_out

    (record,), found, spec = _both(here, (profile_id,), model)
    return match_out(record, Profile.from_json(record.document or {}), found, spec)


@router.post("/profiles/{profile_id}/aliases", status_code=201)
def add_profile_aliases(here: Here, response: Response, profile_id: Id, body: AliasesBody) -> ProfileOut:
    """Say which layer of the profile is which of the model. Makes a new profile, whose parent is this one."""
    with here.database.read() as session:
        record = profiles.get(session, here.project_id, profile_id)
    profile = aliased(record, body.aliases, body.name)
    with here.database.begin() as session:
        made = profiles.add(
            session,
            project_id=here.project_id,
            name=profile.name,
            request={"aliases": body.aliases, "of": record.id},
            document=profile.to_json(),
            digest=profile.digest,
        )
    answer = answered(here, made)
    response.headers["Location"] = answer.links["self"]
    return answer


@router.get("/profiles/{profile_id}/pays")
def get_profile_pays(here: Here, profile_id: Id, model: Model) -> PaysOut:
    """Does it pay: each layer under each kind of zeros on this device, and the reason."""
    return _pays(here, (profile_id,), model)


@router.get("/profiles/{profile_id}/pays.csv", response_class=Response, responses=_CSV)
def get_profile_pays_csv(here: Here, profile_id: Id, model: Model) -> Response:
    """The same as a spreadsheet."""
    return _sheet(_pays(here, (profile_id,), model))


@router.get("/models/{model_id}/pays")
def get_model_pays(here: Here, model_id: Id, profiles: Profiles) -> PaysOut:
    """Does it pay: each layer of a model under each kind of zeros, on several devices side by side."""
    return _pays(here, _split(profiles), model_id)


@router.get("/models/{model_id}/pays.csv", response_class=Response, responses=_CSV)
def get_model_pays_csv(here: Here, model_id: Id, profiles: Profiles) -> Response:
    """The same as a spreadsheet."""
    return _sheet(_pays(here, _split(profiles), model_id))


def aliased(record: ProfileRecord, aliases: Mapping[str, str], name: str = "") -> Profile:
    """A new profile with the model's names among the members of its layers, and of no others.

    Raises:
        Problem: 422 for every name that is no layer of the profile, 409 while it is not ready.
    """
    profile = _document(record)
    known = {layer.name for layer in profile.layers}
    there = known | profile.rows_by_layer.keys()
    errors = [
        {"pointer": pointer("aliases", layer), "detail": f"the profile has no layer {layer[:80]!r}", "code": "unknown"}
        for layer in aliases
        if layer not in there
    ]
    if errors:
        raise Problem(422, "unknown_layer", str(errors[0]["detail"]), errors=errors)
    claimed = {canonical(ours) for ours in aliases.values()}

    def settled(layer: ProfileLayer) -> ProfileLayer:
        others = tuple(member for member in layer.members if canonical(member) not in claimed)
        return replace(layer, members=(*others, aliases[layer.name]) if layer.name in aliases else others)

    layers = profile.layers if aliases.keys() <= known else profile.described  # the order is that of the execution
    try:
        return replace(
            profile, name=name or profile.name, parent=record.digest or "", layers=tuple(map(settled, layers))
        )
    except ProfileError as error:
        raise Problem(422, error.code, str(error), pointer="/aliases") from error


def _split(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(part for part in text.split(",") if part))
    if not 1 <= len(chosen) <= MOST_PROFILES:
        detail = f"Name 1 to {MOST_PROFILES} profiles with commas between, not {len(chosen)}."
        entry = {"parameter": "profiles", "detail": detail, "code": "invalid"}
        raise Problem(422, "invalid", detail, errors=[entry])
    return chosen


def _pays(here: Service, profile_ids: tuple[str, ...], model_id: str) -> PaysOut:
    from app.api.profile_fit import pays_out

    records, found, spec = _both(here, profile_ids, model_id)
    return pays_out(found, spec, records)


def _sheet(pays: PaysOut) -> Response:
    rows = [[getattr(item, column) for column in COLUMNS] for item in pays.items]
    headers = {"Content-Disposition": f'attachment; filename="{safe_filename("pays", pays.model_name)}.csv"'}
    return Response(csv_text(COLUMNS, rows), media_type="text/csv", headers=headers)


def _both(
    here: Service, profile_ids: tuple[str, ...], model_id: str
) -> tuple[list[ProfileRecord], ModelRecord, ModelSpec]:
    """Profiles and model, as far as they are ready.

    Raises:
        NotFound: one is not there.
        Problem: 409 where one is not ready.
    """
    with here.database.read() as session:
        records = [profiles.get(session, here.project_id, key) for key in profile_ids]
        model = models.get(session, here.project_id, model_id)
    for record in records:
        _document(record)
    if model.spec is None:
        raise Problem(409, "not_ready", f"Model {model.name!r} is {model.state}: its layers are not known yet.")
    return records, model, ModelSpec.from_json(model.spec)


def _document(record: ProfileRecord) -> Profile:
    if record.document is None:
        raise Problem(409, "not_ready", f"Profile {record.name!r} is {record.state}: it has no rows yet.")
    return Profile.from_json(record.document)
