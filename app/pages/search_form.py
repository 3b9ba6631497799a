"""The form of a new search: its fields as a table, a spec as typed texts, and typed texts as the body that REST takes.

Nothing is checked here: the body goes through the checks of `POST /searches`, and what those find wrong is led back to
the field by its pointer. A field left empty is left out, so that the spec's default counts.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from app.errors import Problem
from app.pages.forms import filled
from app.search.pruners import PatternKind, PrunerName
from app.search.spec import ErrorTable, SamplerName, Vary
from app.search.spec_parts import AmpName, AugmentName, OptimizerName, ScheduleName, TaskKind

Typed = Mapping[str, Sequence[str]]
_RESOURCES = ("energy_mj", "weight_bytes")
_COMMA = re.compile(r"[,;\s]+")


@dataclass(frozen=True)
class Field:
    """One field, by its dotted place in the spec.

    `one` value; `many` ticked ones; a `list` with commas or `lines` in one text; a `flag`.
    """

    name: str
    kind: Literal["one", "many", "list", "lines", "flag"] = "one"
    words: tuple[str, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """Where in the spec."""
        return tuple(self.name.split("."))


FIELDS = (
    *(Field(name) for name in ("name", "model", "dataset", "batch", "trials", "width", "threads", "seed", "keep")),
    *(Field(name) for name in ("calibration_samples", "task.output")),
    *(Field(f"recovery.{name}") for name in ("steps", "epochs", "batch", "learning_rate", "weight_decay")),
    *(Field(f"recovery.{name}") for name in ("accumulate", "distil", "temperature")),
    *(Field(f"budget.{name}") for name in ("recoveries", "sample_passes", "wall_s")),
    Field("precision", words=("float32", "float16", "bfloat16", "int8")),
    Field("sampler", words=get_args(SamplerName)),
    Field("coordinates", words=("solver", "raw")),
    Field("error_table", words=("auto", *get_args(ErrorTable))),
    Field("task.kind", words=get_args(TaskKind)),
    Field("recovery.optimizer", words=get_args(OptimizerName)),
    Field("recovery.schedule", words=get_args(ScheduleName)),
    Field("recovery.amp", words=get_args(AmpName)),
    Field("profiles", "many"),
    Field("warm_start", "many"),
    Field("patterns", "many", get_args(PatternKind)),
    Field("pruners", "many", get_args(PrunerName)),
    Field("task.augment", "many", get_args(AugmentName)),
    Field("vary", "many", get_args(Vary)),
    Field("acknowledge", "many", ("batch", "precision", "coverage", "ambiguity")),
    *(Field(name, "list") for name in ("sparsities", "nm", "blocks", "rungs", "targets", "task.mean", "task.std")),
    *(Field(name, "lines") for name in ("frozen_layers", "task.classes")),
    *(Field(name, "flag") for name in ("refit", "pooled")),
)
LIMIT = ("limit.profile", "limit.share", "limit.ms")
FURTHER = "limit.further"  # limits beside latency, as an earlier search has them: "energy_mj 3.0 PROFILE"
POST = ("post.kind", "post.bits", "post.dim")  # one at most: each says how weights are stored


def typed_of(spec: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts that a spec's JSON puts into the fields, but for its extensions and pinned calibrations."""
    typed = {field.name: _shown(field, _at(spec, field.path)) for field in FIELDS}
    for post in spec.get("post", ()):
        typed |= {name: [str(value)] for name in POST if (value := post.get(name.removeprefix("post."))) is not None}
    limits = [(limit, beside) for limit in spec.get("limits", ()) for beside in [_beside_latency(limit)]]
    rows = [_limit_shown(limit) for limit, beside in limits if not beside]
    typed[FURTHER] = [beside for _, beside in limits if beside]
    typed.update({name: list(column) for name, column in zip(LIMIT, zip(*rows, strict=True), strict=False)})
    return typed


