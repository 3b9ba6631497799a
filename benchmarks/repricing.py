"""How long re-pricing takes: all stored trials of a model on a profile that came later.

Run: `python -m benchmarks.repricing`. The store is a real one (SQLite on disk); the model has the shapes of ResNet-20,
the profile a measured row a layer and a modelled rest. The bound beside it is reading the trials alone.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from app.search.devices.reprice import reprice
from app.search.space.price import price_plan
from app.search.spec import SearchSpec
from app.search.trial import Measurement, Trial
from app.store import fronts, models, profiles, projects, repricings, searches, trials
from app.store.database import Database
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.profile import Profile, ProfileRow
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec
from pruning.patterns import NM, Channel, Pattern, Unstructured
from pruning.plan import PruningPlan

TRIALS, SEARCHES = 10_000, 4
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98)


def resnet20() -> ModelSpec:
    """Layers and inner channel groups of ResNet-20 for images of 32 x 32."""
    layers, groups = [_conv("conv1", 3, 16, 32)], []
    for stage, (width, size) in enumerate(((16, 32), (32, 16), (64, 8))):
        for block in range(3):
            inputs = width // 2 if block == 0 and stage else width
            pair = [_conv(f"s{stage}b{block}c{n}", inputs if n == 1 else width, width, size) for n in (1, 2)]
            groups += [_group(*each) for each in pairwise(pair)]
            layers += pair
    layers.append(LayerSpec(name="fc", parameter="fc.w", op="linear", in_channels=64, out_channels=10))
    weights = sum(layer.weights for layer in layers)
    return ModelSpec(
        layers=tuple(layers),
        groups=tuple(groups),
        input_shape=(3, 32, 32),
        output_shapes=((10,),),
        parameter_count=weights,
    )


def _conv(name: str, inputs: int, outputs: int, size: int) -> LayerSpec:
    return LayerSpec(
        name=name, parameter=f"{name}.w", op="conv2d", in_channels=inputs, out_channels=outputs, kernel=(3, 3),
        input_size=(size, size), output_size=(size, size), positions=size * size,
    )  # fmt: skip


def _group(producer: LayerSpec, consumer: LayerSpec) -> ChannelGroup:
    cuts = (
        Cut(parameter=producer.parameter, dim=0, role="producer"),
        Cut(parameter=consumer.parameter, dim=1, role="consumer"),
    )
    return ChannelGroup(
        name=producer.name,
        channels=producer.out_channels,
        producers=(producer.name,),
        consumers=(consumer.name,),
        cuts=cuts,
    )


def plan_of(model: ModelSpec, draw: random.Random) -> PruningPlan:
    """A plan at random, a pattern on every layer."""
    cuttable = {name for group in model.groups for name in group.producers}

    def pattern(name: str) -> Pattern:
        sparsity = draw.choice(SPARSITIES)
        kinds: list[Pattern] = [Unstructured(sparsity), NM(2, 4), *([Channel(sparsity)] if name in cuttable else [])]
        return draw.choice(kinds)

    return PruningPlan(pruner="magnitude", patterns={layer.name: pattern(layer.name) for layer in model.layers})


def device(model: ModelSpec) -> Profile:
    """A measured profile with a row a layer, dense and at two sparsities."""
    rows = [
        ProfileRow(layer=layer.name, pattern=pattern, latency_ms=share * layer.macs / 1e8)
        for layer in model.layers
        for pattern, share in (("dense", 1.0), ("unstructured@0.5", 0.9), ("unstructured@0.9", 0.4))
    ]
    return Profile(name="later", device="later", batch=1, precision="float32", source="measured", rows=tuple(rows))


def _trial(number: int, plan: PruningPlan, draw: random.Random, old: CostModel, model: ModelSpec) -> Trial:
    quality = draw.random()
    measured = Measurement(
        metric="accuracy", value=quality, standard_error=0.01, samples=1000, seed=0, fidelity=200, split="validation"
    )
    return Trial(
        number=number, role="searched", state="complete", plan=plan, seed=number, recovery_steps=200,
        costs=price_plan(model, plan, {"old": old}), measurements=(measured,), report={"layers": []}, attempts=1,
    )  # fmt: skip


@contextmanager
def filled(model: ModelSpec) -> Iterator[tuple[Database, str, str]]:
    """A store with the trials, its project and the model's id."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'espalier.db'}")
        database.migrate()
        draw, old = random.Random(0), cost_model(accelerator_profile("eyeriss-v2", 1), model)
        with database.begin() as s:
            project = projects.default(s).id
            key = models.add(s, project_id=project, name="net", upload_digest="0" * 64).id
            for _ in range(SEARCHES):
                spec = SearchSpec(model=key, dataset="d", profiles=("old",))
                search = searches.add(s, project_id=project, spec=spec).id
                made = [_trial(n, plan_of(model, draw), draw, old, model) for n in range(2, TRIALS // SEARCHES + 2)]
                trials.add_asked(s, search, [trial.evolve(state="queued", measurements=()) for trial in made])
                for trial in made:
                    trials.record(s, search, trial)
                fronts.update(s, search, ["old"])
        yield database, project, key
        database.dispose()


def _seconds(call: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """On the clock, and of this process: on a busy machine the second says more."""
    times: list[tuple[float, float]] = []
    for _ in range(repeats):
        start, start_own = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - start, time.process_time() - start_own))
    return min(clock for clock, _ in times), min(own for _, own in times)


def main() -> None:
    """Print seconds, and the ratio to reading alone."""
    write, model = sys.stdout.write, resnet20()
    profile = device(model)
    with filled(model) as (database, project, key):

        def read() -> dict[str, list[repricings.CompletePlan]]:
            with database.read() as s:
                known = searches.of_model(s, project, key)
                return {search.id: repricings.complete_plans(s, search.id) for search in known}

        def whole() -> None:
            found, priced_on = read(), cost_model(profile, model)
            plans = [plan for each in found.values() for plan in each]
            costs = iter(reprice(model, [plan.plan for plan in plans], later, priced_on))
            for search, each in found.items():
                with database.begin() as s:
                    repricings.store(s, search, later, None, [(plan, next(costs)) for plan in each])

        with database.begin() as s:
            document = profile.to_json()
            later = profiles.add(s, project_id=project, name="later", document=document, digest=profile.digest).id
        documents = [plan.plan for each in read().values() for plan in each]
        read_s, whole_s = _seconds(read), _seconds(whole)
        price_s = _seconds(lambda: reprice(model, documents, "later", cost_model(profile, model)))
        few = [PruningPlan.from_json(document) for document in documents[:300]]
        fresh = cost_model(profile, model)
        alone_s = _seconds(lambda: [price_plan(model, plan, {"later": fresh}) for plan in few], 1)[1] / len(few)
    write(f"{TRIALS} stored trials of {SEARCHES} searches, {len(model.layers)} layers, best of 3; clock, processor\n")
    write(f"reading the plans: {read_s[0]:.2f} s, {read_s[1]:.2f} s\n")
    write(f"pricing them: {price_s[0]:.2f} s, {price_s[1]:.2f} s; one at a time it would be {alone_s * TRIALS:.1f} s\n")
    write(f"re-pricing, from the request to the stored fronts: {whole_s[0]:.2f} s, {whole_s[1]:.2f} s; ")
    write(f"{whole_s[1] / read_s[1]:.1f} x reading\n")


if __name__ == "__main__":
    main()
