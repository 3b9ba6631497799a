"""A trial's files made on request from its stored weights, without training, and its passport with them."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from app.search.evaluation.evaluate import Assignment, Report, Setting
from app.search.exports.forms import BEFORE, Forms
from app.search.exports.hops import Walk
from app.search.exports.passport import Format, LayerProof, Passport
from app.search.exports.sizes import sizes
from app.search.trial import Trial
from pruning.layers import LayerSpec, ModelSpec


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to export: a complete trial, its stored files by kind, which formats, and where it comes from.

    `provenance` has what the passport repeats: `search`, `hashes`, `profiles` (names by id).
    """

    trial: Trial
    stored: Mapping[str, Path]
    formats: Sequence[Format]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ways(self) -> tuple[Format, ...]:
        """The formats in the order of their hops: `.pt2` is always proven, and 8-bit weights need ONNX first."""
        asked = {"pt2", *self.formats, *(("onnx",) if "int8" in self.formats else ())}
        return tuple(name for name in BEFORE if name in asked)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A passport, and the files that were made for it, by kind."""

    passport: Passport
    files: Mapping[str, Path]


def export(setting: Setting, request: Request, folder: Path, report: Report) -> Exported:
    """Take the hops that the formats ask for; one that fails says so in the passport, and its file is left out.

    Raises:
        SearchFailed: the trial's stored weights are missing, or not those that it left.
        ExportError: they do not fit the model.
    """
    trial = request.trial
    forms = Forms(net=setting.net, model=setting.model, trial=trial, stored=request.stored, folder=folder)
    assignment = Assignment(
        plan=trial.plan,
        recovery_steps=trial.recovery_steps,
        seed=trial.seed,
        learning_rate_factor=trial.learning_rate_factor,
    )
    walk = Walk(setting=setting, assignment=assignment)
    walk.take("masked", forms.masked)
    if walk.take("smaller", forms.smaller, ("masked",)):
        for number, name in enumerate(request.ways):
            report(0.1 + 0.8 * number / len(request.ways), f"writing {name}")
            walk.take(name, getattr(forms, name), BEFORE[name])
    made = {kind: path for kind, path in walk.files.items() if path.parent == folder}
    return Exported(passport=_passport(setting, request, walk, forms), files=made)


def _passport(setting: Setting, request: Request, walk: Walk, forms: Forms) -> Passport:
    trial, told = request.trial, request.provenance
    names, search = told.get("profiles", {}), str(told.get("search", ""))
    hashes = {"plan": trial.plan.digest, **told.get("hashes", {}), **trial.files}
    hashes |= {hop.file.kind: hop.file.sha256 for hop in walk.hops if hop.file is not None}
    asked = " ".join(f"--format {name}" for name in request.ways)
    return Passport(
        search=search,
        number=trial.number,
        role=trial.role,
        plan=trial.plan.to_json(),
        recovery_steps=trial.recovery_steps,
        learning_rate_factor=trial.learning_rate_factor,
        hops=tuple(walk.hops),
        layers=_layers(setting.model, walk),
        unprunable=dict(setting.model.unprunable),
        sizes=sizes(setting.model, trial, forms.masked_net, forms.smaller_net),
        latency={
            "predicted": [{**asdict(cost), "name": names.get(cost.profile, cost.profile)} for cost in trial.costs],
            "measured": [asdict(m) for m in trial.measurements if m.metric in ("latency_ms", "throughput")],
        },
        measurements=tuple(m for m in trial.measurements if m.split is not None and not m.origin),
        hashes={kind: digest for kind, digest in sorted(hashes.items()) if kind != "passport"},
        versions=_versions(),
        seeds={"trial": trial.seed, "search": setting.spec.seed},
        commands=(
            f"espalier apply {search} {trial.number} --model {setting.spec.model} --out DIRECTORY",
            f"espalier export {search} {trial.number} {asked} --out DIRECTORY",
        ),
    )


def _layers(model: ModelSpec, walk: Walk) -> tuple[LayerProof, ...]:
    """What was counted, layer by layer, beside what was promised; from the smaller model on."""
    by_hop = {hop: {count.name: count for count in counts} for hop, counts in walk.counts.items()}
    found = []
    for count in walk.counts.get("smaller", ()):
        layer = model.layer(count.name)
        same = {hop: counts[count.name] for hop, counts in by_hop.items() if count.name in counts}
        valid = {hop: other.valid_groups for hop, other in same.items() if other.valid_groups is not None}
        found.append(
            LayerProof(
                name=count.name,
                pattern=count.pattern,
                shape_before=_shape(layer),
                shape=count.shape,
                weights=count.weights,
                promised_zeros=count.promised_zeros,
                zeros={hop: other.zeros for hop, other in same.items()},
                holds=all(other.holds for other in same.values()),
                groups=count.groups,
                valid_groups=valid,
            )
        )
    return tuple(found)


def _shape(layer: LayerSpec) -> tuple[int, ...]:
    sides = (layer.out_channels, layer.in_channels // layer.groups)
    if layer.transposed:
        sides = (layer.in_channels, layer.out_channels // layer.groups)
    return (*sides, *layer.kernel)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("espalier", "torch", "onnx", "onnxruntime", "onnxscript"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
