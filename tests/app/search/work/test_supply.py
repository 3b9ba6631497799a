"""What a run is said to take is what it counts, for every way of pruning; and no search overshoots a budget by one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from app.search.errors import SearchFailed
from app.search.evaluation import evaluate as evaluating
from app.search.evaluation.evaluate import Assignment, Setting, evaluate
from app.search.events import SearchEnded
from app.search.executor import Task
from app.search.run import run
from app.search.samples.dataset import Dataset
from app.search.spec import Budget, ErrorTable, Recovery, SearchSpec
from app.search.table.completion import anchors
from app.search.table.error_table import AT_ONCE, forwards, least_passes
from app.search.tasks import TASKS
from app.search.trial import Trial
from app.search.work import supply
from app.search.work.spending import Purse
from app.search.work.supply import Supply, trained
from pruning.convert import convert
from pruning.graphnet import load_files
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Dense, Unstructured
from pruning.plan import Int8, PruningPlan
from tests.app.search import fakes
from tests.app.search.datasets import quiet
from tests.app.search.fakes import FakeExecutor, FakeStore, follow, problem, terrain

torch.set_num_threads(1)
SPEC = SearchSpec(model="m", dataset="d", profiles=("p",), recovery=Recovery(steps=3, batch=32))


class Net(nn.Module):
    """`b x 1 x 8 x 8` to ten logits, with batch norm if asked; the channels of the stem can go."""

    def __init__(self, *, normalised: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if normalised else nn.Identity()
        self.head = nn.Linear(4 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.avg_pool2d(torch.relu(self.norm(self.stem(x))), 2)
        found: Tensor = self.head(x.flatten(1))
        return found


@dataclass(frozen=True)
class World:
    """A model and the digits, as files."""

    files: dict[str, str]
    data: str
    model: ModelSpec

    @property
    def supply(self) -> Supply:
        """As a coordinator knows it, from meta data and the graph's file."""
        dataset = Dataset(Path(self.data))
        splits = {name: len(dataset.numbers(name)) for name in ("calibration", "train", "validation", "test")}
        return Supply.of(splits, Path(self.files["graph"]), self.model)

    def counted(self, spec: SearchSpec, plan: PruningPlan, steps: int) -> int:
        """What a run counts."""
        net = load_files(Path(self.files["graph"]), Path(self.files["weights"]))
        setting = Setting(net=net, model=self.model, dataset=Dataset(Path(self.data)), spec=spec)
        found = evaluate(setting, Assignment(plan=plan, recovery_steps=steps, seed=1), quiet)
        passes: int = found.report["sample_passes"]
        return passes


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, World]:
    """With batch norm, and without."""
    folder = tmp_path_factory.mktemp("supply")
    _, data = TASKS["prepare"]({"kind": "digits", "upload": None, "options": {"seed": 0}}, folder, quiet)
    found = {}
    for normalised in (True, False):
        here = folder / str(normalised)
        here.mkdir()
        torch.manual_seed(0)
        convert(Net(normalised=normalised), torch.rand(2, 1, 8, 8), here / "net.pt2")
        seen, files = TASKS["inspect"]({"upload": str(here / "net.pt2")}, here, quiet)
        found[normalised] = World(dict(files), data["arrays"], ModelSpec.from_json(seen["spec"]))
    return found


BOTH = {"stem": Unstructured(0.5), "head": NM(keep=2, group=4)}
CUT = {"stem": Channel(0.5), "head": Unstructured(0.5)}
CASES: dict[str, tuple[PruningPlan, int, dict[str, Any], dict[str, Any]]] = {
    "as uploaded": (PruningPlan(pruner="magnitude"), 0, {}, {}),
    "dense recovered": (PruningPlan(pruner="magnitude"), 3, {}, {}),
    "one-shot": (PruningPlan(pruner="magnitude", patterns=BOTH), 0, {}, {}),
    "pdp of channels": (PruningPlan(pruner="pdp", patterns=CUT), 2, {}, {}),
    "sparsegpt": (PruningPlan(pruner="sparsegpt", patterns=BOTH), 0, {}, {}),
    "sparsegpt recovered": (PruningPlan(pruner="sparsegpt", patterns=BOTH), 2, {}, {"calibration_samples": 40}),
    "wanda of one layer": (PruningPlan(pruner="wanda", patterns={**BOTH, "stem": Dense()}), 1, {}, {}),
    "a teacher": (PruningPlan(pruner="magnitude", patterns=CUT), 3, {"distil": 0.5}, {}),
    "accumulated": (PruningPlan(pruner="rigl", patterns=BOTH), 2, {"accumulate": 3, "batch": 8}, {}),
    "batches larger than the data": (PruningPlan(pruner="magnitude", patterns=BOTH), 1, {"batch": 5000}, {}),
    "stored in 8 bits": (PruningPlan(pruner="gmp", patterns=CUT, post=(Int8(),)), 1, {}, {}),
}


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_the_prediction_is_the_count(worlds: dict[bool, World], case: str, normalised: bool) -> None:
    plan, steps, recovery, more = CASES[case]
    spec = replace(SPEC, recovery=replace(SPEC.recovery, **recovery), **more)
    world = worlds[normalised]
    assert world.supply.statistics == normalised
    counted = world.counted(spec, plan, steps)
    purse = Purse(spec=spec, table_passes=0, measured_samples=world.supply.measured, supply=world.supply)
    assert purse.planned(plan, steps).sample_passes == counted
    measured = {name: size for name, size in world.supply.samples.items() if name in ("validation", "test")}
    assert replace(purse, supply=Supply(samples=measured)).planned(plan, steps).sample_passes >= counted


