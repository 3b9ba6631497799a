"""The front doors: from a profile to its cost model for a model, and from the catalogue to a profile."""

from collections.abc import Collection

from costmodels import accelerator as accelerators
from costmodels.analytical import analytical
from costmodels.base import CostModel
from costmodels.errors import AcceleratorError, MatchError
from costmodels.match import match, require_match
from costmodels.profile import Profile
from costmodels.profile_table import profile_table
from pruning.layers import ModelSpec


def cost_model(profile: Profile, model: ModelSpec, acknowledge: Collection[str] = ()) -> CostModel:
    """The cost model of a profile for a model.

    Raises:
        MatchError: the profile covers too little of the model.
        AcceleratorError: its accelerator is unknown, has changed since, or has no figure for the precision.
    """
    if profile.accelerator is not None:
        return _analytical(profile, model)
    report = match(profile, model)
    require_match(profile, report, acknowledge)
    return profile_table(profile, model, report)


def check_deployment(profile: Profile, *, batch: int, precision: str, acknowledge: Collection[str] = ()) -> None:
    """Refuse a profile whose batch or precision is not the search's, unless that is acknowledged.

    Raises:
        MatchError: names both sides and the word to acknowledge.
    """
    for word, theirs, ours in (("batch", profile.batch, batch), ("precision", profile.precision, precision)):
        if theirs != ours and word not in acknowledge:
            raise MatchError(
                f"profile {profile.name!r} is for {word} {theirs} but the search asks for {ours}: "
                f'use a profile for that {word}, or acknowledge "{word}" and take its latencies as they are'
            )


def accelerator_profile(name: str, batch: int, precision: str | None = None, title: str = "") -> Profile:
    """A profile of an accelerator of the catalogue; the precision may be left out where it has only one.

    Raises:
        AcceleratorError: not in the catalogue, or a precision it has no figure for.
    """
    entry = accelerators.load(name)
    if precision is None and len(entry.precisions) > 1:
        choices = ", ".join(entry.precisions)
        raise AcceleratorError(f"accelerator {name!r} can be priced at {choices}: say which precision")
    chosen = precision or entry.precisions[0]
    analytical(entry, batch, chosen)  # refuses what it cannot price
    return Profile(
        name=title or f"{name}, {chosen}, batch {batch}",
        device=entry.device,
        batch=batch,
        precision=chosen,
        source="analytical",
        tool=f"espalier {entry.kind}",
        note=entry.summary[:300].strip(),
        accelerator=name,
        accelerator_digest=entry.digest,
    )


def _analytical(profile: Profile, model: ModelSpec) -> CostModel:
    assert profile.accelerator is not None
    entry = accelerators.load(profile.accelerator)
    if profile.accelerator_digest not in (None, entry.digest):
        raise AcceleratorError(
            f"the catalogue's entry {entry.name!r} has changed since profile {profile.name!r} was made: "
            "make a new profile of it, so that old and new prices do not mix"
        )
    return analytical(entry, profile.batch, profile.precision, profile.name, profile.overhead_ms or 0.0, model)
