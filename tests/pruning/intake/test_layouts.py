"""What files may look like: several graphs in one, containers of inputs, modes, and what older or other tools wrote."""

import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export.pt2_archive._package import package_pt2

from pruning import graphnet
from pruning.errors import IntakeError
from pruning.intake.reader import read_exported_program, write_model
from tests.pruning.intake.exporting import Lambda, export
from tests.pruning.intake.payloads import read_members, write_members


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two graphs that share nothing."""
    path = tmp_path_factory.mktemp("two") / "two.pt2"
    torch.manual_seed(0)
    batch = ({0: torch.export.Dim("batch")},)
    programs = {
        "encoder": torch.export.export(nn.Linear(4, 3).eval(), (torch.randn(2, 4),), dynamic_shapes=batch),
        "decoder": torch.export.export(nn.Linear(3, 4).eval(), (torch.randn(2, 3),), dynamic_shapes=batch),
    }
    package_pt2(str(path), exported_programs=programs)
    return path


def test_one_of_several_graphs_is_chosen_by_name(two: Path) -> None:
    for name, shape in (("encoder", (3, 4)), ("decoder", (4, 3))):
        document, raw = read_exported_program(two, graph=name)
        assert next(p.shape for p in document.parameters if p.name == "weight") == shape
        assert len(raw) == 2 and document.notes[0] == f"of 2 graphs in the file, {name} was read"


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ("", "holds 2 graphs: 'decoder', 'encoder'; say which, as graph=NAME"),
        ("other", "holds no graph 'other'; it holds 'decoder', 'encoder'"),
        ("../encoder", "holds no graph"),
    ],
)
def test_graphs_that_are_not_chosen_are_named(two: Path, graph: str, said: str) -> None:
    with pytest.raises(IntakeError) as refused:
        read_exported_program(two, graph=graph)
    assert said in str(refused.value)


def test_a_single_graph_may_be_named_too(good: Path) -> None:
    assert read_exported_program(good, graph="model") == read_exported_program(good)
    with pytest.raises(IntakeError, match="it holds 'model'"):
        read_exported_program(good, graph="other")


def _dicts(m: Lambda, batch: dict[str, Tensor], pair: tuple[Tensor, Tensor]) -> dict[str, Any]:
    found = m.a(batch["x"]) * m.b(batch["y"]) + pair[0] - pair[1]
    return {"logits": found, "more": (found.sum(1), [found.relu()])}


class Containers(nn.Module):
    """Dicts and tuples of tensors in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, batch: dict[str, Tensor], pair: tuple[Tensor, Tensor]) -> dict[str, Any]:
        return _dicts(self, batch, pair)  # type: ignore[arg-type]


def tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    else:
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors(item)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_containers_of_tensors_become_inputs_and_outputs_in_order(
    dynamic: bool, training: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = Containers().train(training)
    inputs = ({"y": torch.randn(2, 2), "x": torch.randn(2, 4)}, (torch.randn(2, 3), torch.randn(2, 3)))
    batch = {0: torch.export.Dim("batch")}
    shapes = ({"y": batch, "x": batch}, (batch, batch)) if dynamic else None
    torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), tmp_path / "m.pt2")
    document, raw = read_exported_program(tmp_path / "m.pt2")
    assert [entry.name for entry in document.inputs] == ["batch_y", "batch_x", "pair_0", "pair_1"]
    write_model(document, raw, tmp_path)
    found = graphnet.load(tmp_path).eval()(*tensors(inputs))
    torch.testing.assert_close(list(found), list(tensors(module.eval()(*inputs))), rtol=1e-5, atol=1e-5)


class Attentive(nn.Module):
    """Every layer that has a mode."""

    def __init__(self, p: float = 0.25) -> None:
        super().__init__()
        self.norm, self.drop, self.p = nn.BatchNorm1d(4, momentum=0.3), nn.Dropout(0.4), p

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(x)).unsqueeze(1)
        p = self.p if self.training else 0.0
        return nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=p).squeeze(1)


def _notes(module: nn.Module, folder: Path) -> str:
    return "; ".join(read_exported_program(export(module, (torch.randn(2, 4),), folder / "m.pt2"))[0].notes)


def test_a_train_mode_twin_says_what_the_eval_export_lost(tmp_path: Path) -> None:
    in_train, in_eval = _notes(Attentive().train(), tmp_path), _notes(Attentive().eval(), tmp_path)
    kept = "1 batch norm (momentum 0.3), 1 dropout (p 0.4)"
    assert f"in train mode: recovery trains with its {kept}, 1 attention dropout (p 0.25)" in in_train
    assert "lost" not in in_train
    assert f"in eval mode: {kept} are switched by ours" in in_eval
    assert "lost by an export in eval mode: dropout inside attention (1 places)" in in_eval
    assert "drop path" in in_eval


def test_a_model_without_modes_has_lost_nothing(tmp_path: Path) -> None:
    assert "mode" not in _notes(nn.Linear(4, 3).eval(), tmp_path)