def body_of(typed: Typed) -> dict[str, Any]:
    """What was typed as the body of `POST /searches`; numbers stay texts, which its reader takes."""
    body: dict[str, Any] = {}
    for field in FIELDS:
        value = _read(field, typed.get(field.name, ()))
        if value is not None:
            *parts, last = field.path
            place = body
            for part in parts:
                place = place.setdefault(part, {})
            place[last] = value
    post = filled({name.removeprefix("post."): (typed.get(name) or [""])[0] for name in POST})
    body["post"] = [post] if "kind" in post else []
    body["limits"] = [limit for _, limit in limits_of(typed)]
    return body


def places(typed: Typed, problem: Problem) -> dict[str, list[str]]:
    """The field that each mistake belongs to, "" where there is none, and what is said of it there."""
    rows = [f"limit {profile}" for profile, _ in limits_of(typed)]
    found: dict[str, list[str]] = {}
    for error in problem.errors or [{"pointer": "", "detail": problem.detail}]:
        path = [part.replace("~1", "/").replace("~0", "~") for part in error.get("pointer", "").split("/")[1:]]
        found.setdefault(_place(path, rows), []).append(error["detail"])
    return found


def _place(path: Sequence[str], rows: Sequence[str]) -> str:
    if path[:1] == ["limits"] and len(path) > 1 and path[1].isdigit() and int(path[1]) < len(rows):
        return rows[int(path[1])]
    if path[:1] in (["limits"], ["post"]):
        return path[0]
    known = {field.name for field in FIELDS}
    candidates = (".".join(path[:length]) for length in (2, 1))
    return next((name for name in candidates if name in known), "")


def _at(spec: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = spec
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _shown(field: Field, value: Any) -> list[str]:
    if field.kind == "flag":
        return ["on"] if value else []
    if field.kind == "many":
        return [str(item) for item in value or ()]
    if field.kind in ("list", "lines"):
        return [(", " if field.kind == "list" else "\n").join(str(item) for item in value or ())]
    return [] if value is None else [str(value)]


def _read(field: Field, texts: Sequence[str]) -> Any:
    if field.kind == "flag":
        return bool(texts)
    if field.kind == "many":
        return list(texts) if texts or field.words else None
    text = (texts[0] if texts else "").strip()
    if field.kind == "list":
        return [part for part in _COMMA.split(text) if part] if texts else None
    if field.kind == "lines":
        return [line.strip() for line in text.splitlines() if line.strip()] if texts else None
    return text or None


def _limit_shown(limit: Mapping[str, Any]) -> tuple[str, str, str]:
    share = "" if limit["share"] is None else f"{100 * limit['share']:.12g}"
    return limit["profile"], share, "" if limit["latency_ms"] is None else str(limit["latency_ms"])


def _beside_latency(limit: Mapping[str, Any]) -> str:
    """A limit beside latency in one text; empty for one on latency."""
    given = (f"{name} {value} {limit['profile']}" for name in _RESOURCES if (value := limit.get(name)) is not None)
    return next(given, "")


def further_of(typed: Typed) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The limits beside latency that are kept: each text, its profile and the limit."""
    for text in typed.get(FURTHER, ()):
        resource, _, rest = text.partition(" ")
        most, _, profile = rest.partition(" ")
        if resource in _RESOURCES and most and profile:
            yield text, profile, {resource: most}


def limits_of(typed: Typed) -> Iterator[tuple[str, dict[str, Any]]]:
    """The limits that were typed, with their profile, in the order of the form."""
    for profile, share, ms in zip(*(typed.get(name, ()) for name in LIMIT), strict=False):
        given = filled({"share": share, "latency_ms": ms})
        if given:
            yield profile, {"profile": profile, **_as_share(given)}
    for _, profile, limit in further_of(typed):
        yield profile, {"profile": profile, **limit}


def _as_share(given: Mapping[str, str]) -> dict[str, Any]:
    """Per cent as a share; what is no number goes on as it is, for the reader to refuse."""
    try:
        return {**given, **({"share": float(given["share"]) / 100} if "share" in given else {})}
    except ValueError:
        return dict(given)
