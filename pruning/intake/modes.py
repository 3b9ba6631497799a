"""In which mode a program was exported, and what of the training is in it or lost: told by its nodes' arguments."""

from collections.abc import Iterable, Sequence

from pruning.intake.document import Node

_FLAGS = ("training", "train")  # of batch norm, of dropout
_ATTENTION = "aten.scaled_dot_product_attention.default"


def mode_notes(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Sentences on the export's mode; nothing on a graph where the modes make no difference."""
    norms = [node for node in nodes if "momentum" in node.args]
    drops = [node for node in nodes if "dropout" in node.op]
    attentions = [node for node in nodes if node.op == _ATTENTION]
    dropped = [node.args["dropout_p"] for node in attentions if node.args.get("dropout_p")]
    kept = _listed(
        _counted(norms, "batch norm", "momentum", (node.args["momentum"] for node in norms)),
        _counted(drops, "dropout", "p", (node.args.get("p") for node in drops)),
    )
    modes = [node.args[flag] for node in nodes for flag in _FLAGS if flag in node.args]
    if any(modes) or dropped:
        attention = _counted(dropped, "attention dropout", "p", dropped)
        return (f"exported in train mode: recovery trains with its {_listed(kept, attention)}",)
    if not modes and not attentions:
        return ()
    found = [f"exported in eval mode: {kept} are switched by ours, with what the export kept"] if kept else []
    if attentions:
        found.append(f"lost by an export in eval mode: dropout inside attention ({len(attentions)} places), if any")
    found.append("lost by an export in eval mode: what runs in training alone (drop path, auxiliary outputs), if any")
    return tuple(found)


def _counted(entries: Sequence[object], what: str, name: str, values: Iterable[object]) -> str:
    if not entries:
        return ""
    different = sorted({f"{value:g}" if isinstance(value, float) else str(value) for value in values})
    return f"{len(entries)} {what} ({name} {', '.join(different[:4])})"


def _listed(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
