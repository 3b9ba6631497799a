"""Whether a dataset, as a submission describes it, is what a model takes and answers. No torch.

The service asks at submission, a worker once it has the files: same checks, same words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.search.judging import judge_of
from app.search.judging.base import by, mismatch
from app.search.spec_parts import Task
from pruning.intake.document import GraphDocument, Node, Ref
from pruning.layers import ModelSpec

_FLOATS = frozenset({"float32", "float16", "bfloat16", "float64"})
_PASSING = frozenset(  # operators behind which ids are still the ids of the input
    f"aten.{name}"
    for name in (
        "alias.default clone.default contiguous.default detach.default _to_copy.default to.dtype to.dtype_layout "
        "to.device view.default reshape.default unsqueeze.default squeeze.dim flatten.using_ints long.default"
    ).split()
)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An input of a model: its name, the shape of one sample (None: any), its type, and the rows ids may name."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    rows: int | None = None  # of the embedding that looks its values up; None where none does


def taken(document: GraphDocument) -> tuple[Taken, ...]:
    """What a model takes, in order."""
    rows = _looked_up(document)
    return tuple(
        Taken(name=entry.name, shape=tuple(entry.shape[1:]), dtype=entry.dtype, rows=rows.get(entry.id))
        for entry in document.inputs
    )


def check(task: Task, meta: Mapping[str, Any], model: ModelSpec, takes: Sequence[Taken] = ()) -> None:
    """Refuse data that do not go together with a model and a task.

    Raises:
        DatasetError: code `dataset_mismatch`, with both sides, the field of the submission, and the way out.
    """
    _check_shape(meta, tuple(meta["input_shape"]), model.input_shape)
    if takes:
        _check_inputs(meta, takes)
    judge_of(task, meta).check_fit(model)
    _check_looks(task, meta)


def order(meta: Mapping[str, Any], takes: Sequence[Taken]) -> tuple[int, ...]:
    """Which of the data's inputs each input of a model is: by name where all names are known, else one by one."""
    names = [entry["name"] for entry in inputs_of(meta)]
    wanted = [entry.name for entry in takes]
    if all(name in names for name in wanted):
        return tuple(names.index(name) for name in wanted)
    return tuple(range(len(wanted)))


