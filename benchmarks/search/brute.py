"""Two small networks for the digits, every plan of which is tried once: the truth of a problem that is not additive.

Trained here for the seed, priced as Eyeriss v2 (analytical). A plan's loss is the mean KL divergence from the dense
network's answers, in nats, on the calibration split, with masks by magnitude and no recovery; the error table holds the
same loss one layer at a time. So what the additive front misses is what additivity misses.
"""

from collections.abc import Iterator, Mapping
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
from benchmarks.search.problem import Floats
from benchmarks.search.tabular import Tabular, weighed
from costmodels.catalogue import accelerator_profile, cost_model
from pruning import graphnet
from pruning.apply import pruned_in_place
from pruning.convert import convert
from pruning.graphnet import GraphNet
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.masked import find_tensor
from pruning.patterns import NM, Dense, Pattern, Unstructured
from pruning.plan import PruningPlan
from pruning.recover import RecoveryConfig, recover
from pruning.trace import trace

_LEVELS: tuple[Pattern, ...] = (Dense(), *map(Unstructured, (0.5, 0.7, 0.8, 0.9, 0.95)), NM(2, 4))
_SAMPLES = 96


def _convolutions() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, 2, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 24, 3, 2, padding=1, bias=False), nn.BatchNorm2d(24), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)),
    )


def _perceptron() -> nn.Module:
    widths = (64, 48, 48, 32, 10)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(widths[:-1])]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(*widths[-2:]))


NETS = {"brute-force convolutions": _convolutions, "brute-force perceptron": _perceptron}


def brute(folder: Path) -> Iterator[Tabular]:
    """The problems; what was tried is kept in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "digits.zip"
    if not data.exists():
        prepare("digits", None, {}, lambda _fraction, _text: None).write(data)
    for name in NETS:
        yield _problem(name, folder, Dataset(data))


def _problem(name: str, folder: Path, data: Dataset) -> Tabular:
    net = _trained(name, folder / name.replace(" ", "-"), data)
    model = trace(net)
    price = cost_model(accelerator_profile("eyeriss-v2", 1), model)
    patterns = [_legal(model, layer.name) for layer in model.layers]
    times = [
        np.array([price.cost(layer, layer, pattern).latency_ms for pattern in found])
        for layer, found in zip(model.layers, patterns, strict=True)
    ]
    dense_ms = price.overhead_ms + sum(float(time[0]) for time in times)
    kept = folder / f"{name.replace(' ', '-')}.npy"
    if not kept.exists():
        np.save(kept, _tried(net, model, patterns, Feed(data, "calibration", Task(), _SAMPLES)))
    truth: Floats = np.load(kept, allow_pickle=False)
    alone = [truth[tuple(slice(None) if i == u else 0 for i in range(truth.ndim))] for u in range(truth.ndim)]
    strengths = tuple(np.array([-np.log(pattern.density) for pattern in found]) for found in patterns)
    problem = Tabular(
        name=f"{name}, {truth.size} plans",
        costs=tuple(time / dense_ms for time in times),
        table=tuple(alone),
        strengths=strengths,
        overhead=price.overhead_ms / dense_ms,
        table_passes=sum(len(found) - 1 for found in patterns),
        truth=truth,
        bands=(0.6, 0.45, 0.35, 0.25, 0.15),
    )
    return weighed(problem)


def _legal(model: ModelSpec, name: str) -> list[Pattern]:
    layer = model.layer(name)
    return [p for p in _LEVELS if not isinstance(p, NM) or layer.in_channels >= p.group]


def _trained(name: str, folder: Path, data: Dataset) -> GraphNet:
    if not folder.exists():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = NETS[name]()
        batches = Feed(data, "train", Task()).shuffled(64, 0)
        for _ in recover(net, batches, RecoveryConfig(steps=200, learning_rate=0.1), nn.functional.cross_entropy, 0):
            pass
        source = folder.with_suffix(".pt2")
        convert(net.eval(), torch.zeros(2, 1, 8, 8), source)
        folder.mkdir()
        write_model(*read_exported_program(source), folder)
    return graphnet.load(folder).eval()


@torch.no_grad()
def _tried(net: GraphNet, model: ModelSpec, patterns: list[list[Pattern]], feed: Feed) -> Floats:
    """Every plan's loss, from weights that are pruned once a layer and option, and stitched."""
    inputs, _ = feed.read(feed.numbers)
    dense = net(inputs).log_softmax(dim=1)
    layers = [layer.name for layer in model.layers]
    weights = {layer: find_tensor(net, model.layer(layer).parameter) for layer in layers}
    stitched = [_variants(net, model, name, found) for name, found in zip(layers, patterns, strict=True)]
    shape = tuple(len(found) for found in patterns)
    losses = np.empty(prod(shape))
    last: tuple[int, ...] = ()
    for number, choice in enumerate(product(*map(range, shape))):
        for unit, index in enumerate(choice):
            if not last or last[unit] != index:
                weights[layers[unit]].copy_(stitched[unit][index])
        last = choice
        found = net(inputs).log_softmax(dim=1)
        losses[number] = float((dense.exp() * (dense - found)).sum(dim=1).mean())
    for unit, name in enumerate(layers):
        weights[name].copy_(stitched[unit][0])
    return np.maximum(losses, 0.0).reshape(shape)


def _variants(net: GraphNet, model: ModelSpec, name: str, found: list[Pattern]) -> list[Tensor]:
    variants = []
    for pattern in found:
        asked: Mapping[str, Pattern] = {} if isinstance(pattern, Dense) else {name: pattern}
        with pruned_in_place(net, model, PruningPlan(pruner="magnitude", patterns=asked)):
            variants.append(find_tensor(net, model.layer(name).parameter).detach().clone())
    return variants