def test_of_many_samples_a_solver_takes_a_pass_a_layer(
    worlds: dict[bool, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, world = PruningPlan(pruner="sparsegpt", patterns=BOTH), worlds[False]
    few = world.counted(SPEC, plan, 0)
    size = min(SPEC.calibration_samples, world.supply.samples["calibration"])
    monkeypatch.setattr(supply, "SOLVED_ABREAST", size - 1)
    monkeypatch.setattr(evaluating, "SOLVED_ABREAST", size - 1)
    assert world.counted(SPEC, plan, 0) == few + size  # two layers
    assert world.supply.passes(SPEC, plan, 0) == 2 * size


def test_a_weight_read_twice_makes_it_a_pass_a_layer() -> None:
    plan = PruningPlan(pruner="sparsegpt", patterns=BOTH)
    once = Supply(samples={"calibration": 40}, statistics=False, read_once=frozenset({"stem", "head"}))
    assert once.passes(SPEC, plan, 0) == 40
    assert replace(once, read_once=frozenset({"head"})).passes(SPEC, plan, 0) == 80
    assert once.passes(SPEC, replace(plan, patterns={"stem": Dense(), "head": Dense()}), 0) == 0


def test_statistics_are_of_whole_batches_and_no_more_than_sixteen() -> None:
    plan = PruningPlan(pruner="magnitude", patterns=BOTH)
    spec = replace(SPEC, recovery=Recovery(steps=3, batch=10))
    taken = [Supply(samples={"calibration": size}).passes(spec, plan, 0) for size in (4, 10, 29, 160, 999)]
    assert taken == [4, 10, 20, 160, 160]
    assert Supply().passes(spec, plan, 0) == 160
    assert trained(spec.recovery, 3, 7) == 3 * 3 * 7 and trained(spec.recovery, 3) == 3 * 3 * 10


SIZES = Supply(samples={"train": 900, "calibration": 70, "validation": 100, "test": 100})
HONEST: Callable[[Task], dict[str, Any]] = fakes.answer
FIELDS: dict[str, dict[str, Any]] = {
    "flat": {"trials": 9, "width": 3},
    "rungs": {"trials": 12, "rungs": (0, 20), "profiles": ("eyeriss",)},
    "raw": {"trials": 9, "coordinates": "raw", "sampler": "random"},
}


def counts(task: Task) -> dict[str, Any]:
    """An executor's answer whose report counts as `evaluate` does, solvers' calibration and statistics too."""
    found = HONEST(task)
    if task.kind == "trial":
        spec, asked = SearchSpec.from_json(task.payload["search_spec"]), task.payload["trial"]
        before = SIZES.passes(spec, PruningPlan.from_json(asked["plan"]), asked["recovery_steps"])
        found["report"]["sample_passes"] = before + SIZES.measured
    return found


def searched(budget: Budget, name: str, **executor: Any) -> tuple[FakeStore, SearchEnded]:
    fields = {"recovery": Recovery(steps=60, batch=8), "patterns": ("unstructured", "nm"), **FIELDS[name]}
    asked = problem(**fields, pruners=("magnitude", "sparsegpt"), calibration_samples=64, budget=budget)
    store, last = FakeStore(), None
    for last in run(replace(asked, supply=SIZES), FakeExecutor(**executor)):
        store.keep(last)
    assert isinstance(last, SearchEnded)
    return store, last


def took(trials: list[Trial]) -> int:
    return sum(trial.report.get("sample_passes", 0) for trial in trials)


@pytest.mark.parametrize("name", FIELDS)
def test_a_budget_is_kept_to_the_last_pass_whatever_the_order(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(fakes, "answer", counts)
    free, _ = searched(Budget(), name)
    assert free.scores is not None
    table = free.scores["sample_passes"]
    dearest = max(trial.report["sample_passes"] for trial in free.history())
    assert len({trial.report["sample_passes"] for trial in free.history()[2:]}) > 1, "runs differ in what they take"
    for share in (0.5, 0.8):
        most = table + int(share * took(free.history()))
        store, last = searched(Budget(sample_passes=most), name)
        again, _ = searched(Budget(sample_passes=most), name, seed=3, slots=3, lose=0.2)
        assert store.identity() == again.identity()
        assert store.scores is not None
        spent = store.scores["sample_passes"] + took(store.history())
        assert spent <= most
        unpaid = [trial for trial in store.history() if trial.failure and trial.failure.code == "budget"]
        assert last.because == "sample_passes" or unpaid
        if name == "flat":
            assert most - spent < dearest, "the next one would not have fitted"


def test_a_budget_of_recoveries_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "answer", counts)
    for name in FIELDS:
        for most in (4, 7):
            store, last = searched(Budget(recoveries=most), name)
            runs = [steps for trial in store.history() for steps in trial.report.get("runs", {})]
            assert sum(steps != "0" for steps in runs) <= most
            assert last.because == "recoveries" or name == "rungs"


def test_a_budget_to_the_last_pass_pays_the_last_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "answer", counts)
    free, _ = searched(Budget(sample_passes=10**9), "flat")
    assert free.scores is not None
    most = free.scores["sample_passes"] + took(free.history()[:8])
    assert len(searched(Budget(sample_passes=most), "flat")[0].trials) == 8
    assert len(searched(Budget(sample_passes=most - 1), "flat")[0].trials) == 7


def test_killed_at_any_event_the_budget_ends_it_with_the_same_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakes, "answer", counts)
    fields: dict[str, Any] = {"recovery": Recovery(steps=60, batch=8), "patterns": ("unstructured", "nm"), "trials": 9}
    asked = problem(**fields, width=3, pruners=("magnitude", "sparsegpt"), budget=Budget(sample_passes=20_000))
    asked = replace(asked, supply=SIZES)
    calm = follow(asked, FakeExecutor())
    assert 4 < len(calm.trials) < 11
    for killed_after in range(5, 60, 7):
        store = follow(asked, FakeExecutor(seed=killed_after, slots=3), stop_after=killed_after)
        follow(asked, FakeExecutor(seed=99 - killed_after, slots=2, lose=0.2), store)
        assert store.identity() == calm.identity(), f"killed after event {killed_after}"


