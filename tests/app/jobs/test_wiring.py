"""The worker with the real tasks: an uploaded network, real data, torch in the children and nowhere else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.search.spec import Recovery, SearchSpec
from app.store import datasets, models, profiles, searches, trials
from costmodels.catalogue import accelerator_profile
from tests.app.jobs.world import ROOT, World

_WORKER = (
    "import sys\nfrom app.jobs.worker import run_worker\nfrom app.settings import Settings\n"
    "run_worker(Settings())\nprint('torch' in sys.modules)\n"
)


def _upload(path: Path) -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1),
        nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
    ).eval()  # fmt: skip
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(net, (torch.rand(2, 1, 8, 8),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


@pytest.mark.slow
def test_an_uploaded_network_is_read_measured_searched_and_stored(tmp_path: Path) -> None:
    world = World(tmp_path)
    _upload(tmp_path / "net.pt2")
    digest, _ = world.blobs.put_file(tmp_path / "net.pt2")
    chip = accelerator_profile("eyeriss-v2", 1)
    with world.database.begin() as s:
        model = models.add(s, project_id=world.project, name="net", upload_digest=digest)
        data = datasets.add(
            s, project_id=world.project, name="digits", kind="digits", upload_digest=None, options={"seed": 0}
        )
        wish = {"model": model.id, "batch": 1, "threads": 1}
        here = profiles.add(s, project_id=world.project, name="this machine", request=wish)
        there = profiles.add(s, project_id=world.project, name="chip", document=chip.to_json(), digest=chip.digest)
        spec = SearchSpec(
            model=model.id,
            dataset=data.id,
            profiles=(here.id, there.id),
            trials=3,
            recovery=Recovery(steps=5),
            acknowledge=("precision",),
        )
        search = searches.add(s, project_id=world.project, spec=spec)
    settings = {"ESPALIER_DATA_DIR": str(world.settings.data_dir), "ESPALIER_SLOTS": "2"}
    worker = subprocess.Popen(
        [sys.executable, "-c", _WORKER], cwd=ROOT, env=os.environ | settings, text=True, stdout=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 200.0
        while not world.over(search.id)() and time.monotonic() < end:
            time.sleep(0.2)
    finally:
        worker.terminate()
        said, _ = worker.communicate(timeout=30)
    assert world.search(search.id).state == "succeeded", world.search(search.id).failure
    found = world.trials(search.id)
    assert [t.state for t in found] == ["complete"] * 5, [t.failure for t in found]
    for trial in found:
        assert {cost.profile for cost in trial.costs} == {here.id, there.id}
        accuracy = trial.value("accuracy", "test")
        assert accuracy is not None
        assert 0.0 <= accuracy.value <= 1.0
        assert {"weights", "model"} <= set(trial.files)
    with world.database.read() as s:
        assert trials.get(s, search.id, 0).trial.role == "dense"
    assert said.split()[-1] == "False", "the worker itself never loads torch"
    world.close()
