"""A search is priced under the calibration that its spec names, whatever is added later."""

from pathlib import Path

from app.jobs.problem import build_problem, find_parts, option_key, score_key
from app.search.spec import SearchSpec
from app.store import calibrations, datasets, models, searches
from costmodels.calibrate import CalibrationPoint, calibrate
from costmodels.catalogue import accelerator_profile
from costmodels.network import network_cost
from pruning.plan import PruningPlan
from tests.app.api.world import MODEL
from tests.app.jobs.world import World


def test_the_pinned_version_prices_the_search(tmp_path: Path) -> None:
    world = World(tmp_path)
    model, dataset, profile = world.parts()
    empty, _ = world.blobs.put_bytes(b"x")
    chip = accelerator_profile("eyeriss-v2", 1)
    half = calibrate(chip.digest, [CalibrationPoint(predicted_ms=2.0, measured_ms=1.0)])
    with world.database.begin() as s:
        models.set_ready(s, model, graph_digest=empty, weights_digest=empty, spec=MODEL.to_json())
        datasets.set_ready(s, dataset, meta={"splits": {"train": 64}}, arrays_digest=empty)
        pinned = calibrations.add(
            s, project_id=world.project, profile_id=profile, version=1, document=half.to_json()
        ).id
        made = {}
        for chosen in (pinned, None):
            spec = SearchSpec(
                model=model, dataset=dataset, profiles=(profile,), precision="int8", calibrations={profile: chosen}
            )
            made[chosen] = searches.add(s, project_id=world.project, spec=spec).id
        later = calibrate(chip.digest, [CalibrationPoint(predicted_ms=2.0, measured_ms=8.0)], half)
        calibrations.add(s, project_id=world.project, profile_id=profile, version=2, document=later.to_json())
    latencies, keys, options = [], [], []
    for key in made.values():
        with world.database.read() as s:
            search = searches.get(s, world.project, key)
            parts = find_parts(s, search)
        problem = build_problem(search, parts, world.blobs, tmp_path)
        latencies.append(network_cost(MODEL, PruningPlan(pruner=""), problem.cost_models[profile]).latency_ms)
        keys.append(score_key(search, parts))
        options.append(option_key(search, parts))
    assert latencies[0] == latencies[1] / 2
    assert keys[0] != keys[1]
    assert options[0] == options[1], "what an option loses has no price"
    world.close()