def test_a_budget_that_the_dense_model_would_overshoot_is_refused_before_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fakes, "answer", counts)
    free, _ = searched(Budget(), "flat")
    assert free.scores is not None
    executor = FakeExecutor()
    fields: dict[str, Any] = {"recovery": Recovery(steps=60, batch=8), "patterns": ("unstructured", "nm")}
    tight = problem(**fields, **FIELDS["flat"], pruners=("magnitude", "sparsegpt"), calibration_samples=64)
    dense = took(free.history()[:2])
    tight = replace(tight, spec=replace(tight.spec, budget=Budget(sample_passes=2 * dense)), supply=SIZES)
    with pytest.raises(SearchFailed, match=r"the error table takes [\d,]+ or more, and the dense model and one"):
        follow(tight, executor)
    assert not executor.submitted, "the table is not begun either"
    unknown = {name: size for name, size in SIZES.samples.items() if name != "calibration"}
    with pytest.raises(SearchFailed, match="error table and dense model took all of it"):
        follow(replace(tight, supply=Supply(samples=unknown)), executor)
    assert {task.kind for task in executor.submitted} == {"score"}


@pytest.mark.parametrize("how", get_args(ErrorTable))
def test_the_least_that_a_table_takes_is_no_more_than_it_takes(how: ErrorTable) -> None:
    asked = problem(error_table=how, calibration_samples=64, budget=Budget(sample_passes=1))
    asked = replace(asked, supply=SIZES)
    here = terrain(asked).prices
    least = least_passes(asked, here.space)
    assert (least == 0) == (how in ("prior", "spdy", "hill"))
    if how in AT_ONCE:
        assert least == 64 * AT_ONCE[how]
    elif how != "prior":
        strongest = [anchors([option.patterns for option in unit.options]) for unit in here.space.units]
        assert least <= 64 * forwards(strongest, how)
