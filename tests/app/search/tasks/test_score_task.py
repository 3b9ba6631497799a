"""The scoring task in its three ways, on a network small enough to count every pass."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from app.search.judging import judge_of
from app.search.spec import SearchSpec, Task
from app.search.table.error_table import forwards
from app.search.table.priors import magnitude
from app.search.table.score import read_options
from app.search.tasks.score import score
from pruning.patterns import Channel, Pattern, Unstructured, to_json
from tests.app.search.datasets import quiet
from tests.pruning.small import SPEC, small

SAMPLES = 20


class Feed:
    """Samples in order."""

    def __len__(self) -> int:
        return SAMPLES

    def in_order(self, batch: int) -> Any:
        inputs = torch.randn(SAMPLES, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        return [(inputs[at : at + batch], torch.zeros(batch)) for at in range(0, SAMPLES, batch)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the task with a given way of scoring."""

    def run(how: Any, options: list[list[dict[str, Pattern]]]) -> Any:
        spec = SearchSpec(model="m", dataset="d", profiles=("p",), error_table=how, calibration_samples=SAMPLES)
        setting = SimpleNamespace(
            net=small(), model=SPEC, spec=spec, dataset=None, judge=judge_of(Task(), {}), feed=lambda *_: Feed()
        )
        module = sys.modules[score.__module__]  # the package has the function under the module's name
        monkeypatch.setattr(module, "setting_of", lambda _: setting)
        monkeypatch.setattr("app.search.samples.batches.check_fit", lambda *_: None)
        document = [[{name: to_json(p) for name, p in option.items()} for option in unit] for unit in options]
        result, files = score({"options": document}, Path(), quiet)
        assert files == {}
        return result, read_options(document)

    return run


def test_every_way_counts_its_passes_and_answers_for_each_option(asked: Any) -> None:
    options: list[list[dict[str, Pattern]]] = [
        [{"stem": Channel(0.5)}, {"stem": Unstructured(0.8)}],
        [{"head": Unstructured(0.8)}],
    ]
    found = {}
    for how in ("prior", "oneshot", "reconstructed"):
        result, read = asked(how, options)
        assert [len(errors) for errors in result["errors"]] == [2, 1]
        assert result["sample_passes"] == SAMPLES * forwards(options, how)
        assert result["samples"] == (0 if how == "prior" else SAMPLES)
        found[how] = result["errors"]
        if how == "prior":
            assert result["errors"] == magnitude(small(), SPEC, read)
    assert found["reconstructed"][1][0] < found["oneshot"][1][0], "the layer's output is nearer to dense"
