"""Imports point downwards: fetching knows nothing of storing, storing nothing of HTTP, and the pure parts of neither."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import vapi_sessions

PACKAGE = Path(vapi_sessions.__file__).parent
ROOT = PACKAGE.name


def _name(path: Path) -> str:
    parts = (ROOT, *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
EMULATOR = f"{ROOT}.emulator"
WAREHOUSE = f"{ROOT}.warehouse"


def _below(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The import statements, those inside functions too, but none that only a type checker follows."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        yield from _statements(child)


def _imports(name: str) -> set[str]:
    """What a module imports, each by its full name; of our own, the modules."""
    found = set()
    for statement in _statements(ast.parse(FILES[name].read_text())):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        else:
            assert statement.level == 0, f"{name} imports relatively"
            assert statement.module is not None
            inner = {f"{statement.module}.{alias.name}" for alias in statement.names}
            modules = inner & FILES.keys()
            found |= modules
            if inner - modules:
                found.add(statement.module)
    return found


IMPORTS = {name: _imports(name) for name in FILES}
EXPORTER = {name for name in FILES if not _below(name, EMULATOR)}


def _importing(package: str, among: set[str] | None = None) -> set[str]:
    """The short names of the modules that import anything of a package."""
    return {
        name.removeprefix(ROOT + ".")
        for name in (FILES if among is None else among)
        if any(_below(imported, package) for imported in IMPORTS[name])
    }


def _reached(name: str, *, but: str = "") -> set[str]:
    """All that a module imports, at any depth; not what is imported by way of `but`."""
    reached, todo = set(), [name]
    while todo:
        imported = IMPORTS.get(todo.pop(), set()) - reached - {but}
        reached |= imported
        todo += imported
    return reached


def test_all_modules_are_looked_at() -> None:
    """The sets compared here are those of the whole package."""
    assert {f"{ROOT}.cli", f"{WAREHOUSE}.index", f"{EMULATOR}.store"} <= FILES.keys()
    assert f"{ROOT}.warehouse.index" in IMPORTS[f"{ROOT}.pipeline"]


def test_only_the_schedule_knows_prefect() -> None:
    """Nothing else in the package imports the orchestrator; the flows lie outside of it."""
    assert _importing("prefect") == {"schedule"}


def test_only_the_warehouse_knows_duckdb() -> None:
    """SQL is spoken in one package, and it is the only one that is given a connection."""
    importing = _importing("duckdb")
    assert "warehouse.index" in importing
    assert {name for name in importing if not name.startswith("warehouse.")} == set()


def test_only_the_client_knows_http() -> None:
    """The client and its connections; the pipeline names httpx for the type of the transport that is injected."""
    assert "client" in _importing("httpx", EXPORTER)
    assert _importing("httpx", EXPORTER) <= {"client", "connection", "pipeline"}
    named = {
        ast.unparse(node)
        for node in ast.walk(ast.parse(FILES[f"{ROOT}.pipeline"].read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "httpx"
    }
    assert named <= {"httpx.BaseTransport"}


def test_only_the_commands_know_the_emulator() -> None:
    """The exporter does not import what stands in for the source in tests."""
    assert _importing(EMULATOR, EXPORTER) == {"cli", "demo"}


def test_the_emulator_knows_nothing_of_the_exporter() -> None:
    """It shares the tree of errors and nothing else: both reading a rule from one place would hide a mistake in it."""
    shared = {
        imported
        for name in FILES.keys() - EXPORTER
        for imported in IMPORTS[name]
        if _below(imported, ROOT) and not _below(imported, EMULATOR)
    }
    assert shared <= {f"{ROOT}.errors"}


PURE = sorted(
    name
    for name in EXPORTER
    if name.removeprefix(ROOT + ".").startswith(
        (
            "windows",
            "ledger",
            "flatten",
            "merge",
            "redact",
            "timestamps",
            "documents",
            "identity",
            "json_text",
            "masking",
            "page",
            "policy",
            "records",
            "treatment",
        )
    )
)


@pytest.mark.parametrize("name", PURE)
def test_what_is_pure_knows_neither_database_nor_network(name: str) -> None:
    """Arithmetic on time, flattening, redaction and the rule of what wins depend on data alone, at any depth."""
    outside = ("duckdb", "httpx", "prefect", WAREHOUSE, f"{ROOT}.client")
    assert {other for other in _reached(name) if any(_below(other, package) for package in outside)} == set()


@pytest.mark.parametrize("name", ["reading", "warehouse.staging", "warehouse.derive", "warehouse.raw"])
def test_the_unit_of_work_needs_no_index(name: str) -> None:
    """What reads a window and stores it can run where there is no database: what is held comes as a plain mapping."""
    outside = {f"{WAREHOUSE}.index", f"{WAREHOUSE}.publish", f"{ROOT}.load", f"{ROOT}.pipeline"}
    assert _reached(f"{ROOT}.{name}", but=ROOT) & outside == set()  # `connect` imports when it is called


def test_storing_knows_nothing_of_fetching() -> None:
    """Nothing in the warehouse imports what asks the source, or what decides what to ask for."""
    above = (
        "client",
        "walk",
        "plan",
        "survey",
        "pipeline",
        "load",
        "cli",
        "reading",
        "recovery",
        "rebuild",
        "take_over",
    )
    fetching = {f"{ROOT}.{name}" for name in above}
    known = {
        (name, imported) for name in FILES if _below(name, WAREHOUSE) for imported in IMPORTS[name] & fetching
    }
    assert known == set()


@pytest.mark.parametrize("name", ["client", "walk", "plan", "survey"])
def test_fetching_knows_nothing_of_storing(name: str) -> None:
    """What asks the source imports nothing of the warehouse, nor of what fills it."""
    storing = (
        WAREHOUSE,
        f"{ROOT}.load",
        f"{ROOT}.reading",
        f"{ROOT}.merge",
        f"{ROOT}.flatten",
        f"{ROOT}.redact",
    )
    assert {other for other in IMPORTS[f"{ROOT}.{name}"] if any(_below(other, s) for s in storing)} == set()


def test_no_modules_import_each_other() -> None:
    """The modules can be put in an order in which each imports only those before it."""
    graph = {name: IMPORTS[name] & FILES.keys() - {name} for name in FILES}
    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail(" ← ".join(cycle.args[1]))
    assert order.index(f"{ROOT}.errors") < order.index(f"{ROOT}.cli")
