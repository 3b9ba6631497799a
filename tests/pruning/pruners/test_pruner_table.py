"""The page on pruners says what the classes say, and its example runs."""

from pathlib import Path
from typing import Any

import pytest

from pruning.apply import Pruned
from pruning.errors import PlanError
from pruning.oneshot import SOLVERS, solve_layers
from pruning.patterns import parse
from pruning.plan import PruningPlan
from pruning.pruners import PRUNERS
from pruning.pruners.table import COMMAND, LAYERS, combinations, rewritten, table
from tests.pruning.pruners.cases import PATTERNS, cases
from tests.pruning.small import SPEC, data, small

PAGE = Path(__file__).parents[3] / "docs" / "pruners.md"


def test_the_page_holds_what_the_classes_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, f"docs/pruners.md is out of date: {COMMAND}"


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(PlanError, match="no generated part"):
        rewritten("# Pruners\n")


def test_every_pruner_and_solver_has_a_row_with_a_cell_for_every_pattern() -> None:
    rows = {line.split("`")[1]: line for line in table().splitlines() if line.startswith("| `")}
    assert list(rows) == [*PRUNERS, *SOLVERS]
    for name, pruner in PRUNERS.items():
        cells = [cell.strip() for cell in rows[name].strip("|").split("|")]
        assert [cell == "yes" for cell in cells[2:7]] == [p.kind in pruner.patterns() for p in PATTERNS]
        assert all(why in table() for why in pruner.refuses.values())


@pytest.mark.parametrize("name", SOLVERS)
def test_the_cells_of_solvers_are_what_they_do(name: str) -> None:
    line = next(line for line in table().splitlines() if line.startswith(f"| `{name}`"))
    for text, cell in zip(
        ("unstructured@0.5", "keep2of4", "block2x2@0.5", "kernel@0.5", "channel@0.5"), line.split("|")[3:8], strict=True
    ):
        plan = PruningPlan(pruner=name, patterns={"body": parse(text)})
        if cell.strip() == "yes":
            assert len(list(solve_layers(small(), SPEC, plan, data(1)))) == 1
        else:
            with pytest.raises(PlanError):
                list(solve_layers(small(), SPEC, plan, data(1)))


def test_the_conformance_count_is_that_of_the_suite() -> None:
    assert combinations() == len(list(cases()))
    assert {layer for _, _, layer in cases()} == set(LAYERS)


def test_every_doubt_that_a_module_states_is_on_the_page() -> None:
    assert "`pruners.idp`: Our reading. How it iterates could not be verified." in table()
    assert "`pruners.pdp`: Unverified: whether the authors hold t constant" in table()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code = PAGE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    found: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), found)
    pruned = found["pruned"]
    assert isinstance(pruned, Pruned)
    assert pruned.report.groups[0].kept == 4 and pruned.report.layers[1].nm_valid
    assert "bytes" in capsys.readouterr().out
