"""Every attack is refused with the reason, or harmless; nothing of a file ever runs."""

from pathlib import Path

import pytest

from tests.pruning.intake.attacks import ATTACKS, answer, walk

HARMLESS = {"members: a pickle in each that is not JSON"}  # sample inputs and the like, which are not read


def _quiet(folder: Path, marker: Path) -> None:
    assert not marker.exists()
    assert not list(folder.parent.rglob("*escaped*"))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_or_harmless(name: str, good: Path, tmp_path: Path) -> None:
    folder, marker = tmp_path / "files", tmp_path / "marker"
    folder.mkdir()
    said = answer(ATTACKS[name](good, folder, marker), folder / "out")
    _quiet(folder, marker)
    if name in HARMLESS:
        assert said == "read"
    else:
        assert said.startswith("refused: ") and said.isprintable() and len(said) < 300


def _walked(good: Path, tmp_path: Path, step: int) -> None:
    marker = tmp_path / "marker"
    found = walk(good, tmp_path, marker, step=step)
    _quiet(tmp_path, marker)
    answers = [said for group in found.values() for said in group]
    assert {said.partition(":")[0] for said in answers} == {"refused", "read"}
    assert all(said.isprintable() and len(said) < 400 for said in answers)
    for kind, group in found.items():
        if kind.endswith(("target", "expr_str", "graph_module.graph.nodes.inputs.name")):
            assert all(said.startswith("refused") or "sizes" in kind for said in group), kind


def test_a_payload_in_strings_of_the_graph_never_runs(good: Path, tmp_path: Path) -> None:
    _walked(good, tmp_path, step=9)


@pytest.mark.slow
def test_a_payload_in_every_string_of_the_graph_never_runs(good: Path, tmp_path: Path) -> None:
    _walked(good, tmp_path, step=1)
