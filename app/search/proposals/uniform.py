"""Uniform plans: one pattern at one strength wherever it is legal. The baseline that is hard to beat, so it is tried.

After long recovery searched plans lose much of their lead over uniform ones, and at strong pruning they may trail
(research in the field, and the project's own runs, agree). A search that tries both cannot be below uniform for want of
trying.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.search.proposals.coordinates import trusted
from app.search.proposals.decode import priced
from app.search.proposals.terrain import Floats, Proposal, Terrain
from app.search.space.options import Choice, Option, Space, Unit
from pruning.patterns import NM, Block, Pattern


def uniform_plan(terrain: Terrain, coordinates: Mapping[str, Any], taken: Collection[str] = ()) -> Proposal | None:
    """Of every family its mildest uniform plan that keeps the coordinates' target and every limit: the best of them.

    That is the one of least trusted error among those that are new; None if there is none.
    """
    errors = trusted(coordinates, terrain)
    device = coordinates.get("device", terrain.spec.profiles[0])
    limits = terrain.limits.tightened(device, terrain.target_ms(device, coordinates["band"]))
    found: list[tuple[float, Proposal]] = []
    for plans in families(terrain.prices.space):
        offers = ((choices, priced(choices, coordinates, terrain)) for choices in plans)
        # a stronger one of this family would be slower than its target for nothing
        mildest = next(((choices, p) for choices, p in offers if limits.hold(p.costs) and p.plan.patterns), None)
        if mildest and mildest[1].plan.digest not in taken:
            found.append((_error(mildest[0], errors), mildest[1]))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _error(choices: Sequence[Choice], errors: Sequence[Floats]) -> float:
    chosen = zip(errors, choices, strict=True)
    return sum(float(error[[choice] if isinstance(choice, int) else list(choice)].sum()) for error, choice in chosen)


def families(space: Space) -> list[list[list[Choice]]]:
    """Per family of patterns (a kind, and the shape of its groups) its uniform plans, from the mildest on."""
    densities: dict[str, set[float]] = {}
    for unit in space.units:
        for option in unit.options[1:]:
            pattern = _pattern(option)
            densities.setdefault(_family(pattern), set()).add(pattern.density)
    return [
        [[_strongest(unit, family, density) for unit in space.units] for density in sorted(known, reverse=True)]
        for family, known in sorted(densities.items())
    ]


def _strongest(unit: Unit, family: str, density: float) -> Choice:
    """The unit's choice of this family: the strongest that keeps at least this much; dense if it has none."""
    if joint := _of_family(unit, unit.joint, family, density):
        return joint
    own = (_of_family(unit, unit.own(layer)[1:], family, density) for layer in unit.layers)
    taken = tuple(index for index in own if index)
    return taken[0] if len(taken) == 1 else taken or 0


def _of_family(unit: Unit, indices: Sequence[int], family: str, density: float) -> int:
    legal = [i for i in indices if _family(_pattern(unit.options[i])) == family]
    within = [i for i in legal if _pattern(unit.options[i]).density >= density - 1e-9]
    return min(within, key=lambda i: _pattern(unit.options[i]).density, default=0)


def _family(pattern: Pattern) -> str:
    match pattern:
        case NM(group=group):
            return f"nm of {group}"
        case Block(rows=rows, cols=cols):
            return f"block {rows}x{cols}"
    return pattern.kind


def _pattern(option: Option) -> Pattern:
    return next(iter(option.patterns.values()))
