"""How matrix products and attention carry channels: what is summed over goes together, so a head is one unit.

Attention heads need no rule of their own: queries and keys are summed over a head's width, which ties the
width together, and what remains are the heads; values and the output projection follow by meeting them.
"""

from collections.abc import Sequence

import numpy as np

from pruning.channel_rules import Operand, meet
from pruning.channels import Layout, Walk, arranged
from pruning.intake.document import Argument, Node, Ref

_WHY = "mixes all of them"


def product(walk: Walk, node: Node) -> Layout | None:
    """`matmul` and its kin, `... x n x k` times `... x k x p`: sums over `k`."""
    left, right = node.args["self"], node.args.get("mat2", node.args.get("other"))
    if min(len(walk.shape(left)), len(walk.shape(right))) < 2:
        walk.refuse(node, _WHY)
        return None
    return _met(walk, node, ((left, {-1}), (right, {-2})))


def attention(walk: Walk, node: Node) -> Layout | None:
    """Heads stand before the last two dimensions; each goes with its queries, keys, values and masks."""
    summed = {"query": {-1}, "key": {-1, -2}, "value": {-2}, "attn_mask": {-1, -2}}
    return _met(walk, node, [(node.args[name], dims) for name, dims in summed.items() if node.args.get(name)])


def einsum(walk: Walk, node: Node) -> Layout | None:
    """Sums over the letters that the result lacks."""
    equation, given = node.args["equation"], node.args["tensors"]
    before, arrow, after = str(equation).replace(" ", "").partition("->")
    terms = before.split(",")
    plain = arrow and all(len(set(term)) == len(term) for term in (*terms, after))
    if not plain or not isinstance(given, tuple):
        walk.refuse(node, _WHY)
        return None
    operands = []
    for value, term in zip(given, terms, strict=True):
        assert isinstance(value, Ref)
        layout, lost = walk.layout(value), {i for i, letter in enumerate(term) if letter not in after}
        found = walk.mix(node, layout, lost, _WHY)
        if layout and found is None:
            return None
        if found:
            found = arranged([after.index(term[dim]) for dim in found.dims], found.tags)
        sizes = dict(zip(term, walk.shape(value), strict=True))
        operands.append(Operand(value, found, tuple(sizes.get(letter, 1) for letter in after)))
    return _marked(walk, operands, meet(walk, node, operands))


def _met(walk: Walk, node: Node, factors: Sequence[tuple[Argument, set[int]]]) -> Layout | None:
    """What meets in the result, after the sum over some dimensions of each factor, counted from the end."""
    operands = []
    for value, dims in factors:
        assert isinstance(value, Ref)
        layout, shape = walk.layout(value), walk.shape(value)
        summed = {len(shape) + dim for dim in dims}
        found = walk.mix(node, layout, summed, _WHY)
        if layout and found is None:
            return None
        shape = tuple(1 if dim in summed else size for dim, size in enumerate(shape))
        operands.append(Operand(value, found, shape))
    if node.args.get("enable_gqa", False):
        operands = [_shared(operand, operands[0].shape[-3]) for operand in operands]
    return _marked(walk, operands, meet(walk, node, operands))


def _shared(operand: Operand, heads: int) -> Operand:
    """Keys and values that several query heads read, once for each."""
    layout, dim = operand.layout, len(operand.shape) - 3
    if layout and dim in layout.dims:
        axis = layout.axis(dim)
        times = heads // layout.tags.shape[axis]
        layout = Layout(layout.dims, np.repeat(layout.tags, times, axis=axis))
    return Operand(operand.value, layout, (*operand.shape[:dim], heads, *operand.shape[dim + 1 :]))


def _marked(walk: Walk, operands: Sequence[Operand], found: Layout | None) -> Layout | None:
    if found and sum(operand.layout is not None for operand in operands) > 1:
        walk.heads.append(found.tags)
    return found
