"""Real files of four runtimes against ResNet-18: every layer is found, by whatever the runtime left of it."""

from pathlib import Path

import pytest

from benchmarks.importers import CASES, Case
from costmodels.importers import SourceFile, import_profile
from costmodels.match import match
from costmodels.network import network_cost
from costmodels.profile_table import profile_table
from pruning.plan import PruningPlan
from tests.costmodels.models import resnet18

SHARED = Path(__file__).parents[2] / ".." / "shared"
WHOLE = [case for case in CASES if case.resnet18 and not any("zigzag" in name for name in case.files)]


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the shared profiles are not beside this checkout")
@pytest.mark.parametrize("case", WHOLE, ids=lambda case: Path(case.files[0]).stem)
def test_every_layer_of_resnet18_is_found(case: Case) -> None:
    files = [SourceFile(Path(name).name, (SHARED / name).read_bytes()) for name in case.files]
    model, profile = resnet18(), import_profile(files, case.given)
    report = match(profile, model)
    assert (len(report.matches), report.macs_share, report.ambiguous) == (21, 1.0, ())
    assert report.time_share > 0.6
    if report.rules["scaled"]:
        return  # SCALE-Sim takes no padding: its maps are smaller, and the times were scaled to the model's
    priced = network_cost(model, PruningPlan(pruner=""), profile_table(profile, model, report))
    whole_ms = profile.network_latency_ms or sum(r.latency_ms for r in profile.rows if r.pattern == "dense")
    assert priced.latency_ms == pytest.approx(whole_ms, rel=0.08)
