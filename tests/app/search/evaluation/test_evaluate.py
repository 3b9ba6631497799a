"""Trials for real on the digits: what is measured, that it repeats bit for bit, and what the tasks leave behind."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy

from app.search.errors import DatasetError, SearchFailed
from app.search.evaluation.evaluate import Assignment, Evaluation, Setting, evaluate
from app.search.evaluation.recovering import DEFAULTS
from app.search.samples.dataset import Dataset, Prepared
from app.search.sources import prepare
from app.search.spec import Recovery, SearchSpec, Task
from app.search.tasks import TASKS
from app.search.trial import Measurement, Trial
from pruning import apply, graphnet
from pruning.convert import convert
from pruning.errors import PlanError
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec
from pruning.patterns import NM, Channel, Unstructured
from pruning.plan import Int8, PruningPlan
from tests.app.search.datasets import quiet
from tests.app.search.digits_trial import Net

torch.set_num_threads(1)
DENSE = PruningPlan(pruner="magnitude")
MIXED = PruningPlan(
    pruner="pdp",
    settings={"tau": 0.1},
    patterns={"stem": Channel(0.5), "body": NM(keep=2, group=4), "head": Unstructured(0.5)},
)
SPEC = SearchSpec(model="m", dataset="d", profiles=("p",), recovery=Recovery(steps=6, batch=32))


@dataclass
class World:
    """An uploaded model and a prepared dataset, as files and as values."""

    files: dict[str, str]
    model: ModelSpec
    folder: Path

    def setting(self, dataset: Dataset | None = None, spec: SearchSpec = SPEC) -> Setting:
        net = graphnet.load_files(Path(self.files["graph"]), Path(self.files["weights"]))
        data = dataset or Dataset(Path(self.files["dataset"]))
        return Setting(net=net, model=self.model, dataset=data, spec=spec)

    def payload(self, spec: SearchSpec = SPEC, **more: Any) -> dict[str, Any]:
        return {**self.files, "model_spec": self.model.to_json(), "search_spec": spec.to_json(), **more}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    torch.manual_seed(0)
    convert(Net(), torch.rand(2, 1, 8, 8), folder / "net.pt2")
    (folder / "intake").mkdir()
    seen, files = TASKS["inspect"]({"upload": str(folder / "net.pt2")}, folder / "intake", quiet)
    meta, arrays = TASKS["prepare"]({"kind": "digits", "upload": None, "options": {"seed": 0}}, folder, quiet)
    assert meta["meta"]["splits"]["test"] > 300
    return World({**files, "dataset": arrays["arrays"]}, ModelSpec.from_json(seen["spec"]), folder)


@pytest.fixture(scope="module")
def mixed(world: World) -> Evaluation:
    return evaluate(world.setting(), Assignment(plan=MIXED, recovery_steps=6, seed=3), quiet)


def of(found: Evaluation, metric: str, split: str) -> Measurement:
    return next(m for m in found.measurements if (m.metric, m.split) == (metric, split))


def test_dense_as_uploaded_is_the_uploaded_network_measured_on_both_splits(world: World) -> None:
    setting = world.setting()
    found = evaluate(setting, Assignment(plan=DENSE, recovery_steps=0, seed=3), quiet)
    for split in ("validation", "test"):
        inputs, targets = setting.feed(split).read(setting.dataset.numbers(split))
        with torch.no_grad():
            logits = setting.net.eval()(inputs).double()
        accuracy, loss = of(found, "accuracy", split), of(found, "loss", split)
        right = float((logits.argmax(1) == targets).double().mean())
        losses = cross_entropy(logits, targets, reduction="none").numpy()
        assert accuracy.value == pytest.approx(right)
        assert accuracy.standard_error == pytest.approx(sqrt(right * (1 - right) / len(targets)))
        assert loss.value == pytest.approx(losses.mean(), rel=1e-6)
        assert loss.standard_error == pytest.approx(losses.std(ddof=1) / sqrt(len(targets)), rel=1e-6)
        assert {accuracy.samples, loss.samples} == {len(targets)}
    assert {m.fidelity for m in found.measurements} == {0}
    for (name, before), after in zip(setting.net.state_dict().items(), found.masked.state_dict().values(), strict=True):
        assert torch.equal(before, after), name


def test_a_trial_is_a_pure_function_of_its_arguments(world: World, mixed: Evaluation) -> None:
    torch.manual_seed(99)  # whatever went on before in this process
    again = evaluate(world.setting(), Assignment(plan=MIXED, recovery_steps=6, seed=3), quiet)
    assert again.measurements == mixed.measurements
    assert again.report == mixed.report
    for before, after in zip(mixed.smaller.state_dict().values(), again.smaller.state_dict().values(), strict=True):
        assert torch.equal(before, after)
    other = evaluate(world.setting(), Assignment(plan=MIXED, recovery_steps=6, seed=4), quiet)
    assert of(other, "loss", "test").value != of(mixed, "loss", "test").value


def test_the_factor_on_the_learning_rate_is_the_trials_own_and_one_changes_no_bit(
    world: World, mixed: Evaluation
) -> None:
    once, twice = (
        evaluate(world.setting(), Assignment(plan=MIXED, recovery_steps=6, seed=3, learning_rate_factor=by), quiet)
        for by in (1.0, 2.0)
    )
    assert once.measurements == mixed.measurements
    for before, after in zip(mixed.masked.state_dict().values(), once.masked.state_dict().values(), strict=True):
        assert torch.equal(before, after)
    assert of(twice, "loss", "test").value != of(mixed, "loss", "test").value
    rate = 2 * DEFAULTS["sgd"].learning_rate
    given = replace(SPEC, recovery=replace(SPEC.recovery, learning_rate=rate))
    same = evaluate(world.setting(spec=given), Assignment(plan=MIXED, recovery_steps=6, seed=3), quiet)
    assert same.measurements == twice.measurements


@pytest.mark.parametrize("kind", ["trial", "apply"])
def test_tasks_recover_at_the_rate_among_a_trials_coordinates(world: World, tmp_path: Path, kind: str) -> None:
    asked = Trial(
        number=2,
        role="searched",
        state="complete",
        plan=MIXED,
        seed=3,
        recovery_steps=4,
        costs=(),
        coordinates={"band": 0.5, "learning_rate": 2.0, "steps": 0.7},
    )
    result, _ = TASKS[kind](world.payload(trial=asked.to_json()), tmp_path, quiet)
    told = Assignment(plan=MIXED, recovery_steps=4, seed=3, learning_rate_factor=2.0)
    assert (
        tuple(Measurement(**m) for m in result["measurements"]) == evaluate(world.setting(), told, quiet).measurements
    )


def test_the_reported_zeros_are_those_of_the_final_weights(world: World, mixed: Evaluation) -> None:
    weights = {layer.name: mixed.masked.get_parameter(layer.parameter).detach() for layer in world.model.layers}
    for layer in mixed.report["layers"]:
        assert layer["zeros"] == int((weights[layer["name"]] == 0).sum())
    assert {m.fidelity for m in mixed.measurements} == {6}
    removed = mixed.report["groups"][0]["removed"]
    assert len(removed) == 4
    assert torch.all(weights["stem"][list(removed)] == 0)
    left = weights["body"][:, [i for i in range(8) if i not in removed]]
    assert torch.all((left.movedim(1, -1).reshape(-1, 4) != 0).sum(1) <= 2)


def test_the_smaller_model_is_smaller_and_is_the_one_measured(world: World, mixed: Evaluation) -> None:
    shapes = sorted(tuple(p.shape) for p in mixed.smaller.parameters())
    assert (4, 1, 3, 3) in shapes
    assert (8, 4, 3, 3) in shapes
    report = mixed.report
    assert report["parameters_after"] == sum(p.numel() for p in mixed.smaller.parameters())
    assert report["parameters_before"] == world.model.parameter_count > report["parameters_after"]
    assert report["nonzero_parameters"] < report["parameters_after"]
    assert report["macs_after"] < report["macs_before"] == world.model.macs
    asked = [layer["pattern"].startswith("keep") for layer in report["layers"]]
    assert report["checks"]["layers whose N:M groups were checked"] == sum(asked) > 0
    assert report["checks"]["layers whose zeros were counted against the plan"] == len(world.model.layers)
    setting = world.setting()
    inputs, targets = setting.feed("test").read(setting.dataset.numbers("test"))
    with torch.no_grad():
        right = float((mixed.smaller.eval()(inputs).argmax(1) == targets).double().mean())
    assert of(mixed, "accuracy", "test").value == pytest.approx(right)


def test_statistics_are_taken_from_all_classes_even_if_data_lie_class_by_class(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.repeat(np.arange(10), 200)
    splits = {"calibration": np.arange(0, 2000, 2), "train": np.arange(1, 1600, 2)}
    splits |= {"validation": np.arange(1601, 1800, 2), "test": np.arange(1801, 2000, 2)}
    pixels = np.random.default_rng(0).random((2000, 1, 8, 8), dtype=np.float32)
    found = Prepared(inputs=pixels, labels=labels, splits=splits, classes=tuple("0123456789"), source="t")
    found.write(tmp_path / "arrays.zip")
    seen: list[int] = []

    def watched(_: nn.Module, batches: Any, limit: int = 4) -> int:
        for (_, targets), _ in zip(batches, range(limit), strict=False):
            seen.extend(targets.tolist())
        return limit

    monkeypatch.setattr(apply, "reestimate_batch_norm", watched)
    plan = PruningPlan(pruner="magnitude", patterns={"head": Unstructured(0.5)})
    setting = world.setting(Dataset(tmp_path / "arrays.zip"))
    evaluate(setting, Assignment(plan=plan, recovery_steps=0, seed=0), quiet)
    assert set(seen) == set(range(10))


def test_validation_and_test_data_are_never_trained_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    used: set[str] = set()
    original = Setting.feed

    def watched(self: Setting, split: str, limit: int | None = None) -> Any:
        used.add(split)
        return original(self, split, limit)

    monkeypatch.setattr(Setting, "feed", watched)
    monkeypatch.setattr("app.search.evaluation.evaluate.measure", lambda *_: [])
    evaluate(world.setting(), Assignment(plan=MIXED, recovery_steps=2, seed=0), quiet)
    assert used == {"train", "calibration"}


def test_a_layer_solver_is_solved_on_calibration_data_and_recovers_under_its_zeros(world: World) -> None:
    plan = PruningPlan(pruner="sparsegpt", patterns={"body": NM(keep=2, group=4), "head": Unstructured(0.5)})
    found = [evaluate(world.setting(), Assignment(plan=plan, recovery_steps=steps, seed=3), quiet) for steps in (0, 4)]
    solved, recovered = (f.report["solved"] for f in found)
    assert solved == recovered and [layer["name"] for layer in solved] == ["body", "head"]
    seen = len(world.setting().feed("calibration"))
    assert seen < 256 and [layer["samples"] for layer in solved] == [16 * seen, seen]  # columns: samples x places
    for name, before in found[0].masked.named_parameters():
        after = found[1].masked.get_parameter(name)
        assert before.ndim == 1 or torch.equal(before == 0, after == 0)
    assert of(found[1], "loss", "validation").value != of(found[0], "loss", "validation").value


def test_a_post_step_is_measured_and_reported_by_layer(world: World, mixed: Evaluation) -> None:
    found = evaluate(world.setting(), Assignment(plan=replace(MIXED, post=(Int8(),)), recovery_steps=6, seed=3), quiet)
    weights = {layer["name"]: layer["remaining_weights"] for layer in found.report["layers"]}
    assert {layer["name"]: layer["weights"] for layer in found.report["stored"]} == weights
    assert all(layer["bytes"] < layer["dense_bytes"] / 2 for layer in found.report["stored"])
    assert of(found, "loss", "test").value == pytest.approx(of(mixed, "loss", "test").value, abs=0.05)
    assert of(found, "loss", "test").value != of(mixed, "loss", "test").value
    assert not {"stored", "solved"} & set(mixed.report)


def test_a_plan_that_does_not_fit_is_refused(world: World) -> None:
    plan = PruningPlan(pruner="magnitude", patterns={"no_such_layer": Channel(0.5)})
    with pytest.raises(PlanError, match="no_such_layer"):
        evaluate(world.setting(), Assignment(plan=plan, recovery_steps=0, seed=0), quiet)


def test_a_smaller_model_that_differs_is_never_measured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(net: graphnet.GraphNet, *_: object) -> graphnet.GraphNet:
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.5)
        return graphnet.load_files(Path(world.files["graph"]), Path(world.files["weights"]))

    monkeypatch.setattr("app.search.evaluation.evaluate.cut_channels", wrong)
    with pytest.raises(SearchFailed, match="masked and smaller model differ"):
        evaluate(world.setting(), Assignment(plan=DENSE, recovery_steps=0, seed=0), quiet)


def test_the_callers_choice_of_algorithms_comes_back(mixed: Evaluation) -> None:
    assert mixed.measurements
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.fixture(scope="module")
def trial(world: World) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    asked = {"number": 2, "role": "searched", "plan": MIXED.to_json(), "seed": 3, "recovery_steps": 6}
    folder = world.folder / "trial"
    folder.mkdir()
    return TASKS["trial"](world.payload(trial=asked), folder, quiet)


def test_the_trial_task_answers_what_evaluate_finds(
    trial: tuple[Mapping[str, Any], Mapping[str, str]], mixed: Evaluation
) -> None:
    result, _ = trial
    assert tuple(Measurement(**m) for m in result["measurements"]) == mixed.measurements
    assert result["report"] == mixed.report


def test_the_trial_task_leaves_weights_under_the_uploaders_names(
    trial: tuple[Mapping[str, Any], Mapping[str, str]], mixed: Evaluation
) -> None:
    _, files = trial
    state = load_file(files["weights"])
    net = Net().eval()
    net.load_state_dict(state, strict=False)
    assert set(state) >= {"stem.weight", "norm.running_mean", "body.bias", "head.weight"}
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(net(x), mixed.smaller(x), atol=1e-5)


def test_the_smaller_model_can_be_uploaded_again(
    trial: tuple[Mapping[str, Any], Mapping[str, str]], mixed: Evaluation, tmp_path: Path
) -> None:
    _, files = trial
    write_model(*read_exported_program(Path(files["model"])), tmp_path)
    x = torch.rand(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(graphnet.load(tmp_path).eval()(x), mixed.smaller(x), atol=1e-6)


def test_the_score_task_gives_one_error_an_option(world: World) -> None:
    options = [
        [{}, {"stem": {"kind": "channel", "sparsity": 0.5}}],
        [{}, {"head": {"kind": "unstructured", "sparsity": 0.5}}, {"head": {"kind": "unstructured", "sparsity": 0.9}}],
    ]
    spec = replace(SPEC, calibration_samples=64)
    result, files = TASKS["score"](world.payload(spec, options=options), world.folder, quiet)
    assert [len(errors) for errors in result["errors"]] == [2, 3]
    assert all(errors[0] == 0.0 and errors == sorted(errors) for errors in result["errors"])
    assert result["samples"] == 64
    assert files == {}
    assert TASKS["score"](world.payload(spec, options=options), world.folder, quiet)[0] == result
    parts = [TASKS["score"](world.payload(spec, options=[unit]), world.folder, quiet)[0]["errors"] for unit in options]
    assert [errors for part in parts for errors in part] == result["errors"]


@pytest.mark.parametrize("kind", ["score", "trial"])
def test_data_that_do_not_fit_the_model_are_refused_with_both_sides(world: World, kind: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "wide.npz", x=np.zeros((40, 3, 8, 8), np.uint8), y=np.arange(40) % 10)
    prepare("npz", tmp_path / "wide.npz", {}, quiet).write(tmp_path / "arrays.zip")
    asked = {"number": 0, "role": "dense", "plan": DENSE.to_json(), "seed": 0, "recovery_steps": 0}
    payload = world.payload(trial=asked, options=[[{}]]) | {"dataset": str(tmp_path / "arrays.zip")}
    with pytest.raises(DatasetError, match="3x8x8, but the model takes 1x8x8") as caught:
        TASKS[kind](payload, tmp_path, quiet)
    assert caught.value.code == "dataset_mismatch"


def test_the_task_of_classes_reorders_targets(world: World) -> None:
    order = tuple("9876543210")
    turned = replace(SPEC, task=Task(classes=order))
    plain = evaluate(world.setting(), Assignment(plan=DENSE, recovery_steps=0, seed=0), quiet)
    other = evaluate(world.setting(spec=turned), Assignment(plan=DENSE, recovery_steps=0, seed=0), quiet)
    assert of(plain, "loss", "test").value != of(other, "loss", "test").value
