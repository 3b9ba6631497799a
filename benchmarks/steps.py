"""How much longer is a training step under soft masks than a dense one, and how much more memory does it take?

    python -m benchmarks.steps [--pruners pdp idp] [--workloads resnet20 bert2048] [--rounds 5] [--threads 1]
    python -m benchmarks.steps --full        # images of 224; on a GPU where there is one

A masked and a dense network take turns at whole steps of `pruning.recover`, on equal data, so that whatever else the
machine does meets both. Printed are the median of the masked step, the ratio of medians, its range over the thirds
of the run, and what peak memory has grown by, in copies of the masked weights. The steps are those in the middle of
a recovery, at full sparsity where the pruner has a ramp, and soft. Targets: 1.1 times, and 2 copies, for PDP.

On a CPU ResNet-50's images are 64 wide by default: a twelfth of the arithmetic for the same weights, so that its
ratios are far above those of images of 224.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.step_models import Workload, maskable, workloads
from pruning.masked import MaskedWeight, attach, find_tensor
from pruning.masks import Sparse
from pruning.patterns import Dense, parse
from pruning.pruners import PRUNERS, make
from pruning.recover import RecoverStep, Recovery, RecoveryConfig

_WARM = 2
_STEPS = 1000
_SOFT = {"ramp": 0.0, "harden": 1.0}  # full sparsity from the first step, soft to the last


def soft(name: str) -> dict[str, float]:
    """Settings under which this pruner is soft in the middle of a recovery."""
    known = PRUNERS[name].Settings.__dataclass_fields__
    settings = {key: value for key, value in _SOFT.items() if key in known}
    return settings if "harden" in known or "end" not in known else {**settings, "end": 1.0}


def running(
    workload: Workload, device: torch.device, pruner: str = "", pattern: Sparse | None = None
) -> Iterator[RecoverStep]:
    """Steps from the middle of a recovery, dense or under masks."""
    torch.manual_seed(0)
    net = workload.build().to(device)
    if pattern is not None:
        attach(net, {name: MaskedWeight(make(pruner, pattern, soft(pruner))) for name in maskable(net)})
    config = RecoveryConfig(steps=_STEPS, learning_rate=1e-3)
    recovery = Recovery(net, [workload.batch], config, nn.functional.cross_entropy)
    recovery.done = _STEPS // 2
    return recovery.steps()


def timed(steps: Iterator[RecoverStep], device: torch.device) -> float:
    """One step, in milliseconds: of a GPU's clock time, of a CPU's own time, which other processes take less from."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    start = clock()
    next(steps)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1e3 * (clock() - start)


def peak_bytes(steps: Iterator[RecoverStep], device: torch.device) -> int:
    """The most memory that tensors take during one step beyond what they take before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        next(steps)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        next(steps)
    assert profile.profiler is not None and profile.profiler.kineto_results is not None
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def compare(workload: Workload, device: torch.device, pruner: str, pattern: Sparse, rounds: int) -> str:
    """One line of the table."""
    dense, masked = running(workload, device), running(workload, device, pruner, pattern)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + _WARM):
        order = ((0, dense), (1, masked)) if turn % 2 else ((1, masked), (0, dense))
        for place, steps in order:
            taken = timed(steps, device)
            times[place].extend([taken] if turn >= _WARM else [])
    more = peak_bytes(masked, device) - peak_bytes(dense, device)
    net = workload.build()
    weights = sum(find_tensor(net, name).numel() for name in maskable(net))
    copies = more / (4 * weights)
    return f"{statistics.median(times[1]):9.1f} ms  {ratios(times[1], times[0])}  {copies:+5.2f} copies"


def ratios(times: list[float], dense: list[float]) -> str:
    """The ratio of medians, and its range over the thirds of the run."""
    third = max(1, len(times) // 3)
    parts = [slice(i, i + third) for i in range(0, third * 3, third)]
    by_part = [statistics.median(times[p]) / statistics.median(dense[p]) for p in parts if times[p]]
    whole = statistics.median(times) / statistics.median(dense)
    return f"x {whole:5.2f}  ({min(by_part):.2f} ... {max(by_part):.2f})"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pruners", nargs="+", default=list(PRUNERS), choices=list(PRUNERS))
    parser.add_argument("--workloads", nargs="+", default=["resnet20", "resnet50", "bert2048", "bert128"])
    parser.add_argument("--pattern", default="unstructured@0.9")
    for name, default in {"rounds": 6, "threads": 1, "image": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if args.full and torch.cuda.is_available() else "cpu")
    pattern = parse(args.pattern)
    assert not isinstance(pattern, Dense)
    known = workloads(224 if args.full else args.image, device)
    write(f"{pattern}, {device}, {args.threads} thread(s), {args.rounds} rounds")
    for workload in args.workloads:
        for pruner in args.pruners:
            if pattern.kind in PRUNERS[pruner].patterns():
                write(f"{workload:>9} {pruner:>14} {compare(known[workload], device, pruner, pattern, args.rounds)}")
                gc.collect()


def write(line: str) -> None:
    """One line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
