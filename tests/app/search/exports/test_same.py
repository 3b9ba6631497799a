"""What keeps a plan from travelling: the first difference, named."""

from dataclasses import replace

import pytest

from app.search.exports.same import first_difference
from pruning.layers import ChannelGroup, Cut, LayerSpec, ModelSpec

STEM = LayerSpec(name="stem", parameter="p0", op="conv2d", in_channels=3, out_channels=8, kernel=(3, 3))
HEAD = LayerSpec(name="head", parameter="p1", op="linear", in_channels=8, out_channels=10)
GROUP = ChannelGroup(
    name="stem",
    channels=8,
    producers=("stem",),
    consumers=("head",),
    cuts=(Cut(parameter="p0", dim=0, role="producer"), Cut(parameter="p1", dim=1, role="consumer")),
)
MODEL = ModelSpec(
    layers=(STEM, HEAD), groups=(GROUP,), input_shape=(3, 8, 8), output_shapes=((10,),), parameter_count=296
)


def test_the_same_model_with_other_notes_is_the_same() -> None:
    assert first_difference(MODEL, MODEL) == ""
    assert first_difference(MODEL, replace(MODEL, notes=("exported in train mode",))) == ""


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(MODEL, layers=(STEM,)), "it has 1 prunable layers, the plan's model 2"),
        (replace(MODEL, layers=(STEM, replace(HEAD, name="fc"))), "layer 2 is 'fc', the plan's model has 'head'"),
        (replace(MODEL, layers=(replace(STEM, out_channels=9), HEAD)), "'stem' has out_channels 9, the plan's model 8"),
        (replace(MODEL, groups=(replace(GROUP, consumers=()),)), "channel group 'stem' is another"),
        (replace(MODEL, groups=()), "channel group 'stem' is another"),
        (replace(MODEL, input_shape=(3, 9, 9)), r"takes [3, 9, 9], the plan's model [3, 8, 8]"),
    ],
)
def test_the_first_difference_is_named(other: ModelSpec, words: str) -> None:
    assert words in first_difference(MODEL, other)
