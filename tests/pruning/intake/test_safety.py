"""A planted payload runs in torch's loader and never in ours."""

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pruning.calls import compile_document
from pruning.errors import IntakeError
from pruning.intake.document import GraphDocument
from pruning.intake.reader import read_exported_program, write_model
from tests.pruning.intake.exporting import CASES, export
from tests.pruning.intake.payloads import PAYLOADS, find, read_members, write_members

# How a service that trusted its users would use the file. Failing afterwards is no defence.
_TORCH = """
import sys, torch
for path in sys.argv[1:]:
    try:
        torch.export.load(path).module()(torch.randn(2, 1, 6, 6))
    except Exception:
        pass
"""
_OURS = """
import sys, torch
from pathlib import Path
from pruning import graphnet
from pruning.calls import compile_document
from pruning.errors import IntakeError
from pruning.intake.reader import read_exported_program, write_model
for path in map(Path, sys.argv[1:]):
    try:
        document, tensors = read_exported_program(path)
    except IntakeError:
        print("refused", path.stem)
        continue
    folder = path.with_suffix("")
    folder.mkdir()
    write_model(document, tensors, folder)
    net = graphnet.load(folder)
    for mode in (True, False):
        out = net.train(mode)(torch.randn(2, 1, 6, 6))
    print("ran", path.stem, tuple(out.shape))
"""
_REFUSED = {"pickled_weight", "symbolic_size"}


def _run(script: str, paths: list[Path]) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_LOGS": "-all"}
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, paths)],
        cwd=Path(__file__).parents[3],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def planted(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, Path]]]:
    """For each payload a file and the marker that it would create; no dots in the marker's path."""
    folder = tmp_path_factory.mktemp("planted")
    files = {name: (folder / f"{name}.pt2", folder / f"marker-{name}") for name in PAYLOADS}
    for name, (path, marker) in files.items():
        PAYLOADS[name](good, path, marker)
    return files


def test_no_payload_runs_in_ours(planted: dict[str, tuple[Path, Path]]) -> None:
    lines = _run(_OURS, [path for path, _ in planted.values()]).splitlines()
    assert [name for name, (_, marker) in planted.items() if marker.exists()] == []
    assert {line.split()[1] for line in lines if line.startswith("refused")} == _REFUSED
    assert {line.split()[1] for line in lines if line.startswith("ran")} == set(PAYLOADS) - _REFUSED


def test_every_payload_runs_in_torch(planted: dict[str, tuple[Path, Path]]) -> None:
    """Else the test above would prove nothing."""
    _run(_TORCH, [path for path, _ in planted.values()])
    assert [name for name, (_, marker) in planted.items() if not marker.exists()] == []


def test_harmless_payloads_leave_the_graph_as_it_was(planted: dict[str, tuple[Path, Path]], good: Path) -> None:
    document, tensors = read_exported_program(good)
    for name in ("sample_inputs", "guards_code", "inner_symbolic_size"):
        assert read_exported_program(planted[name][0]) == (document, tensors)
    quoted, _ = read_exported_program(planted["quoted_name"][0])
    assert quoted.nodes == document.nodes
    assert [p.id for p in quoted.parameters] == [p.id for p in document.parameters]


def test_no_string_of_the_file_reaches_an_identifier_or_a_node(
    planted: dict[str, tuple[Path, Path]], tmp_path: Path
) -> None:
    document, tensors = read_exported_program(planted["quoted_name"][0])
    write_model(document, tensors, tmp_path)
    graph = json.loads((tmp_path / "graph.json").read_text())
    assert "open(" in json.dumps(graph["parameters"])  # kept as text, for people
    for node in graph["nodes"]:
        node.pop("module")
    assert "open(" not in json.dumps([graph["nodes"], graph["inputs"], graph["outputs"], graph["notes"]])
    assert b"open(" not in (tmp_path / "weights.safetensors").read_bytes()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON document."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found.append((value, key))
            found.extend(_places(value[key]))
    return found


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63, 10**30, 1e400, float("nan")]),
    st.sampled_from(["", "x", "p_0_weight", "\ud800", "conv2d", "weight_0", "a" * 600, "torch.ops.aten.add.Tensor"]),
    st.sampled_from(["as_tensor", "as_int", "as_ints", "as_none", "as_name", "as_tensors", "as_expr"]).map(
        lambda key: {key: {"name": "conv2d"}}
    ),
    st.lists(st.sampled_from([{"as_int": 3}, {"name": "conv2d"}, 1, None, {}]), max_size=3),
    st.just({}),
)
_MUTATION = st.tuples(
    st.sampled_from(["replace", "replace", "remove", "repeat", "rename"]),
    st.integers(0),
    st.integers(0),
    _JUNK,
)


