"""`SearchSpec`: all that defines a search. It is the body of `POST /searches`, the row, and the search's seed.

Standard library only; wrong specs cannot be built. `__pydantic_config__` makes FastAPI refuse unknown keys.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from app.search.pruners import RECONSTRUCT, PatternKind, PrunerName, cannot_serve
from app.search.spec_parts import (
    Budget,
    Limit,
    Post,
    Recovery,
    SpecError,
    Task,
    as_tuples,
    block_of,
    known,
    nm_of,
    once,
    within,
)
from pruning.errors import PlanError
from pruning.plan import DKM, PostStep, check_post

__all__ = ["Budget", "Limit", "Post", "Recovery", "SamplerName", "SearchSpec", "SpecError", "Task"]
SamplerName = Literal["tpe", "nsga2", "gp", "qmc", "random", "grid"]
ErrorTable = Literal["prior", "oneshot", "reconstructed", "curvature", "spdy", "owl", "hill"]
Vary = Literal["learning_rate", "steps"]
_STRICT: dict[str, str] = {"extra": "forbid"}


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
    task: Task = field(default_factory=Task)
    patterns: tuple[PatternKind, ...] = ("unstructured", "nm", "channel")
    pruners: tuple[PrunerName, ...] = ("magnitude", "pdp")
    sparsities: tuple[float, ...] = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)
    nm: tuple[str, ...] = ("keep2of4",)
    blocks: tuple[str, ...] = ("block4x1",)
    post: tuple[Post, ...] = ()  # of every pruned trial, and of the dense one with the same recovery
    frozen_layers: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    targets: tuple[float, ...] = ()  # shares of dense latency that matter most: the solver looks there first
    sampler: SamplerName = "tpe"
    coordinates: Literal["solver", "raw"] = "solver"  # raw: one choice a unit, the way of every black box
    trials: int = 24
    extensions: tuple[int, ...] = ()  # trials asked for later, a number each time
    rungs: tuple[int, ...] = ()  # recovery steps of the fidelities below `recovery.steps`, ascending; 0 is one-shot
    keep: float = 1 / 3  # of a rung's trials in each latency band that the next one takes
    vary: tuple[Vary, ...] = ()  # of the recovery, from trial to trial: coordinates, around what `recovery` says
    refit: bool = True  # observed losses correct the error table
    budget: Budget = field(default_factory=Budget)
    warm_start: tuple[str, ...] = ()  # earlier searches of the same model and data
    pooled: bool = False  # begin with what layers like these cost other models
    width: int = 2
    threads: int = 1
    seed: int = 0
    recovery: Recovery = field(default_factory=Recovery)
    calibration_samples: int = 256
    error_table: Literal[ErrorTable, "auto"] = "auto"  # how options are scored; "auto" becomes what suits `pruners`
    acknowledge: tuple[Literal["batch", "precision", "coverage", "ambiguity"], ...] = ()
    # by profile: the calibration its prices are taken under, None for none; what is absent is filled at submission
    calibrations: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        within("/profiles", len(self.profiles), 1, 8)
        once("/profiles", self.profiles)
        within("/name", len(self.name), 0, 200)
        within("/batch", self.batch, 1, 65_536)
        known("/patterns", self.patterns, PatternKind)
        known("/pruners", self.pruners, PrunerName)
        if refusal := cannot_serve(self.pruners, self.patterns):
            raise SpecError("/pruners", refusal)
        known("/sampler", (self.sampler,), SamplerName)
        within("/sparsities", len(self.sparsities), 1, 32)
        for sparsity in self.sparsities:
            within("/sparsities", sparsity, 0.01, 0.999)
        once("/sparsities", self.sparsities)
        once("/nm", [nm_of(text) for text in self.nm])
        once("/blocks", [block_of(text) for text in self.blocks])
        self._check_post()
        self._check_vary()
        within("/trials", self.trials, 1, 100_000)
        for more in self.extensions:
            within("/extensions", more, 1, 100_000)
        within("/rungs", len(self.rungs), 0, 8)
        if list(self.rungs) != sorted({*self.rungs}) or any(not 0 <= r < self.recovery.steps for r in self.rungs):
            raise SpecError("/rungs", f"{list(self.rungs)} must ascend from 0 or more to below recovery.steps")
        if self.rungs and self.recovery.epochs is not None:
            raise SpecError("/recovery/epochs", "rungs are counted in steps: give recovery.steps, not epochs")
        if self.recovery.distil and self.task.kind == "regression":
            raise SpecError("/recovery/distil", "regression has no classes to distil over: set 0")
        within("/targets", len(self.targets), 0, 16)
        for share in self.targets:
            within("/targets", share, 0.01, 1.0)
        once("/targets", self.targets)
        within("/keep", self.keep, 0.01, 1.0)
        within("/warm_start", len(self.warm_start), 0, 16)
        once("/warm_start", self.warm_start)
        within("/width", self.width, 1, 64)
        within("/threads", self.threads, 1, 256)
        within("/seed", self.seed, 0, 2**31 - 1)
        if self.error_table == "auto":
            object.__setattr__(self, "error_table", "reconstructed" if RECONSTRUCT & {*self.pruners} else "oneshot")
        known("/error_table", (self.error_table,), Literal[ErrorTable, "auto"])
        if self.error_table == "curvature" and self.task.kind != "classification":
            reason = "curvature is taken of one answer a sample among classes: use oneshot, or one of the other priors"
            raise SpecError("/error_table", f"{reason}, for {self.task.kind}")
        within("/calibration_samples", self.calibration_samples, 8, 100_000)
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

    def _check_vary(self) -> None:
        if not self.vary:
            return
        known("/vary", self.vary, Vary)
        if not self.recovery.steps and self.recovery.epochs is None:
            reason = "recovery.steps is 0, so there is no recovery to vary: give it steps, or leave vary empty"
            raise SpecError("/vary", reason)
        if self.rungs and "steps" in self.vary:
            reason = "rungs say how many steps a trial has: leave out the rungs, or vary the learning_rate alone"
            raise SpecError("/vary", reason)

    @property
    def block_sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of the blocks."""
        return tuple(block_of(text) for text in self.blocks)

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
        values: dict[str, Any] = as_tuples(document)
        values["task"] = Task.from_json(document["task"])
        values["recovery"] = Recovery(**document["recovery"])
        values["limits"] = tuple(Limit(**limit) for limit in document["limits"])
        values["budget"] = Budget(**document.get("budget", {}))
        values["post"] = tuple(Post(**post) for post in document.get("post", ()))
        return cls(**values)
