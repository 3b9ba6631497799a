"""Files built to harm: `ATTACKS[name](good, folder, marker)` writes one and gives its path; `answer` asks our reader.

Each plants something that creates the marker if any part of it is ever run, or asks for more than a model may.
"""

import json
import pickle
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from pruning import graphnet
from pruning.errors import IntakeError
from pruning.intake.reader import read_exported_program, write_model
from tests.pruning.intake.payloads import Trap, edit_json, find, node, opening, read_members, write_members

Build = Callable[[Path, Path, Path], Path]
Place = tuple[str | int, ...]  # the way to a string in a JSON document
GRAPH = "models/model.json"


def answer(path: Path, folder: Path) -> str:
    """What becomes of a file: "refused: ...", or "read" if it is read, stored, loaded and run like any other.

    Whatever else is raised goes through: it would be a fault of ours.
    """
    try:
        document, tensors = read_exported_program(path)
        folder.mkdir(parents=True, exist_ok=True)
        write_model(document, tensors, folder)
        net = graphnet.load(folder)
    except IntakeError as error:
        return f"refused: {error}"
    example = [torch.zeros(2, *(size or 1 for size in entry.shape[1:])) for entry in document.inputs]
    try:
        for training in (True, False):
            net.train(training)(*example)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return "read, and does not run: inspection refuses it"
    return "read"


