"""Exported programs with a payload in them: each creates a marker file if any part of the file is ever run.

`PAYLOADS[name](good, out, marker)` copies the exported program `good` to `out` with the payload planted. The
quoted names and paths avoid dots, which torch splits names at.
"""

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Members = dict[str, bytes]


def read_members(path: Path) -> Members:
    """All members of a zip file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(members: Members, path: Path) -> None:
    """Write a zip file, members as they are (torch stores them unpacked)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def find(members: Members, suffix: str) -> str:
    """The one member whose name ends like this."""
    (name,) = [name for name in members if name.endswith(suffix)]
    return name


def edit_json(members: Members, suffix: str, change: Callable[[Any], None]) -> None:
    """Parse a member, let `change` work on it, and put it back."""
    name = find(members, suffix)
    document = json.loads(members[name])
    change(document)
    members[name] = json.dumps(document).encode()


def changed(good: Path, out: Path, change: Callable[[Any], None], member: str = "models/model.json") -> Path:
    """A copy of `good`, in folder `out`, with one JSON member changed."""
    members = read_members(good)
    edit_json(members, member, change)
    write_members(members, out / "changed.pt2")
    return out / "changed.pt2"


def node(program: Any, target: str) -> Any:
    """The first node of a program whose operator contains `target`."""
    return next(n for n in program["graph_module"]["graph"]["nodes"] if target in n["target"])


class Trap:
    """Unpickling this creates the marker."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self._marker, "w")


def opening(marker: Path) -> str:
    """An expression without dots that creates the marker."""
    return "open('" + str(marker).replace(".", "'+chr(46)+'") + "','w')"


def sample_inputs(good: Path, out: Path, marker: Path) -> None:
    """The example inputs are a pickle."""
    members = read_members(good)
    members[find(members, "data/sample_inputs/model.pt")] = pickle.dumps(Trap(marker), protocol=2)
    write_members(members, out)


def pickled_weight(good: Path, out: Path, marker: Path) -> None:
    """A weight says that its bytes are a pickle."""
    members = read_members(good)

    def plant(config: Any) -> None:
        entry = next(iter(config["config"].values()))
        entry["use_pickle"] = True
        members[find(members, f"data/weights/{entry['path_name']}")] = pickle.dumps(Trap(marker), protocol=2)

    edit_json(members, "model_weights_config.json", plant)
    write_members(members, out)


def guards_code(good: Path, out: Path, marker: Path) -> None:
    """A guard expression, which torch turns into a function."""
    members = read_members(good)
    edit_json(members, "models/model.json", lambda program: program["guards_code"].append(opening(marker)))
    write_members(members, out)


def _symbol(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w') and Symbol('s77', positive=True, integer=True)"


def symbolic_size(good: Path, out: Path, marker: Path) -> None:
    """The batch of the input is an expression, which torch evaluates."""

    def plant(program: Any) -> None:
        graph, signature = program["graph_module"]["graph"], program["graph_module"]["signature"]
        (spec,) = [s["user_input"] for s in signature["input_specs"] if "user_input" in s]
        name = spec["arg"]["as_tensor"]["name"]
        graph["tensor_values"][name]["sizes"][0]["as_expr"]["expr_str"] = _symbol(marker)

    members = read_members(good)
    edit_json(members, "models/model.json", plant)
    write_members(members, out)


def inner_symbolic_size(good: Path, out: Path, marker: Path) -> None:
    """The same in the size of an intermediate value."""

    def plant(program: Any) -> None:
        graph = program["graph_module"]["graph"]
        name = graph["nodes"][0]["outputs"][0]["as_tensor"]["name"]
        graph["tensor_values"][name]["sizes"][0]["as_expr"]["expr_str"] = _symbol(marker)

    members = read_members(good)
    edit_json(members, "models/model.json", plant)
    write_members(members, out)


def quoted_name(good: Path, out: Path, marker: Path) -> None:
    """A parameter's name closes a quote; torch pastes it into source that it compiles."""

    def rename(old: str) -> str:
        return f'{old}", {opening(marker)}) if True else ("'

    members = read_members(good)
    old = ""

    def plant_config(config: Any) -> None:
        nonlocal old
        old = next(iter(config["config"]))
        config["config"] = {rename(k) if k == old else k: v for k, v in config["config"].items()}

    def plant_program(program: Any) -> None:
        for spec in program["graph_module"]["signature"]["input_specs"]:
            if spec.get("parameter", {}).get("parameter_name") == old:
                spec["parameter"]["parameter_name"] = rename(old)

    edit_json(members, "model_weights_config.json", plant_config)
    edit_json(members, "models/model.json", plant_program)
    write_members(members, out)


PAYLOADS: dict[str, Callable[[Path, Path, Path], None]] = {
    "sample_inputs": sample_inputs,
    "pickled_weight": pickled_weight,
    "guards_code": guards_code,
    "symbolic_size": symbolic_size,
    "inner_symbolic_size": inner_symbolic_size,
    "quoted_name": quoted_name,
}
