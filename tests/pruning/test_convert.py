from pathlib import Path
from unittest.mock import ANY

import pytest
import torch
from torch import Tensor, nn

from pruning.convert import ConversionReport, convert
from pruning.errors import IntakeError
from pruning.intake.reader import read_exported_program
from tests.pruning.intake.exporting import CASES, Lambda, Residual


@pytest.mark.parametrize("name", ["residual", "two_inputs", "transformer", "attention"])
def test_converted_models_read_back_alike(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    inputs = CASES[name][1]()
    report = convert(CASES[name][0](), inputs if len(inputs) > 1 else inputs[0], tmp_path / "m.pt2")
    document, _ = read_exported_program(report.path)
    assert isinstance(report, ConversionReport) and report.largest_difference <= 1e-5
    assert all(entry.shape[0] is None for entry in document.inputs)
    assert report.nodes == len(document.nodes) and report.notes == document.notes
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_the_module_is_left_as_it_is(tmp_path: Path) -> None:
    module = Residual().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    report = convert(module, torch.randn(1, 3, 6, 6), tmp_path / "m.pt2")  # a batch of one will do
    assert module.training
    torch.testing.assert_close(dict(module.state_dict()), before, rtol=0, atol=0)
    assert report.parameter_count == sum(p.numel() for p in module.parameters())
    assert report.inputs == ("x [None, 3, 6, 6] float32",)


def test_a_module_that_bounds_its_batch_is_exported_all_the_same(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        torch._check(x.shape[0] < 5000)
        return m.a(x)

    report = convert(Lambda(forward, a=nn.Linear(4, 3)), torch.randn(2, 4), tmp_path / "m.pt2")
    assert report.inputs == ("x [None, 4] float32",)


class Attentive(nn.Module):
    """Dropout inside attention, which only a train-mode export keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 12)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.a(x).unsqueeze(1).chunk(3, -1)
        p = 0.2 if self.training else 0.0
        return nn.functional.scaled_dot_product_attention(q, k, v, dropout_p=p).squeeze(1)


def test_what_only_training_does_is_kept_where_that_can_be_had(tmp_path: Path) -> None:
    report = convert(Attentive(), torch.randn(2, 4), tmp_path / "m.pt2")
    assert report.mode == "train" and report.fallback == ""
    assert any("1 attention dropout (p 0.2)" in note for note in report.notes)
    other = convert(Attentive(), torch.randn(2, 4), tmp_path / "m.pt2", "eval")
    assert other.mode == "eval" and any(note.startswith("lost by an export in eval mode") for note in other.notes)


def test_a_model_that_draws_its_own_numbers_falls_back_and_says_so(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        y = m.a(x)
        return x + (y * torch.rand_like(y[:, :1]) if m.training else y)

    report = convert(Lambda(forward, a=nn.Linear(4, 4)), torch.randn(2, 4), tmp_path / "m.pt2")
    assert report.mode == "eval" and "draws random numbers of its own" in report.fallback


def test_dicts_and_tuples_of_tensors_are_inputs(tmp_path: Path) -> None:
    module = Lambda(lambda m, x, y: m.a(x["u"]) + x["v"] + y[0] * y[1], a=nn.Linear(4, 3))
    example = ({"v": torch.randn(2, 3), "u": torch.randn(2, 4)}, (torch.randn(2, 3), torch.randn(2, 3)))
    report = convert(module, example, tmp_path / "m.pt2")
    assert [text.partition(" ")[0] for text in report.inputs] == ["x_v", "x_u", "y_0", "y_1"]
    with pytest.raises(IntakeError, match="an input holds a int"):
        convert(module, (3, torch.randn(2, 3)), tmp_path / "m.pt2")


def test_the_report_says_what_can_be_pruned(tmp_path: Path) -> None:
    report = convert(Residual(), torch.randn(2, 3, 6, 6), tmp_path / "m.pt2")
    assert (report.layers, report.groups, report.unprunable) == (3, "1 of 2", {"stem channels": ANY})
    assert report.macs == 36 * (4 * 27 + 2 * 4 * 36)


def test_control_flow_that_follows_the_data_is_named_with_its_line(tmp_path: Path) -> None:
    def forward(m: Lambda, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return m.a(x)
        return m.a(-x)

    with pytest.raises(IntakeError) as refused:
        convert(Lambda(forward, a=nn.Linear(4, 3)), torch.randn(2, 4), tmp_path / "m.pt2")
    said = str(refused.value)
    assert "depends on values of the data" in said and "torch.where" in said
    assert "test_convert.py, in forward: if x.sum() > 0" in said


def test_a_model_with_nothing_to_prune_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="the model has no prunable layer"):
        convert(nn.Sequential(nn.Flatten(), nn.ReLU()), torch.randn(2, 4), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_refusals_say_why_and_leave_no_file(tmp_path: Path) -> None:
    baked = Lambda(lambda m, x: m.a(x.reshape(2, -1)), a=nn.Linear(4, 3))
    unknown = Lambda(lambda _, x: x.sort(dim=1)[0])
    for module, match in ((baked, "varying batch"), (unknown, "aten.sort.default")):
        with pytest.raises(IntakeError, match=match):
            convert(module, torch.randn(2, 4), tmp_path / "m.pt2")
    with pytest.raises(IntakeError, match=r"should end in \.pt2"):
        convert(nn.Linear(4, 3), torch.randn(2, 4), tmp_path / "m.bin")
    with pytest.raises(IntakeError, match="batch as first dimension"):
        convert(nn.Linear(4, 3), torch.tensor(1.0), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_differ_are_noticed(tmp_path: Path) -> None:
    calls = []

    def forward(m: Lambda, x: Tensor) -> Tensor:
        calls.append(1)
        return m.a(x) * len(calls)  # the export freezes what this counts

    with pytest.raises(IntakeError, match="differs from the original"):
        convert(Lambda(forward, a=nn.Linear(4, 3)), torch.randn(2, 4), tmp_path / "m.pt2")
    assert list(tmp_path.iterdir()) == []
