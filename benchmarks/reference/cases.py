"""The four tasks: where their models and data come from, and how the models that nobody gave us are trained.

The digits network is the demo's; the ResNet-20 is the one kept beside the checkout. A MobileNet-v1 of half width for
32 pixels (its first convolution has stride 1) and a BERT-like encoder of two layers are trained here, on the train
split alone, with the product's own batches and training loop.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from app.search.reference import train_digits
from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from pruning.architectures import build
from pruning.convert import convert
from pruning.recover import RecoveryConfig, recover

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
_CIFAR = SHARED / "cifar10-jpeg"
_PIXELS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_TEXT = {"length": 48, "vocabulary": 8000}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task: its data as they are registered, how the model reads them, and the steps that train the model."""

    name: str
    kind: str
    upload: Path | None
    options: Mapping[str, Any] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=dict)
    training: RecoveryConfig | None = None  # None: the model is there

    @property
    def ready(self) -> bool:
        """Whether its data are on this machine."""
        return self.upload is None or self.upload.exists() or (self.name == "encoder" and (SHARED / "sst2").exists())


def cases(folder: Path) -> dict[str, Case]:
    """The four, by name; what they need is kept in `folder`."""
    pixels = {"kind": "images", "upload": _CIFAR / "cifar10-jpeg.zip", "task": _PIXELS}
    found = (
        Case(name="digits", kind="digits", upload=None, training=RecoveryConfig(steps=280, learning_rate=0.1)),
        Case(name="resnet20", **pixels),
        Case(
            name="mobilenet",
            **pixels,
            training=RecoveryConfig(steps=1200, learning_rate=0.1, clip_norm=5.0),
        ),
        Case(
            name="encoder",
            kind="text",
            upload=folder / "sst2.zip",
            options=_TEXT,
            training=RecoveryConfig(steps=1500, learning_rate=1e-3, weight_decay=0.05, optimizer="adamw"),
        ),
    )
    return {case.name: case for case in found}


def make(case: Case, folder: Path) -> Iterator[str]:
    """Write the model's file `<name>.pt2` into `folder`, and the data's upload if it must be packed; tells of it."""
    target = folder / f"{case.name}.pt2"
    if case.name == "encoder" and case.upload is not None and not case.upload.exists():
        _pack(case.upload)
    if target.exists():
        return
    if case.training is None:
        target.write_bytes((_CIFAR / "resnet20.pt2").read_bytes())
        return
    if case.name == "digits":
        model, example = train_digits(), torch.rand(2, 1, 8, 8)
    else:
        arrays = folder / f"{case.kind}.zip"
        if not arrays.exists():
            yield f"preparing the data of {case.name}"
            prepare(case.kind, case.upload, dict(case.options), lambda _fraction, _text: None).write(arrays)
        data = Dataset(arrays)
        model = _net(case, data)
        yield from _trained(case, model, data)
        inputs = Feed(data, "calibration", Task(**case.task), 2).read(data.numbers("calibration")[:2])[0]
        example = inputs
    convert(model.eval(), example, target)


def _net(case: Case, data: Dataset) -> nn.Module:
    torch.manual_seed(0)
    if case.name == "mobilenet":
        net = build("mobilenet_v1", {"size": 32, "classes": 10, "width": 0.5})
        net.features[0][0].stride = (1, 1)
        return net
    words = int(data.meta["vocabulary"])
    sizes = {"depth": 2, "width": 64, "heads": 4, "hidden": 256, "tokens": _TEXT["length"], "classes": 2}
    return build("bert", {**sizes, "vocabulary": words})


def _trained(case: Case, net: nn.Module, data: Dataset) -> Iterator[str]:
    assert case.training is not None
    pixels = case.kind == "images"
    task = Task(**case.task, augment=("flip", "crop") if pixels else ())
    batches = Feed(data, "train", task).shuffled(128 if pixels else 64, 0)
    for step in recover(net, batches, case.training, cross_entropy, 0):
        if step.step % 100 == 0:
            yield f"{case.name}: step {step.step} of {step.steps}, loss {step.loss:.3f}"
    yield f"{case.name}: test accuracy {accuracy(net, data, Task(**case.task)):.4f}"


@torch.no_grad()
def accuracy(net: nn.Module, data: Dataset, task: Task) -> float:
    """On the test split."""
    net.eval()
    right = []
    for inputs, targets in Feed(data, "test", task).in_order(250):
        answer = net(*inputs) if isinstance(inputs, tuple) else net(inputs)
        right.append(answer.argmax(dim=1) == targets)
    return float(torch.cat(right).double().mean())


def _pack(target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train", "dev", "test"):
            archive.write(SHARED / "sst2" / f"{name}.tsv", f"{name}.tsv")
