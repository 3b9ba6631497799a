from typing import Any

import pytest
import torch
from safetensors.torch import save
from torch import Tensor

from pruning.architectures import ARCHITECTURES, build, example, load_weights, read_config
from pruning.architectures.table import MAX_PARAMETERS
from pruning.errors import IntakeError


def _refusal(name: str, config: Any) -> str:
    with pytest.raises(IntakeError) as refused:
        build(name, config)
    return str(refused.value)


def test_an_unknown_architecture_is_refused_with_the_known_ones() -> None:
    for name in ("resnet_9000", "os.system", "pruning.architectures.mlp", "__class__", ""):
        said = _refusal(name, {})
        assert "there is no architecture" in said and ", ".join(ARCHITECTURES) in said


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    said = _refusal("mlp", {"layers": 3})
    assert "architecture 'mlp'" in said and "'layers'" in said
    assert "features, hidden, classes, dropout" in said
    assert "no field '__post_init__'" in _refusal("vit", {"__post_init__": 1})


@pytest.mark.parametrize(
    ("name", "config", "named"),
    [
        ("mlp", {"hidden": [16, 0]}, "hidden"),
        ("mlp", {"hidden": []}, "hidden"),
        ("mlp", {"hidden": "16"}, "hidden"),
        ("mlp", {"classes": True}, "classes"),
        ("mlp", {"classes": 2.0}, "classes"),
        ("mlp", {"dropout": float("nan")}, "dropout"),
        ("mlp", {"dropout": "0.1"}, "dropout"),
        ("cifar_resnet", {"depth": 21}, "one of 110, 14, 20"),
        ("cifar_resnet", {"shortcut": "C"}, "one of A, B"),
        ("vgg", {"batch_norm": 1}, "true or false"),
        ("vgg", {"size": 8}, "5 blocks halve an image of 8 pixels away"),
        ("vit", {"width": 130}, "heads of the width: 4 does not divide 130"),
        ("unet", {"size": 20}, "8 does not divide 20"),
        ("text_cnn", {"tokens": 4}, "a kernel of 5 words"),
        ("shufflenet", {"width": 40}, "12 does not divide 40"),
        ("resnet", {"depth": 50, "width": 8, "group_width": 4}, "bottlenecks have no channels"),
        ("mlp", ["hidden"], "JSON object"),
    ],
)
def test_a_value_outside_its_limits_is_named(name: str, config: Any, named: str) -> None:
    assert named in _refusal(name, config)


def test_a_model_too_large_is_refused_before_it_has_memory() -> None:
    said = _refusal("mlp", {"features": 65536, "hidden": [16384] * 64})
    assert "parameters; the limit is" in said and str(MAX_PARAMETERS) in said


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_configs_survive_json(name: str) -> None:
    config = read_config(name, {})
    assert read_config(name, config.to_json()) == config
    assert all(value.shape[0] == 3 for value in example(config.inputs, batch=3))


def test_weights_come_from_the_seed_and_the_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (build("lenet5", {"size": 16}, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before) and not one.training
    assert all(a.equal(b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_an_encoder_reads_past_masked_words() -> None:
    config = {"vocabulary": 20, "tokens": 6, "depth": 1, "width": 8, "heads": 2, "hidden": 8}
    net, (ids, _) = build("bert", config), example(read_config("bert", config).inputs)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]] * 2)
    other = torch.cat([ids[:, :4], (ids[:, 4:] + 1) % 20], dim=1)
    torch.testing.assert_close(net(ids, mask), net(other, mask))
    assert not torch.allclose(net(ids, torch.ones_like(mask)), net(other, torch.ones_like(mask)))
    torch.testing.assert_close(net(ids), net(ids, torch.ones_like(mask)))


def _state() -> dict[str, Tensor]:
    return {k: v.clone() for k, v in build("cifar_resnet", {"depth": 8, "width": 4}, seed=5).state_dict().items()}


def test_weights_are_loaded_from_bytes_and_from_a_file(tmp_path: Any) -> None:
    wanted = _state()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(save(wanted))
    for source in (save(wanted), path):
        net = build("cifar_resnet", {"depth": 8, "width": 4}, seed=6)
        load_weights(net, source)
        torch.testing.assert_close(dict(net.state_dict()), wanted, rtol=0, atol=0)


def test_half_precision_is_converted_and_batch_counters_may_be_left_out() -> None:
    wanted = {name: value.half() for name, value in _state().items() if "num_batches" not in name}
    net = build("cifar_resnet", {"depth": 8, "width": 4}, seed=6)
    load_weights(net, save(wanted))
    assert net.state_dict()["conv1.weight"].equal(wanted["conv1.weight"].float())


def test_every_misfit_is_named_and_nothing_is_loaded() -> None:
    given = _state()
    given["extra.weight"] = torch.zeros(2)
    given["fc.weight"] = torch.zeros(10, 7)
    given["bn1.running_var"] = torch.zeros(4, dtype=torch.int64)
    del given["conv1.weight"]
    net = build("cifar_resnet", {"depth": 8, "width": 4}, seed=6)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(IntakeError) as refused:
        load_weights(net, save(given))
    said = str(refused.value)
    assert "1 missing: conv1.weight" in said and "1 not in the model: extra.weight" in said
    assert "fc.weight ([10, 7] instead of [10, 16])" in said
    assert "bn1.running_var (torch.int64 instead of torch.float32)" in said
    torch.testing.assert_close(dict(net.state_dict()), before, rtol=0, atol=0)


def test_many_misfits_are_counted() -> None:
    with pytest.raises(IntakeError, match=r"\d+ missing: .* and \d+ more"):
        load_weights(build("cifar_resnet", {"depth": 8, "width": 4}), save({}))


@pytest.mark.parametrize("source", [b"", b"\x80\x04.", b"PK\x03\x04", b"\xff" * 64, save({"a": torch.zeros(1)})[:-2]])
def test_what_is_no_safetensors_file_is_refused(source: bytes) -> None:
    with pytest.raises(IntakeError, match="the weights"):
        load_weights(build("mlp", {}), source)


def test_a_missing_file_is_refused(tmp_path: Any) -> None:
    with pytest.raises(IntakeError, match="cannot be read"):
        load_weights(build("mlp", {}), tmp_path / "none.safetensors")


def test_one_name_of_a_shared_tensor_is_enough() -> None:
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.head = torch.nn.Embedding(5, 3), torch.nn.Linear(3, 5, bias=False)
            self.head.weight = self.words.weight

    net = Tied()
    load_weights(net, save({"head.weight": torch.ones(5, 3)}))
    assert net.words.weight.eq(1).all()