def strings(document: Any, way: Place = ()) -> Iterator[Place]:
    """The way to every string, and to every key of an object, depth first."""
    if isinstance(document, str):
        yield way
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield (*way, key, "(key)")
            yield from strings(value, (*way, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from strings(value, (*way, index))


def plant(document: Any, way: Place, payload: str) -> None:
    """Put `payload` where `strings` led; a key keeps its value, and its old text in front of the payload."""
    renamed = way[-1] == "(key)"
    *before, last = way[:-1] if renamed else way
    holder = document
    for step in before:
        holder = holder[step]
    if renamed:
        items = [(f"{key}{payload}" if key == last else key, value) for key, value in holder.items()]
        holder.clear()
        holder.update(items)
    else:
        holder[last] = payload


def _rewritten(change: Callable[[dict[str, bytes], Path], None]) -> Build:
    """Members changed, and written again."""

    def build(good: Path, folder: Path, marker: Path) -> Path:
        members = read_members(good)
        change(members, marker)
        write_members(members, folder / "attack.pt2")
        return folder / "attack.pt2"

    return build


def _graph(change: Callable[[Any], None]) -> Build:
    return _rewritten(lambda members, _: edit_json(members, GRAPH, change))


def _named(name: str, **attributes: int) -> Build:
    """One more member of a telling name."""

    def build(good: Path, folder: Path, marker: Path) -> Path:
        with zipfile.ZipFile(folder / "attack.pt2", "w") as archive:
            for key, data in read_members(good).items():
                archive.writestr(key, data)
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.external_attr = attributes.get("mode", 0o600) << 16
            archive.writestr(info, str(marker))
        return folder / "attack.pt2"

    return build


def _twice(good: Path, folder: Path, _: Path) -> Path:
    members = read_members(good)
    name = find(members, GRAPH)
    write_members(members | {name.replace("model.json", "modeX.json"): b"{}"}, folder / "attack.pt2")
    raw = (folder / "attack.pt2").read_bytes().replace(b"models/modeX.json", b"models/model.json")
    (folder / "attack.pt2").write_bytes(raw)
    return folder / "attack.pt2"


def _bomb(good: Path, folder: Path, _: Path) -> Path:
    with zipfile.ZipFile(folder / "attack.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, data in read_members(good).items():
            archive.writestr(key, bytes(64 << 20) if key.endswith(GRAPH) else data)
    return folder / "attack.pt2"


def _crowd(_: Path, folder: Path, __: Path) -> Path:
    with zipfile.ZipFile(folder / "attack.pt2", "w") as archive:
        for number in range(20_001):
            archive.writestr(f"m/{number}", b"")
    return folder / "attack.pt2"


def _overlap(good: Path, folder: Path, _: Path) -> Path:
    raw = bytearray(good.read_bytes())
    second = raw.rindex(b"PK\x01\x02")
    raw[second + 42 : second + 46] = struct.pack("<I", 0)
    (folder / "attack.pt2").write_bytes(raw)
    return folder / "attack.pt2"


def _nested(program: Any) -> None:
    way: Any = {"as_int": 1}
    for _ in range(900):
        way = {"as_tensor": way}
    node(program, "relu")["inputs"][0]["arg"] = way


def _everywhere(data: Callable[[Path], bytes]) -> Build:
    """Every member that is not parsed as the graph or its tensors' lists."""

    def change(members: dict[str, bytes], marker: Path) -> None:
        for name in members:
            if not name.endswith((".json", "byteorder")) and "/weights/" not in name:
                members[name] = data(marker)

    return _rewritten(change)


def _pickled(marker: Path) -> bytes:
    return pickle.dumps(Trap(marker), protocol=2)


def _custom(program: Any) -> None:
    argument = {"name": "thing", "class_fqn": "__torch__.torch.classes.evil"}
    spec = {"custom_obj": {"arg": argument, "custom_obj_name": "thing"}}
    program["graph_module"]["signature"]["input_specs"].append(spec)


def _pickled_constant(members: dict[str, bytes], marker: Path) -> None:
    folder = find(members, "model_constants_config.json").rpartition("/")[0]
    members[f"{folder}/custom_obj_0"] = _pickled(marker)
    entry = {"path_name": "custom_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    edit_json(members, "model_constants_config.json", lambda config: config["config"].update(thing=entry))


def _target(name: str) -> Build:
    return _graph(lambda program: node(program, "relu").update(target=name))


def _argument(name: str, value: Any) -> Build:
    return _graph(lambda program: node(program, "conv2d")["inputs"].append({"name": name, "arg": value, "kind": 1}))


ATTACKS: dict[str, Build] = {
    "zip: a path that climbs": _named("good/../../escaped"),
    "zip: an absolute path": _named("/etc/cron.d/escaped"),
    "zip: a drive": _named("C:/escaped"),
    "zip: turned slashes": _named("good\\..\\escaped"),
    "zip: a member without a name": _named(""),
    "zip: a link": _named("good/link", mode=stat.S_IFLNK | 0o777),
    "zip: a line break in a name": _named("good/a\nb"),
    "zip: one name twice": _twice,
    "zip: one name twice, in capitals": _rewritten(
        lambda members, _: members.update({find(members, GRAPH).replace("model.json", "MODEL.JSON"): b"{}"})
    ),
    "zip: a bomb of 64 MB": _bomb,
    "zip: members that overlap": _overlap,
    "zip: 20 001 members": _crowd,
    "members: a pickle in each that is not JSON": _everywhere(_pickled),
    "members: a pickle for the graph": _rewritten(
        lambda members, marker: members.update({find(members, GRAPH): _pickled(marker)})
    ),
    "members: a custom object, pickled": _rewritten(_pickled_constant),
    "graph: os.system": _target("os.system"),
    "graph: builtins.eval": _target("builtins.eval"),
    "graph: an operator of torch that writes files": _target("torch.ops.aten.from_file.default"),
    "graph: an operator of a library": _target("torch.ops.evil.run.default"),
    "graph: an operator with a subgraph": _target("torch.ops.higher_order.cond"),
    "graph: a subgraph as argument": _argument("groups", {"as_graph": {"name": "x", "graph": {}}}),
    "graph: an operator as argument": _argument("groups", {"as_operator": "os.system"}),
    "graph: a custom object as argument": _argument("groups", {"as_custom_obj": {"name": "x", "class_fqn": "y"}}),
    "graph: a custom object as input": _graph(_custom),
    "graph: an argument nested 900 deep": _graph(_nested),
    "graph: a number of 70 bits": _argument("groups", {"as_int": 2**70}),
    "graph: a list of 5000": _argument("dilation", {"as_ints": [1] * 5000}),
    "graph: nested 200 000 deep": _rewritten(lambda members, _: members.update({find(members, GRAPH): b"[" * 200_000})),
    "graph: a key twice": _rewritten(
        lambda members, _: members.update(
            {find(members, GRAPH): members[find(members, GRAPH)].replace(b"{", b'{"guards_code": [],', 1)}
        )
    ),
}


def walk(good: Path, folder: Path, marker: Path, *, step: int = 1) -> dict[str, list[str]]:
    """A payload in every `step`-th string of the graph's JSON, one at a time: the answers, by kind of place."""
    members = read_members(good)
    name = find(members, GRAPH)
    found: dict[str, list[str]] = {}
    for way in list(strings(json.loads(members[name])))[::step]:
        document = json.loads(members[name])
        plant(document, way, opening(marker))
        write_members(members | {name: json.dumps(document).encode()}, folder / "walk.pt2")
        kind = ".".join(str(step) for step in way if not isinstance(step, int))
        found.setdefault(kind, []).append(answer(folder / "walk.pt2", folder / "walk"))
    return found
