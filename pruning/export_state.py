"""Models out, as plain tensors: a zip that needs neither this code nor the uploader's class.

    state.safetensors  the smaller model's parameters and buffers under the uploader's names
    plan.json          the plan
    cuts.json          {parameter: {dimension: indices that stayed}}, for every tensor that lost channels
    README.txt         how to load it in a few lines of torch

So who has the class can build it smaller and load the state; who has newly trained weights can take the same channels
from them; and who has neither still has every tensor by name.
"""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor

from pruning.errors import ExportError
from pruning.export import Kept, cut_channels, named_state, sides_of
from pruning.graphnet import GraphNet, tensors_of
from pruning.layers import ModelSpec
from pruning.plan import PruningPlan

_STAMP = (1980, 1, 1, 0, 0, 0)  # so that the same state has the same digest
_README = """\
A pruned model as plain tensors. In Python, with torch and safetensors alone:

    from safetensors.torch import load_file
    state = load_file("state.safetensors")   # parameter name -> tensor, in the smaller shapes

state.safetensors has the model's own names. plan.json says what was pruned how. cuts.json says which indices of which
dimension stayed; it makes the same cut in other weights of the same model:

    import json
    for name, sides in json.load(open("cuts.json")).items():
        for dim, stayed in sides.items():
            weights[name] = weights[name].index_select(int(dim), torch.tensor(stayed))

A model class whose layers are made with the sizes of `state` takes it with load_state_dict(state). The same model as
one program that needs no class is the trial's .pt2 file: torch.export.load("model.pt2").module().
"""


def write_bundle(masked: GraphNet, spec: ModelSpec, plan: PruningPlan, kept: Kept, path: Path) -> None:
    """Write the zip of a net in the uploader's shapes, cut to the `kept` channels of each group.

    Raises:
        GroupError: channels that cannot be removed as asked.
    """
    smaller = cut_channels(masked, spec, kept)
    members = {
        "state.safetensors": save({name: value.contiguous() for name, value in named_state(smaller).items()}),
        "plan.json": json.dumps(plan.to_json(), indent=2, sort_keys=True).encode(),
        "cuts.json": json.dumps(cuts_of(masked, spec, kept), sort_keys=True).encode(),
        "README.txt": _README.encode(),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            entry = zipfile.ZipInfo(name, _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def cuts_of(net: GraphNet, spec: ModelSpec, kept: Kept) -> dict[str, dict[str, list[int]]]:
    """For each tensor that loses channels, under each of its names: dimension -> indices that stay, ascending."""
    names = {entry.id: (entry.name, *entry.aliases) for entry in net.document.parameters}
    found: dict[str, dict[str, list[int]]] = {}
    for (parameter, dim), stays in sides_of(net.document, spec, kept).items():
        for name in names[parameter]:
            found.setdefault(name, {})[str(dim)] = stays.nonzero().flatten().tolist()
    return found


def load_named(net: GraphNet, state: Mapping[str, Tensor]) -> GraphNet:
    """A net with the tensors of `state`, as `named_state` wrote them; constants are taken from `net`.

    Raises:
        ExportError: a tensor is missing, or has another shape.
    """
    tensors = tensors_of(net)
    for entry in net.document.parameters:
        if entry.kind == "constant":
            continue
        value = state.get(entry.name)
        if value is None or tuple(value.shape) != entry.shape:
            shape = "missing" if value is None else f"of shape {list(value.shape)}"
            raise ExportError(
                f"the weights are not of this model: {entry.name[:80]!r} is {shape}, not {list(entry.shape)}"
            )
        tensors[entry.id] = value.to(tensors[entry.id].dtype)
    return GraphNet(net.document, tensors).eval()


def read_state(path: Path) -> bytes:
    """The bytes of `state.safetensors` in a bundle."""
    with zipfile.ZipFile(path) as archive:
        return archive.read("state.safetensors")
