"""From a file's spelling of an operator to the table's, with its arguments; and what to do about others."""

from collections.abc import Mapping
from typing import Any

from pruning.errors import IntakeError
from pruning.intake import fields
from pruning.intake.operators import OPERATORS
from pruning.intake.spellings import EXTRA, IN_PLACE, RENAMED

DRAWS = frozenset({"aten.bernoulli_.float"})  # the beginning of a drop path
FRESH = frozenset({"aten.new_ones.default", "aten.ones.default"})  # what a drop path may draw into
_CONTIGUOUS = {"as_memory_format": 1}
_NONE = {"as_none": True}
_DATA_DEPENDENT = ("higher_order.", "aten.item.", "aten._local_scalar_dense.", "aten.nonzero.", "aten.masked_select.")
_RANDOM = ("bernoulli", "rand", "normal", "multinomial", "native_dropout", "empty")


def renamed(spelled: str) -> str:
    """The table's name of an operator; of an unknown one its own."""
    return IN_PLACE.get(spelled) or RENAMED.get(spelled) or spelled


def plain(spelled: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The table's name of an operator and its arguments there.

    Raises:
        IntakeError: a chance that is none.
    """
    op = renamed(spelled)
    given = {key: value for key, value in given.items() if key not in EXTRA.get(spelled, ())}
    if spelled in IN_PLACE and "self" in given:  # `dropout_` calls it so, `dropout` does not
        given = {OPERATORS[op].args[0] if key == "self" else key: value for key, value in given.items()}
    if spelled in DRAWS:
        given |= {"p": {"as_float": 1 - _chance(given.get("p", {}))}, "train": {"as_bool": True}}
    elif op == "aten.to.dtype" and given.get("dtype", _NONE) == _NONE:  # a move to another device
        op = "aten.clone.default"
        given = {key: value for key, value in given.items() if key == "self"}
    elif op == "aten.clone.default" and given.get("memory_format") == _CONTIGUOUS:
        op = "aten.contiguous.default"
    return op, given


def way_out(spelled: str) -> str:
    """What the owner of a model can do about an operator that is not in the table."""
    if spelled.startswith(_DATA_DEPENDENT):
        return "what it does depends on values of the data: write such branches and picks with torch.where"
    if any(word in spelled for word in _RANDOM):
        return "it draws random numbers of its own (noise, a drop path not as usual): export the model in eval mode"
    return "write that part of the model with common layers, and export it without run_decompositions()"


def _chance(value: Any) -> float:
    _, inner = fields.union(value, "the chance of a drop path")
    chance = fields.number(inner, "the chance of a drop path")
    if not 0 < chance <= 1:
        raise IntakeError(f"the chance of a drop path is {chance:g}; it should be above 0 and at most 1")
    return chance
