"""Data that no model of this kind can take are refused before anything runs, in words that say what to do."""

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.search.errors import DatasetError
from app.search.judging.fit import Taken, check, order, taken
from app.search.spec import Task
from pruning.graphnet import load
from pruning.intake.reader import read_exported_program, write_model
from pruning.layers import ModelSpec

MODEL = ModelSpec(layers=(), groups=(), input_shape=(8,), output_shapes=((2,),), parameter_count=0)
TEXTS: dict[str, Any] = {
    "targets": "classes", "classes": ["0", "1"], "input_shape": [8], "vocabulary": 100, "tokenizer": {"kind": "words"},
    "inputs": [
        {"name": "input_ids", "shape": [8], "dtype": "int32"},
        {"name": "attention_mask", "shape": [8], "dtype": "int8"},
    ],
}  # fmt: skip
PIXELS: dict[str, Any] = {
    "targets": "classes", "classes": ["0", "1"], "input_shape": [32, 24, 3], "source": "npz",
    "inputs": [{"name": "input", "shape": [32, 24, 3], "dtype": "uint8"}],
}  # fmt: skip
IDS, MASK = Taken(name="a", shape=(8,), dtype="int64", rows=100), Taken(name="b", shape=(8,), dtype="int64")


class Encoder(nn.Module):
    """Two inputs; ids go through an embedding of 40 rows, the mask through none."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(40, 6)
        self.places = nn.Embedding(8, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        values = self.words(input_ids) + self.places(torch.arange(8))
        weights = attention_mask.unsqueeze(-1).float()
        found: Tensor = self.head((values * weights).sum(1) / weights.sum(1))
        return found


def test_what_a_graph_takes_is_read_from_it(tmp_path: Any) -> None:
    dim = torch.export.Dim("batch", min=2)
    example = (torch.zeros(2, 8, dtype=torch.int64), torch.ones(2, 8, dtype=torch.int64))
    program = torch.export.export(Encoder(), example, dynamic_shapes=({0: dim}, {0: dim}))
    torch.export.save(program, tmp_path / "net.pt2")
    write_model(*read_exported_program(tmp_path / "net.pt2"), tmp_path)
    found = taken(load(tmp_path).document)
    assert [asdict(entry) for entry in found] == [
        {"name": "input_ids", "shape": (8,), "dtype": "int64", "rows": 40},
        {"name": "attention_mask", "shape": (8,), "dtype": "int64", "rows": None},
    ]


@pytest.mark.parametrize(
    ("meta", "takes", "task", "field", "message"),
    [
        ({}, (replace(IDS, rows=99),), {}, "/dataset", 'run to 99, but .* 99 rows: .*{"vocabulary": 99}'),
        (
            {"tokenizer": {"kind": "wordpiece"}},
            (replace(IDS, rows=9),),
            {},
            "/dataset",
            "that the model was trained with",
        ),
        (
            {},
            (replace(IDS, rows=None, dtype="float32"),),
            {},
            "/dataset",
            "token numbers, but the model's input 'a' is",
        ),
        ({}, (IDS, replace(MASK, rows=2)), {}, "/dataset", "looks its input 'b' up in an embedding"),
        ({}, (IDS, MASK, MASK), {}, "/dataset", r"takes 3 inputs \(a, b, b\), but the data have 2"),
        ({}, (IDS, replace(MASK, shape=(4,))), {}, "/dataset", "samples are 8, but the model takes 4"),
        ({"input_shape": [16]}, (), {}, "/dataset", 'prepare the texts with the option {"length": 8}'),
        ({}, (IDS,), {"mean": (1.0,), "std": (1.0,)}, "/task/mean", "token numbers cannot be normalised"),
        ({}, (IDS,), {"augment": ("flip",)}, "/task/augment", "task.augment is for images"),
        ({"targets": "tokens"}, (IDS,), {}, "/task/kind", "set task.kind to language_modelling"),
    ],
)
def test_texts_that_do_not_fit(
    meta: dict[str, Any], takes: tuple[Taken, ...], task: dict[str, Any], field: str, message: str
) -> None:
    check(Task(), TEXTS, MODEL, (IDS, MASK))
    check(Task(), TEXTS, MODEL, (IDS,))
    with pytest.raises(DatasetError, match=message) as caught:
        check(Task(**task), TEXTS | meta, MODEL, takes)
    assert (caught.value.code, caught.value.details["field"]) == ("dataset_mismatch", field)


def test_channels_that_come_last_are_told_to_be_transposed() -> None:
    model = replace(MODEL, input_shape=(3, 32, 24))
    with pytest.raises(DatasetError, match=r'the channels come last; transpose .*"layout": "nhwc"'):
        check(Task(), PIXELS, model)
    with pytest.raises(DatasetError, match=r"32x24x3, but the model takes 3x64x64$"):
        check(Task(), PIXELS, replace(model, input_shape=(3, 64, 64)))


def test_pixels_for_a_model_of_tokens_are_refused() -> None:
    flat = PIXELS | {"input_shape": [8], "inputs": [{"name": "input", "shape": [8], "dtype": "float32"}]}
    with pytest.raises(DatasetError, match="samples are float32, but the model's input 'a' is int64"):
        check(Task(), flat, MODEL, (IDS,))


def test_inputs_are_matched_by_name_or_else_in_order() -> None:
    turned = (replace(MASK, name="attention_mask"), replace(IDS, name="input_ids"))
    assert order(TEXTS, turned) == (1, 0)
    assert order(TEXTS, (IDS, MASK)) == (0, 1)
    assert order({"input_shape": [8]}, (IDS,)) == (0,), "prepared by version 0.1"
