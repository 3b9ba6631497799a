"""Small networks for the digits, every plan of which is tried once: the truth of a problem that is not additive.

Trained here for the seed, priced as Eyeriss v2 (analytical). A plan's loss is the mean KL divergence from the dense
network's answers, in nats, on the calibration split, without recovery; the error table holds the same loss one layer at
a time. So what the additive front misses is what additivity misses. Masks are by magnitude; the weights that stay are
left as they are, or solved anew for what their layer sees in the dense network ("reconstructed"; see `stitch`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.sources import prepare
from app.search.spec import Task
from app.search.table.stitch import Pieces
from benchmarks.search.problem import Floats
from benchmarks.search.tabular import Tabular, weighed
from costmodels.catalogue import accelerator_profile, cost_model
from pruning import graphnet
from pruning.convert import convert
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import LayerSpec, ModelSpec
from pruning.masked import find_tensor
from pruning.patterns import NM, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import RecoveryConfig, recover
from pruning.trace import trace

_LEVELS: tuple[Pattern, ...] = (Dense(), *map(Unstructured, (0.5, 0.7, 0.8, 0.9, 0.95)), NM(2, 4))
_SAMPLES = 96


def convolutions() -> nn.Module:
    """Four with batch norm, and a linear layer."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 24, 3, 2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
    )


def perceptron() -> nn.Module:
    """Four linear layers."""
    widths = (64, 48, 48, 32, 10)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths[:-1])]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(*widths[-2:]))


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A network, of which every plan is tried; `reconstructed` says what its pruned weights are."""

    name: str
    build: Callable[[], nn.Module]
    seed: int = 0
    reconstructed: bool = False

    @property
    def told(self) -> str:
        """Its name, and what its weights are."""
        return f"{self.name}, {'reconstructed' if self.reconstructed else 'masked'}"


def brute(folder: Path) -> Iterator[Tabular]:
    """The problems; what was tried is kept in the folder."""
    for name, build in (("convolutions", convolutions), ("perceptron", perceptron)):
        for reconstructed in (False, True):
            yield problem(Tried(name=f"brute-force {name}", build=build, reconstructed=reconstructed), folder)


def problem(tried: Tried, folder: Path) -> Tabular:
    """One of them."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{tried.name}-{tried.seed}".replace(" ", "-")
    data = _digits(folder / "digits.zip")
    net = _trained(tried, folder / stem, data)
    model = trace(net)
    price = cost_model(accelerator_profile("eyeriss-v2", 1), model)
    patterns = [_legal(model, layer.name) for layer in model.layers]
    times = [
        np.array([price.cost(layer, layer, pattern).latency_ms for pattern in found])
        for layer, found in zip(model.layers, patterns, strict=True)
    ]
    dense_ms = price.overhead_ms + sum(float(time[0]) for time in times)
    kept = folder / f"{stem}-{'reconstructed' if tried.reconstructed else 'masked'}.npy"
    if not kept.exists():
        feed = Feed(data, "calibration", Task(), _SAMPLES)
        pieces = Pieces(net=net, spec=model, batches=list(feed.in_order(_SAMPLES)) if tried.reconstructed else None)
        np.save(kept, _losses(pieces, patterns, feed))
    truth: Floats = np.load(kept, allow_pickle=False)
    alone = [truth[tuple(slice(None) if i == u else 0 for i in range(truth.ndim))] for u in range(truth.ndim)]
    strengths = tuple(np.array([-np.log(pattern.density) for pattern in found]) for found in patterns)
    found = Tabular(
        name=f"{tried.told}, {truth.size} plans",
        costs=tuple(time / dense_ms for time in times),
        table=tuple(alone),
        strengths=strengths,
        overhead=price.overhead_ms / dense_ms,
        table_passes=sum(len(found) - 1 for found in patterns) + tried.reconstructed,  # it looks at inputs once
        truth=truth,
        bands=(0.6, 0.45, 0.35, 0.25, 0.15),
    )
    return weighed(found)


def _digits(path: Path) -> Dataset:
    if not path.exists():
        prepare("digits", None, {}, lambda _fraction, _text: None).write(path)
    return Dataset(path)


def _legal(model: ModelSpec, name: str) -> list[Pattern]:
    layer = model.layer(name)
    return [p for p in _LEVELS if not isinstance(p, NM) or layer.in_channels >= p.group]


def _trained(tried: Tried, folder: Path, data: Dataset) -> GraphNet:
    if not folder.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(tried.seed)
            net = tried.build()
        batches = Feed(data, "train", Task()).shuffled(64, tried.seed)
        config = RecoveryConfig(steps=200, learning_rate=0.1)
        for _ in recover(net, batches, config, nn.functional.cross_entropy, tried.seed):
            pass
        source = folder.with_suffix(".pt2")
        convert(net.eval(), torch.zeros(2, 1, 8, 8), source)
        folder.mkdir()
        write_model(*read_exported_program(source), folder)
    return graphnet.load(folder).eval()


@torch.no_grad()
def _losses(pieces: Pieces, patterns: list[list[Pattern]], feed: Feed) -> Floats:
    """Every plan's loss, from weights that are pruned once a layer and option, and stitched."""
    net, model = pieces.net, pieces.spec
    inputs, _ = feed.read(feed.numbers)
    dense = net(inputs).log_softmax(dim=1)
    weights = [find_tensor(net, layer.parameter) for layer in model.layers]
    stitched = [_variants(pieces, layer, found) for layer, found in zip(model.layers, patterns, strict=True)]
    shape = tuple(len(found) for found in patterns)
    losses = np.empty(prod(shape))
    last: tuple[int, ...] = ()
    for number, choice in enumerate(product(*map(range, shape))):
        for unit, index in enumerate(choice):
            if not last or last[unit] != index:
                weights[unit].copy_(stitched[unit][index])
        last = choice
        found = net(inputs).log_softmax(dim=1)
        losses[number] = float((dense.exp() * (dense - found)).sum(dim=1).mean())
    for weight, variants in zip(weights, stitched, strict=True):
        weight.copy_(variants[0])
    return np.maximum(losses, 0.0).reshape(shape)


def _variants(pieces: Pieces, layer: LayerSpec, found: list[Pattern]) -> list[Tensor]:
    dense = find_tensor(pieces.net, layer.parameter).detach().clone()
    plans = [PruningPlan(pruner="magnitude", patterns={layer.name: pattern}) for pattern in found]
    return [pieces.weights(plan).get(layer.parameter, dense) for plan in plans]
