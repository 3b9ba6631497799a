"""Every prior that a search can name: a whole table by the search's own way, and one of them worked by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.jobs.inline import InlineExecutor
from app.search.events import OptionsScored, ScoresReady
from app.search.run import run
from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.space.build import space
from app.search.space.options import Space
from app.search.spec import ErrorTable, Recovery, SearchSpec, SpecError, Task
from app.search.table.completion import families
from app.search.table.error_table import AT_ONCE, error_key, forwards
from app.search.tasks import TASKS
from app.search.work.follow import Problem
from costmodels.catalogue import accelerator_profile, cost_model
from pruning.convert import convert
from pruning.graphnet import load_files
from pruning.layers import ModelSpec
from pruning.patterns import Unstructured
from tests.app.search.datasets import quiet

torch.set_num_threads(1)
SAMPLES = 12
SPEC = SearchSpec(
    model="m",
    dataset="d",
    profiles=("chip",),
    trials=1,
    seed=3,
    sparsities=(0.5, 0.7, 0.9),
    recovery=Recovery(steps=0, batch=32),
    calibration_samples=SAMPLES,
)


class Net(nn.Module):
    """`b x 1 x 8 x 8` to ten logits; the channels of the first layer can go."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 3, stride=2, padding=1)
        self.head = nn.Linear(4 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        found: Tensor = self.head(torch.relu(self.second(x)).flatten(1))
        return found


@dataclass(frozen=True)
class World:
    """A problem, and the tables of each prior as the search made them."""

    problem: Problem
    executor: InlineExecutor

    def table(self, how: ErrorTable) -> tuple[Mapping[str, Any], list[Any]]:
        """The document, and the events before it."""
        asked = replace(self.problem, spec=replace(self.problem.spec, error_table=how))
        before = []
        events = run(asked, self.executor)
        for event in events:
            if isinstance(event, ScoresReady):
                events.close()
                return event.document, before
            before.append(event)
        raise AssertionError("no table")

    @property
    def space(self) -> Space:
        return space(self.problem.model, self.problem.spec, self.problem.cost_models)

    @property
    def samples(self) -> Tensor:
        """The calibration samples."""
        feed = Feed(Dataset(Path(self.problem.files["dataset"])), "calibration", SPEC.task, SAMPLES)
        return torch.cat([inputs for inputs, _ in feed.in_order(5)])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("priors")
    torch.manual_seed(0)
    convert(Net(), torch.rand(2, 1, 8, 8), folder / "net.pt2")
    seen, files = TASKS["inspect"]({"upload": str(folder / "net.pt2")}, folder, quiet)
    _, arrays = TASKS["prepare"]({"kind": "digits", "upload": None, "options": {"seed": 0}}, folder, quiet)
    model = ModelSpec.from_json(seen["spec"])
    chip = cost_model(accelerator_profile("eyeriss-v2", 1), model)
    problem = Problem(spec=SPEC, model=model, cost_models={"chip": chip}, files={**files, "dataset": arrays["arrays"]})
    return World(problem, InlineExecutor(folder / "work", tasks=TASKS))


@pytest.mark.parametrize("how", AT_ONCE)
def test_each_is_a_whole_finite_table_at_its_own_price(world: World, how: ErrorTable) -> None:
    document, before = world.table(how)
    units = world.space.units
    assert [len(errors) for errors in document["errors"]] == [len(unit.options) for unit in units]
    flat = [error for errors in document["errors"] for error in errors]
    assert all(isfinite(error) and error >= 0.0 for error in flat) and max(flat) > 0.0
    assert {errors[0] for errors in document["errors"]} == {0.0}
    for unit, errors in zip(units, document["errors"], strict=True):
        for family in families([option.patterns for option in unit.options]):
            along = [errors[index] for index in family]
            assert along == sorted(along)
    assert document["sample_passes"] == document["paid_passes"] == SAMPLES * AT_ONCE[how]
    assert document["samples"] == (SAMPLES if AT_ONCE[how] else 0)
    assert not any(isinstance(event, OptionsScored) for event in before), "its errors are no option's own"
    assert world.table(how)[0] == document


def test_the_tables_differ_and_spdy_is_its_law(world: World) -> None:
    tables = {how: world.table(how)[0]["errors"] for how in AT_ONCE}
    assert len({str(table) for table in tables.values()}) == len(AT_ONCE)
    for unit, errors in zip(world.space.units, tables["spdy"], strict=True):
        for family in families([option.patterns for option in unit.options]):
            expected = [(rank / len(family)) ** 2 for rank in range(1, len(family) + 1)]
            assert [errors[index] for index in family] == pytest.approx(expected)


def test_curvature_of_the_last_layer_is_that_of_softmax_worked_by_hand(world: World) -> None:
    """For logits W x the gradient of log p_y is (e_y - p) xᵀ; no autograd is needed."""
    net = load_files(Path(world.problem.files["graph"]), Path(world.problem.files["weights"])).eval()
    weight = next(p for p in net.parameters() if p.shape == (10, 64)).detach()
    seen: list[Tensor] = []
    linear = nn.functional.linear

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in (linear, torch.ops.aten.linear.default):
                seen.append(args[0].detach())
            return func(*args, **(kwargs or {}))

    generator = torch.Generator().manual_seed(SPEC.seed)
    fisher = torch.zeros(10, 64, dtype=torch.float64)
    with torch.no_grad(), Watch():
        for sample in world.samples.split(1):
            p = net(sample).softmax(1)[0]
            drawn = int(torch.multinomial(p, 1, generator=generator))
            fisher += torch.outer((torch.eye(10)[drawn] - p).double() ** 2, seen[-1][0].double() ** 2) / SAMPLES
    table = world.table("curvature")[0]["errors"]
    found = {
        option.patterns["head"].density: errors[place]
        for unit, errors in zip(world.space.units, table, strict=True)
        for place, option in enumerate(unit.options)
        if isinstance(option.patterns.get("head"), Unstructured)
    }
    assert len(found) == 3
    for density, error in found.items():
        kept = weight.abs().flatten().topk(round(density * weight.numel())).indices
        gone = torch.ones(weight.numel(), dtype=torch.bool)
        gone[kept] = False
        expected = float((fisher * weight.double() ** 2).flatten()[gone].sum()) / 2
        assert error == pytest.approx(expected, rel=1e-3)


def test_owl_weighs_layers_by_their_outliers(world: World) -> None:
    document, _ = world.table("owl")
    by_layer = {
        next(iter(option.patterns)): errors[place]
        for unit, errors in zip(world.space.units, document["errors"], strict=True)
        for place, option in enumerate(unit.options)
        if len(option.patterns) == 1 and next(iter(option.patterns.values())) == Unstructured(0.9)
    }
    net = load_files(Path(world.problem.files["graph"]), Path(world.problem.files["weights"])).eval()
    first = next(p for p in net.parameters() if p.shape == (6, 1, 3, 3)).detach().double().flatten(1)
    windows = nn.functional.unfold(world.samples.double(), 3, padding=1)  # b x 9 x places
    scores = first.abs() * windows.square().sum((0, 2)).sqrt()
    share = float((scores > 5 * scores.mean()).double().mean())
    assert (by_layer["first"] > 0.2) == (share > 0)
    assert min(by_layer.values()) > 0.0, "no layer goes for nothing"
    assert np.isclose(sum(by_layer.values()), len(by_layer)), "the strongest cost c, whose mean is 1"


def test_passes_of_the_forecast_are_those_that_are_taken() -> None:
    assert {how: forwards([[1, 2], [3]], how) for how in AT_ONCE} == AT_ONCE
    assert set(AT_ONCE) | {"prior", "oneshot", "reconstructed"} == set(get_args(ErrorTable))


def test_the_key_keeps_kinds_apart() -> None:
    keys = {error_key(replace(SPEC, error_table=how), {"graph": "g"}) for how in get_args(ErrorTable)}
    assert len(keys) == len(get_args(ErrorTable))


@pytest.mark.parametrize("kind", ["regression", "language_modelling"])
def test_curvature_needs_classes(kind: Any) -> None:
    with pytest.raises(SpecError, match=r"/error_table.*one answer a sample among classes"):
        replace(SPEC, task=Task(kind=kind), error_table="curvature")
    assert replace(SPEC, task=Task(kind=kind), error_table="owl").error_table == "owl"


def test_it_is_a_stored_spec_like_any_other() -> None:
    asked = replace(SPEC, error_table="hill")
    assert SearchSpec.from_json(asked.to_json()) == asked
