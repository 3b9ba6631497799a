"""What `run.run` yields. Whoever drains it stores, shows, stops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.search.trial import Trial

BudgetName = Literal["trials", "recoveries", "sample_passes", "wall_s"]
Phase = Literal["inspecting", "profiling", "scoring", "solving", "searching", "recovering", "verifying"]


@dataclass(frozen=True, kw_only=True)
class PhaseStarted:
    """What the search is busy with from now on."""

    phase: Phase


@dataclass(frozen=True, kw_only=True)
class SearchProgress:
    """How far a task of the search is, in [0, 1]."""

    fraction: float
    text: str
    task: str


@dataclass(frozen=True, kw_only=True)
class SpaceReady:
    """What is searched, what was dropped and why, and the reachable range of every profile."""

    space: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class OptionsScored:
    """Errors of single options by option key, as they come. Given back as known, they need not be measured again."""

    errors: Mapping[str, float]
    samples: int


@dataclass(frozen=True, kw_only=True)
class ScoresReady:
    """The error table; given back as `scores`, it need not be measured again."""

    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class BoundReady:
    """By profile, the best front of the additive model: what nothing in this space is predicted to beat.

    It comes again at the end of a search, with the gap between its trials and the front (see `bound.gaps`).
    """

    document: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrialsAsked:
    """A batch, before any of it runs."""

    trials: Sequence[Trial]


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """An attempt at a trial begins."""

    number: int
    attempt: int


@dataclass(frozen=True, kw_only=True)
class TrialMeasured:
    """A trial was measured at a fidelity below the last; it waits for the others of its bracket.

    The files it made are of no use to anyone.
    """

    trial: Trial
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrialsPromoted:
    """These trials go on at the next fidelity, which is their `recovery_steps` now."""

    trials: Sequence[Trial]


@dataclass(frozen=True, kw_only=True)
class TrialFinished:
    """The end of a trial, with the files it made (kind -> local path)."""

    trial: Trial
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SearchEnded:
    """The last event: which budget was used up, the number of trials in the usual case."""

    because: BudgetName
    text: str


Event = (
    PhaseStarted
    | SearchProgress
    | SpaceReady
    | OptionsScored
    | ScoresReady
    | BoundReady
    | TrialsAsked
    | TrialStarted
    | TrialMeasured
    | TrialsPromoted
    | TrialFinished
    | SearchEnded
)
