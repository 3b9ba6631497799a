from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pruning.convert import ConversionReport, convert
from pruning.errors import IntakeError
from pruning.intake.reader import read_exported_program
from tests.pruning.intake.exporting import CASES, Lambda, Residual


@pytest.mark.parametrize("name", ["residual", "two_inputs", "statistics", "attention"])
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
