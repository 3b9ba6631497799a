"""`Trial` and what it carries. Frozen, JSON-able, standard library only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pruning.plan import PruningPlan

TrialState = Literal["queued", "running", "complete", "infeasible", "stopped", "failed"]
TrialRole = Literal["dense", "dense_recovered", "searched"]  # numbers 0, 1, 2...
Split = Literal["validation", "test"]
Resource = Literal["latency_ms", "energy_mj", "weight_bytes"]  # what a plan takes, each a field of `TrialCost`


Metric = Literal["accuracy", "loss", "top5", "r2", "mae", "perplexity", "latency_ms", "throughput"]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A number that came from running something. `fidelity` is the number of recovery steps behind it.

    `r2` and `mae` are a regression's; `throughput` is samples a second. `origin` says where the number was measured if
    that was not the search itself: `{"by": "verify", "backend": "onnxruntime", ...}` or `{"by": "post", "who": ...}`.
    """

    metric: Metric
    value: float
    standard_error: float
    samples: int
    seed: int
    fidelity: int
    split: Split | None = None
    profile: str | None = None  # for a measured latency: the device it was measured on
    origin: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class TrialCost:
    """The *predicted* latency of a plan on one profile, its interval, and how much of it rests on what.

    `energy_mj` is of a whole batch, `weight_bytes` as the device stores them; None where the profile cannot say.
    """

    profile: str
    latency_ms: float
    sources: Mapping[str, float]  # share of the latency by source: measured, analytical, ...
    derivations: Mapping[str, float]  # share by derivation: exact, interpolated, modelled, ...
    low_ms: float | None = None  # None: not known, as of trials priced before intervals were
    high_ms: float | None = None
    energy_mj: float | None = None
    weight_bytes: float | None = None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why something did not work: a stable code, a sentence for people, details for programs."""

    code: str
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One plan with its costs, its measurements and its state. Trial 0 is the dense model as uploaded."""

    number: int
    role: TrialRole
    state: TrialState
    plan: PruningPlan
    seed: int
    recovery_steps: int
    costs: tuple[TrialCost, ...]
    measurements: tuple[Measurement, ...] = ()
    coordinates: Mapping[str, Any] = field(default_factory=dict)  # what the sampler proposed: {name: value}
    sampler_attributes: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)  # per layer: zeros counted after hardening, shapes, checks
    files: Mapping[str, str] = field(default_factory=dict)  # kind -> artefact digest
    failure: Failure | None = None
    attempts: int = 0

    def evolve(self, **changes: Any) -> "Trial":
        """A copy with some fields changed."""
        return replace(self, **changes)

    @property
    def learning_rate_factor(self) -> float:
        """What its recovery multiplies the search's learning rate by; 1 unless that varies."""
        return learning_rate_factor(self.coordinates)

    def cost(self, profile: str) -> TrialCost:
        """Its predicted cost on a profile; KeyError if it was never priced there."""
        for cost in self.costs:
            if cost.profile == profile:
                return cost
        raise KeyError(profile)

    def value(self, metric: str, split: Split | None) -> Measurement | None:
        """The search's own measurement of that kind at the highest fidelity; what was posted later does not count."""
        found = [m for m in self.measurements if m.metric == metric and m.split == split and not m.origin]
        return max(found, key=lambda m: m.fidelity, default=None)

    def to_json(self) -> dict[str, Any]:
        """JSON form; `from_json` is its inverse."""
        return {**asdict(self), "plan": self.plan.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Trial":
        """Inverse of `to_json`."""
        failure = document["failure"]
        return cls(
            **{
                **document,
                "plan": PruningPlan.from_json(document["plan"]),
                "costs": tuple(TrialCost(**cost) for cost in document["costs"]),
                "measurements": tuple(Measurement(**m) for m in document["measurements"]),
                "failure": Failure(**failure) if failure else None,
            }
        )


def learning_rate_factor(coordinates: Mapping[str, Any]) -> float:
    """The factor on the learning rate among a trial's coordinates; 1 where it does not vary."""
    return float(coordinates.get("learning_rate", 1.0))