def _check_message(error: IntakeError) -> None:
    assert 0 < len(str(error)) < 400 and str(error).isprintable()


def _mutate(document: Any, how: str, where: int, other: int, junk: Any) -> None:
    places = _places(document)
    container, key = places[where % len(places)]
    donor, donor_key = places[other % len(places)]
    if how == "remove":
        del container[key]
    elif how == "repeat":  # a part of the file in another place
        container[key] = copy.deepcopy(donor[donor_key])
    elif how == "rename" and isinstance(container, dict):
        container[str(junk)[:300]] = container.pop(key)
    else:
        container[key] = copy.deepcopy(junk)


_JSON = {
    "member": st.sampled_from(["models/model.json"] * 2 + ["weights_config.json", "constants_config.json"]),
    "mutations": st.lists(_MUTATION, min_size=1, max_size=4),
}
_BYTES = {
    "changes": st.lists(st.tuples(st.integers(0, 99_999), st.integers(0, 255)), min_size=1, max_size=8),
    "end": st.booleans(),
}
_QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
_LONG = settings(max_examples=1500, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def several(good: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good programs of other kinds as well: attention in train mode, sizes, in-place sums, two graphs."""
    folder = tmp_path_factory.mktemp("several")
    made = [good]
    for name, training in (("transformer", True), ("residual", True), ("sizes", False), ("tied", False)):
        (folder / name).mkdir()
        module, inputs = CASES[name][0]().train(training), CASES[name][1]()
        made.append(export(module, inputs, folder / name / "m.pt2"))
    return made


def _mutated(good: Path, path: Path, member: str, mutations: list[tuple[str, int, int, Any]]) -> None:
    members = read_members(good)
    name = find(members, member)
    document = json.loads(members[name])
    for mutation in mutations:
        if isinstance(document, dict) and document:
            _mutate(document, *mutation)
    members[name] = json.dumps(document).encode()
    write_members(members, path)
    _only_a_document_or_a_refusal(path)


def _flipped(good: Path, path: Path, changes: list[tuple[int, int]], end: bool) -> None:
    raw = bytearray(good.read_bytes())
    for place, byte in changes:
        within = min(len(raw), 2000) if end else len(raw)  # the directory is at the end
        raw[-1 - place % within] = byte
    path.write_bytes(raw)
    _only_a_document_or_a_refusal(path)


def _only_a_document_or_a_refusal(path: Path) -> None:
    try:
        found, tensors = read_exported_program(path)
    except IntakeError as error:
        _check_message(error)
        return
    assert GraphDocument.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert set(tensors) == {p.id for p in found.parameters}
    try:
        compile_document(found)
    except IntakeError as error:
        _check_message(error)


@_QUICK
@given(**_JSON)
def test_a_mutated_program_is_read_or_refused_and_nothing_else(
    good: Path, tmp_path_factory: pytest.TempPathFactory, member: str, mutations: list[tuple[str, int, int, Any]]
) -> None:
    _mutated(good, tmp_path_factory.getbasetemp() / "mutated.pt2", member, mutations)


@_QUICK
@given(**_BYTES)
def test_a_file_with_flipped_bytes_is_read_or_refused_and_nothing_else(
    good: Path, tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], end: bool
) -> None:
    _flipped(good, tmp_path_factory.getbasetemp() / "flipped.pt2", changes, end)


@pytest.mark.slow
@_LONG
@given(which=st.integers(0, 4), **_JSON)
def test_many_mutated_programs_of_several_kinds(
    several: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
    which: int,
    member: str,
    mutations: list[tuple[str, int, int, Any]],
) -> None:
    _mutated(several[which], tmp_path_factory.getbasetemp() / "mutated.pt2", member, mutations)


@pytest.mark.slow
@_LONG
@given(which=st.integers(0, 4), **_BYTES)
def test_many_files_of_several_kinds_with_flipped_bytes(
    several: list[Path], tmp_path_factory: pytest.TempPathFactory, which: int, changes: list[tuple[int, int]], end: bool
) -> None:
    _flipped(several[which], tmp_path_factory.getbasetemp() / "flipped.pt2", changes, end)
