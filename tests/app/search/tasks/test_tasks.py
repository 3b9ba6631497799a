"""The real tasks, one after another on an executor, from a network in a file to trials with files of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from app.jobs.inline import InlineExecutor
from app.search.events import ScoresReady, TrialFinished
from app.search.executor import Outcome, Task, TaskKind
from app.search.run import Problem, run
from app.search.samples.batches import Feed
from app.search.samples.dataset import Dataset
from app.search.spec import Limit, Recovery, SearchSpec
from app.search.tasks import TASKS
from costmodels.catalogue import accelerator_profile, cost_model
from costmodels.measure.options import MeasureOptions
from pruning.convert import convert
from pruning.graphnet import GraphNet, load, load_files
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.patterns import Channel
from pruning.plan import PruningPlan

torch.set_num_threads(1)
SPEC = SearchSpec(
    model="m",
    dataset="d",
    profiles=("chip",),
    trials=3,
    width=2,
    seed=3,
    sparsities=(0.5, 0.8),
    limits=(Limit(profile="chip", share=0.7),),
    recovery=Recovery(steps=6, batch=32),
    calibration_samples=48,
)


class Net(nn.Module):
    """`b x 1 x 8 x 8` to ten logits; with dropout and batch norm, so that chance and statistics matter."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.3)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.drop(self.first(x))))
        found: Tensor = self.head(torch.relu(self.second(x)).flatten(1))
        return found


def export(path: Path, *, training: bool) -> None:
    torch.manual_seed(0)
    if not training:
        convert(Net(), torch.rand(2, 1, 8, 8), path)
        return
    shapes = ({0: torch.export.Dim("batch", min=2)},)
    torch.export.save(torch.export.export(Net().train(), (torch.rand(2, 1, 8, 8),), dynamic_shapes=shapes), path)


class Desk:
    """Asks an executor for one thing at a time."""

    def __init__(self, workdir: Path) -> None:
        self.executor = InlineExecutor(workdir, tasks=TASKS)

    def ask(self, kind: TaskKind, payload: Mapping[str, Any]) -> Outcome:
        self.executor.submit(Task(id=f"{kind}/1", kind=kind, payload=payload))
        while True:
            for event in self.executor.poll(0.1):
                if isinstance(event, Outcome):
                    assert event.state == "done", event.failure
                    return event

    def problem(self, upload: Path) -> Problem:
        """Inspect and prepare, as a coordinator would."""
        seen = self.ask("inspect", {"upload": str(upload)})
        data = self.ask("prepare", {"kind": "digits", "upload": None, "options": {"seed": 0}})
        model = ModelSpec.from_json(seen.result["spec"])
        chip = cost_model(accelerator_profile("eyeriss-v2", 1), model)
        files = {**seen.files, "dataset": data.files["arrays"]}
        return Problem(spec=SPEC, model=model, cost_models={"chip": chip}, files=files)


def searched(
    folder: Path, *, training: bool, chance: int = 0
) -> tuple[Problem, list[TrialFinished], Mapping[str, Any]]:
    folder.mkdir()
    export(folder / "net.pt2", training=training)
    torch.manual_seed(chance)  # whatever else went on in this process
    desk = Desk(folder / "work")
    problem = desk.problem(folder / "net.pt2")
    happened = list(run(problem, desk.executor))
    scores = next(event.document for event in happened if isinstance(event, ScoresReady))
    return problem, [event for event in happened if isinstance(event, TrialFinished)], scores


