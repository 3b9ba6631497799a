"""Exports of a real trial on the digits: every claim of the passport against a slow recount, and hops that fail."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from app.search.errors import SearchFailed
from app.search.exports import forms
from app.search.exports.exporting import Exported
from app.search.exports.hops import _difference
from app.search.exports.passport import FORMATS, Passport
from app.search.tasks import TASKS
from app.search.trial import Measurement
from pruning.errors import ExportError
from pruning.export_onnx import OnnxFile
from pruning.graphnet import GraphNet
from tests.app.search.datasets import quiet
from tests.app.search.digits_trial import PLAN, SPEC, World, digest, make

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return world.export(tmp_path_factory.mktemp("whole"), *FORMATS)


def readings(found: Passport, hop: str) -> dict[tuple[str, str | None], float]:
    taken = found.hop(hop)
    assert taken is not None
    return {(one.metric, one.split): one.value for one in taken.readings}


def states(found: Passport) -> dict[str, str]:
    return {hop.name: hop.state for hop in found.hops}


def test_every_hop_holds_and_moves_by_rounding_alone_but_for_eight_bits(whole: Exported) -> None:
    found = whole.passport
    assert states(found) == dict.fromkeys(("masked", "smaller", "pt2", "onnx", "int8", "state"), "done")
    against = {"smaller": "masked", "pt2": "smaller", "onnx": "pt2", "int8": "onnx", "state": "smaller"}
    for hop in found.hops[1:]:
        assert hop.difference is not None and hop.difference.against == against[hop.name]
        assert hop.difference.samples == 128
        assert (hop.difference.relative < 1e-5) == (hop.name != "int8")
    (state,) = [hop.difference for hop in found.hops if hop.name == "state"]
    assert state is not None and state.absolute == 0.0


def test_what_the_files_score_is_what_the_trial_scored(world: World, whole: Exported) -> None:
    trial = {(one.metric, one.split): one.value for one in world.trial.measurements}
    for hop in ("pt2", "onnx"):
        found = readings(whole.passport, hop)
        assert set(found) == set(trial)
        assert found == pytest.approx(trial, rel=1e-5)
    eight = readings(whole.passport, "int8")
    assert eight["loss", "test"] != trial["loss", "test"]
    assert eight["loss", "test"] == pytest.approx(trial["loss", "test"], rel=0.05)
    assert whole.passport.measurements == world.trial.measurements


def test_a_passport_says_the_factor_on_the_learning_rate(world: World, whole: Exported, tmp_path: Path) -> None:
    trial = world.trial.evolve(coordinates={"learning_rate": 0.5})
    found = world.export(tmp_path, trial=trial).passport
    assert (found.learning_rate_factor, whole.passport.learning_rate_factor) == (0.5, 1.0)
    written = json.loads(json.dumps(found.to_json()))
    assert Passport.from_json(written) == found
    del written["learning_rate_factor"]  # as of before it could vary
    assert Passport.from_json(written).learning_rate_factor == 1.0


def test_zeros_are_those_that_lie_in_the_files(world: World, whole: Exported) -> None:
    program = torch.export.load(world.stored["model"])
    layers = {layer.name: layer for layer in world.setting.model.layers}
    for proof in whole.passport.layers:
        weight = program.state_dict[layers[proof.name].parameter]
        assert proof.shape == tuple(weight.shape) and proof.weights == weight.numel() and proof.holds
        zeros = int((weight == 0).sum())
        assert {hop: proof.zeros[hop] for hop in ("smaller", "pt2", "onnx", "state")} == dict.fromkeys(
            ("smaller", "pt2", "onnx", "state"), zeros
        )
        assert proof.zeros["int8"] >= zeros >= proof.promised_zeros
    stem, body, head = whole.passport.layers
    assert (stem.shape_before, stem.shape, stem.groups) == ((8, 1, 3, 3), (4, 1, 3, 3), None)
    assert body.groups == 8 * 9 and set(body.valid_groups.values()) == {72} and body.promised_zeros == 8 * 9 * 2
    assert head.promised_zeros == 40


def test_sizes_are_closed_forms_of_the_zeros(whole: Exported) -> None:
    sizes, layers = whole.passport.sizes, whole.passport.layers
    count = sum(layer.weights for layer in layers)
    kept = count - sum(layer.zeros["smaller"] for layer in layers)
    assert sizes["coded_bytes"]["32"]["dense"] == 4 * count
    body = next(layer for layer in layers if layer.name == "body")
    bitmask = sum(
        min(4 * layer.weights, (32 * (layer.weights - layer.zeros["smaller"]) + layer.weights) / 8) for layer in layers
    )
    assert sizes["coded_bytes"]["32"]["bitmask"] == round(bitmask)
    nm = (body.weights - body.zeros["smaller"]) * (8 + 2) / 8
    assert sizes["coded_bytes"]["8"]["best"] <= round(nm) + sum(la.weights for la in layers if la.name != "body")
    assert sizes["nonzero_parameters"] >= kept
    masked, smaller = sizes["tensor_bytes"]
    assert masked > smaller


def test_the_passport_says_what_it_takes_to_repeat_it(world: World, whole: Exported) -> None:
    found = whole.passport
    assert Passport.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    for kind, path in whole.files.items():
        assert found.hashes[kind] == digest(path)
        hop = next(hop for hop in found.hops if hop.file is not None and hop.file.kind == kind)
        assert hop.file is not None and hop.file.bytes == path.stat().st_size
    assert found.hashes["model"] == digest(world.stored["model"]) == world.trial.files["model"]
    assert found.hashes["plan"] == PLAN.digest and found.hashes["dataset"] == "0" * 64
    assert set(whole.files) == {"onnx", "int8", "state"}  # the .pt2 is the one that the trial left
    assert found.seeds == {"trial": 5, "search": SPEC.seed}
    assert {"torch", "onnx", "onnxruntime", "espalier"} <= set(found.versions)
    (predicted,) = found.latency["predicted"]
    assert (predicted["name"], predicted["latency_ms"], predicted["low_ms"]) == ("chip", 1.5, 1.0)
    assert found.latency["measured"] == []


def test_a_format_that_fails_says_why_and_the_others_stay(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: GraphNet, path: Path) -> OnnxFile:
        path.write_bytes(b"half a file")
        raise ExportError("ONNX opset 20 has no form of aten.conv2d at stem")

    monkeypatch.setattr(forms, "export_onnx", fail)
    found = world.export(tmp_path, "int8", "state")
    assert states(found.passport) == {
        "masked": "done", "smaller": "done", "pt2": "done", "onnx": "failed", "int8": "failed", "state": "done",
    }  # fmt: skip
    failure = found.passport.hops[3].failure
    assert failure is not None and failure.code == "export" and "aten.conv2d at stem" in failure.reason
    assert set(found.files) == {"state"} and "onnx" not in found.passport.hashes
    assert Passport.from_json(json.loads(json.dumps(found.passport.to_json()))) == found.passport


@pytest.mark.parametrize(
    ("name", "more", "code", "words"),
    [
        ("head.bias", 0.01, "disagreement", "smaller form"),  # computes something else
        ("body.weight", 1e-12, "constraint", "'body'"),  # computes the same, but its zeros are none any more
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_no_export(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, more: float, code: str, words: str
) -> None:
    def tampered(path: Path) -> bytes:
        tensors = load(real(path))
        return save({**tensors, name: tensors[name] + more})

    real = forms.read_state
    monkeypatch.setattr(forms, "read_state", tampered)
    found = world.export(tmp_path, "state")
    failure = found.passport.hops[-1].failure
    assert failure is not None and failure.code == code and words in failure.reason
    assert found.files == {} and "state" not in found.passport.hashes


def test_a_stored_file_that_was_changed_is_never_opened(world: World, tmp_path: Path) -> None:
    changed = {}
    for kind, path in world.stored.items():
        changed[kind] = tmp_path / path.name
        changed[kind].write_bytes(path.read_bytes() + b"\0")
    found = world.export(tmp_path, "state", stored={**world.stored, "model": changed["model"]}).passport
    assert states(found) == {"masked": "done", "smaller": "done", "pt2": "failed", "state": "done"}
    assert found.hops[2].failure is not None and found.hops[2].failure.code == "damaged_file"
    with pytest.raises(SearchFailed, match="not the recorded one"):
        world.export(tmp_path, "state", stored={**world.stored, "weights": changed["weights"]})
    with pytest.raises(SearchFailed, match="no stored weights"):
        world.export(tmp_path, "state", stored={})


def test_a_missing_program_is_written_anew(world: World, tmp_path: Path) -> None:
    found = world.export(tmp_path, "pt2", stored={"weights": world.stored["weights"]})
    assert states(found.passport) == {"masked": "done", "smaller": "done", "pt2": "done"}
    assert set(found.files) == {"model"}


def test_a_plan_applied_to_the_same_weights_is_the_same_trial(world: World, tmp_path: Path) -> None:
    result, files = TASKS["apply"]({**world.payload, "trial": world.trial.to_json()}, tmp_path, quiet)
    assert digest(Path(files["weights"])) == world.trial.files["weights"]
    again = [Measurement(**entry) for entry in json.loads(json.dumps(result["measurements"]))]
    assert tuple(again) == world.trial.measurements


def test_a_nan_in_a_later_batch_is_no_agreement() -> None:
    whole = [torch.ones(2), torch.ones(2)]
    with pytest.raises(SearchFailed, match="not a finite number"):
        _difference("smaller", whole, [torch.ones(2), torch.tensor([1.0, float("nan")])], 4)
    assert _difference("smaller", whole, whole, 4).absolute == 0.0
