"""The judge that docs/tasks.md shows is run as it stands there: it keeps every promise, and enters by its name."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from app.search import judging
from app.search.errors import DatasetError
from app.search.judging import headline_of, judge_of
from app.search.spec import Task
from pruning.layers import ModelSpec
from tests.app.search.judging.conformance import Example, conforms

PAGE = Path(__file__).parents[4] / "docs" / "tasks.md"
META = {"targets": "numbers", "classes": [], "target_shape": [4], "target_variance": [0.25] * 4}


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (tmp_path / "multi_label.py").write_text(code, "utf-8")
    spec = importlib.util.spec_from_file_location("multi_label", tmp_path / "multi_label.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(judging, "JUDGES", {**judging.JUDGES, "classification": module.MultiLabel})
    return module.MultiLabel


def test_the_pages_judge_keeps_every_promise(shown: Any) -> None:
    random = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (20, 4), generator=random).float()
    noise = torch.randn(20, 4, generator=random)
    judge = judge_of(Task(), META)
    assert type(judge) is shown and headline_of({}).metric == "accuracy"
    conforms(Example(judge=judge, targets=targets, good=4 * (targets - 0.5) + 0.3 * noise, bad=noise))


@pytest.mark.usefixtures("shown")
def test_it_refuses_what_does_not_fit() -> None:
    fits, wrong = (
        ModelSpec(layers=(), groups=(), input_shape=(9,), output_shapes=(shape,), parameter_count=0)
        for shape in ((4,), (5,))
    )
    judge_of(Task(), META).check_fit(fits)
    with pytest.raises(DatasetError, match="the data has 4 labels, but the model answers 5"):
        judge_of(Task(), META).check_fit(wrong)