class DropPath(nn.Module):
    """A layer that is left out at random, one sample at a time: arXiv 1603.09382."""

    def __init__(self, fresh: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.fresh = nn.Linear(4, 4), fresh

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        if self.training:
            mask = self.fresh(x).bernoulli_(0.75)
            mask.div_(0.75)
            y = y * mask
        return x + y


FRESH: dict[str, Callable[[Tensor], Tensor]] = {
    "new_empty": lambda x: x.new_empty(x.shape[0], 1),
    "empty": lambda x: torch.empty((x.shape[0], 1), dtype=x.dtype, device=x.device),
}


@pytest.mark.parametrize("fresh", FRESH)
def test_a_drop_path_drops_in_training_and_is_gone_in_evaluation(fresh: str, tmp_path: Path) -> None:
    module = DropPath(FRESH[fresh])
    document, raw = read_exported_program(export(module.train(), (torch.randn(2, 4),), tmp_path / "m.pt2"))
    assert "1 dropout (p 0.25)" in document.notes[-1]
    write_model(document, raw, tmp_path)
    net, x = graphnet.load(tmp_path), torch.randn(4000, 4)
    with torch.no_grad():
        added = module.a(x)
        torch.testing.assert_close(net.eval()(x), x + added, rtol=1e-5, atol=1e-5)
        found = net.train()(x) - x
    dropped = found.abs().amax(1) < 1e-6
    assert 0.21 < float(dropped.double().mean()) < 0.29
    torch.testing.assert_close(found[~dropped], added[~dropped] / 0.75, rtol=1e-4, atol=1e-5)


class Noisy(nn.Module):
    """Random numbers of another kind."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.function = nn.Linear(4, 4), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.a(x))


class Branching(nn.Module):
    """Control flow that follows the data."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.cond(x.sum() > 0, lambda y: self.a(y), lambda y: self.a(-y), (x,))
        return found


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Noisy(lambda _, y: y + torch.rand_like(y)), "draws random numbers of its own .noise"),
        (Noisy(lambda x, y: y * x.new_empty(x.shape[0], 1).bernoulli_(0.9)), "no drop path: export it in eval mode"),
        (Noisy(lambda x, y: y * x.new_empty(x.shape[0], 1).bernoulli_(0.9).div_(0.8)), "no drop path"),
        (Noisy(lambda x, y: y * torch.sigmoid(x).bernoulli_(0.9).div_(0.9)), "not as usual"),
        (Branching().eval(), "depends on values of the data"),
    ],
)
def test_programs_beyond_us_say_the_way_out(module: nn.Module, said: str, tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match=said):
        read_exported_program(export(module, (torch.randn(2, 4),), tmp_path / "m.pt2"))


OTHERS: dict[str, tuple[tuple[str, ...], str]] = {
    "torch 2.7": (("serialized_exported_program.json", "serialized_state_dict.pt", "version"), "one folder"),
    "torch 2.7 in a folder": (("m/serialized_exported_program.json", "m/version"), "torch 2.7 or older"),
    "compiled": (("m/data/aotinductor/model/x.so", "m/archive_format"), "compiled code .AOTInductor."),
    "executorch": (("m/data/executorch/model.pte", "m/archive_format"), "ExecuTorch"),
    "pickle": (("m/data.pkl", "m/data/0", "m/version"), "a pickle .torch.save. or TorchScript"),
    "a document": (("word/document.xml",), "no exported program of the current form: export"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_files_of_other_tools_are_told_apart(name: str, tmp_path: Path) -> None:
    members, said = OTHERS[name]
    write_members(dict.fromkeys(members, b"x"), tmp_path / "m.pt2")
    with pytest.raises(IntakeError, match=said) as refused:
        read_exported_program(tmp_path / "m.pt2")
    assert "torch 2.13" in str(refused.value)


def test_what_torch_saves_otherwise_is_told_apart(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "a.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "b.pt2")
    for path in (tmp_path / "a.pt2", tmp_path / "b.pt2"):
        with pytest.raises(IntakeError, match="TorchScript"):
            read_exported_program(path)


def test_pickled_weights_of_an_older_torch_are_not_read(good: Path, tmp_path: Path) -> None:
    members = read_members(good)
    config = next(name for name in members if name.endswith("model_weights_config.json"))
    del members[config]
    members[config.replace("model_weights_config.json", "model.pt")] = b"\x80\x04."
    write_members(members, tmp_path / "old.pt2")
    with pytest.raises(IntakeError, match="the weights are pickled, as an older torch wrote them"):
        read_exported_program(tmp_path / "old.pt2")


def test_names_that_differ_in_their_case_alone(good: Path, tmp_path: Path) -> None:
    members = read_members(good)
    name = next(name for name in members if name.endswith("models/model.json"))
    members[name.replace("model.json", "MODEL.json")] = members[name]
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        for key, data in members.items():
            archive.writestr(key, data)
    with pytest.raises(IntakeError, match="two members of one name, small and capital"):
        read_exported_program(tmp_path / "m.pt2")