def inputs_of(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, shape and type of the data's inputs; datasets prepared by version 0.1 have one without a name."""
    one = {"name": "input", "shape": meta["input_shape"], "dtype": meta.get("input_dtype", "float32")}
    return list(meta.get("inputs", [one]))


def _check_shape(meta: Mapping[str, Any], sample: tuple[int, ...], wanted: tuple[int | None, ...]) -> None:
    fits = len(sample) == len(wanted) and all(w in (None, s) for s, w in zip(sample, wanted, strict=True))
    if not fits:
        reason = f"the data's samples are {by(sample)}, but the model takes {by(wanted)}"
        raise mismatch("/dataset", reason + _way_out(meta, sample, wanted), sample, wanted)


def _way_out(meta: Mapping[str, Any], sample: tuple[int, ...], wanted: tuple[int | None, ...]) -> str:
    if len(sample) == 3 == len(wanted) and (sample[2], *sample[:2]) == wanted:
        return (
            ": the channels come last; transpose the arrays to samples x channels x height x width, or prepare them "
            'with the option {"layout": "nhwc"}'
        )
    if meta.get("source") == "image folders" and len(wanted) == 3 and wanted[0] in (1, 3):
        options = {"size": list(wanted[1:]), "channels": wanted[0]}
        return f": prepare the images with the options {json.dumps(options)}"
    if meta.get("tokenizer") and len(wanted) == 1 == len(sample):
        return f": prepare the texts with the option {json.dumps({'length': wanted[0]})}"
    return ""


def _check_inputs(meta: Mapping[str, Any], takes: Sequence[Taken]) -> None:
    given = inputs_of(meta)
    if len(takes) > len(given):
        names = ", ".join(entry.name[:40] for entry in takes)
        reason = f"the model takes {len(takes)} inputs ({names}), but the data have {len(given)}"
        raise mismatch("/dataset", f"{reason}: export it with those that the data have", len(given), len(takes))
    for place, entry in zip(order(meta, takes), takes, strict=True):
        _check_shape(meta, tuple(given[place]["shape"]), entry.shape)
        whole = given[place]["dtype"].startswith("int")
        if whole and entry.rows is None and entry.dtype in _FLOATS and meta.get("vocabulary") and place == 0:
            reason = f"the data's samples are token numbers, but the model's input {entry.name[:40]!r} is {entry.dtype}"
            raise mismatch("/dataset", f"{reason}: give a model that looks tokens up", "tokens", entry.dtype)
        if entry.rows is not None and given[place]["name"] == "attention_mask":
            reason = f"the model looks its input {entry.name[:40]!r} up in an embedding, but the data's is a mask"
            raise mismatch("/dataset", f"{reason}: export it without that input", "attention_mask", entry.name[:40])
        if not whole and entry.dtype not in _FLOATS and given[place]["dtype"] != entry.dtype:
            reason = f"the data's samples are {given[place]['dtype']}, but the model's input {entry.name[:40]!r}"
            raise mismatch(
                "/dataset", f"{reason} is {entry.dtype}: give data like it", given[place]["dtype"], entry.dtype
            )
        _check_vocabulary(meta, place, entry)


def _check_vocabulary(meta: Mapping[str, Any], place: int, entry: Taken) -> None:
    words = meta.get("vocabulary")
    if words is not None and place == 0 and entry.rows is not None and words > entry.rows:
        reason = f"the data's tokens run to {words - 1}, but the model's embedding has {entry.rows} rows"
        way_out = (
            f'prepare the texts with the option {{"vocabulary": {entry.rows}}}'
            if (meta.get("tokenizer") or {}).get("kind") == "words"
            else "prepare the texts with the tokenizer that the model was trained with"
        )
        raise mismatch("/dataset", f"{reason}: {way_out}", words, entry.rows)


def _check_looks(task: Task, meta: Mapping[str, Any]) -> None:
    sample = tuple(meta["input_shape"])
    channels = sample[0] if sample else 1
    if len(task.mean) not in (0, 1, channels):
        reason = f"task.mean has {len(task.mean)} values for {channels} channel(s): give one, or one a channel"
        raise mismatch("/task/mean", reason, channels, len(task.mean))
    if task.mean and meta.get("vocabulary") is not None:
        raise mismatch(
            "/task/mean", "token numbers cannot be normalised: leave task.mean and task.std out", "tokens", ""
        )
    if task.augment and len(sample) != 3:
        reason = f"task.augment is for images, and the data's samples are {by(sample)}: leave it out"
        raise mismatch("/task/augment", reason, sample, list(task.augment))


def _looked_up(document: GraphDocument) -> dict[str, int]:
    """Input id -> rows of the smallest embedding that its values are looked up in."""
    nodes = {node.id: node for node in document.nodes}
    inputs = {entry.id for entry in document.inputs}
    parameters = {entry.id: entry for entry in document.parameters}
    found: dict[str, int] = {}
    for node in document.nodes:
        weight, indices = node.args.get("weight"), node.args.get("indices")
        if node.op != "aten.embedding.default" or not isinstance(weight, Ref) or not isinstance(indices, Ref):
            continue
        origin = _origin(indices, nodes)
        if origin in inputs and weight.id in parameters:
            rows = parameters[weight.id].shape[0]
            found[origin] = min(rows, found.get(origin, rows))
    return found


def _origin(ref: Ref, nodes: Mapping[str, Node]) -> str:
    while ref.id in nodes and nodes[ref.id].op in _PASSING:
        ref = next(nodes[ref.id].refs())
    return ref.id
