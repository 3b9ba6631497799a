"""The import rules of the house, as a table. A rule that is not here is not a rule."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "pruning", "costmodels", "migrations")
VOCABULARY = ("pruning.errors", "pruning.patterns", "pruning.layers", "pruning.plan")
HEAVY = ("torch", "fvcore", "optuna", "pandas", "scipy", "sklearn")

# (who, may never import, except). `who` and the targets are module prefixes; imports inside functions count too
# unless the rule says "top": those are only about what importing the module costs.
RULES: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
    ("pruning", "all", ("costmodels", "app", "migrations"), ()),
    *[(module, "all", ("torch", "numpy", *HEAVY), ()) for module in VOCABULARY],
    ("pruning.intake", "all", ("torch", *HEAVY), ()),
    ("costmodels", "all", ("app", "migrations"), ()),
    ("costmodels", "all", ("pruning",), (*VOCABULARY,)),
    ("costmodels", "all", ("torch", "fvcore"), ()),
    (
        "app.search",
        "all",
        ("fastapi", "sqlalchemy", "app.api", "app.pages", "app.jobs", "app.store", "app.cli", "app.client"),
        (),
    ),
    ("app.store", "all", ("torch", "optuna", "pandas", "fastapi", "app.api", "app.pages", "app.jobs", "app.cli"), ()),
    ("app.api", "all", ("torch", "optuna", "app.jobs", "app.cli", "sqlalchemy"), ()),
    ("app.pages", "all", ("torch", "optuna", "app.jobs", "app.cli", "sqlalchemy"), ()),
    ("app.main", "top", HEAVY, ()),
    ("app.api", "top", HEAVY, ()),
    ("app.pages", "top", HEAVY, ()),
    ("app.jobs", "all", ("sqlalchemy", "fastapi", "app.api", "app.pages"), ()),
    ("app", "all", ("sqlalchemy",), ()),
    ("migrations.versions", "all", PACKAGES, ()),
]
# The rooms that a rule does not reach, with the reason.
EXEMPT: dict[tuple[str, str], str] = {
    ("costmodels.macs", "torch"): "counts with fvcore on a torch graph",
    ("costmodels.macs", "fvcore"): "counts with fvcore on a torch graph",
    ("costmodels.macs", "pruning"): "takes the graph that pruning runs",
    ("costmodels.measure", "torch"): "times layers on this machine",
    ("costmodels.measure", "pruning"): "times the graph that pruning runs",
    ("app.store", "sqlalchemy"): "all SQL lives here",
}


def _modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


def _imports(path: Path, *, top_only: bool) -> Iterator[tuple[str, int]]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {id(n) for function in functions for n in ast.walk(function)}
    typing_only = {
        id(n)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.dump(guard.test)
        for n in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if top_only and (id(node) in inside or id(node) in typing_only):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; say whose"
            yield node.module or "", node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _allowed(name: str, allowed: tuple[str, ...]) -> bool:
    # `from pruning import patterns` names the bare package first; the module it brings follows as its own entry
    return any(_under(name, a) or _under(a, name) for a in allowed)


@pytest.mark.parametrize(("who", "when", "never", "allowed"), RULES, ids=lambda v: str(v)[:40])
def test_imports_point_one_way(who: str, when: str, never: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    offences = []
    for module, path in _modules():
        if not _under(module, who):
            continue
        for imported, line in _imports(path, top_only=when == "top"):
            culprit = next((n for n in never if _under(imported, n)), None)
            if culprit is None or _allowed(imported, allowed):
                continue
            if any(_under(module, room) and culprit == target for room, target in EXEMPT):
                continue
            offences.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not offences, "\n".join(offences)


def test_every_exemption_is_used() -> None:
    for (room, target), reason in EXEMPT.items():
        used = any(
            _under(imported, target)
            for module, path in _modules()
            if _under(module, room)
            for imported, _ in _imports(path, top_only=False)
        )
        assert used, f"{room} no longer imports {target} ({reason}): drop the exemption"


def test_the_walk_finds_the_packages() -> None:
    assert {module.split(".")[0] for module, _ in _modules()} == set(PACKAGES)


# The packages of app.search; each may import those before it, and the words beside them, but nothing that runs them.
SEARCH = ("solve", "tokenizing", "judging", "samples", "sources", "space", "work", "table", "proposals", "devices")
SEARCH += ("evaluation", "exports", "tasks")
RUNS_THEM = ("bound", "climb", "reference", "run")


def test_the_packages_of_the_search_point_one_way() -> None:
    there = {path.parent.name for path in (ROOT / "app" / "search").glob("*/__init__.py")}
    assert there == set(SEARCH), "every package has its place"
    offences = []
    for module, path in _modules():
        if not module.startswith("app.search."):
            continue
        room = module.split(".")[2]
        before = SEARCH[: SEARCH.index(room) + 1] if room in SEARCH else SEARCH if room in RUNS_THEM else ()
        for imported, line in _imports(path, top_only=False):
            target = imported.split(".")[2] if imported.startswith("app.search.") else ""
            above = target in SEARCH and target not in before
            if above or (target in RUNS_THEM and room not in RUNS_THEM):
                offences.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not offences, "\n".join(offences)
