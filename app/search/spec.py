"""`SearchSpec`: all that defines a search. It is the body of `POST /searches`, the row, and the search's seed.

Standard library only; wrong specs cannot be built. `__pydantic_config__` makes FastAPI refuse unknown keys.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from app.search.pruners import PatternKind, PrunerName, cannot_serve
from pruning import patterns as vocabulary
from pruning.errors import PatternError, PlanError
from pruning.plan import DKM, PostStep, check_post, post_step

SamplerName = Literal["tpe", "nsga2", "random"]
_STRICT: dict[str, str] = {"extra": "forbid"}


class SpecError(ValueError):
    """A search that cannot be asked for; `field` is the JSON pointer of the culprit."""

    def __init__(self, field_path: str, message: str) -> None:
        super().__init__(f"{field_path}: {message}")
        self.field = field_path


def _within(path: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise SpecError(path, f"{value!r} is outside {low:g} ... {high:g}")


def _once(path: str, values: Sequence[object]) -> None:
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise SpecError(path, f"names {str(twice[0])[:80]!r} twice")


def _known(path: str, values: Sequence[str], words: object) -> None:
    known = get_args(words)
    if strange := [value for value in values if value not in known]:
        raise SpecError(path, f"{str(strange[0])[:80]!r} is unknown; known are {list(known)}")
    _within(path, len(values), 1, len(known))
    _once(path, values)


def _nm(text: str) -> vocabulary.NM:
    try:
        pattern = vocabulary.parse(text)
    except PatternError as error:
        raise SpecError("/nm", str(error)) from error
    if not isinstance(pattern, vocabulary.NM):
        raise SpecError("/nm", f"{text!r} is no N:M pattern; write keep2of4")
    return pattern


def _block(text: str) -> tuple[int, int]:
    try:
        pattern = vocabulary.parse(f"{text}@0.5")
    except PatternError:
        pattern = vocabulary.Dense()
    if not isinstance(pattern, vocabulary.Block):
        raise SpecError("/blocks", f"{text[:40]!r} is no size of blocks; write block4x1, with sides in 1 ... 256")
    return pattern.rows, pattern.cols


@dataclass(frozen=True, kw_only=True)
class Post:
    """How weights are stored in the end: `int8`, or `dkm` (`bits` a code, 4 if not given; `dim` weights a code, 1)."""

    __pydantic_config__ = _STRICT
    kind: Literal["int8", "dkm"]
    bits: int | None = None
    dim: int | None = None

    def __post_init__(self) -> None:
        try:
            self.step()
        except PlanError as error:
            raise SpecError("/post", str(error)) from error

    def step(self) -> PostStep:
        """As a plan has it."""
        return post_step({key: value for key, value in asdict(self).items() if value is not None})


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """Short training under masks: `steps` of SGD with momentum and a one-cycle learning rate."""

    __pydantic_config__ = _STRICT
    steps: int = 200
    batch: int = 64
    learning_rate: float = 0.02
    weight_decay: float = 5e-4

    def __post_init__(self) -> None:
        _within("/recovery/steps", self.steps, 0, 1_000_000)
        _within("/recovery/batch", self.batch, 1, 65_536)
        _within("/recovery/learning_rate", self.learning_rate, 1e-8, 10.0)
        _within("/recovery/weight_decay", self.weight_decay, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class ClassificationTask:
    """How the model is fed and read: which output is the logits, the order of its classes, how inputs are normalised.

    `mean` and `std` are per channel, applied after pixels are scaled to [0, 1]; empty means none. `classes` lists
    the dataset's class names in the order of the model's outputs; empty means sorted by name.
    """

    __pydantic_config__ = _STRICT
    logits_output: int = 0
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _within("/task/logits_output", self.logits_output, 0, 63)
        if len(self.mean) != len(self.std):
            raise SpecError("/task/std", f"has {len(self.std)} values but mean has {len(self.mean)}")
        for value in self.mean:
            _within("/task/mean", value, -1e6, 1e6)
        for value in self.std:
            _within("/task/std", value, 1e-6, 1e6)
        _once("/task/classes", self.classes)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """No trial above this latency on this profile: `latency_ms`, or `share` of the dense latency there."""

    __pydantic_config__ = _STRICT
    profile: str
    latency_ms: float | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if (self.latency_ms is None) == (self.share is None):
            raise SpecError("/limits", "give latency_ms or share, one of the two")
        if self.latency_ms is not None:
            _within("/limits/latency_ms", self.latency_ms, 1e-9, 1e9)
        if self.share is not None:
            _within("/limits/share", self.share, 1e-6, 1.0)


@dataclass(frozen=True, kw_only=True)
class SearchSpec:
    """What is submitted. `width` trials are asked for at a time, whatever the slots: that fixes the result."""

    __pydantic_config__ = _STRICT
    model: str
    dataset: str
    profiles: tuple[str, ...]
    name: str = ""
    batch: int = 1  # the batch size of the deployment whose latency is predicted
    precision: str = "float32"
    task: ClassificationTask = field(default_factory=ClassificationTask)
    patterns: tuple[PatternKind, ...] = ("unstructured", "nm", "channel")
    pruners: tuple[PrunerName, ...] = ("magnitude", "pdp")
    sparsities: tuple[float, ...] = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
    nm: tuple[str, ...] = ("keep2of4",)
    blocks: tuple[str, ...] = ("block4x1",)
    post: tuple[Post, ...] = ()  # of every pruned trial, and of the dense one with the same recovery
    frozen_layers: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    sampler: SamplerName = "tpe"
    trials: int = 24
    width: int = 2
    threads: int = 1
    seed: int = 0
    recovery: Recovery = field(default_factory=Recovery)
    calibration_samples: int = 256
    acknowledge: tuple[Literal["batch", "precision", "coverage", "ambiguity"], ...] = ()
    # by profile: the calibration its prices are taken under, None for none; what is absent is filled at submission
    calibrations: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _within("/profiles", len(self.profiles), 1, 8)
        _once("/profiles", self.profiles)
        _within("/name", len(self.name), 0, 200)
        _within("/batch", self.batch, 1, 65_536)
        _known("/patterns", self.patterns, PatternKind)
        _known("/pruners", self.pruners, PrunerName)
        if refusal := cannot_serve(self.pruners, self.patterns):
            raise SpecError("/pruners", refusal)
        _known("/sampler", (self.sampler,), SamplerName)
        _within("/sparsities", len(self.sparsities), 1, 32)
        for sparsity in self.sparsities:
            _within("/sparsities", sparsity, 0.01, 0.999)
        _once("/sparsities", self.sparsities)
        _once("/nm", [_nm(text) for text in self.nm])
        _once("/blocks", [_block(text) for text in self.blocks])
        self._check_post()
        _within("/trials", self.trials, 1, 100_000)
        _within("/width", self.width, 1, 64)
        _within("/threads", self.threads, 1, 256)
        _within("/seed", self.seed, 0, 2**31 - 1)
        _within("/calibration_samples", self.calibration_samples, 8, 100_000)
        if stray := {limit.profile for limit in self.limits} - set(self.profiles):
            raise SpecError("/limits", f"profile {sorted(stray)[0]!r} is not among the search's profiles")
        if stray := set(self.calibrations) - set(self.profiles):
            raise SpecError("/calibrations", f"profile {sorted(stray)[0][:80]!r} is not among the search's profiles")

    def _check_post(self) -> None:
        try:
            check_post(self.post_steps)
        except PlanError as error:
            raise SpecError("/post", str(error)) from error
        inside = [kind for kind in self.patterns if kind != "channel"]
        if inside and any(isinstance(step, DKM) and step.dim > 1 for step in self.post_steps):
            reason = f"dkm stores runs of dim weights, which zeros of {inside[0]} patterns break up"
            raise SpecError("/post", f"{reason}: use dim 1, or channel patterns alone")

    @property
    def block_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the blocks."""
        return tuple(_block(text) for text in self.blocks)

    @property
    def post_steps(self) -> tuple[PostStep, ...]:
        """`post`, as plans have it."""
        return tuple(post.step() for post in self.post)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "SearchSpec":
        """Inverse of `to_json`; raises SpecError, or TypeError on unknown keys."""
        values: dict[str, Any] = _tuples(document)
        values["task"] = ClassificationTask(**_tuples(document["task"]))
        values["recovery"] = Recovery(**document["recovery"])
        values["limits"] = tuple(Limit(**limit) for limit in document["limits"])
        values["post"] = tuple(Post(**post) for post in document.get("post", ()))
        return cls(**values)


def _tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