Searched = tuple[Problem, list[TrialFinished], Mapping[str, Any]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return searched(tmp_path_factory.mktemp("tasks") / "one", training=False)


def test_every_trial_completes_within_its_limit(found: Searched) -> None:
    _, ends, scores = found
    assert [end.trial.number for end in ends] == [0, 1, 2, 3, 4]
    assert {end.trial.state for end in ends} == {"complete"}
    assert [end.trial.recovery_steps for end in ends] == [0, 6, 6, 6, 6]
    dense_ms = ends[0].trial.cost("chip").latency_ms
    assert all(end.trial.cost("chip").latency_ms <= 0.7 * dense_ms * (1 + 1e-9) for end in ends[2:])
    assert scores["samples"] == 48
    assert all(errors[0] == 0.0 and min(errors) >= 0.0 for errors in scores["errors"])
    assert all(max(errors) > 0.0 for errors in scores["errors"] if len(errors) > 1)
    json.dumps([end.trial.to_json() for end in ends], allow_nan=False)


def test_weights_carry_the_uploaders_names_and_the_plans_zeros(found: Searched) -> None:
    problem, ends, _ = found
    names = {name for name, _ in Net().named_parameters()} | {"norm.running_mean", "norm.running_var"}
    for end in ends:
        state = load_file(end.files["weights"])
        assert set(state) - {"norm.num_batches_tracked"} == names
        zeros = {layer["name"]: layer["zeros"] for layer in end.trial.report["layers"]}
        for layer in problem.model.layers:
            assert int((state[f"{layer.name}.weight"] == 0).sum()) == zeros[layer.name]
        for name, pattern in end.trial.plan.patterns.items():
            if not isinstance(pattern, Channel):
                assert zeros[name] >= (1 - pattern.density) * problem.model.layer(name).weights - 1


def test_the_smaller_model_read_again_has_the_accuracy_of_the_trial(found: Searched, tmp_path: Path) -> None:
    problem, ends, _ = found
    feed = Feed(Dataset(Path(problem.files["dataset"])), "test", SPEC.task)
    (inputs, targets) = feed.read(feed.numbers)
    for end in ends:
        folder = tmp_path / str(end.trial.number)
        folder.mkdir()
        write_model(*read_exported_program(Path(end.files["model"])), folder)
        with torch.no_grad():
            right = float((load(folder).eval()(inputs).argmax(1) == targets).double().mean())
        accuracy = end.trial.value("accuracy", "test")
        assert accuracy
        assert accuracy.value == pytest.approx(right)
        weights = load_file(end.files["weights"])
        copy = Net().eval()
        copy.load_state_dict(weights, strict=False)
        with torch.no_grad():
            assert float((copy(inputs).argmax(1) == targets).double().mean()) == pytest.approx(right, abs=0.005)


def test_dense_as_uploaded_is_unchanged_to_the_bit(found: Searched) -> None:
    problem, ends, _ = found
    uploaded = load_files(Path(problem.files["graph"]), Path(problem.files["weights"]))
    before = {entry.name: uploaded.state_dict()[entry.id] for entry in uploaded.document.parameters if entry.kind}
    for name, after in load_file(ends[0].files["weights"]).items():
        assert torch.equal(before[name], after), name


def test_an_eval_export_trains_and_its_statistics_move(found: Searched) -> None:
    _, ends, _ = found
    dense, recovered = (load_file(end.files["weights"]) for end in ends[:2])
    for name in ("first.weight", "norm.weight", "head.bias", "norm.running_mean"):
        assert not torch.equal(dense[name], recovered[name]), name
    before, after = (end.trial.value("loss", "validation") for end in ends[:2])
    assert before
    assert after
    assert after.value < before.value


def test_a_search_with_dropout_repeats_bit_for_bit(tmp_path: Path) -> None:
    """Batch norm's statistics are taken with dropout at work: what it drops must not be what is left of chance."""
    _, one, scores = searched(tmp_path / "one", training=True)
    _, two, again = searched(tmp_path / "two", training=True, chance=12345)
    assert again == scores
    for a, b in zip(one, two, strict=True):
        assert a.trial.measurements == b.trial.measurements
        assert Path(a.files["weights"]).read_bytes() == Path(b.files["weights"]).read_bytes()


def test_a_trial_leaves_the_random_state_alone(found: Searched, tmp_path: Path) -> None:
    problem, ends, _ = found
    asked = {"number": 2, "role": "searched", "seed": 3, "recovery_steps": 1}
    payload = {
        **problem.files,
        "model_spec": problem.model.to_json(),
        "search_spec": SPEC.to_json(),
        "trial": {**asked, "plan": PruningPlan.from_json(ends[2].trial.plan.to_json()).to_json()},
    }
    torch.manual_seed(1)
    TASKS["trial"](payload, tmp_path, lambda _fraction, _text: None)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))


def test_a_profile_is_measured_with_the_task(found: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Found:
        def to_json(self) -> dict[str, Any]:
            return {"rows": []}

    asked: dict[str, Any] = {}

    def measured(net: GraphNet, spec: ModelSpec, options: MeasureOptions, _report: Any) -> Any:
        asked.update(vars(options), net=net, spec=spec)
        return SimpleNamespace(profile=Found())

    monkeypatch.setattr("costmodels.measure.campaign.measure", measured)
    problem = found[0]
    asks = {"batch": 4, "threads": 1, "backend": "onnxruntime"}
    payload = {**problem.files, "spec": problem.model.to_json(), **asks}
    result, files = TASKS["profile"](payload, tmp_path, lambda _fraction, _text: None)
    assert (result, files) == ({"profile": {"rows": []}}, {})
    assert asked.items() >= asks.items() and asked["spec"] == problem.model
