"""Fidelities: rungs of more and more recovery, and who climbs them.

Optuna cannot stop trials of several objectives, so the rungs are the search's own. A bracket of trials runs at the
lowest fidelity; of each latency band the best by validation loss go on, and so does what nothing dominates; they run
again at the next. A band stands in for the crowding of multi-objective successive halving (Schmucker et al. 2021, arXiv
2106.12639): ranked without bands, mildly pruned trials would win every place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median
from typing import Any

from app.search.proposals.schedule import rivals
from app.search.proposals.terrain import Terrain
from app.search.spec import SearchSpec
from app.search.trial import Failure, Trial

_BANDS = 8  # of the latencies a search looks between, on each device
_NEAR = 0.5  # of a band: within it two trials count as equally fast
_PLACES = 2  # of the schedule, in a bracket at least


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a trial goes on to the next fidelity; else why not."""

    promoted: bool
    failure: Failure | None = None


def fidelities(spec: SearchSpec) -> tuple[int, ...]:
    """Recovery steps of every fidelity, ascending; the last is the whole recovery."""
    return (*spec.rungs, spec.recovery.steps)


def first_steps(coordinates: Mapping[str, Any], spec: SearchSpec) -> int:
    """The recovery steps that a trial at these coordinates begins with: the lowest fidelity's, or its own share."""
    if "steps" not in coordinates:
        return fidelities(spec)[0]
    return max(1, round(float(coordinates["steps"]) * spec.recovery.steps))


def fidelity_of(trial: Trial, spec: SearchSpec) -> int:
    """The fidelity at which a trial stands; the last, however few its steps, where they vary."""
    return trial.recovery_steps if trial.recovery_steps in spec.rungs else spec.recovery.steps


def as_whole(trials: Sequence[Trial], steps: int) -> list[Trial]:
    """The trials, of those whose steps vary the losses filed under so many steps, the whole recovery of their search.

    Each had all the recovery that was meant for it, so for what a plan is worth they count alike.
    """
    return [_filed(trial, steps) if "steps" in trial.coordinates else trial for trial in trials]


def bracket(spec: SearchSpec) -> int:
    """How many trials are asked for at a time; with rungs, all rivals of some places at once."""
    if not spec.rungs:
        return spec.width
    return rivals(spec) * max(_PLACES, ceil(spec.width / rivals(spec)))


def losses_of(trial: Trial) -> dict[int, float]:
    """Its validation losses by fidelity, as the search itself measured them; what was posted later does not count."""
    own = (m for m in trial.measurements if (m.metric, m.split) == ("loss", "validation") and not m.origin)
    return {m.fidelity: m.value for m in own}


def verdicts(terrain: Terrain, pool: Sequence[Trial], numbers: Sequence[int], steps: int) -> dict[int, Verdict]:
    """Who of `numbers` goes on from the fidelity of so many steps.

    Args:
        terrain: the search.
        pool: its trials up to these; whatever became of them, their losses at this fidelity are what counts.
        numbers: of the trials to judge; those without a loss at this fidelity have no verdict.
        steps: of the fidelity.
    """
    here = {trial.number: _Standing(terrain, trial, steps) for trial in pool if _measured(trial, steps)}
    return {number: _verdict(terrain.spec, here[number], list(here.values())) for number in numbers if number in here}


def final_losses(trials: Sequence[Trial], spec: SearchSpec) -> dict[int, float]:
    """By number the loss at full recovery; of trials that did not get there, what theirs would typically become.

    That is the loss at their highest fidelity times the median ratio between the two, of the trials that have both.
    Where steps vary, a trial's own are its full recovery.
    """
    full = spec.recovery.steps
    known = {trial.number: losses_of(trial) for trial in as_whole(trials, full) if trial.role == "searched"}
    ratios: dict[int, list[float]] = {}
    for losses in known.values():
        for fidelity, loss in losses.items() if full in losses else ():
            ratios.setdefault(fidelity, []).append(losses[full] / loss if loss > 0 else 1.0)
    found = {}
    for number, losses in known.items():
        highest = max(losses, default=-1)
        if highest in ratios:
            found[number] = losses[highest] * median(ratios[highest])
    return found


class _Standing:
    """A trial on a rung: its device, its place on that axis in bands, its loss."""

    def __init__(self, terrain: Terrain, trial: Trial, steps: int) -> None:
        self.number = trial.number
        self.device = str(trial.coordinates.get("device", terrain.spec.profiles[0]))
        self.loss = losses_of(trial)[steps]
        self.steps = steps
        strongest_ms, mildest_ms = terrain.band_ms(self.device)
        above_ms = trial.cost(self.device).latency_ms - strongest_ms
        self.place = _BANDS * above_ms / max(mildest_ms - strongest_ms, 1e-9 * mildest_ms)
        # plans lie just below their target, and targets on the edges of bands
        self.band = min(max(ceil(self.place - 1e-6), 0), _BANDS + 1)

    def beats(self, other: "_Standing") -> bool:
        """Whether it is as fast, nearly, and better."""
        better = (self.loss, self.number) < (other.loss, other.number)
        return self.device == other.device and better and self.place <= other.place + _NEAR


def _filed(trial: Trial, steps: int) -> Trial:
    own = (m if m.origin else replace(m, fidelity=steps) for m in trial.measurements)
    return trial.evolve(measurements=tuple(own))


def _measured(trial: Trial, steps: int) -> bool:
    return trial.role == "searched" and steps in losses_of(trial)


def _verdict(spec: SearchSpec, judged: _Standing, everyone: Sequence[_Standing]) -> Verdict:
    band = [other for other in everyone if (other.device, other.band) == (judged.device, judged.band)]
    ranking = sorted(band, key=lambda standing: (standing.loss, standing.number))
    rank = ranking.index(judged) + 1
    if rank <= ceil(spec.keep * len(band) - 1e-9) or not any(other.beats(judged) for other in everyone):
        return Verdict(promoted=True)
    reason = (
        f"after {judged.steps} recovery steps its loss was number {rank} of {len(band)} in its latency band on "
        f"{judged.device!r}; the first {ceil(spec.keep * len(band) - 1e-9)} went on"
    )
    details: Mapping[str, object] = {"steps": judged.steps, "rank": rank, "of": len(band)}
    return Verdict(promoted=False, failure=Failure(code="rung", reason=reason, details=details))
