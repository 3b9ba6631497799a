"""A complete trial on the digits with its files, made by the real tasks: what exports start from."""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app.search.evaluation.evaluate import Setting
from app.search.exports.exporting import Exported, Request, export
from app.search.exports.passport import Format
from app.search.spec import Recovery, SearchSpec
from app.search.tasks import TASKS
from app.search.tasks.base import setting as setting_of
from app.search.trial import Measurement, Trial, TrialCost
from pruning.convert import convert
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import PruningPlan
from tests.app.search.datasets import quiet

torch.set_num_threads(1)
PLAN = PruningPlan(
    pruner="magnitude", patterns={"stem": Channel(0.5), "body": NM(keep=2, group=4), "head": Unstructured(0.5)}
)
SPEC = SearchSpec(model="m", dataset="d", profiles=("p",), recovery=Recovery(steps=6, batch=32))
COST = TrialCost(
    profile="p",
    latency_ms=1.5,
    sources={"measured": 1.0},
    derivations={"exact": 1.0},
    low_ms=1.0,
    high_ms=2.0,
)


class Net(nn.Module):
    """`b x 1 x 8 x 8` to ten logits; the channels of the stem can go."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.body(torch.relu(self.norm(self.stem(x)))))
        found: Tensor = self.head(x.mean((2, 3)))
        return found


@dataclass
class World:
    """A complete trial with its files, and what its exports are made from."""

    payload: dict[str, Any]
    trial: Trial
    stored: dict[str, Path]
    folder: Path

    @property
    def setting(self) -> Setting:
        """What its trials run in."""
        found: Setting = setting_of(self.payload)
        return found

    def export(self, folder: Path, *formats: Format, **changes: Any) -> Exported:
        """Take the hops; `changes` go to the request."""
        provenance = {"search": "s1", "hashes": {"dataset": "0" * 64}, "profiles": {"p": "chip"}}
        request = Request(trial=self.trial, stored=self.stored, formats=formats, provenance=provenance)
        return export(self.setting, replace(request, **changes), folder, quiet)


def make(folder: Path, profile: str = "p") -> World:
    """Train nothing: random weights, pruned and recovered for six steps."""
    torch.manual_seed(0)
    convert(Net(), torch.rand(2, 1, 8, 8), folder / "net.pt2")
    (folder / "trial").mkdir()
    seen, files = TASKS["inspect"]({"upload": str(folder / "net.pt2")}, folder, quiet)
    _, arrays = TASKS["prepare"]({"kind": "digits", "upload": None, "options": {"seed": 0}}, folder, quiet)
    payload = {
        **files,
        "dataset": arrays["arrays"],
        "model_spec": ModelSpec.from_json(seen["spec"]).to_json(),
        "search_spec": SPEC.to_json(),
    }
    trial = Trial(
        number=3,
        role="searched",
        state="queued",
        plan=PLAN,
        seed=5,
        recovery_steps=6,
        costs=(replace(COST, profile=profile),),
    )
    result, left = TASKS["trial"]({**payload, "trial": trial.to_json()}, folder / "trial", quiet)
    measured = tuple(Measurement(**entry) for entry in json.loads(json.dumps(result["measurements"])))
    report = json.loads(json.dumps(result["report"]))
    paths = {kind: Path(path) for kind, path in left.items()}
    digests = {kind: digest(path) for kind, path in paths.items()}
    done = trial.evolve(state="complete", measurements=measured, report=report, files=digests)
    return World(payload=payload, trial=done, stored=paths, folder=folder)


def digest(path: Path) -> str:
    """sha256 of a file."""
    return sha256(path.read_bytes()).hexdigest()
