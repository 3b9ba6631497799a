"""A trial's model from form to form, each form run and compared with the one it came from.

A hop that raises, or whose outputs moved by more than rounding, is written down as failed with its reason; the forms
before it stand, and the next one is compared with the last that held.
"""

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from app.search.errors import SearchFailed
from app.search.evaluation.evaluate import Assignment, Setting, measure
from app.search.exports.passport import Difference, FileFacts, Hop, HopName
from app.search.samples.batches import Feed
from app.search.trial import Failure, Measurement, Split
from pruning.errors import PruningError
from pruning.feed import call
from pruning.proof import LayerCount, count_layers

SAMPLES = 128  # calibration samples that outputs are compared on
AGREEMENT = 1e-4  # of the largest output: forms sum in different orders
_BATCH = 64
_CHUNK_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Form:
    """One form of a model: how it runs, what it is stored in, and its tensors by our identifiers.

    `exact` says that its outputs may differ from the form before by rounding alone; `measured` that the file is to be
    judged on the data again.
    """

    net: nn.Module
    path: Path | None = None
    kind: str = ""
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    exact: bool = True
    measured: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Walk:
    """The hops of one trial so far; `counts` has what was counted in each file."""

    setting: Setting
    assignment: Assignment
    hops: list[Hop] = field(default_factory=list)
    counts: dict[str, tuple[LayerCount, ...]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    _answers: dict[HopName, list[Tensor]] = field(default_factory=dict)

    def take(self, name: HopName, make: Callable[[], Form], after: Sequence[HopName] = ()) -> bool:
        """Make a form and prove it against the first of `after` that held; whether it held itself."""
        begun = monotonic()
        try:
            hop = self._prove(name, make(), next((other for other in after if other in self._answers), None))
        except Exception as error:  # exporters raise whatever they like; the passport says what
            hop = Hop(name=name, state="failed", failure=_failure(name, error))
        self.hops.append(_timed(hop, monotonic() - begun))
        return hop.state == "done"

    def _prove(self, name: HopName, form: Form, before: HopName | None) -> Hop:
        found = self._run(form.net)
        difference = _difference(before, self._answers[before], found, len(self._feed)) if before is not None else None
        if difference is not None and form.exact and not difference.relative <= AGREEMENT:
            raise SearchFailed(
                "disagreement",
                f"outputs differ from the {before} form by {difference.relative:.2g} of the largest, "
                f"more than rounding ({AGREEMENT:g})",
            )
        counted = count_layers(self.setting.model, self.assignment.plan, form.tensors)
        if broken := [count.name for count in counted if not count.holds]:
            raise SearchFailed("constraint", f"layer {broken[0][:80]!r} has fewer zeros in the file than promised")
        readings = self._readings(form) if form.measured else ()
        self._answers[name] = found
        if counted:
            self.counts[name] = counted
        if form.path is not None:
            self.files[form.kind] = form.path
        file = None if form.path is None else file_facts(form.kind, form.path)
        return Hop(name=name, state="done", difference=difference, readings=readings, file=file, facts=form.facts)

    @property
    def _feed(self) -> Feed:
        return self.setting.feed("calibration", min(SAMPLES, self.setting.spec.calibration_samples))

    @torch.no_grad()
    def _run(self, net: nn.Module) -> list[Tensor]:
        """Every output on the calibration samples, batch after batch."""
        net.eval()
        return [value for inputs, _ in self._feed.in_order(_BATCH) for value in _flat(call(net, inputs))]

    def _readings(self, form: Form) -> tuple[Measurement, ...]:
        splits: tuple[Split, ...] = ("validation", "test")
        return tuple(m for split in splits for m in measure(self.setting, form.net, split, self.assignment))


def file_facts(kind: str, path: Path) -> FileFacts:
    """A file's digest and sizes, in one pass."""
    digest, deflate, size, deflated = hashlib.sha256(), zlib.compressobj(6), 0, 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            deflated += len(deflate.compress(chunk))
    return FileFacts(kind=kind, sha256=digest.hexdigest(), bytes=size, deflated_bytes=deflated + len(deflate.flush()))


def _difference(before: HopName, expected: list[Tensor], found: list[Tensor], samples: int) -> Difference:
    if [value.shape for value in expected] != [value.shape for value in found]:
        raise SearchFailed("disagreement", f"outputs have other shapes than those of the {before} form")
    pairs = [(a.double(), b.double()) for a, b in zip(expected, found, strict=True) if a.numel()]
    each = [float((a - b).abs().max()) for a, b in pairs]
    apart = max(each, default=0.0)
    largest = max((float(a.abs().max()) for a, _ in pairs), default=0.0)
    if not all(map(isfinite, each)):  # a maximum forgets a NaN that comes after a number
        raise SearchFailed("not_finite", "an output is not a finite number")
    return Difference(against=before, absolute=apart, relative=apart / max(1.0, largest), samples=samples)


def _flat(answer: Any) -> list[Tensor]:
    if isinstance(answer, Tensor):
        return [answer]
    return [value for item in answer for value in _flat(item)]


def _timed(hop: Hop, seconds: float) -> Hop:
    return Hop(**{**vars(hop), "seconds": round(seconds, 4)})


def _failure(name: str, error: Exception) -> Failure:
    if isinstance(error, PruningError | SearchFailed):
        return Failure(code=error.code, reason=str(error))
    words = next(iter(str(error).strip().splitlines()), "")[:300]
    return Failure(code="hop_failed", reason=f"{type(error).__name__} on the way to {name}: {words}")
