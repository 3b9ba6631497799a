"""What it saves that layer solvers walk a graph once, with all calibration batches in step.

Run: `python -m benchmarks.solving model.pt2`, with any exported model of one float input. SparseGPT, half of every
layer's weights; random inputs, for times do not depend on what they show. Times are processor times of one thread,
medians of three turns; memory is the peak of tensors beyond what stood before. Both ways' weights are compared, bit for
bit.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch.profiler import ProfilerActivity, profile

from pruning.graphnet import GraphNet, load
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.oneshot import OPS, solve_layers
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from pruning.recover import Batch
from pruning.trace import trace

SAMPLES, BATCH, TURNS = 256, 128, 3


def main() -> None:
    """Print a line a way."""
    torch.set_num_threads(1)
    with TemporaryDirectory(prefix="espalier-") as folder:
        write_model(*read_exported_program(Path(sys.argv[1])), Path(folder))
        net = load(Path(folder)).eval()
    spec, generator = trace(net), torch.Generator().manual_seed(0)
    shape = [size for size in net.document.inputs[0].shape if size is not None][-3:]
    parts = [torch.randn(BATCH, *shape, generator=generator) for _ in range(SAMPLES // BATCH)]
    batches = [(part, torch.zeros(len(part))) for part in parts]
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(TURNS):
        for abreast, taken in times.items():
            taken.append(_seconds(net, spec, batches, abreast))
    solved = [_solved(net, spec, batches, abreast) for abreast in times]
    same = all(torch.equal(a, b) for a, b in zip(*(found.parameters() for found in solved), strict=True))
    slow, fast = (median(taken) for taken in times.values())
    peaks = [_peak_bytes(net, spec, batches, abreast) / 2**20 for abreast in times]
    sys.stdout.write(
        f"{len(spec.layers)} layers, {SAMPLES} samples; the same weights: {same}\n"
        f"a pass a layer: {slow:.2f} s, {peaks[0]:.0f} MiB\n"
        f"one pass in all: {fast:.2f} s, {peaks[1]:.0f} MiB; {slow / fast:.1f} x as fast\n"
    )


def _seconds(net: GraphNet, spec: ModelSpec, batches: Sequence[Batch], abreast: bool) -> float:
    begun = time.process_time()
    _solved(net, spec, batches, abreast)
    return time.process_time() - begun


def _solved(net: GraphNet, spec: ModelSpec, batches: Sequence[Batch], abreast: bool) -> GraphNet:
    found = deepcopy(net)
    for _ in _layers(found, spec, batches, abreast):
        pass
    return found


def _layers(net: GraphNet, spec: ModelSpec, batches: Sequence[Batch], abreast: bool) -> Iterator[object]:
    patterns = {layer.name: Unstructured(0.5) for layer in spec.layers if layer.op in OPS}
    return solve_layers(net, spec, PruningPlan(pruner="sparsegpt", patterns=patterns), batches, abreast=abreast)


def _peak_bytes(net: GraphNet, spec: ModelSpec, batches: Sequence[Batch], abreast: bool) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        _solved(net, spec, batches, abreast)
    level = peak = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            level += event.nbytes()
            peak = max(peak, level)
    return peak


if __name__ == "__main__":
    main()
