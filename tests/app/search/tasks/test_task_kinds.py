"""Trials and scores of every kind of task, from a source's rows to measurements, through the tasks a worker runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.search.errors import DatasetError
from app.search.judging import JUDGES
from app.search.spec import Recovery, SearchSpec, Task
from app.search.tasks import TASKS
from app.search.trial import Measurement
from pruning.patterns import Unstructured
from pruning.plan import PruningPlan
from tests.app.search.datasets import quiet

torch.set_num_threads(1)
LENGTH, WORDS = 8, 40
SEPARATE = {"classification": "text", "regression": "table", "language_modelling": "text"}


class Encoder(nn.Module):
    """Tokens and a mask to two logits, or to logits for every place."""

    def __init__(self, *, everywhere: bool) -> None:
        super().__init__()
        self.everywhere = everywhere
        self.words = nn.Embedding(WORDS, 12)
        self.middle = nn.Linear(12, 16)
        self.head = nn.Linear(16, WORDS if everywhere else 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        weights = attention_mask.unsqueeze(-1).float()
        values = torch.relu(self.middle(self.words(input_ids) * weights))
        if not self.everywhere:
            values = (values * weights).sum(1) / weights.sum(1)
        found: Tensor = self.head(values)
        return found


class Line(nn.Module):
    """Three numbers to one."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(3, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(torch.relu(self.middle(x)))
        return found


def data(kind: str) -> tuple[bytes, dict[str, Any]]:
    """A file of this task's data, and the options to read it with."""
    random = np.random.default_rng(0)
    if kind == "regression":
        x = random.normal(size=(120, 3))
        y = x @ [1.0, -2.0, 0.5] + 3
        return b"".join(b"%f,%f,%f,%f\n" % (*row, value) for row, value in zip(x, y, strict=True)), {"task": kind}
    rows = [" ".join(f"w{random.integers(0, 30)}" for _ in range(5)) for _ in range(120)]
    if kind == "language_modelling":
        lines = [" ".join(f"w{(n + k) % 30}" for k in range(6)) for n in range(200)]
        return "\n".join(lines).encode(), {"task": kind, "length": LENGTH, "vocabulary": WORDS}
    told = [f"{n % 2}\t{'good' if n % 2 else 'bad'} {row}" for n, row in enumerate(rows)]
    return "\n".join(told).encode(), {"length": LENGTH, "vocabulary": WORDS}


def payload(folder: Path, kind: str) -> dict[str, Any]:
    """What a worker is handed for a trial or a score."""
    content, options = data(kind)
    (folder / "rows").write_bytes(content)
    asked = {"kind": SEPARATE[kind], "upload": str(folder / "rows"), "options": options}
    _, arrays = TASKS["prepare"](asked, folder, quiet)
    torch.manual_seed(0)
    dim = torch.export.Dim("batch", min=2)
    net: nn.Module = Line() if kind == "regression" else Encoder(everywhere=kind == "language_modelling")
    tokens = tuple(torch.ones(2, LENGTH, dtype=torch.int64) for _ in range(2))  # one tensor twice would be one input
    example = (torch.zeros(2, 3),) if kind == "regression" else tokens
    program = torch.export.export(net.eval(), example, dynamic_shapes=tuple({0: dim} for _ in example))
    torch.export.save(program, folder / "net.pt2")
    (folder / "intake").mkdir()
    seen, files = TASKS["inspect"]({"upload": str(folder / "net.pt2")}, folder / "intake", quiet)
    recovery = Recovery(steps=90, batch=16, learning_rate=0.05)
    spec = SearchSpec(model="m", dataset="d", profiles=("p",), recovery=recovery, task=Task(kind=kind))
    return {**files, "dataset": arrays["arrays"], "model_spec": seen["spec"], "search_spec": spec.to_json()}


@pytest.mark.parametrize("kind", JUDGES)
def test_a_trial_learns_and_is_judged(kind: Any, tmp_path: Path) -> None:
    whole = payload(tmp_path, kind)
    plan = PruningPlan(pruner="magnitude", patterns={"middle": Unstructured(0.5)})
    found: list[Mapping[str, Any]] = []
    for steps in (0, 90):
        asked = {"number": 2, "role": "searched", "plan": plan.to_json(), "seed": 1, "recovery_steps": steps}
        (tmp_path / str(steps)).mkdir()
        found.append(TASKS["trial"](whole | {"trial": asked}, tmp_path / str(steps), quiet)[0])
    before, after = ([Measurement(**m) for m in result["measurements"]] for result in found)
    headline = JUDGES[kind].headline
    quality = [
        headline.quality(next(m.value for m in each if (m.metric, m.split) == (headline.metric, "test")))
        for each in (before, after)
    ]
    assert quality[1] > quality[0]
    if kind == "regression":
        assert quality[1] > 0.5
    assert {m.split for m in after} == {"validation", "test"}
    measured = sum(m.samples for m in after if m.metric == "loss")
    batches = found[1]["report"]["sample_passes"] - found[0]["report"]["sample_passes"]
    assert batches == 3 * 90 * 16, "forward and backward count three, everything else is the same"
    assert found[0]["report"]["sample_passes"] >= measured


@pytest.mark.parametrize("kind", JUDGES)
def test_an_error_table_is_taken_by_the_judge(kind: Any, tmp_path: Path) -> None:
    options = [
        [
            {},
            {"middle": {"kind": "unstructured", "sparsity": 0.5}},
            {"middle": {"kind": "unstructured", "sparsity": 0.9}},
        ]
    ]
    result, _ = TASKS["score"](payload(tmp_path, kind) | {"options": options}, tmp_path, quiet)
    (errors,) = result["errors"]
    assert errors[0] == 0.0 and 0 < errors[1] < errors[2]


def test_a_vocabulary_that_is_too_large_is_found_before_anything_runs(tmp_path: Path) -> None:
    whole = payload(tmp_path, "classification")
    (tmp_path / "other").mkdir()
    asked = {"kind": "text", "upload": str(tmp_path / "rows"), "options": {"length": LENGTH, "vocabulary": 16}}
    _, small = TASKS["prepare"](asked, tmp_path / "other", quiet)
    TASKS["score"](whole | {"dataset": small["arrays"], "options": [[{}]]}, tmp_path, quiet)
    rows = "\n".join(f"{n % 2}\tword{n} and more{n}" for n in range(120))
    (tmp_path / "rows").write_text(rows)
    _, large = TASKS["prepare"](asked | {"options": {"length": LENGTH}}, tmp_path / "other", quiet)
    with pytest.raises(DatasetError, match=r'embedding has 40 rows: .*"vocabulary": 40'):
        TASKS["score"](whole | {"dataset": large["arrays"], "options": [[{}]]}, tmp_path, quiet)
