"""Configs of architectures: frozen dataclasses whose fields state their limits, checked when they are made.

A config may come from a stranger's JSON, so every field has a least and a greatest value, and unknown fields are
refused. Nothing in it is ever a name that is looked up outside a literal table.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from pruning.errors import IntakeError

Check = Callable[[Any], str]  # what a field must be, in words; "" if the value is
Limits = Mapping[str, Any]  # the same for programs: {"type": "integer", "least": 1, "most": 64}


@dataclass(frozen=True, kw_only=True)
class InputShape:
    """One tensor that a model is called with; `shape` is that of one sample, the batch left out."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    below: int = 0  # of whole numbers: they lie in 0 ... below - 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """What all configs share: checks, JSON, and the inputs of the model they describe."""

    def __post_init__(self) -> None:
        """Raises IntakeError on a field outside its limits."""
        for entry in fields(self):
            check: Check = entry.metadata["check"]
            value = getattr(self, entry.name)
            if wanted := check(value):
                raise IntakeError(f"config: {entry.name} is {str(value)[:40]!r}; it should be {wanted}")

    @property
    def inputs(self) -> tuple[InputShape, ...]:
        """What a model of this config is called with."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return {key: _json(value) for key, value in asdict(self).items()}

    @classmethod
    def described(cls) -> dict[str, dict[str, Any]]:
        """Every field with its default and its limits, as JSON."""
        return {entry.name: {"default": _json(entry.default), **entry.metadata["limits"]} for entry in fields(cls)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """A config from JSON; fields left out have their defaults.

        Raises:
            IntakeError: not an object, unknown fields, or values outside their limits.
        """
        if not isinstance(document, Mapping):
            raise IntakeError("a config should be a JSON object of fields and values")
        allowed = [entry.name for entry in fields(cls)]
        if unknown := [str(key) for key in document if key not in allowed]:
            raise IntakeError(f"config: there is no field {unknown[0][:40]!r}; the fields are {', '.join(allowed)}")
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in document.items()})


def whole(default: int, low: int, high: int) -> Any:
    """A field that is a whole number in `low ... high`."""

    def check(value: Any) -> str:
        return "" if _whole(value, low, high) else f"a whole number in {low} ... {high}"

    return _field(default, check, {"type": "integer", "least": low, "most": high})


def real(default: float, low: float, high: float) -> Any:
    """A field that is a number in `low ... high`."""

    def check(value: Any) -> str:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if number and low <= value <= high else f"a number in {low:g} ... {high:g}"

    return _field(default, check, {"type": "number", "least": low, "most": high})


def choice(default: int | str, *others: int | str) -> Any:
    """A field that is one of a few values."""
    allowed = sorted((default, *others), key=str)

    def check(value: Any) -> str:
        fits = any(type(value) is type(one) and value == one for one in allowed)
        return "" if fits else f"one of {', '.join(map(str, allowed))}"

    return _field(default, check, {"type": "choice", "choices": allowed})


def flag(default: bool) -> Any:
    """A field that is true or false."""
    return _field(default, lambda value: "" if isinstance(value, bool) else "true or false", {"type": "boolean"})


def several(default: tuple[int, ...], low: int, high: int, most: int) -> Any:
    """A field that lists 1 to `most` whole numbers in `low ... high`."""

    def check(value: Any) -> str:
        fits = isinstance(value, tuple) and 1 <= len(value) <= most and all(_whole(one, low, high) for one in value)
        return "" if fits else f"a list of 1 to {most} whole numbers in {low} ... {high}"

    return _field(default, check, {"type": "integers", "least": low, "most": high, "items": most})


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _field(default: Any, check: Check, limits: Limits) -> Any:
    return field(default=default, metadata={"check": check, "limits": limits})


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def image_inputs(channels: int, size: int) -> tuple[InputShape, ...]:
    """One square image, channels first."""
    return (InputShape(name="x", shape=(channels, size, size)),)


def divides(width: int, parts: int, what: str) -> None:
    """Raises IntakeError if `parts` does not divide `width`; `what` names both."""
    if width % parts:
        raise IntakeError(f"config: {what}: {parts} does not divide {width}")
