"""Which trials next: the schedule's place, and there the solver's plan, a uniform one, or what the sampler draws.

A function of the trials before the batch alone: the same history gives the same batch, in any process, after any
restart. Observed losses correct the error table first, and the solver solves again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from app.search.front import pareto_front
from app.search.proposals.coordinates import distributions, neutral, pruners_of
from app.search.proposals.decode import decode
from app.search.proposals.holes import holes
from app.search.proposals.raw import raw_decode, raw_distributions, violations
from app.search.proposals.refit import observe, refit
from app.search.proposals.rungs import as_whole, final_losses, first_steps, losses_of
from app.search.proposals.samplers import Draw, Sampling, Told, check
from app.search.proposals.schedule import Place, golden, place, seed_count
from app.search.proposals.terrain import Proposal, Terrain
from app.search.proposals.uniform import uniform_plan
from app.search.proposals.warm import Recalled
from app.search.pruners import PrunerName, apt
from app.search.space.limits import Prices
from app.search.spec import SearchSpec
from app.search.trial import Trial

FIRST = 2  # trials 0 and 1 are the dense model, as uploaded and recovered
SOURCE = "espalier:source"  # in a trial's sampler attributes: solver, uniform, memory or sampler
_FIXED = ("device", "band")
_STEP = 1 / 16  # of the axis, where a band has no plan that was not tried


def propose(
    terrain: Terrain, history: Sequence[Trial], numbers: Sequence[int], known: Recalled | None = None
) -> list[Trial]:
    """The trials with these numbers.

    Args:
        terrain: the search, with its error table as it was measured.
        history: every trial with a number below the first of `numbers`, finished.
        numbers: consecutive.
        known: what earlier searches know of this one's space.

    Returns:
        Trials `queued`; with solver coordinates every plan keeps every limit.
    """
    batch = _Batch(terrain, sorted(history, key=lambda trial: trial.number), known or Recalled())
    return [batch.ask(number) for number in numbers]


def coordinates_of(spec: SearchSpec, prices: Prices) -> dict[str, BaseDistribution]:
    """What the sampler of a search moves in.

    Raises:
        SearchFailed: it is more than the sampler serves.
    """
    raw = spec.coordinates == "raw"
    found = raw_distributions(spec, prices.space) if raw else distributions(spec, prices.model)
    check(spec, found, () if raw else _FIXED)
    return found


def guess(spec: SearchSpec, dense: Sequence[Trial]) -> float | None:
    """The loss of a network that guesses, as far as the dense trials tell; None if they do not.

    Losses of classes and tokens are in nats: a nat above twice dense's is far along to guessing. A regression's is a
    squared error in units of its own; there it is the variance of the targets, of which R² leaves a share unexplained.
    """
    if spec.task.kind != "regression":
        losses = [loss for trial in dense for loss in losses_of(trial).values()]
        return 2 * min(losses) + 1 if losses else None
    known = [(trial.value("loss", "validation"), trial.value("r2", "validation")) for trial in dense]
    found = [loss.value / (1.0 - r2.value) for loss, r2 in known if loss and r2 and r2.value < 1.0]
    return min(found, default=None)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    proposal: Proposal
    coordinates: Mapping[str, Any]
    attributes: Mapping[str, Any]


class _Batch:
    """What is known when a batch is asked for, and what of it was asked already."""

    def __init__(self, terrain: Terrain, history: Sequence[Trial], known: Recalled) -> None:
        self._known = known
        self._terrain = _corrected(terrain, history, known)
        self._space = coordinates_of(terrain.spec, terrain.prices)
        self._taken = {trial.plan.digest for trial in history}
        self._filled: dict[str, int] = {}
        self._losses = final_losses(history, terrain.spec)
        self._guess = guess(terrain.spec, [trial for trial in history if trial.role != "searched"])
        complete = [trial for trial in history if trial.state == "complete" and trial.role == "searched"]
        self._judged = [trial for trial in complete if trial.number in self._losses]
        objectives = 1 + len(terrain.spec.profiles)
        self._sampling = Sampling(terrain.spec, self._space, max(2, _population(terrain.spec)), objectives)
        for trial in history:
            # of others the sampler can make nothing: their plans came from elsewhere, or from another version
            if set(trial.coordinates) == set(self._space) and trial.sampler_attributes.get(SOURCE) != "uniform":
                self._sampling.tell(self._told(trial))

    def ask(self, number: int) -> Trial:
        """The trial with this number; it is known to those that follow."""
        spec = self._terrain.spec
        asked = self._raw(number) if spec.coordinates == "raw" else self._placed(number)
        self._taken.add(asked.proposal.plan.digest)
        return Trial(
            number=number,
            role="searched",
            state="queued",
            plan=asked.proposal.plan,
            seed=spec.seed,
            recovery_steps=first_steps(asked.coordinates, spec),
            costs=asked.proposal.costs,
            coordinates=asked.coordinates,
            sampler_attributes=asked.attributes,
        )

    def _raw(self, number: int) -> _Asked:
        drawn, attributes = self._sampling.draw(Draw(number=number, turn=number - FIRST, fixed={}))
        return _Asked(
            proposal=raw_decode(drawn, self._terrain), coordinates=drawn, attributes={**attributes, SOURCE: "sampler"}
        )

    def _placed(self, number: int) -> _Asked:
        at = place(self._terrain.spec, number - FIRST, len(self._known.proposals))
        if at.source == "memory":
            remembered = self._known.proposals[at.turn]
            return _Asked(proposal=remembered, coordinates={}, attributes={SOURCE: "memory"})
        given = self._given(at)
        if at.source == "uniform" and (found := uniform_plan(self._terrain, given, self._taken)):
            shown = {name: value for name, value in given.items() if not name.startswith("trust_")}
            return _Asked(proposal=found, coordinates=shown, attributes={SOURCE: "uniform"})
        source = "sampler" if at.source == "sampler" else "solver"  # also where no uniform plan is left
        if source == "sampler":
            fixed = {name: value for name, value in given.items() if name in _FIXED}
            given, attributes = self._sampling.draw(Draw(number=number, turn=at.turn, fixed=fixed))
        else:
            attributes = self._sampling.give(given)
        proposal, band = self._fresh(given)
        return _Asked(proposal=proposal, coordinates={**given, "band": band}, attributes={**attributes, SOURCE: source})

    def _fresh(self, given: Mapping[str, Any]) -> tuple[Proposal, float]:
        """The plan at these coordinates; if all there were tried, of the nearest milder band that has another."""
        first = decode(given, self._terrain, self._taken)
        found, band = first, float(given["band"])
        while found.plan.digest in self._taken and band < 1.0:
            band = min(band + _STEP, 1.0)
            found = decode({**given, "band": band}, self._terrain, self._taken)
        return (first, float(given["band"])) if found.plan.digest in self._taken else (found, band)

    def _given(self, at: Place) -> dict[str, Any]:
        """Neutral coordinates at a place, with the pruner apt there; in a hole of the front with what won beside it.

        Uniform plans go through the pruners in turn: they are what shows whether another one does better.
        """
        band, pruners = self._band(at), pruners_of(self._terrain.spec)
        given = neutral(self._terrain, device=at.device, band=band, pruner=pruners[int(golden(at.turn) * len(pruners))])
        if at.fills and self._judged:
            near = self._nearest(at.device, band)
            return {**given, **{name: value for name, value in near.items() if name in given and name not in _FIXED}}
        if at.source == "uniform" or "pruner" not in given:
            return given
        return {**given, "pruner": self._apt(given)}

    def _apt(self, given: Mapping[str, Any]) -> PrunerName:
        """The pruner for as many zeros as the solver's plan has there."""
        plan, layers = decode(given, self._terrain).plan, self._terrain.prices.model.layers
        kept = sum(layer.weights * plan.pattern(layer.name).density for layer in layers)
        spec = self._terrain.spec
        return apt(pruners_of(spec), kept / sum(layer.weights for layer in layers), trained=spec.recovery.steps > 0)

    def _band(self, at: Place) -> float:
        if at.target is not None:
            return self._terrain.band_of(at.device, at.target)
        floor = self._terrain.floor(at.device)
        usual = floor + at.band * (1.0 - floor)
        return self._hole(at.device, usual) if at.fills else usual

    def _hole(self, device: str, usual: float) -> float:
        """The most promising place of the device's front where nobody of this batch goes; else the usual band."""
        strongest_ms, mildest_ms = self._terrain.band_ms(device)
        found = holes(self._points(device), strongest_ms, self._guess)
        filled = self._filled.get(device, 0)
        self._filled[device] = filled + 1
        if filled >= len(found) or mildest_ms <= strongest_ms:
            return usual
        return min(max((found[filled] - strongest_ms) / (mildest_ms - strongest_ms), 0.0), 1.0)

    def _nearest(self, device: str, band: float) -> dict[str, Any]:
        """How the trial on the front that is nearest in latency was pruned."""
        points, target_ms = self._points(device), self._terrain.target_ms(device, band)
        nearest = self._judged[min(pareto_front(points), key=lambda i: (abs(points[i][0] - target_ms), i))]
        varied: dict[str, Any] = {name: x for name, x in nearest.coordinates.items() if name in self._terrain.spec.vary}
        return {"pruner": nearest.plan.pruner, **nearest.plan.settings, **varied}

    def _points(self, device: str) -> list[tuple[float, float]]:
        """Latency there and loss of every trial that has one."""
        return [(trial.cost(device).latency_ms, self._losses[trial.number]) for trial in self._judged]

    def _told(self, trial: Trial) -> Told:
        shares = tuple(self._terrain.share(trial.cost(profile)) for profile in self._terrain.spec.profiles)
        broken = violations(trial.costs, self._terrain) if self._terrain.spec.coordinates == "raw" else {}
        loss = self._losses.get(trial.number)
        if loss is None and any(excess > 0 for excess in broken.values()):
            loss = max(self._losses.values(), default=0.0)  # never trained; that it breaks a limit is what counts
        return Told(
            coordinates=trial.coordinates,
            values=None if loss is None else (loss, *shares),
            attributes=trial.sampler_attributes,
            violations=broken,
        )


def _corrected(terrain: Terrain, history: Sequence[Trial], known: Recalled) -> Terrain:
    """The ground with the error table that the losses so far speak for."""
    seen = [*known.trials, *as_whole(history, terrain.spec.recovery.steps)]
    observed = observe(seen, terrain.prices.space) if terrain.spec.refit else None
    return terrain.trusting(refit(terrain.errors, observed, terrain.prices.space)) if observed else terrain


def _population(spec: SearchSpec) -> int:
    """NSGA-II's population: the solver's plans among the first trials, which are its first generation."""
    return sum(place(spec, index).source == "solver" for index in range(seed_count(spec)))
