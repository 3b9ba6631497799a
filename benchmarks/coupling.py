"""What exact prices are worth where channels can go: coupled plans against additive ones, at equal exact latency.

Run: `python -m benchmarks.coupling model.pt2`, with any exported model. Errors are a prior without data: the share of
squared weights that goes. Two devices: an analytical one that skips zeros, and a made profile of a processor that
rewards nothing but smaller layers (10 us a layer and 10 ns a thousand multiply-adds). Additive: of the whole additive
front, re-priced exactly, the best plan within the limit. Coupled: the first offer. Times are processor times.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import torch

from app.search.solve.values import Floats
from app.search.space.build import space
from app.search.space.candidates import candidates, weighted
from app.search.space.coupled_front import Couplings
from app.search.space.price import cost_table, remembered
from app.search.spec import SearchSpec
from app.search.table.priors import magnitude
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.profile import Profile, ProfileRow
from pruning.describe import describe
from pruning.graphnet import GraphNet, load
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec

SHARES = (0.1, 0.2, 0.35, 0.5, 0.7)  # of the dense latency
Found = TypeVar("Found")


def main() -> None:
    """Print a table a device."""
    torch.set_num_threads(1)
    net, model = _read(Path(sys.argv[1]))
    cost_models = remembered(_devices(model))
    built = space(model, SearchSpec(model="m", dataset="d", profiles=tuple(cost_models)), cost_models)
    errors = [np.array(row) for row in magnitude(net, model, [[o.patterns for o in u.options] for u in built.units])]
    couplings = Couplings(model, built, cost_models)
    for profile in cost_models:
        build_s, found = _timed(lambda profile=profile: couplings.on(profile, errors))  # type: ignore[misc]
        front_s, front = _timed(lambda profile=profile: couplings.front(profile, errors))  # type: ignore[misc]
        table = cost_table(model, built, {profile: cost_models[profile]})
        offered = candidates(built, weighted(table, {profile: 1.0}), errors)
        added_s, added = _timed(offered.solve)
        exact_ms = np.array([couplings.exact_ms(profile, offered.picked(row)) for row in added.choices])
        sys.stdout.write(
            f"\n{profile}: {len(built.units)} units, {sum(len(u.options) for u in built.units)} options, "
            f"{len(found.estimated)} layers estimated\n"
            f"tables {build_s:.2f} s; coupled front {front_s:.2f} s, {len(front.errors)} plans, of which "
            f"{np.mean(front.gaps <= 1e-6 * front.errors + 1e-9):.0%} proven; additive front {added_s:.2f} s, "
            f"{len(added)} plans\n"
            "| of dense | additive error | coupled error | less by | nothing below | one limit, s |\n"
            "|---|---|---|---|---|---|\n"
        )
        dense_ms = couplings.exact_ms(profile, [0] * len(built.units))
        for share in SHARES:
            within = added.errors[exact_ms <= share * dense_ms * (1 + 1e-9)]
            sys.stdout.write(_row(couplings, profile, errors, share * dense_ms, float(within.min(initial=np.inf))))


def _row(couplings: Couplings, profile: str, errors: list[Floats], limit_ms: float, additive: float) -> str:
    """One latency: both errors, and the bound."""
    found = couplings.on(profile, errors)
    one_s, choices = _timed(lambda: next(couplings.offers(profile, errors, limit_ms)))
    error = found.problem.priced(found.widths(choices), frozenset())[1]
    lowest = float(couplings.front(profile, errors).bound.at(limit_ms))
    share = limit_ms / couplings.exact_ms(profile, [0] * len(couplings.space.units))
    return f"| {share:.2f} | {additive:.4f} | {error:.4f} | {1 - error / additive:.1%} | {lowest:.4f} | {one_s:.3f} |\n"


def _read(path: Path) -> tuple[GraphNet, ModelSpec]:
    document, tensors = read_exported_program(path)
    with TemporaryDirectory() as folder:
        write_model(document, tensors, Path(folder))
        net = load(Path(folder))
    return net, describe(net)


def _devices(model: ModelSpec) -> dict[str, CostModel]:
    rows = tuple(ProfileRow(layer=layer.name, latency_ms=0.01 + layer.macs / 1e8) for layer in model.layers)
    made = Profile(name="made", device="made", batch=1, precision="float32", source="measured", rows=rows)
    return {
        "eyeriss-v2": cost_model(accelerator_profile("eyeriss-v2", 1), model),
        "made": cost_model(made, model),
    }


def _timed(work: Callable[[], Found]) -> tuple[float, Found]:
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


if __name__ == "__main__":
    main()
