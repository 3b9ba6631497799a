"""The parts of a `SearchSpec`, and the checks they share. Standard library only; wrong parts cannot be built.

`__pydantic_config__` makes FastAPI refuse unknown keys.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any, Literal, get_args

from app.search.trial import Resource
from pruning import patterns as vocabulary
from pruning.errors import PatternError, PlanError
from pruning.plan import PostStep, post_step

TaskKind = Literal["classification", "regression", "language_modelling"]
AugmentName = Literal["flip", "crop", "rotate", "colour", "erase"]
OptimizerName = Literal["auto", "sgd", "adam", "adamw"]
ScheduleName = Literal["cosine", "linear", "constant"]
AmpName = Literal["off", "bfloat16", "float16"]
_STRICT: dict[str, str] = {"extra": "forbid"}


class SpecError(ValueError):
    """A search that cannot be asked for; `field` is the JSON pointer of the culprit."""

    def __init__(self, field_path: str, message: str) -> None:
        super().__init__(f"{field_path}: {message}")
        self.field = field_path


def within(path: str, value: float, low: float, high: float) -> None:
    """Refuse a value outside `low ... high`."""
    if not low <= value <= high:
        raise SpecError(path, f"{value!r} is outside {low:g} ... {high:g}")


def once(path: str, values: Sequence[object]) -> None:
    """Refuse a value that is named twice."""
    if twice := [value for value, count in Counter(values).items() if count > 1]:
        raise SpecError(path, f"names {str(twice[0])[:80]!r} twice")


def known(path: str, values: Sequence[str], words: object) -> None:
    """Refuse words that are not among the literal `words`, none, and repetitions."""
    there_are = get_args(words)
    if strange := [value for value in values if value not in there_are]:
        raise SpecError(path, f"{str(strange[0])[:80]!r} is unknown; known are {list(there_are)}")
    within(path, len(values), 1, len(there_are))
    once(path, values)


def nm_of(text: str) -> vocabulary.NM:
    """The N:M pattern that a text names."""
    try:
        pattern = vocabulary.parse(text)
    except PatternError as error:
        raise SpecError("/nm", str(error)) from error
    if not isinstance(pattern, vocabulary.NM):
        raise SpecError("/nm", f"{text!r} is no N:M pattern; write keep2of4")
    return pattern


def block_of(text: str) -> tuple[int, int]:
    """Rows and columns of the blocks that a text names."""
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
    """Short training under masks: `steps` updates, or `epochs` of the training split in place of them.

    `optimizer` "auto", and a rate or decay of None, are chosen for the model: see `app.search.evaluation.recovering`.
    An update takes `accumulate` batches. `distil` is the dense model's share of the loss, at `temperature`.
    """

    __pydantic_config__ = _STRICT
    steps: int = 200
    epochs: float | None = None
    batch: int = 64
    optimizer: OptimizerName = "auto"
    schedule: ScheduleName = "cosine"
    learning_rate: float | None = None
    weight_decay: float | None = None
    accumulate: int = 1
    amp: AmpName = "off"
    distil: float = 0.0
    temperature: float = 2.0

    def __post_init__(self) -> None:
        within("/recovery/steps", self.steps, 0, 1_000_000)
        if self.epochs is not None:
            within("/recovery/epochs", self.epochs, 0.001, 10_000)
        within("/recovery/batch", self.batch, 1, 65_536)
        for name, words in (("optimizer", OptimizerName), ("schedule", ScheduleName), ("amp", AmpName)):
            known(f"/recovery/{name}", (getattr(self, name),), words)
        if self.learning_rate is not None:
            within("/recovery/learning_rate", self.learning_rate, 1e-8, 10.0)
        if self.weight_decay is not None:
            within("/recovery/weight_decay", self.weight_decay, 0.0, 1.0)
        within("/recovery/accumulate", self.accumulate, 1, 4096)
        within("/recovery/distil", self.distil, 0.0, 1.0)
        within("/recovery/temperature", self.temperature, 0.01, 100.0)

    def in_steps(self, samples: int) -> "Recovery":
        """The same with its epochs as updates over `samples` training samples; as it is without epochs."""
        if self.epochs is None:
            return self
        updates = ceil(self.epochs * samples / (self.batch * self.accumulate))
        return replace(self, steps=min(max(1, updates), 1_000_000), epochs=None)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a model is judged on, how it is fed and how its answer is read.

    `output` is the number of the output that is judged. `mean` and `std` are per channel, applied after pixels are
    scaled to [0, 1]; empty means none. `classes` lists the dataset's class names in the order of the model's outputs;
    empty means sorted by name. `augment` is what is done to training images, and to nothing else.
    """

    __pydantic_config__ = _STRICT
    kind: TaskKind = "classification"
    output: int = 0
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    augment: tuple[AugmentName, ...] = ()

    def __post_init__(self) -> None:
        known("/task/kind", (self.kind,), TaskKind)
        within("/task/output", self.output, 0, 63)
        if len(self.mean) != len(self.std):
            raise SpecError("/task/std", f"has {len(self.std)} values but mean has {len(self.mean)}")
        for value in self.mean:
            within("/task/mean", value, -1e6, 1e6)
        for value in self.std:
            within("/task/std", value, 1e-6, 1e6)
        once("/task/classes", self.classes)
        if self.augment:
            known("/task/augment", self.augment, AugmentName)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Task":
        """Inverse of `asdict`; searches stored before version 0.2 say `logits_output` for `output`."""
        values = as_tuples(document)
        if "logits_output" in values:
            values["output"] = values.pop("logits_output")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """No trial that is predicted to take more than this on this profile; one of the four.

    `latency_ms`; `share` of the dense latency there; `energy_mj` a batch; or `weight_bytes`, as the device stores them.
    """

    __pydantic_config__ = _STRICT
    profile: str
    latency_ms: float | None = None
    share: float | None = None
    energy_mj: float | None = None
    weight_bytes: float | None = None

    def __post_init__(self) -> None:
        ranges = {"latency_ms": (1e-9, 1e9), "share": (1e-6, 1.0), "energy_mj": (1e-9, 1e12), "weight_bytes": (1, 1e15)}
        given = {name: value for name in ranges if (value := getattr(self, name)) is not None}
        if len(given) != 1:
            raise SpecError("/limits", "give one of latency_ms, share, energy_mj and weight_bytes")
        for name, value in given.items():
            within(f"/limits/{name}", value, *ranges[name])

    @property
    def further(self) -> tuple[Resource, float] | None:
        """The resource beside latency that it limits, and the most of it; None where it limits latency."""
        if self.energy_mj is not None:
            return "energy_mj", self.energy_mj
        return None if self.weight_bytes is None else ("weight_bytes", self.weight_bytes)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Where a search ends, whichever comes first; None is no end. Wall time is the one that no two runs share.

    `recoveries` counts runs that train, at any fidelity, the dense model's too; `sample_passes` counts 1 for a sample's
    forward and 3 for its forward and backward pass, the error table's included.
    """

    __pydantic_config__ = _STRICT
    recoveries: int | None = None
    sample_passes: int | None = None
    wall_s: float | None = None

    def __post_init__(self) -> None:
        for name, most in (("recoveries", 1_000_000), ("sample_passes", 10**15), ("wall_s", 1e9)):
            value = getattr(self, name)
            if value is not None:
                within(f"/budget/{name}", value, 1, most)


def as_tuples(document: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its lists as tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in document.items()}
