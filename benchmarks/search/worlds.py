"""The networks and their data, made once into a folder: the reference network for the digits, ResNet-20 for CIFAR-10.

ResNet-20: public weights and CIFAR-10 recompressed as JPEG, both kept beside the checkout. The weights have seen the
train images, so `validation` (500) and `test` (1,000) are drawn from the test images; recovery and calibration use
8,000 and 512 train images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from app.search.reference import train_digits
from app.search.samples.dataset import Dataset, Prepared
from app.search.sources import prepare
from app.search.spec import Recovery, SearchSpec, Task
from pruning import graphnet
from pruning.convert import convert
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.trace import trace

_CIFAR = Path("data") / "cifar10-jpeg"
_FEW = {"train": 8000, "calibration": 512, "validation": 500, "test": 1000}
_TASKS = {"digits": Task(), "resnet20": Task(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))}


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much a recovery is, and how many of them a run may pay for."""

    steps: int
    batch: int = 64
    recoveries: int = 18  # the budget, in sample-passes of one recovery and its measurement
    calibration: int = 256  # samples of the error table and of one-shot losses
    recovery_seeds: tuple[int, ...] = (0, 1, 2)
    device: str = "eyeriss-v2"  # of the catalogue
    precision: str = "int8"


SCALES = {
    "digits": Scale(steps=20, recoveries=20, calibration=128, device="arm-ethos-u85-256"),
    "resnet20": Scale(steps=40, recoveries=18, calibration=128),
}


@dataclass(frozen=True, kw_only=True)
class World:
    """A network, its data, and the search that its rivals share the terms of."""

    name: str
    net: GraphNet
    model: ModelSpec
    dataset: Dataset
    spec: SearchSpec
    files: Mapping[str, str]


def open_world(name: str, scale: Scale, folder: Path, shared: Path) -> World:
    """The world, made if it is not there; FileNotFoundError where its sources are not."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "data.zip").exists():
        _make(name, shared, folder)
    net, data = graphnet.load(folder / "model"), Dataset(folder / "data.zip")
    spec = SearchSpec(
        model=name,
        dataset=name,
        profiles=("device",),
        precision=scale.precision,
        task=_TASKS[name],
        nm=("keep2of4", "keep1of4"),
        pruners=("magnitude", "pdp", "sparsegpt"),
        recovery=Recovery(steps=scale.steps, batch=scale.batch),
        calibration_samples=scale.calibration,
        trials=scale.recoveries,
    )
    files = {
        "graph": str(folder / "model" / "graph.json"),
        "weights": str(folder / "model" / "weights.safetensors"),
        "dataset": str(folder / "data.zip"),
    }
    return World(name=name, net=net, model=trace(net), dataset=data, spec=spec, files=files)


def _make(name: str, shared: Path, folder: Path) -> None:
    source = folder / "net.pt2" if name == "digits" else shared / _CIFAR / "resnet20.pt2"
    if name == "digits":
        convert(train_digits(0), torch.zeros(2, 1, 8, 8), source)
        prepared = prepare("digits", None, {}, lambda _fraction, _text: None)
    else:
        prepared = _fewer(prepare("images", shared / _CIFAR / "cifar10-jpeg.zip", {}, lambda _fraction, _text: None))
    (folder / "model").mkdir(exist_ok=True)
    write_model(*read_exported_program(source), folder / "model")
    prepared.write(folder / "data.zip")


def _fewer(whole: Prepared) -> Prepared:
    """Some samples of each split, at random."""
    random = np.random.default_rng(0)
    taken = {name: np.sort(random.choice(part, _FEW[name], replace=False)) for name, part in whole.splits.items()}
    numbers = np.concatenate(list(taken.values()))
    starts = np.cumsum([0, *(len(part) for part in taken.values())])
    splits = {name: np.arange(len(part)) + start for (name, part), start in zip(taken.items(), starts, strict=False)}
    return replace(whole, inputs=whole.inputs[numbers], labels=whole.labels[numbers], splits=splits)
