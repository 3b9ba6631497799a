"""What earlier searches know: trials of the same model and data, and errors of similar layers of other models.

Errors of other models are pooled by the fingerprint of a layer: its operator, its shape in powers of two, the third of
the network that it stands in, and the pattern put on it. Only how options rank is taken over, since models and data
differ in scale; and that only as long as it agrees with what is measured (`trusted`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import exp, log, log2, prod
from statistics import fmean, median

from app.search.trial import Trial
from pruning import patterns
from pruning.layers import LayerSpec, ModelSpec
from pruning.patterns import Channel, Pattern

TRUSTED = 0.6  # Spearman's rank correlation with the errors measured first
_ENOUGH = 6  # errors; fewer say nothing about a rank
_LEAST = 1e-6  # nats: smaller errors are zero but for rounding
_THIRDS = 3
Fingerprint = tuple[object, ...]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What a search begins with; empty by default.

    Of `trials` only plan, measurements and recovery steps count: prices are those of another search. `prior` holds by
    option key (see `option_key`) what similar layers of other models lost, in nats, up to a factor.
    """

    trials: tuple[Trial, ...] = ()
    prior: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The errors of single options on one model, by option key."""

    model: ModelSpec
    errors: Mapping[str, float]


def option_key(option: Mapping[str, Pattern]) -> str:
    """An option as canonical JSON text: layer -> pattern."""
    shown = {layer: patterns.to_json(pattern) for layer, pattern in option.items()}
    return json.dumps(shown, sort_keys=True, separators=(",", ":"))


def read_option(key: str) -> dict[str, Pattern]:
    """Inverse of `option_key`; raises PatternError where it is none."""
    return {layer: patterns.from_json(pattern) for layer, pattern in json.loads(key).items()}


def pooled(observed: Iterable[Observed], model: ModelSpec) -> dict[str, float]:
    """A prior for the options of a model: the geometric mean over the other models of what such options cost there.

    Each model's errors count relative to their median, and each model once. Where no model has the fingerprint, layers
    of the same operator and pattern at the same depth stand in, then those at any depth; else there is no prior.
    """
    known: dict[Fingerprint, list[float]] = {}
    seen: dict[str, Pattern] = {}
    for other in observed:
        for fingerprint, values in _by_fingerprint(other, seen).items():
            known.setdefault(fingerprint, []).append(fmean(values))
    found = {}
    for option in _elementary(model, seen.values()):
        like = (known[print_] for print_ in fingerprints(model, option) if print_ in known)
        if (closest := next(like, None)) is not None:
            found[option_key(option)] = exp(fmean(closest))
    return found


def _elementary(model: ModelSpec, seen: Iterable[Pattern]) -> Iterator[dict[str, Pattern]]:
    """The options that a search may have on a model with these patterns; channels go in whole families."""
    for pattern in seen:
        for layer in model.layers:
            family = model.family_of(layer.name) if isinstance(pattern, Channel) else ()
            producers = {name for group in family for name in group.producers}
            yield {la.name: pattern for la in model.layers if la.name in (producers or {layer.name})}


def fingerprints(model: ModelSpec, option: Mapping[str, Pattern]) -> tuple[Fingerprint, ...]:
    """What an option is like, from the closest description to the coarsest. Of joint options the first layer speaks."""
    name, pattern = next(iter(option.items()))
    layer = model.layer(name)
    third = _THIRDS * model.layers.index(layer) // len(model.layers)
    what = (layer.op, str(pattern))
    return (*what, third, *_shape(layer)), (*what, third), what


def trusted(prior: Mapping[str, float], measured: Mapping[str, float]) -> bool:
    """Whether a prior ranks options as they were measured; False where they have too few in common to tell."""
    both = [key for key in measured if key in prior]
    if len(both) < _ENOUGH:
        return False
    guessed, found = [prior[key] for key in both], [measured[key] for key in both]
    if len(set(guessed)) == 1 or len(set(found)) == 1:
        return False
    from scipy.stats import spearmanr  # takes a second to load, and most searches have no prior

    return bool(spearmanr(guessed, found).statistic >= TRUSTED)


def _shape(layer: LayerSpec) -> tuple[int, ...]:
    sides = (layer.in_channels / layer.groups, layer.out_channels, prod(layer.kernel))
    return tuple(round(log2(side)) for side in sides)


def _by_fingerprint(other: Observed, seen: dict[str, Pattern]) -> dict[Fingerprint, list[float]]:
    """Logs of a model's errors over their median; the patterns among them go into `seen`."""
    logs = {key: log(max(error, _LEAST)) for key, error in other.errors.items()}
    middle = median(logs.values()) if logs else 0.0
    found: dict[Fingerprint, list[float]] = {}
    layers = {layer.name for layer in other.model.layers}
    for key, value in logs.items():
        option = read_option(key)
        if option and layers.issuperset(option):
            seen |= {str(pattern): pattern for pattern in option.values()}
            for fingerprint in fingerprints(other.model, option):
                found.setdefault(fingerprint, []).append(value - middle)
    return found
