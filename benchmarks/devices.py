"""What four devices more cost a search: one error table and one accuracy a trial, prices on all.

Run: `python -m benchmarks.devices` (minutes). The reference network on the digits, searched for one device and for five
of the catalogue, by turns, in this process; processor time, so that what else the machine does counts little. The
single device is the one of the five on which most options pay: with another one the space itself would be smaller.
"""

import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from app.jobs.inline import InlineExecutor
from app.jobs.perform import Report, TaskFunction, TaskTable
from app.search.events import SpaceReady, TrialFinished
from app.search.run import run
from app.search.spec import Recovery, SearchSpec
from app.search.tasks import TASKS
from app.search.work.follow import Problem
from benchmarks.methods.world import make, open_world
from costmodels import accelerator
from costmodels.base import CostModel
from costmodels.catalogue import accelerator_profile, cost_model
from pruning.layers import ModelSpec

DEVICES = ("eyeriss-v2", "server-cpu-sparse", "arm-ethos-u55-128", "phone-cpu-xnnpack", "nvidia-a100")
Found = tuple[Mapping[str, Any], Mapping[str, str | Path]]
TRIALS, STEPS, ROUNDS = 24, 60, 1


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Processor seconds of a search: all of it, and of that the tasks that a worker would run."""

    whole_s: float
    tasks_s: float
    options: int
    complete: int


def search(model: ModelSpec, files: Mapping[str, str], devices: Mapping[str, CostModel], folder: Path) -> Taken:
    """Run one search."""
    spec = SearchSpec(
        model="m", dataset="d", profiles=tuple(devices), trials=TRIALS, recovery=Recovery(steps=STEPS), width=4
    )
    clock = _Clock(TASKS)
    problem = Problem(spec=spec, model=model, cost_models=devices, files=files)
    options, complete, start = 0, 0, time.process_time()
    for event in run(problem, InlineExecutor(folder, tasks=clock.tasks)):
        if isinstance(event, SpaceReady):
            options = sum(len(unit["options"]) for unit in event.space["units"])
        complete += isinstance(event, TrialFinished) and event.trial.state == "complete"
    return Taken(whole_s=time.process_time() - start, tasks_s=clock.seconds, options=options, complete=complete)


class _Clock:
    """A table of tasks that counts the time they take."""

    def __init__(self, tasks: TaskTable) -> None:
        self.seconds = 0.0
        self.tasks: TaskTable = {kind: self._timed(task) for kind, task in tasks.items()}

    def _timed(self, task: TaskFunction) -> TaskFunction:
        def timed(payload: Mapping[str, Any], folder: Path, report: Report) -> Found:
            start = time.process_time()
            try:
                return task(payload, folder, report)
            finally:
                self.seconds += time.process_time() - start

        return timed


def main() -> None:
    """Print the seconds of both, and their ratio."""
    write = sys.stdout.write
    torch.set_num_threads(1)  # as a trial has it
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make("digits", Path(), folder)
        model = open_world("digits", folder).spec
        graph, weights = (str(next((folder / "model").glob(f"{kind}.*"))) for kind in ("graph", "weights"))
        files = {"graph": graph, "weights": weights, "dataset": str(folder / "data.zip")}
        prices = {key: _device(key, model) for key in DEVICES}
        found: dict[int, list[Taken]] = {1: [], 5: []}
        for turn in range(ROUNDS):
            for count, taken in found.items():
                chosen = {key: prices[key] for key in DEVICES[:count]}
                taken.append(search(model, files, chosen, folder / f"{turn}-{count}"))
    write(
        f"{TRIALS} trials of {STEPS} steps on the digits, {ROUNDS} round(s) by turns, best of each; processor seconds\n"
    )
    best = {count: min(taken, key=lambda one: one.whole_s) for count, taken in found.items()}
    for count, one in best.items():
        own_s = one.whole_s - one.tasks_s
        write(f"{count} device(s): {one.whole_s:.1f} s, {own_s:.2f} s of it the search's own; ")
        write(f"{one.options} options, {one.complete} trials complete\n")
    write(f"five devices take {best[5].whole_s / best[1].whole_s:.3f} x the time of one\n")


def _device(key: str, model: ModelSpec) -> CostModel:
    profile = accelerator_profile(key, 1, accelerator.load(key).precisions[0])
    return cost_model(profile, model, ("precision",))


if __name__ == "__main__":
    main()
