"""From rows to what `app.search.run` takes: records become values, digests become local files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.jobs.failures import KnownFailure
from app.jobs.lease import Session
from app.search.events import Phase
from app.search.run import Problem
from app.search.spec import SearchSpec
from app.search.table.error_table import error_key, rule
from app.search.trial import Failure
from app.search.work.supply import Supply
from app.store import calibrations, datasets, models, profiles
from app.store.blobs import ArtefactStore
from app.store.records import CalibrationRecord, DatasetRecord, ModelRecord, ProfileRecord, SearchRecord
from app.store.scores import ScoreKey
from costmodels.base import CostModel
from costmodels.calibrate import Calibrated, Calibration
from costmodels.catalogue import check_deployment, cost_model
from costmodels.profile import Profile
from pruning.layers import ModelSpec

_SCORE_FIELDS = (
    "task",
    "patterns",
    "sparsities",
    "nm",
    "blocks",
    "pruners",
    "frozen_layers",
    "threads",
    "seed",
    "calibration_samples",
    "error_table",
    "budget",
)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The records a search speaks of; profiles in the order of its spec, calibrations by profile."""

    model: ModelRecord
    dataset: DatasetRecord
    profiles: tuple[ProfileRecord, ...]
    calibrations: Mapping[str, CalibrationRecord] = field(default_factory=dict)

    @property
    def waiting_for(self) -> Phase | None:
        """The phase the search is in until all its parts are ready; None once they are."""
        if "ready" != self.model.state or "ready" != self.dataset.state:
            return "inspecting"
        return None if all(profile.state == "ready" for profile in self.profiles) else "profiling"


def find_parts(s: Session, search: SearchRecord) -> Parts:
    """The records of a search.

    Raises:
        NotFound: one is not there.
        KnownFailure: one was refused.
    """
    spec, project = search.spec, search.project_id
    parts = Parts(
        model=models.get(s, project, spec["model"]),
        dataset=datasets.get(s, project, spec["dataset"]),
        profiles=tuple(profiles.get(s, project, profile) for profile in spec["profiles"]),
        calibrations=calibrations.pinned(s, project, spec),
    )
    named: list[tuple[str, ModelRecord | DatasetRecord | ProfileRecord]] = [
        ("model", parts.model),
        ("dataset", parts.dataset),
        *(("profile", p) for p in parts.profiles),
    ]
    for noun, record in named:
        if record.state == "refused":
            why = (record.failure or {}).get("reason", "no reason was stored")
            reason = f"The {noun} {record.name!r} was refused: {why}"
            raise KnownFailure(Failure(code=f"{noun}_refused", reason=reason, details={noun: record.id}))
    return parts


def build_problem(search: SearchRecord, parts: Parts, blobs: ArtefactStore, cache: Path) -> Problem:
    """All that the search needs, with its files on this machine.

    Raises:
        SpecError, CostModelError: what was submitted does not fit together.
    """
    spec = SearchSpec.from_json(search.spec)
    samples = _there(parts.dataset.meta)["splits"]
    spec = replace(spec, recovery=spec.recovery.in_steps(samples["train"]))
    model = ModelSpec.from_json(_there(parts.model.spec))
    digests = {
        "graph": parts.model.graph_digest,
        "weights": parts.model.weights_digest,
        "dataset": parts.dataset.arrays_digest,
    }
    fitted: dict[str, CostModel] = {}
    for record in parts.profiles:
        profile = Profile.from_json(_there(record.document))
        check_deployment(profile, batch=spec.batch, precision=spec.precision, acknowledge=spec.acknowledge)
        raw = cost_model(profile, model, spec.acknowledge)
        pinned = parts.calibrations.get(record.id)
        fitted[record.id] = Calibrated(raw, Calibration.from_json(dict(pinned.document))) if pinned else raw
    files = {kind: str(blobs.local_path(_there(digest), cache)) for kind, digest in digests.items()}
    supply = Supply.of(samples, Path(files["graph"]), model)
    return Problem(spec=spec, model=model, cost_models=fitted, files=files, key=search.id, supply=supply)


def score_key(search: SearchRecord, parts: Parts) -> str:
    """sha256 of all that decides the error table: weights, data, options (so profiles too), rule and seed.

    A table that began with what other models lost is its search's own.
    """
    asked = {
        "rule": rule(search.spec.get("error_table", "")),
        "graph": parts.model.graph_digest,
        "weights": parts.model.weights_digest,
        "data": parts.dataset.arrays_digest,
        "profiles": [profile.digest for profile in parts.profiles],
        "calibrations": {profile: found.id for profile, found in parts.calibrations.items()},
        "spec": {name: search.spec.get(name) for name in _SCORE_FIELDS},
        "pooled": search.id if search.spec.get("pooled") else None,
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def option_key(search: SearchRecord, parts: Parts) -> ScoreKey:
    """Under which the errors of single options are kept: no device and no list of options is part of it."""
    spec = SearchSpec.from_json(search.spec)
    weights = _there(parts.model.weights_digest)
    digests = {"graph": _there(parts.model.graph_digest), "weights": weights}
    key = error_key(spec, digests | {"data": _there(parts.dataset.arrays_digest)})
    return ScoreKey(key=key, weights_digest=weights, how=spec.error_table)


def _there(value: Any) -> Any:
    if value is None:
        raise LookupError("a record is ready but lacks a part")
    return value


def model_files(record: ModelRecord, blobs: ArtefactStore, cache: Path) -> Mapping[str, str]:
    """The two files of an inspected model, on this machine."""
    digests = {"graph": record.graph_digest, "weights": record.weights_digest}
    return {kind: str(blobs.local_path(_there(digest), cache)) for kind, digest in digests.items()}
