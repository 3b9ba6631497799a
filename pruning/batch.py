"""Exports with a fixed batch, made to take any: sizes that repeat the batch are read from the input instead.

What this cannot mend shows when `trace` runs the net on two other batches.
"""

from dataclasses import replace

from pruning.intake.document import GraphDocument, Node, Ref

_SIZED = {
    "aten.view.default": "size",
    "aten.reshape.default": "shape",
    "aten.expand.default": "size",
    "aten.new_zeros.default": "size",
    "aten.new_ones.default": "size",
    "aten.new_full.default": "size",
}
_ALWAYS = frozenset({"aten.expand.default"})  # also of parameters: a class token is spread over the batch


def free_batch(document: GraphDocument) -> GraphDocument:
    """The same graph for any batch; the document itself if its batch varies already, or cannot be told."""
    fixed = {entry.shape[0] for entry in document.inputs if entry.shape}
    if len(fixed) != 1 or None in fixed:
        return document
    (batch,) = fixed
    number = 1 + max((int(node.id[1:]) for node in document.nodes), default=-1)
    count = Node(id=f"n{number}", op="aten.sym_size.int", args={"self": Ref(document.inputs[0].id), "dim": 0})
    fed = {entry.id for entry in document.inputs}  # values that depend on the inputs
    nodes = []
    for node in document.nodes:
        depends = any(ref.id in fed for ref in node.refs())
        if depends:
            fed.add(node.id)
        if depends or node.op in _ALWAYS:
            node = _freed(node, batch, Ref(count.id))
        nodes.append(node)
    inputs = tuple(replace(entry, shape=(None, *entry.shape[1:])) for entry in document.inputs)
    return replace(document, inputs=inputs, nodes=(count, *nodes))


def _freed(node: Node, batch: int | None, count: Ref) -> Node:
    argument = _SIZED.get(node.op, "")
    sizes = node.args.get(argument)
    if not isinstance(sizes, tuple) or sizes[:1] != (batch,):
        return node
    return replace(node, args={**node.args, argument: (count, *sizes[1:])})
